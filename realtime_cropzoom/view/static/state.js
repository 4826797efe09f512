// @ts-check
// What the page knows: cameras, triggers and events. Parts of the page listen to what they show.

import { Pairing } from "./pairing.js";
import { PoseHistory, readPose } from "./pose_history.js";
import { TraceBins } from "./trace_bins.js";

/** @typedef {import("./types.js").CameraMessage} CameraMessage */
/** @typedef {import("./types.js").TriggerMessage} TriggerMessage */
/** @typedef {import("./types.js").EventMessage} EventMessage */
/** @typedef {import("./types.js").ZoneSpec} ZoneSpec */

const MOST_EVENTS = 1000;
const FLASH_MS = 900;
/** The snapshot of a server that the page has come to is here after this time. */
const SNAPSHOT_MS = 3000;

/** One animal of a camera: the only one, one of several in one arena, or that of a region. */
export class Subject {
  /**
   * @param {number} place       from 0
   * @param {string} name        its number, or the name of its region; "" for the only one
   * @param {[number, number][]} outline  corners of its region; empty without one
   * @param {number} keypoints
   */
  constructor(place, name, outline, keypoints) {
    this.place = place;
    this.name = name;
    this.outline = outline;
    this.history = new PoseHistory();
    this.bins = new TraceBins(keypoints);
  }

  /** What it is called. */
  get title() {
    return this.outline.length || !this.name ? this.name : `Animal ${this.name}`;
  }

  /** State of the newest pose; "" while there is none. */
  get state() {
    return this.history.newest?.state ?? "";
  }

  get uncertain() {
    return this.history.newest?.uncertain ?? false;
  }
}

/** The poses of all animals of a camera, by their frame. A frame is there once it is there for each animal. */
class Frames {
  /** @param {Camera} camera */
  constructor(camera) {
    this._camera = camera;
  }

  /**
   * Return a pose of exactly this frame; null if there is none, or if others may still come.
   * @param {number} frame
   */
  at(frame) {
    const { subjects } = this._camera;
    if (subjects.length === 1) return subjects[0].history.at(frame);
    if (!subjects.every(({ history }) => (history.newest?.frame ?? -1) >= frame)) return null;
    return subjects.map(({ history }) => history.at(frame)).find((pose) => pose !== null) ?? null;
  }

  /** A pose of the newest frame that is there for each animal; null if there is none. */
  get newest() {
    const { subjects } = this._camera;
    if (subjects.length === 1) return subjects[0].history.newest;
    return this.at(Math.min(...subjects.map(({ history }) => history.newest?.frame ?? -1)));
  }
}

/** One camera, with all that is known of its run. */
export class Camera {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    /** @type {CameraMessage|null} */
    this.hello = null;
    /** @type {import("./types.js").StatusMessage|null} */
    this.status = null;
    this.statusAtMs = 0;
    /** @type {import("./types.js").LatencyMessage|null} */
    this.latency = null;
    /** @type {import("./types.js").MapMessage|null} */
    this.map = null;
    this.subjects = [new Subject(0, "", [], 0)];
    /** Place of the animal whose traces and numbers are shown. */
    this.chosen = 0;
    this.frames = new Frames(this);
    this.pairing = new Pairing();
    this.pictures = 0;
    /** @type {Record<string, import("./types.js").Settable>} what may be set while the run goes on */
    this.settable = {};
    /** Whether the server has named it since the page came to it. */
    this.announced = true;
    /** @type {Record<string, number>} loss → time at which it last grew */
    this.grewAtMs = {};
  }

  /** The animal whose traces and numbers are shown. */
  get subject() {
    return this.subjects[this.chosen];
  }

  get history() {
    return this.subject.history;
  }

  get bins() {
    return this.subject.bins;
  }

  /** Whether it shows several animals. */
  get several() {
    return this.subjects.length > 1;
  }

  /** Address of the run for orders; null if it takes none. */
  get control() {
    return this.hello?.control ?? null;
  }

  /** State of the newest pose; "" while there is none. Of several animals, that of the one that is tracked best. */
  get state() {
    if (this.several) return this.status?.publishing === false ? this.status.state : bestState(this.subjects);
    const paused = this.status !== null && !this.status.publishing;
    return (paused ? null : this.history.newest?.state) ?? this.status?.state ?? "";
  }

  /** @param {CameraMessage} hello */
  greet(hello) {
    const restarted = hello.run !== this.hello?.run;
    const keypoints = hello.keypoint_names?.length ?? 0;
    const several = hello.subjects ?? [];
    const named = several.length ? several : [{ name: "", outline: [] }];
    const same = named.map(({ name }) => name).join("\n") === this.subjects.map(({ name }) => name).join("\n");
    this.hello = hello;
    this.announced = true;
    if (!restarted && same && this.bins.traces.length === keypoints) return;
    this.pairing.clear();
    this.subjects = named.map(({ name, outline }, place) => new Subject(place, name, outline, keypoints));
    if (!same) this.chosen = 0;
    this.status = this.latency = this.map = null;
    this.settable = {};
    this.grewAtMs = {};
  }

  /** @param {any[][]} rows */
  addPoses(rows) {
    const poses = rows.map(readPose);
    for (const { place, history, bins } of this.subjects) {
      const own = this.several ? poses.filter((pose) => pose.subject === place) : poses;
      for (const pose of history.add(own)) bins.add(pose);
    }
  }

  /** @param {import("./types.js").StatusMessage} status */
  setStatus(status) {
    const now = performance.now();
    const before = this.status?.losses ?? {};
    for (const [cause, number] of Object.entries(status.losses)) {
      if (cause in before && number > before[cause]) this.grewAtMs[cause] = now;
    }
    this.status = status;
    this.statusAtMs = now;
  }
}

/** @param {Subject[]} subjects @returns {string} */
function bestState(subjects) {
  /** @type {string[]} */
  const states = subjects.map(({ state }) => state);
  return ["tracking", "coasting", "lost", "searching"].find((state) => states.includes(state)) ?? "";
}

export class Store {
  constructor() {
    /** @type {Map<string, Camera>} */
    this.cameras = new Map();
    /** @type {Map<string, TriggerMessage>} */
    this.triggers = new Map();
    /** @type {EventMessage[]} newest last */
    this.events = [];
    /** @type {import("./types.js").WelcomeMessage|null} */
    this.welcome = null;
    this.clockOffsetMs = 0;
    /** @type {Map<string, import("./types.js").EndpointMessage>} */
    this.endpoints = new Map();
    /** Batches of poses that this page was too slow for. */
    this.dropped = 0;
    /** @type {Map<string, number>} trigger/rule → end of its flash */
    this._flashes = new Map();
    /** @type {Map<string, ((about: any) => void)[]>} */
    this._listeners = new Map();
  }

  /**
   * Call `listener` after each message of a kind. "cameras" and "triggers" say that the list is another one.
   * @param {string} kind
   * @param {(about: any) => void} listener
   */
  on(kind, listener) {
    this._listeners.set(kind, [...(this._listeners.get(kind) ?? []), listener]);
  }

  /** @param {string} kind @param {any} [about] */
  tell(kind, about) {
    for (const listener of this._listeners.get(kind) ?? []) listener(about);
  }

  /** Time of the server (Unix, ms). */
  nowMs() {
    return Date.now() + this.clockOffsetMs;
  }

  /** @param {any} message */
  take(message) {
    const take = TAKERS[message.kind];
    if (take) take(this, message);
    this.tell(message.kind, message);
  }

  /** Forget the cameras of an earlier server that this one does not know. */
  dropUnannounced() {
    const gone = [...this.cameras.values()].filter((camera) => !camera.announced);
    for (const camera of gone) {
      camera.pairing.clear();
      this.cameras.delete(camera.name);
    }
    if (gone.length) this.tell("cameras");
  }

  /** @param {string} name */
  camera(name) {
    let camera = this.cameras.get(name);
    if (!camera) {
      camera = new Camera(name);
      this.cameras.set(name, camera);
    }
    return camera;
  }

  connectedTriggers() {
    return [...this.triggers.values()].filter((trigger) => trigger.link !== "gone");
  }

  /** Names of all armed rules, of all trigger processes. */
  armedRules() {
    return this.connectedTriggers().flatMap((trigger) => trigger.armed);
  }

  /** The trigger processes whose zones lie on a camera. @param {string} camera */
  triggersOf(camera) {
    return this.connectedTriggers().filter((trigger) => !trigger.camera || trigger.camera === camera);
  }

  /**
   * The zones on a camera, with what their rules do.
   * @param {string} camera
   * @returns {{name: string, spec: ZoneSpec, active: ""|"armed"|"holding"|"fired"}[]}
   */
  zonesOf(camera) {
    return this.triggersOf(camera).flatMap((trigger) =>
      Object.entries(trigger.zones ?? {}).map(([name, spec]) => ({ name, spec, active: this._activity(trigger, name) })),
    );
  }

  /** @param {TriggerMessage} trigger @param {string} zone */
  _activity(trigger, zone) {
    const rules = trigger.rules.filter((rule) => rule.zones.includes(zone));
    const now = performance.now();
    if (rules.some((rule) => (this._flashes.get(`${trigger.name}/${rule.name}`) ?? 0) > now)) return "fired";
    if (rules.some((rule) => rule.holding)) return "holding";
    return rules.some((rule) => rule.armed) ? "armed" : "";
  }

  /** @param {EventMessage} event */
  addEvent(event) {
    this.events.push(event);
    if (this.events.length > MOST_EVENTS) this.events.splice(0, this.events.length - MOST_EVENTS);
    const rule = ruleOf(event);
    if (rule && event.what === "fired" && this.nowMs() - event.t_unix_ms < 2000) {
      this._flashes.set(`${event.trigger}/${rule}`, performance.now() + FLASH_MS);
    }
  }
}

/** The rule that an event is about; its text begins with the name. @param {any} event */
function ruleOf(event) {
  return event.rule ?? /^[\w.-]+/.exec(event.text)?.[0] ?? null;
}

/** @type {Record<string, (store: Store, message: any) => void>} */
const TAKERS = {
  welcome(store, message) {
    store.welcome = message;
    store.clockOffsetMs = message.now_unix_ms - Date.now();
    store.events = [];
    for (const camera of store.cameras.values()) camera.announced = false;
    setTimeout(() => store.dropUnannounced(), SNAPSHOT_MS);
    store.endpoints.clear();
    store.triggers.clear();
    store.tell("triggers");
  },
  endpoint(store, message) {
    store.endpoints.set(message.endpoint, message);
  },
  camera(store, message) {
    const isNew = !store.cameras.has(message.camera);
    store.camera(message.camera).greet(message);
    if (isNew) store.tell("cameras");
  },
  history: (store, message) => store.camera(message.camera).addPoses(message.rows),
  poses: (store, message) => store.camera(message.camera).addPoses(message.rows),
  status: (store, message) => store.camera(message.camera).setStatus(message),
  latency(store, message) {
    store.camera(message.camera).latency = message;
  },
  map(store, message) {
    store.camera(message.camera).map = message;
  },
  trigger(store, message) {
    const isNew = !store.triggers.has(message.name);
    store.triggers.set(message.name, message);
    if (isNew) store.tell("triggers");
  },
  event: (store, message) => store.addEvent(message),
  dropped(store, message) {
    store.dropped = message.batches;
  },
};

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
    this.history = new PoseHistory();
    this.bins = new TraceBins(0);
    this.pairing = new Pairing();
    this.pictures = 0;
    /** @type {Record<string, import("./types.js").Settable>} what may be set while the run goes on */
    this.settable = {};
    /** Whether the server has named it since the page came to it. */
    this.announced = true;
    /** @type {Record<string, number>} loss → time at which it last grew */
    this.grewAtMs = {};
  }

  /** Address of the run for orders; null if it takes none. */
  get control() {
    return this.hello?.control ?? null;
  }

  /** State of the newest pose; "" while there is none. */
  get state() {
    const paused = this.status !== null && !this.status.publishing;
    return (paused ? null : this.history.newest?.state) ?? this.status?.state ?? "";
  }

  /** @param {CameraMessage} hello */
  greet(hello) {
    const restarted = hello.run !== this.hello?.run;
    const keypoints = hello.keypoint_names?.length ?? 0;
    this.hello = hello;
    this.announced = true;
    if (!restarted && this.bins.traces.length === keypoints) return;
    this.history.clear();
    this.pairing.clear();
    this.bins = new TraceBins(keypoints);
    this.status = this.latency = this.map = null;
    this.settable = {};
    this.grewAtMs = {};
  }

  /** @param {any[][]} rows */
  addPoses(rows) {
    for (const pose of this.history.add(rows.map(readPose))) this.bins.add(pose);
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

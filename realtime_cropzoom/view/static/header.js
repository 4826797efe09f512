// @ts-check
// The bar that one can read from the door: state of each camera, armed or not, recording or not.

import { byId, icon, make, setAttribute, setText } from "./dom.js";
import { duration, fixed } from "./format.js";
import { glance } from "./words.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./state.js").Camera} Camera */

export class Header {
  /**
   * @param {Store} store
   * @param {(camera: string) => void} choose
   */
  constructor(store, choose) {
    this._store = store;
    this._choose = choose;
    /** @type {Map<string, HTMLElement>} */
    this._blocks = new Map();
    /** @type {Map<string, string>} what was said of each camera last */
    this._said = new Map();
    byId("armed").prepend(icon("disarmed"));
    byId("recording").prepend(icon("record"));
    this.linked = false;
  }

  /** Show what is known now. @param {string|null} chosen  the camera that is looked at; null: all */
  show(chosen) {
    const cameras = [...this._store.cameras.values()];
    for (const camera of cameras) this._showCamera(camera, chosen, cameras.length);
    if (!cameras.length) this._showNone();
    for (const [name, block] of this._blocks) {
      if (cameras.length ? !this._store.cameras.has(name) : name) block.remove();
    }
    this._showArmed();
    this._showRecording(cameras);
    this._showTitle(cameras, chosen);
  }

  _showNone() {
    const block = this._block("", () => {});
    const word = this.linked ? "Waiting" : "No link";
    const key = this.linked ? "waiting" : "nolink";
    fillBlock(block, { key, picture: this.linked ? "waiting" : "silent", word, about: this.waitsFor(), stream: "" });
  }

  /** What the page waits for, while no camera is known. */
  waitsFor() {
    if (!this.linked) return "for cropzoom view";
    const { endpoints } = this._store;
    const refused = [...endpoints.values()].find((endpoint) => endpoint.link === "refused");
    if (refused) return `${refused.endpoint}: ${refused.problem ?? "refused"}`;
    return endpoints.size ? `for a run at ${[...endpoints.keys()].join(", ")}` : "for a run";
  }

  /** @param {Camera} camera @param {string|null} chosen @param {number} cameras */
  _showCamera(camera, chosen, cameras) {
    const seen = glance(camera, this.linked);
    const block = this._block(camera.name, () => this._choose(camera.name));
    const fps = camera.status && seen.stream === "live" ? ` ${fixed(camera.status.fps)} fps` : "";
    fillBlock(block, { key: seen.key, picture: seen.icon, word: seen.word, about: [camera.name, seen.note].filter(Boolean).join(" · "), stream: seen.stream + fps });
    block.classList.toggle("small", cameras > 1 && chosen !== camera.name);
    setAttribute(block, "aria-current", cameras > 1 && chosen === camera.name ? "true" : null);
    setAttribute(block, "data-stream", camera.status?.stream ?? "");
    this._say(camera, seen.word);
  }

  /** Tell screen readers of a change. @param {Camera} camera @param {string} word */
  _say(camera, word) {
    if (this._said.get(camera.name) === word) return;
    this._said.set(camera.name, word);
    setText(byId("said"), `${camera.name}: ${word}`);
  }

  _showArmed() {
    const { _store: store } = this;
    const lamp = byId("armed");
    lamp.hidden = store.triggers.size === 0;
    const armed = store.armedRules();
    const rules = store.connectedTriggers().reduce((sum, trigger) => sum + trigger.rules.length, 0);
    const gone = store.triggers.size > 0 && store.connectedTriggers().length === 0;
    const dry = store.connectedTriggers().some((trigger) => trigger.dry_run);
    setAttribute(lamp, "data-on", armed.length && this.linked ? "yes" : "no");
    const known = this.linked && !gone;
    setText(byId("armed-word"), !known ? "Armed?" : armed.length ? "ARMED" : "Disarmed");
    const about = !this.linked ? "no connection" : gone ? "the trigger process is gone" : armed.join(", ") || `${rules} rules`;
    setText(byId("armed-rules"), about + (dry ? " · dry run" : ""));
    useIcon(lamp.firstElementChild, !known ? "silent" : armed.length ? "armed" : "disarmed");
  }

  /** @param {Camera[]} cameras */
  _showRecording(cameras) {
    const lamp = byId("recording");
    const recording = cameras.filter((camera) => camera.status?.recording);
    lamp.hidden = cameras.length === 0;
    setAttribute(lamp, "data-on", recording.length && this.linked ? "yes" : "no");
    const since = Math.min(...recording.map((camera) => camera.status?.recording_since_unix_ms ?? Infinity));
    const took = Number.isFinite(since) ? ` ${duration(this._store.nowMs() - since)}` : "";
    setText(byId("recording-word"), recording.length ? `REC${took}` : "Not recording");
    const names = recording.map((camera) => camera.status?.recording).join(", ");
    setText(byId("recording-name"), cameras.length > 1 && recording.length < cameras.length && recording.length
      ? `${recording.length} of ${cameras.length} cameras: ${names}` : names);
    lamp.title = names;
  }

  /** @param {Camera[]} cameras @param {string|null} chosen */
  _showTitle(cameras, chosen) {
    const shown = cameras.filter((camera) => chosen === null || camera.name === chosen);
    const states = shown.map((camera) => `${glance(camera, this.linked).word} ${camera.name}`);
    const armed = this._store.armedRules().length ? "ARMED · " : "";
    const title = `${armed}${states.join(" · ") || "Waiting"} · cropzoom`;
    if (document.title !== title) document.title = title;
  }

  /** @param {string} name @param {() => void} onclick @returns {HTMLElement} */
  _block(name, onclick) {
    let block = this._blocks.get(name);
    if (!block?.isConnected) {
      block = make("button", { class: "state state-colour", type: "button", "data-camera": name, onclick },
        icon("waiting"),
        make("span", { class: "state-text" }, make("span", { class: "state-word" }), make("span", { class: "state-about" }, make("span"), make("span", { class: "about-stream" }))),
        make("span", { class: "state-stream" }, icon("live"), make("span")),
      );
      byId("states").append(/** @type {HTMLElement} */ (block));
      this._blocks.set(name, /** @type {HTMLElement} */ (block));
    }
    return /** @type {HTMLElement} */ (block);
  }
}

const STREAM_ICONS = ["live", "stalled", "reconnecting", "ended", "silent", "waiting"];

/**
 * @param {HTMLElement} block
 * @param {{key: string, picture: string, word: string, about: string, stream: string}} what
 */
function fillBlock(block, { key, picture, word, about, stream }) {
  setAttribute(block, "data-state", key);
  useIcon(block.firstElementChild, picture);
  setText(/** @type {Element} */ (block.querySelector(".state-word")), word);
  const [name, short] = /** @type {Element} */ (block.querySelector(".state-about")).children;
  setText(name, about);
  setText(short, stream ? ` · ${stream}` : "");
  const beside = /** @type {HTMLElement} */ (block.querySelector(".state-stream"));
  beside.hidden = !stream;
  useIcon(beside.firstElementChild, STREAM_ICONS.find((name) => stream.startsWith(name)) ?? "silent");
  setText(/** @type {Element} */ (beside.lastElementChild), stream);
}

/** @param {Element|null|undefined} svg @param {string} name */
export function useIcon(svg, name) {
  const use = svg?.querySelector("use");
  if (use) setAttribute(use, "href", `#icon-${name}`);
}

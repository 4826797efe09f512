// @ts-check
// The controls of the runs: record, mark, pause, detect, end. They act on the chosen camera, or on all in the overview.

import { byId, make, setAttribute, setText } from "./dom.js";
import { ask } from "./dialogs.js";

/** @typedef {import("./state.js").Camera} Camera */
/** @typedef {import("./orders.js").Orders} Orders */

const KEPT_TEXTS = 12;
const KEPT_AT = "cropzoom.markers";

export class Controls {
  /**
   * @param {Orders} orders
   * @param {() => Camera[]} cameras   those that orders go to
   */
  constructor(orders, cameras) {
    this._orders = orders;
    this._cameras = cameras;
    /** @type {string[]} newest first */
    this._texts = readTexts();
    this._recalled = -1;
    byId("record-form").addEventListener("submit", (/** @type {Event} */ event) => { event.preventDefault(); this.record(); });
    byId("marker-form").addEventListener("submit", (/** @type {Event} */ event) => { event.preventDefault(); this.mark(); });
    byId("marker-text").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this._recall(event));
    byId("pause").addEventListener("click", () => this.pause());
    byId("detect").addEventListener("click", () => this.detect());
    byId("stop").addEventListener("click", () => this.stop());
    this._offerTexts();
  }

  /** Start to record, or ask whether to stop. */
  async record() {
    const recording = this._cameras().filter((camera) => camera.status?.recording);
    if (recording.length) return this._stopRecording(recording);
    const name = byId("record-name").value.trim() || null;
    const said = name ? `Recording “${name}” has started` : "Recording has started";
    if (await this._orders.tellRuns(this._able(), "record", () => ({ name }), said, "Recording has not started")) {
      byId("record-name").value = "";
    }
  }

  /** @param {Camera[]} cameras */
  async _stopRecording(cameras) {
    const names = cameras.map((camera) => make("li", {}, `${camera.name}: ${camera.status?.recording}`));
    const text = ["The file is closed and stays. The tracking goes on.", make("ul", {}, ...names)];
    if (!(await ask({ title: "Stop the recording?", text, yes: "Stop recording" }))) return;
    await this._orders.tellRuns(cameras, "stop_recording", () => null, "Recording has stopped", "Recording has not stopped");
  }

  /** Put a marker with the text of the field. */
  async mark() {
    const field = byId("marker-text");
    const text = field.value.trim();
    if (!text) return field.focus();
    field.select();
    if (!(await this._orders.tellRuns(this._able(), "marker", () => text, `Marker “${text}”`, `Marker “${text}” is not put`))) return;
    if (field.value.trim() === text) field.value = "";
    this._recalled = -1;
    this._texts = [text, ...this._texts.filter((other) => other !== text)].slice(0, KEPT_TEXTS);
    localStorage.setItem(KEPT_AT, JSON.stringify(this._texts));
    this._offerTexts();
  }

  /** Pause publishing, or resume. */
  pause() {
    const paused = this._cameras().filter((camera) => camera.status && !camera.status.publishing);
    if (paused.length) return this._orders.tellRuns(paused, "resume", () => null, "Publishing goes on", "Publishing does not go on");
    return this._orders.tellRuns(this._able(), "pause", () => null, "Publishing is paused", "Publishing is not paused");
  }

  /** Look for the animal now. */
  detect() {
    return this._orders.tellRuns(this._able(), "detect", () => null, "The detector looks now", "No detection");
  }

  /** Ask, then end the runs. */
  async stop() {
    const cameras = this._able();
    if (!cameras.length) return;
    const names = cameras.map((camera) => make("li", {}, camera.name + (camera.status?.recording ? ", which records" : "")));
    const text = ["All files are closed properly. Only a new start of the run brings the tracking back.", make("ul", {}, ...names)];
    const title = cameras.length > 1 ? `End ${cameras.length} runs?` : "End the run?";
    if (!(await ask({ title, text, yes: cameras.length > 1 ? "End all runs" : "End run", look: "danger" }))) return;
    await this._orders.tellRuns(cameras, "stop", () => null, "The run ends", "The run does not end");
  }

  /** Show what can be done now. @param {boolean} linked  whether the page hears its server */
  show(linked) {
    const cameras = this._cameras();
    const able = linked && this._able().length > 0;
    const recording = cameras.some((camera) => camera.status?.recording);
    const paused = cameras.some((camera) => camera.status && !camera.status.publishing);
    setText(byId("record-word"), recording ? "Stop…" : "Record");
    setAttribute(byId("record"), "data-on", recording ? "yes" : "no");
    byId("record-name").disabled = !able || recording;
    setText(byId("pause"), paused ? "Resume publishing" : "Pause publishing");
    setAttribute(byId("pause"), "aria-pressed", String(paused));
    for (const id of ["record", "marker", "marker-text", "pause", "detect", "stop", "settings-open"]) byId(id).disabled = !able;
    byId("controls").title = able || !linked || !cameras.length ? "" : "This run takes no orders from here";
  }

  /** The cameras whose runs take orders. */
  _able() {
    return this._cameras().filter((camera) => camera.control);
  }

  /** Arrow up brings the last texts back, as in a shell. @param {KeyboardEvent} event */
  _recall(event) {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    const next = this._recalled + (event.key === "ArrowUp" ? 1 : -1);
    if (next < -1 || next >= this._texts.length) return;
    event.preventDefault();
    this._recalled = next;
    byId("marker-text").value = next < 0 ? "" : this._texts[next];
  }

  _offerTexts() {
    byId("marker-last").replaceChildren(...this._texts.map((text) => make("option", { value: text })));
  }
}

/** The last texts of markers that this browser keeps. @returns {string[]} */
function readTexts() {
  try {
    const texts = JSON.parse(localStorage.getItem(KEPT_AT) ?? "[]");
    return Array.isArray(texts) ? texts.filter((text) => typeof text === "string").slice(0, KEPT_TEXTS) : [];
  } catch {
    return [];
  }
}

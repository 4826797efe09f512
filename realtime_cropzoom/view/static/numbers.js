// @ts-check
// The numbers of one camera.

import { byId, make, setAttribute, setText } from "./dom.js";
import { bytes, count, fixed, hours, milliseconds, words } from "./format.js";

/** @typedef {import("./state.js").Camera} Camera */

const GREW_MS = 10_000;
const FEW_HOURS = 4;
/** Stands for a box that nobody will find any more. */
const OLD_BOX_MS = 1000;

/** @type {[string, string][]} id and label */
const FIGURES = [
  ["fps", "Frame rate"],
  ["detector", "Detector"],
  ["p50", "Latency, median"],
  ["p99", "Latency, p99"],
  ["box", "Age of the box"],
  ["backlog", "Frames waiting"],
  ["disk", "Disk left"],
  ["recorded", "Frames recorded"],
];

export class Numbers {
  constructor() {
    const list = byId("numbers");
    /** @type {Record<string, HTMLElement>} */
    this._cells = {};
    for (const [id, label] of [...FIGURES, ["losses", "Losses"]]) {
      const value = make("dd", { id: `number-${id}` }, make("span"), make("small"));
      const cell = make("div", { class: id === "losses" ? "wide" : null }, make("dt", {}, label), value);
      this._cells[id] = cell;
      list.append(cell);
    }
    this._losses = "not yet shown";
  }

  /** @param {Camera|null} camera */
  show(camera) {
    const { status, latency, hello } = camera ?? { status: null, latency: null, hello: null };
    const box = camera?.history.newest?.boxAgeMs ?? null;
    setText(byId("run-source"), hello?.source ?? "");
    byId("run-source").title = hello ? `${hello.source}, run ${hello.run}, version ${hello.version}` : "";
    this._set("fps", fixed(status?.fps), hello?.fps ? `of ${fixed(hello.fps)} fps` : "fps", fpsLevel(status?.fps, hello?.fps));
    this._set("detector", fixed(status?.detector_fps), "per s");
    this._set("p50", milliseconds(latency?.p50), "ms");
    this._set("p99", milliseconds(latency?.p99), "ms");
    this._set("box", fixed(box), camera?.several ? `ms, ${camera.subject.title}` : "ms", box !== null && box > OLD_BOX_MS ? "warn" : "");
    this._set("backlog", count(status?.backlog), "");
    const left = status?.disk_hours ?? null;
    this._set("disk", left === null ? bytes(status?.disk_free_bytes) : hours(left),
      left === null ? "" : `h, ${bytes(status?.disk_free_bytes)}`, left !== null && left < FEW_HOURS ? "bad" : "");
    this._set("recorded", status?.recording ? count(status.recording_frames) : "–", "");
    this._showLosses(camera);
  }

  /** @param {string} id @param {string} value @param {string} unit @param {string} [level] */
  _set(id, value, unit, level = "") {
    const cell = this._cells[id];
    const [number, small] = /** @type {HTMLElement} */ (cell.lastElementChild).children;
    setText(number, value);
    setText(small, unit && value !== "–" ? `\u00a0${unit}` : "");
    setAttribute(cell, "data-level", level || null);
  }

  /** All causes that have a count; those that grew lately stand out. @param {Camera|null} camera */
  _showLosses(camera) {
    const now = performance.now();
    const losses = Object.entries(camera?.status?.losses ?? {}).filter(([, number]) => number > 0);
    const grew = (/** @type {string} */ cause) => now - (camera?.grewAtMs[cause] ?? -Infinity) < GREW_MS;
    const key = (camera?.status ? "" : "none known") + losses.map(([cause, number]) => `${cause} ${number} ${grew(cause)}`).join();
    if (key === this._losses) return;
    this._losses = key;
    const value = /** @type {HTMLElement} */ (this._cells.losses.lastElementChild);
    const parts = losses.flatMap(([cause, number], i) => [
      i ? " · " : "",
      make("span", { class: grew(cause) ? "loss grew" : "loss" }, `${count(number)} ${words(cause)}${grew(cause) ? " ↑" : ""}`),
    ]);
    value.replaceChildren(...(parts.length ? parts : [camera?.status ? "none" : "–"]));
    setAttribute(this._cells.losses, "data-level", null);
  }
}

/** @param {number|undefined} fps @param {number|null|undefined} asked */
function fpsLevel(fps, asked) {
  if (fps === undefined || !asked) return "";
  return fps < 0.5 * asked ? "bad" : fps < 0.9 * asked ? "warn" : "";
}

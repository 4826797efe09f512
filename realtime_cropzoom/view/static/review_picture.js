// @ts-check
// The picture of the frame that is shown, with its pose; and the same as a file.

import { fitCanvas, setText } from "./dom.js";
import { drawOverlay, fitFrame } from "./overlay.js";
import { animalColour } from "./scales.js";
import { timeText } from "./review_times.js";

const TRAIL_S = 2;
const FLASH_S = 0.3;
const FOOT = 34;
const LEAST_WIDTH = 960;

/** @typedef {import("./review_player.js").Shown} Shown */

export class PictureView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} note
   * @param {import("./review_data.js").SessionData} data
   * @param {import("./overlay.js").Layers} layers
   */
  constructor(canvas, note, data, layers) {
    this._canvas = canvas;
    this._note = note;
    this._data = data;
    this._layers = layers;
    /** Where the frame lies on the canvas. @type {import("./overlay.js").View|null} */
    this.view = null;
  }

  /** Size of a frame in pixels; that of the area where the animal was, if there is no picture. @returns {[number, number]} */
  get size() {
    return this._data.facts?.video?.size ?? this._data.facts?.extent ?? [640, 480];
  }

  /** Width of the picture on the screen (device pixels). */
  get pixels() {
    const [width, height] = this.size;
    const { clientWidth, clientHeight } = this._canvas;
    return fitFrame(clientWidth, clientHeight, width, height).width * Math.min(window.devicePixelRatio || 1, 2);
  }

  /** @param {Shown|null} shown */
  draw(shown) {
    const { ctx, width, height } = fitCanvas(this._canvas);
    this.view = fitFrame(width, height, ...this.size);
    ctx.clearRect(0, 0, width, height);
    this._drawInto(ctx, this.view, shown);
    setText(this._note, shown?.picture.why ?? "");
    this._note.hidden = !shown?.picture.why;
    this._canvas.dataset.frame = shown ? String(shown.frame) : "";
  }

  /** @param {any} ctx @param {import("./overlay.js").View} view @param {Shown|null} shown */
  _drawInto(ctx, view, shown) {
    ctx.fillStyle = "#101418";
    ctx.fillRect(view.left, view.top, view.width, view.height);
    if (!shown) return;
    if (shown.picture.image) ctx.drawImage(shown.picture.image, view.left, view.top, view.width, view.height);
    const facts = this._data.facts;
    drawOverlay(ctx, view, {
      animals: [{
        pose: shown.row.pose,
        trail: this._data.before(shown.frame, Math.round(TRAIL_S * this._data.fps)),
        ...markOf(facts.animal, shown.row.pose),
      }],
      bones: bonesOf(facts),
      names: facts.keypoint_names,
      zones: this._zones(shown.frame),
      layers: this._layers,
    });
  }

  /** The zones of the rules, those of a rule that has just fired as such. @param {number} frame */
  _zones(frame) {
    const { zones, zones_of_rules: zonesOf } = this._data.facts;
    const since = frame - FLASH_S * this._data.fps;
    const fired = this._data.events.filter((event) => event.kind === "fired" && event.frame <= frame && event.frame > since)
      .flatMap(({ rule }) => zonesOf[rule ?? ""] ?? []);
    return Object.entries(zones).map(([name, spec]) => ({ name, spec, active: fired.includes(name) ? "fired" : "" }));
  }

  /** Save what is shown as a file, with a line that says what it is. @param {Shown} shown @returns {Promise<string>} its name */
  async save(shown) {
    const [width, height] = this.size.map((side) => Math.round(side * Math.max(1, LEAST_WIDTH / this.size[0])));
    const canvas = new OffscreenCanvas(width, height + FOOT);
    const ctx = /** @type {any} */ (canvas.getContext("2d"));
    ctx.fillStyle = "#101418";
    ctx.fillRect(0, 0, width, height + FOOT);
    this._drawInto(ctx, fitFrame(width, height, ...this.size), shown);
    ctx.font = "15px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.fillStyle = "#e8edf2";
    ctx.fillText(this._caption(shown), 12, height + FOOT / 2, width - 24);
    const name = `${this._data.facts.name.replace(/[^\w.-]/g, "_")}_frame${shown.frame}.png`;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await canvas.convertToBlob({ type: "image/png" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    return name;
  }

  /** @param {Shown} shown */
  _caption({ frame, row }) {
    const { facts } = this._data;
    return [facts.name, `frame ${frame}`, timeText(row.seconds), row.state, facts.run ? `run ${facts.run}` : ""].filter(Boolean).join("   ·   ");
  }
}

/** Number and colour of one of several animals; nothing of one that is alone. @param {number|null} animal @param {import("./types.js").Pose} pose */
function markOf(animal, pose) {
  return animal ? { label: pose.uncertain ? `${animal} uncertain` : String(animal), colour: animalColour(animal - 1) } : {};
}

/** The skeleton as indices of keypoints. @param {any} facts @returns {[number, number][]} */
function bonesOf({ keypoint_names: names, skeleton }) {
  return skeleton
    .map((/** @type {[string, string]} */ [a, b]) => [names.indexOf(a), names.indexOf(b)])
    .filter(([i, j]) => i >= 0 && j >= 0);
}

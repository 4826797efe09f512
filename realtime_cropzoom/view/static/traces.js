// @ts-check
// Traces of the last minute: x, y, speed and likelihood of the chosen keypoints, over a band with the states.

import { byId, fitCanvas, make, themeColour } from "./dom.js";
import { LINE_COLOURS } from "./scales.js";
import { BIN_MS, BINS } from "./trace_bins.js";

/** @typedef {import("./state.js").Camera} Camera */
/** @typedef {import("./types.js").EventMessage} EventMessage */

const BAND = 7;
const LABEL = 88;
const AXIS = 14;
const STATE_COLOURS = { searching: "--seek", tracking: "--good", coasting: "--warn", lost: "--bad" };
/** Told apart without colours, too: the band is this high in each state. */
const STATE_HEIGHT = { searching: 0.55, tracking: 0.3, coasting: 0.75, lost: 1 };
const ROWS = /** @type {const} */ ([
  { quantity: "x", label: "x", unit: "px" },
  { quantity: "y", label: "y", unit: "px" },
  { quantity: "speed", label: "speed", unit: "px/s" },
  { quantity: "likelihood", label: "likelihood", unit: "" },
]);

export class Traces {
  constructor() {
    this._camera = "";
    /** @type {Set<number>} */
    this.chosen = new Set();
  }

  /** Offer the keypoints of a camera; at first the first and the last are chosen. @param {Camera} camera */
  offer(camera) {
    const names = camera.hello?.keypoint_names ?? [];
    const key = `${camera.name} ${names.join()}`;
    if (key === this._camera) return;
    this._camera = key;
    this.chosen = new Set(names.length ? [0, names.length - 1] : []);
    byId("trace-points").replaceChildren(...names.map((name, i) => this._button(name, i)));
  }

  /** @param {string} name @param {number} i */
  _button(name, i) {
    const button = make("button", { type: "button", "data-keypoint": name }, make("span", { class: "swatch" }), name);
    const show = () => {
      button.setAttribute("aria-pressed", String(this.chosen.has(i)));
      button.className = this.chosen.has(i) ? `line-${i % LINE_COLOURS}` : "";
    };
    button.addEventListener("click", () => {
      if (!this.chosen.delete(i)) this.chosen.add(i);
      show();
    });
    show();
    return button;
  }

  /**
   * @param {Camera} camera
   * @param {number} nowMs            Unix time of the right edge
   * @param {EventMessage[]} events
   */
  draw(camera, nowMs, events) {
    const { ctx, width, height } = fitCanvas(byId("traces"));
    ctx.clearRect(0, 0, width, height);
    if (width < LABEL + 20) return;
    const last = Math.floor(nowMs / BIN_MS) - 1;
    const row = (height - BAND - AXIS - 4) / ROWS.length;
    drawBand(ctx, camera, last, width);
    drawAxis(ctx, width, height);
    ROWS.forEach(({ quantity, label, unit }, i) => {
      const top = BAND + 4 + i * row;
      this._drawRow(ctx, camera, { quantity, label, unit, top, row, width, last });
    });
    drawEvents(ctx, events, nowMs, width, height);
  }

  /** @param {CanvasRenderingContext2D} ctx @param {Camera} camera @param {any} at */
  _drawRow(ctx, camera, { quantity, label, unit, top, row, width, last }) {
    const traces = [...this.chosen].filter((k) => k < camera.bins.traces.length).map((k) => ({ k, trace: camera.bins.traces[k][quantity] }));
    const range = quantity === "likelihood" ? [0, 1] : rangeOf(camera, traces.map(({ trace }) => trace), last);
    const [low, high] = quantity === "speed" ? [0, Math.max(range[1], 50)] : range;
    const flip = quantity === "y";
    const place = (/** @type {number} */ value) => {
      const part = (value - low) / (high - low || 1);
      return top + 3 + (row - 6) * (flip ? part : 1 - part);
    };
    drawLabel(ctx, label, unit, top, row, width, flip ? [high, low] : [low, high]);
    ctx.save();
    ctx.beginPath();
    ctx.rect(LABEL, top, width - LABEL, row);
    ctx.clip();
    for (const { k, trace } of traces) drawLine(ctx, camera, trace, k, last, width, place);
    ctx.restore();
  }
}

/** @param {Camera} camera @param {any[]} traces @param {number} last @returns {[number, number]} */
function rangeOf(camera, traces, last) {
  let [low, high] = [Infinity, -Infinity];
  for (let stamp = last - BINS + 1; stamp <= last; stamp += 1) {
    const i = camera.bins.indexOf(stamp);
    if (i < 0) continue;
    for (const trace of traces) {
      if (trace.least[i] < low) low = trace.least[i];
      if (trace.most[i] > high) high = trace.most[i];
    }
  }
  return low <= high ? [Math.floor(low / 10) * 10, Math.ceil(high / 10) * 10 || 10] : [0, 100];
}

/** A column from the least to the greatest value of each bin, joined to the bin before. */
function drawLine(
  /** @type {CanvasRenderingContext2D} */ ctx,
  /** @type {Camera} */ camera,
  /** @type {any} */ trace,
  /** @type {number} */ k,
  /** @type {number} */ last,
  /** @type {number} */ width,
  /** @type {(value: number) => number} */ place,
) {
  const step = (width - LABEL) / BINS;
  ctx.strokeStyle = themeColour(`--line-${k % LINE_COLOURS}`);
  ctx.lineWidth = 1.4;
  ctx.beginPath();
  let [empty, before] = [2, 0];
  for (let n = 0; n < BINS; n += 1) {
    const i = camera.bins.indexOf(last - BINS + 1 + n);
    const least = i < 0 ? NaN : trace.least[i];
    if (Number.isNaN(least)) {
      empty += 1;
      continue;
    }
    const x = LABEL + (n + 0.5) * step;
    const ends = [place(least), place(trace.most[i])];
    if (Math.abs(ends[1] - before) < Math.abs(ends[0] - before)) ends.reverse();
    if (empty > 1) ctx.moveTo(x, ends[0]);
    else ctx.lineTo(x, ends[0]);
    if (Math.abs(ends[1] - ends[0]) > 0.7) ctx.lineTo(x, ends[1]);
    before = ends[1];
    empty = 0;
  }
  ctx.stroke();
}

/** @param {CanvasRenderingContext2D} ctx @param {Camera} camera @param {number} last @param {number} width */
function drawBand(ctx, camera, last, width) {
  const step = (width - LABEL) / BINS;
  for (let n = 0; n < BINS; ) {
    const state = camera.bins.stateAt(last - BINS + 1 + n);
    const start = n;
    while (n < BINS && camera.bins.stateAt(last - BINS + 1 + n) === state) n += 1;
    if (!state) continue;
    const tall = BAND * STATE_HEIGHT[/** @type {keyof typeof STATE_HEIGHT} */ (state)];
    ctx.fillStyle = themeColour(STATE_COLOURS[/** @type {keyof typeof STATE_COLOURS} */ (state)]);
    ctx.fillRect(LABEL + start * step, BAND - tall, (n - start) * step, tall);
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {string} label @param {string} unit @param {number} top @param {number} row @param {number} width @param {number[]} range  at the bottom and at the top */
function drawLabel(ctx, label, unit, top, row, width, [bottomValue, topValue]) {
  ctx.strokeStyle = themeColour("--grid");
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(LABEL, Math.round(top + row) - 0.5);
  ctx.lineTo(width, Math.round(top + row) - 0.5);
  ctx.stroke();
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.font = "600 12px system-ui, sans-serif";
  ctx.fillStyle = themeColour("--text");
  ctx.fillText(label, 0, top + row / 2 - (unit ? 6 : 0));
  ctx.font = "10.5px system-ui, sans-serif";
  ctx.fillStyle = themeColour("--muted");
  if (unit) ctx.fillText(unit, 0, top + row / 2 + 7);
  ctx.textAlign = "right";
  ctx.fillText(String(Math.round(topValue)), LABEL - 6, top + 9);
  ctx.fillText(String(Math.round(bottomValue)), LABEL - 6, top + row - 8);
}

/** @param {CanvasRenderingContext2D} ctx @param {number} width @param {number} height */
function drawAxis(ctx, width, height) {
  ctx.font = "10.5px system-ui, sans-serif";
  ctx.textBaseline = "bottom";
  ctx.strokeStyle = themeColour("--grid");
  ctx.fillStyle = themeColour("--muted");
  ctx.lineWidth = 1;
  for (let s = 60; s >= 0; s -= 10) {
    const x = LABEL + ((width - LABEL) * (60 - s)) / 60;
    ctx.beginPath();
    ctx.moveTo(x, BAND + 2);
    ctx.lineTo(x, height - AXIS);
    ctx.stroke();
    if (width < 460 && s % 20) continue;
    ctx.textAlign = s === 60 ? "left" : s === 0 ? "right" : "center";
    ctx.fillText(s === 0 ? "now" : `−${s} s`, x, height);
  }
}

/** Markers and firings as lines. @param {CanvasRenderingContext2D} ctx @param {EventMessage[]} events @param {number} nowMs @param {number} width @param {number} height */
function drawEvents(ctx, events, nowMs, width, height) {
  const since = nowMs - BINS * BIN_MS;
  for (let i = events.length - 1; i >= 0 && events[i].t_unix_ms > since; i -= 1) {
    const event = events[i];
    if (event.what !== "marker" && event.what !== "fired") continue;
    const x = LABEL + ((width - LABEL) * (event.t_unix_ms - since)) / (BINS * BIN_MS);
    ctx.strokeStyle = themeColour(event.what === "fired" ? "--text-warn" : "--accent");
    ctx.lineWidth = 1.25;
    ctx.setLineDash(event.what === "fired" ? [] : [3, 3]);
    ctx.beginPath();
    ctx.moveTo(x, BAND + 2);
    ctx.lineTo(x, height - AXIS);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

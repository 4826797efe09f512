// @ts-check
// The timeline: events, states, likelihood and speed of a part of the session, and below it the whole session.

import { fitCanvas, themeColour } from "./dom.js";
import { timeText } from "./review_times.js";
import { groupOf, LOOKS, STATE_LOOKS } from "./review_looks.js";

/** @typedef {import("./review_data.js").Timeline} Timeline */
/** @typedef {import("./review_data.js").SessionEvent} SessionEvent */
/** @typedef {import("./review_looks.js").Group} Group */

const LEAST_FRAMES = 20;
const NEAR_PX = 7;
/** Heights of the lanes, from the top (CSS pixels). */
const LANES = [["done", 20], ["wrong", 20], ["state", 26], ["likelihood", 38], ["speed", 38], ["axis", 20], ["whole", 26]];
const GAP = 3;
const NAMES = { done: "rules, markers", wrong: "losses, jumps", state: "state", likelihood: "likelihood", speed: "speed", whole: "all" };

export class TimelineView {
  /**
   * @param {HTMLElement} box        the slider
   * @param {HTMLCanvasElement} canvas
   * @param {import("./review_data.js").SessionData} data
   * @param {{go: (frame: number) => void, scrubbing: (is: boolean) => void, readout: (text: string) => void}} does
   */
  constructor(box, canvas, data, does) {
    this._canvas = canvas;
    this._data = data;
    this._does = does;
    this.first = 0;
    this.count = 1;
    this.frame = 0;
    this._dirty = true;
    /** @type {Map<string, CanvasPattern>} */
    this._patterns = new Map();
    /** @type {Map<number, {x: number, y: number}>} */
    this._pointers = new Map();
    this._grip = "";
    box.addEventListener("pointerdown", (event) => this._down(event));
    box.addEventListener("pointermove", (event) => this._move(event));
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) box.addEventListener(name, (event) => this._up(event));
    box.addEventListener("pointerleave", () => does.readout(""));
    box.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    new ResizeObserver(() => this.refresh()).observe(box);
  }

  /** Height that all lanes need (CSS pixels). */
  static get height() {
    return LANES.reduce((sum, [, height]) => sum + Number(height) + GAP, 0);
  }

  refresh() {
    this._dirty = true;
  }

  /** The colours are other ones. */
  recolour() {
    this._patterns.clear();
    this.refresh();
  }

  showAll() {
    this._window(0, this._data.count);
  }

  /** @param {number} by  the part of the time that is shown afterwards: 0.5 is half @param {number} [about]  a frame that stays in its place */
  zoom(by, about = this.frame) {
    const inside = Math.min(Math.max(about, this.first), this.first + this.count);
    const count = this.count * by;
    this._window(inside - ((inside - this.first) / this.count) * count, count);
  }

  /** Show the frame as the wanted one, and have it in view. @param {number} frame */
  show(frame) {
    if (frame !== this.frame) this.refresh();
    this.frame = frame;
    if (this._grip) return;
    if (frame < this.first || frame > this.first + this.count - 1) this._window(frame - this.count / 2, this.count);
  }

  /** @param {number} first @param {number} count */
  _window(first, count) {
    const all = Math.max(1, this._data.count);
    this.count = Math.round(Math.min(Math.max(count, Math.min(LEAST_FRAMES, all)), all));
    this.first = Math.round(Math.min(Math.max(0, first), all - this.count));
    this.refresh();
  }

  /** Place and size of what is drawn (CSS pixels). */
  _layout() {
    const width = this._canvas.clientWidth;
    const left = width < 560 ? 0 : 96;
    /** @type {Record<string, [number, number]>} */
    const lanes = {};
    let top = 0;
    for (const [name, height] of LANES) {
      lanes[name] = [top, Number(height)];
      top += Number(height) + GAP;
    }
    return { left, width: Math.max(1, width - left - 2), lanes };
  }

  /** @param {number} frame */
  _x(frame) {
    const { left, width } = this._layout();
    return left + ((frame - this.first) / this.count) * width;
  }

  /** @param {number} x */
  _frameAt(x) {
    const { left, width } = this._layout();
    return Math.min(Math.max(0, Math.floor(this.first + ((x - left) / width) * this.count)), this._data.count - 1);
  }

  // Pointers

  /** @param {PointerEvent} event */
  _down(event) {
    if (event.button !== 0) return;
    const box = /** @type {HTMLElement} */ (event.currentTarget);
    box.setPointerCapture(event.pointerId);
    this._pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (this._pointers.size === 2) this._startPinch();
    else {
      const [top] = this._layout().lanes.whole;
      this._grip = event.offsetY >= top ? "whole" : "frame";
      this._does.scrubbing(true);
      this._drag(event.offsetX, event.offsetY);
    }
  }

  /** @param {PointerEvent} event */
  _move(event) {
    if (this._pointers.has(event.pointerId)) {
      this._pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      if (this._grip === "pinch") this._pinch();
      else this._drag(event.offsetX, event.offsetY);
    } else this._does.readout(this._says(event.offsetX, event.offsetY));
  }

  /** @param {PointerEvent} event */
  _up(event) {
    if (!this._pointers.delete(event.pointerId) || this._pointers.size) return;
    this._grip = "";
    this._does.scrubbing(false);
  }

  /** @param {number} x @param {number} y */
  _drag(x, y) {
    const { left, width } = this._layout();
    if (this._grip === "whole") {
      const frame = ((x - left) / width) * this._data.count;
      if (this.count < this._data.count) this._window(frame - this.count / 2, this.count);
      this._does.go(frame);
    } else this._does.go(this._eventAt(x, y)?.frame ?? this._frameAt(x));
    this._does.readout(this._says(x, y));
  }

  _startPinch() {
    const [a, b] = [...this._pointers.values()];
    this._grip = "pinch";
    this._pinched = { distance: Math.max(10, Math.abs(a.x - b.x)), count: this.count, frame: this._frameAt((a.x + b.x) / 2) };
  }

  _pinch() {
    const [a, b] = [...this._pointers.values()];
    if (!b || !this._pinched) return;
    const { left, width } = this._layout();
    const count = (this._pinched.count * this._pinched.distance) / Math.max(10, Math.abs(a.x - b.x));
    this._window(this._pinched.frame - (((a.x + b.x) / 2 - left) / width) * count, count);
  }

  /** @param {WheelEvent} event */
  _wheel(event) {
    event.preventDefault();
    const across = event.shiftKey ? event.deltaY : event.deltaX;
    if (Math.abs(across) > Math.abs(event.shiftKey ? event.deltaX : event.deltaY)) {
      this._window(this.first + (across / this._layout().width) * this.count, this.count);
    } else this.zoom(Math.exp(Math.sign(event.deltaY) * Math.min(0.35, Math.abs(event.deltaY) / 300)), this._frameAt(event.offsetX));
  }

  /** The event that is drawn there. @param {number} x @param {number} y @returns {SessionEvent|null} */
  _eventAt(x, y) {
    const { lanes } = this._layout();
    const lane = ["done", "wrong"].findIndex((name) => y >= lanes[name][0] && y < lanes[name][0] + lanes[name][1] + GAP);
    if (lane < 0) return null;
    let [best, distance] = [/** @type {SessionEvent|null} */ (null), NEAR_PX + 0.1];
    for (const event of this._data.events) {
      if (LOOKS[groupOf(event)].lane !== lane) continue;
      const off = Math.abs(this._x(event.frame + 0.5) - x);
      if (off < distance) [best, distance] = [event, off];
    }
    return best;
  }

  /** What is at a place, in words. @param {number} x @param {number} y */
  _says(x, y) {
    const { left, lanes, width } = this._layout();
    if (x < left) return "";
    const whole = y >= lanes.whole[0];
    const event = this._eventAt(x, y);
    const frame = event?.frame ?? (whole ? Math.floor(((x - left) / width) * this._data.count) : this._frameAt(x));
    return [`frame ${frame}`, whole ? "" : timeText(this._secondsOf(frame)), event?.text ?? ""].filter(Boolean).join(" · ");
  }

  /** Frame time of a frame in view, or near it; null if unknown. @param {number} frame @returns {number|null} */
  _secondsOf(frame) {
    const row = this._data.row(frame);
    if (row) return row.seconds;
    const timeline = this._shownTimeline;
    if (!timeline) return null;
    const at = Math.round(((frame - timeline.first) / timeline.count) * (timeline.edges.length - 1));
    return timeline.seconds[Math.min(Math.max(0, at), timeline.seconds.length - 1)] ?? null;
  }

  // Drawing

  /** Draw, if anything is other than before. */
  draw() {
    if (!this._dirty || !this._data.facts) return;
    this._dirty = false;
    const { ctx, width, height } = fitCanvas(this._canvas);
    const { left, lanes, width: inner } = this._layout();
    const bins = Math.min(2048, Math.max(64, Math.round(inner)));
    const came = () => this.refresh();
    const timeline = this._data.timeline(this.first, this.count, bins, came);
    if (timeline) this._shownTimeline = timeline;
    ctx.clearRect(0, 0, width, height);
    this._drawGround(ctx, left, inner, lanes);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, 0, inner, height);
    ctx.clip();
    if (this._shownTimeline) this._drawNumbers(ctx, this._shownTimeline, lanes);
    this._drawEvents(ctx, lanes);
    this._drawWhole(ctx, left, inner, lanes.whole, this._data.timeline(0, this._data.count, bins, came));
    ctx.restore();
    this._drawAxis(ctx, left, inner, lanes.axis);
    this._drawHead(ctx, lanes);
    this._drawNames(ctx, left, lanes);
  }

  /** @param {CanvasRenderingContext2D} ctx @param {number} left @param {number} width @param {Record<string, [number, number]>} lanes */
  _drawGround(ctx, left, width, lanes) {
    ctx.fillStyle = themeColour("--raised");
    for (const [name, [top, height]] of Object.entries(lanes)) if (name !== "axis") ctx.fillRect(left, top, width, height);
  }

  /** @param {CanvasRenderingContext2D} ctx @param {Timeline} timeline @param {Record<string, [number, number]>} lanes */
  _drawNumbers(ctx, timeline, lanes) {
    this._drawStates(ctx, timeline, lanes.state, (frame) => this._x(frame), true);
    if (this._data.facts.has_likelihood) {
      this._drawBand(ctx, timeline, lanes.likelihood, timeline.likelihood[0], timeline.likelihood[1], 1, "--line-1", 1);
    }
    const high = timeline.speed[1].reduce((/** @type {number} */ a, b) => Math.max(a, b ?? 0), 0);
    this._speedTop = high;
    this._drawBand(ctx, timeline, lanes.speed, timeline.speed[0], timeline.speed[1], high || 1, "--line-0", 0);
  }

  /**
   * Runs of bins of the same state, and a line below those with frames that were skipped or failed.
   * @param {CanvasRenderingContext2D} ctx @param {Timeline} timeline @param {[number, number]} lane
   * @param {(frame: number) => number} xOf @param {boolean} named
   */
  _drawStates(ctx, timeline, [top, height], xOf, named) {
    const { states, outcomes, edges } = timeline;
    for (let a = 0; a < states.length; ) {
      let b = a + 1;
      while (b < states.length && states[b] === states[a]) b += 1;
      const state = this._data.facts.states[states[a]];
      const [x, end] = [xOf(edges[a]), xOf(edges[b])];
      if (state) {
        ctx.fillStyle = this._pattern(ctx, state);
        ctx.fillRect(x, top, Math.max(1, end - x), height);
        if (named) nameIn(ctx, state, x, end, top + height / 2, themeColour(`${STATE_LOOKS[/** @type {keyof typeof STATE_LOOKS} */ (state)].colour}-text`),
          themeColour(STATE_LOOKS[/** @type {keyof typeof STATE_LOOKS} */ (state)].colour));
      }
      a = b;
    }
    ctx.fillStyle = themeColour("--text");
    outcomes.forEach((outcome, i) => {
      if (outcome >= 2) ctx.fillRect(xOf(edges[i]), top + height - 4, Math.max(1.5, xOf(edges[i + 1]) - xOf(edges[i])), 4);
    });
  }

  /**
   * An area from low to high, and a line.
   * @param {CanvasRenderingContext2D} ctx @param {Timeline} timeline @param {[number, number]} lane
   * @param {(number|null)[]} low @param {(number|null)[]} high @param {number} most @param {string} colour
   * @param {0|1} line  which of the two is the line
   */
  _drawBand(ctx, { edges }, [top, height], low, high, most, colour, line) {
    const yOf = (/** @type {number} */ value) => top + height - 1.5 - Math.min(1, value / most) * (height - 3);
    ctx.fillStyle = ctx.strokeStyle = themeColour(colour);
    ctx.globalAlpha = 0.35;
    for (let i = 0; i < low.length; i += 1) {
      const [a, b] = [low[i], high[i]];
      if (a === null || b === null) continue;
      const x = this._x(edges[i]);
      ctx.fillRect(x, yOf(b), Math.max(1, this._x(edges[i + 1]) - x), Math.max(1, yOf(a) - yOf(b)));
    }
    ctx.globalAlpha = 1;
    ctx.lineWidth = 1.25;
    ctx.beginPath();
    let pen = false;
    (line ? high : low).forEach((value, i) => {
      if (value === null) pen = false;
      else {
        const x = (this._x(edges[i]) + this._x(edges[i + 1])) / 2;
        if (pen) ctx.lineTo(x, yOf(value));
        else ctx.moveTo(x, yOf(value));
        pen = true;
      }
    });
    ctx.stroke();
  }

  /** @param {CanvasRenderingContext2D} ctx @param {Record<string, [number, number]>} lanes */
  _drawEvents(ctx, lanes) {
    const seen = new Set();
    for (const event of this._data.events) {
      if ((event.last ?? event.frame) < this.first || event.frame > this.first + this.count) continue;
      const group = groupOf(event);
      const look = LOOKS[group];
      const [top, height] = lanes[look.lane ? "wrong" : "done"];
      const [x, end] = [this._x(event.frame + 0.5), this._x((event.last ?? event.frame) + 0.5)];
      const key = `${group} ${Math.round(x / 2)} ${Math.round(end / 2)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      ctx.fillStyle = ctx.strokeStyle = themeColour(look.colour);
      if (end - x > 2) {
        ctx.globalAlpha = 0.4;
        ctx.fillRect(x, top + height / 2 - 3, end - x, 6);
        ctx.globalAlpha = 1;
      }
      drawMark(ctx, group, x, top + height / 2);
    }
  }

  /** @param {CanvasRenderingContext2D} ctx @param {number} left @param {number} width @param {[number, number]} lane @param {Timeline|null} timeline */
  _drawWhole(ctx, left, width, [top, height], timeline) {
    const xOf = (/** @type {number} */ frame) => left + (frame / this._data.count) * width;
    if (timeline) this._drawStates(ctx, timeline, [top + 7, height - 7], xOf, false);
    for (const event of this._data.events) {
      const group = groupOf(event);
      if (group !== "fired" && group !== "marker") continue;
      ctx.fillStyle = themeColour(LOOKS[group].colour);
      ctx.fillRect(xOf(event.frame) - 0.75, top, 1.5, 6);
    }
    const [x, end] = [xOf(this.first), xOf(this.first + this.count)];
    ctx.fillStyle = themeColour("--ground");
    ctx.globalAlpha = 0.6;
    ctx.fillRect(left, top, x - left, height);
    ctx.fillRect(end, top, left + width - end, height);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = themeColour("--text");
    ctx.lineWidth = 1.5;
    ctx.strokeRect(x + 0.75, top + 0.75, Math.max(3, end - x - 1.5), height - 1.5);
    ctx.fillStyle = themeColour("--text");
    ctx.fillRect(xOf(this.frame) - 1, top, 2, height);
  }

  /** @param {CanvasRenderingContext2D} ctx @param {number} left @param {number} width @param {[number, number]} lane */
  _drawAxis(ctx, left, width, [top]) {
    const fps = this._data.fps;
    const step = niceStep((this.count / fps) * (90 / width), 1 / fps) * fps;
    ctx.font = "11px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "top";
    ctx.fillStyle = ctx.strokeStyle = themeColour("--muted");
    for (let tick = Math.ceil(this.first / step) * step; tick <= this.first + this.count; tick += step) {
      const frame = Math.round(tick);
      const x = this._x(frame + 0.5);
      if (x < left || x > left + width) continue;
      ctx.fillRect(Math.round(x), top, 1, 4);
      const seconds = this._secondsOf(Math.min(frame, this._data.count - 1));
      const label = seconds === null ? String(frame) : timeText(seconds, step / fps < 1 ? 2 : step / fps < 10 ? 1 : 0);
      if (x > left + 24 && x < left + width - 24) ctx.fillText(label, x, top + 6);
    }
  }

  /** @param {CanvasRenderingContext2D} ctx @param {Record<string, [number, number]>} lanes */
  _drawHead(ctx, lanes) {
    const [x, bottom] = [this._x(this.frame + 0.5), lanes.axis[0] + 3];
    const { left, width } = this._layout();
    if (x < left || x > left + width) return;
    ctx.strokeStyle = themeColour("--panel");
    ctx.lineWidth = 4;
    line(ctx, x, 0, bottom);
    ctx.strokeStyle = ctx.fillStyle = themeColour("--text");
    ctx.lineWidth = 2;
    line(ctx, x, 0, bottom);
    ctx.beginPath();
    ctx.moveTo(x - 6, 0);
    ctx.lineTo(x + 6, 0);
    ctx.lineTo(x, 8);
    ctx.fill();
  }

  /** @param {CanvasRenderingContext2D} ctx @param {number} left @param {Record<string, [number, number]>} lanes */
  _drawNames(ctx, left, lanes) {
    ctx.font = "11.5px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    for (const [name, [top, height]] of Object.entries(lanes)) {
      let text = NAMES[/** @type {keyof typeof NAMES} */ (name)];
      if (!text || (name === "state" && !left)) continue;
      if (name === "speed" && this._speedTop) text = left ? "speed" : `speed, to ${round(this._speedTop)} ${this._data.facts.speed_unit}`;
      if (left) {
        ctx.fillStyle = themeColour("--muted");
        ctx.textAlign = "right";
        ctx.fillText(text, left - 8, top + height / 2 - (name === "speed" && this._speedTop ? 7 : 0));
        if (name === "speed" && this._speedTop) ctx.fillText(`≤ ${round(this._speedTop)} ${this._data.facts.speed_unit}`, left - 8, top + height / 2 + 8);
      } else if (name === "likelihood" || name === "speed") {
        ctx.textAlign = "left";
        ctx.lineWidth = 3;
        ctx.strokeStyle = themeColour("--raised");
        ctx.strokeText(text, 4, top + 8);
        ctx.fillStyle = themeColour("--text");
        ctx.fillText(text, 4, top + 8);
      }
    }
  }

  /** @param {CanvasRenderingContext2D} ctx @param {string} state @returns {CanvasPattern|string} */
  _pattern(ctx, state) {
    let pattern = this._patterns.get(state);
    if (!pattern) {
      pattern = /** @type {CanvasPattern} */ (makePattern(ctx, STATE_LOOKS[/** @type {keyof typeof STATE_LOOKS} */ (state)]));
      this._patterns.set(state, pattern);
    }
    return pattern;
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {{colour: string, pattern: string}} look */
function makePattern(ctx, { colour, pattern }) {
  const tile = new OffscreenCanvas(8, 8);
  const on = /** @type {OffscreenCanvasRenderingContext2D} */ (tile.getContext("2d"));
  on.fillStyle = themeColour(colour);
  on.fillRect(0, 0, 8, 8);
  on.strokeStyle = on.fillStyle = themeColour(`${colour}-text`);
  on.globalAlpha = 0.5;
  on.lineWidth = 1.25;
  on.beginPath();
  if (pattern === "dots") on.fillRect(3, 3, 2, 2);
  if (pattern === "stripes" || pattern === "crosses") for (const off of [-8, 0, 8]) on.moveTo(off - 1, 9), on.lineTo(off + 9, -1);
  if (pattern === "crosses") for (const off of [-8, 0, 8]) on.moveTo(off - 1, -1), on.lineTo(off + 9, 9);
  on.stroke();
  return ctx.createPattern(/** @type {any} */ (tile), "repeat");
}

/** A word in a run of the state band, if there is room. */
function nameIn(
  /** @type {CanvasRenderingContext2D} */ ctx, /** @type {string} */ text, /** @type {number} */ from, /** @type {number} */ to,
  /** @type {number} */ y, /** @type {string} */ colour, /** @type {string} */ ground,
) {
  const [left, right] = [Math.max(0, from), Math.min(ctx.canvas.clientWidth, to)];
  ctx.font = "600 11.5px system-ui, sans-serif";
  const width = ctx.measureText(text).width;
  if (right - left < width + 12) return;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = ground;
  ctx.fillRect((left + right) / 2 - width / 2 - 4, y - 8, width + 8, 16);
  ctx.fillStyle = colour;
  ctx.fillText(text, (left + right) / 2, y + 0.5);
}

/** Each group has a shape of its own. @param {CanvasRenderingContext2D} ctx @param {Group} group @param {number} x @param {number} y */
function drawMark(ctx, group, x, y) {
  ctx.lineWidth = 1.75;
  ctx.beginPath();
  if (group === "fired") {
    for (const [dx, dy] of [[2, -8], [-5, 1.5], [-0.5, 1.5], [-2, 8], [5, -1.5], [0.5, -1.5]]) ctx.lineTo(x + dx, y + dy);
    ctx.fill();
  } else if (group === "marker") {
    ctx.moveTo(x, y + 8);
    for (const [dx, dy] of [[0, -7], [7, -7], [4.5, -3.5], [7, 0], [0, 0]]) ctx.lineTo(x + dx, y + dy);
    ctx.stroke();
    ctx.fill();
  } else if (group === "jump") {
    for (const [dx, dy] of [[0, -6], [5, 0], [0, 6], [-5, 0]]) ctx.lineTo(x + dx, y + dy);
    ctx.closePath();
    ctx.stroke();
  } else if (group === "drop") {
    ctx.moveTo(x - 4, y - 4), ctx.lineTo(x + 4, y + 4), ctx.moveTo(x + 4, y - 4), ctx.lineTo(x - 4, y + 4);
    ctx.stroke();
  } else if (group === "lost") {
    ctx.strokeRect(x - 4, y - 4, 8, 8);
  } else if (group === "rule" || group === "other") {
    ctx.arc(x, y, 3.5, 0, 2 * Math.PI);
    ctx.stroke();
  } else {
    line(ctx, x, y - 4, y + 4);
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} top @param {number} bottom */
function line(ctx, x, top, bottom) {
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, bottom);
  ctx.stroke();
}

/** @param {number} value */
function round(value) {
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(2);
}

/** A round time (s) that is at least `least`, and no shorter than one frame. @param {number} least @param {number} frame */
export function niceStep(least, frame) {
  for (const step of [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200]) {
    if (step >= least && step >= frame) return step;
  }
  return Math.ceil(least / 3600) * 3600;
}

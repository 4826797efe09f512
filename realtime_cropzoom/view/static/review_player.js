// @ts-check
// Which frame is wanted, and which one is shown: its picture, its pose and its number, always of one and the same frame.

const SHOWN_PER_S = 30;
const AHEAD = 10;
const NEAR = 3;
/** If pictures come later than so much time of play, time waits for them. */
const PATIENCE_S = 0.25;

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4, 8];

/** What is on the screen. @typedef {{frame: number, row: import("./review_data.js").Row, picture: import("./review_pictures.js").Picture}} Shown */

export class Player {
  /**
   * @param {import("./review_data.js").SessionData} data
   * @param {import("./review_pictures.js").Pictures} pictures
   * @param {(moved: boolean) => void} changed  what is shown or wanted is other than before
   */
  constructor(data, pictures, changed) {
    this._data = data;
    this._pictures = pictures;
    this._changed = changed;
    this.wanted = 0;
    /** @type {Shown|null} */
    this.shown = null;
    this.playing = false;
    this.speed = 1;
    /** Whether the wanted frame changes all the time, so that those on the way are shown, too. */
    this.scrubbing = false;
    this._direction = 1;
    this._atMs = 0;
    /** Where play is, in frames with fractions. */
    this._place = 0;
  }

  /** Go to a frame; play goes on from there. @param {number} frame */
  go(frame) {
    const there = Math.min(Math.max(0, Math.round(frame)), this._data.count - 1);
    if (!Number.isFinite(there)) return;
    this._direction = there < this.wanted ? -1 : 1;
    this.wanted = this._place = there;
    this._pursue();
    this._changed(true);
  }

  /** @param {number} frames */
  step(frames) {
    this.pause();
    this.go(this.wanted + frames);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.wanted >= this._data.count - 1) this.go(0);
    this.playing = true;
    this._direction = 1;
    this._place = this.wanted;
    this._atMs = performance.now();
    this._pursue();
    this._changed(false);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    if (this.shown) this.wanted = this.shown.frame; // what one sees is where one is
    this._pursue();
    this._changed(true);
  }

  /** @param {number} by  places in the list of speeds */
  faster(by) {
    const at = SPEEDS.indexOf(this.speed) + by;
    this.speed = SPEEDS[Math.min(Math.max(0, at), SPEEDS.length - 1)];
    this._changed(false);
  }

  /** Something that was asked for has come. */
  came() {
    if (this.playing) return;
    if (!this._show(this.wanted) && this.scrubbing) this._showNearest();
    this._pursue();
  }

  /** Called before each repaint. @param {number} nowMs */
  tick(nowMs) {
    if (!this.playing) return;
    const passedMs = Math.min(100, nowMs - this._atMs);
    this._atMs = nowMs;
    const latest = (this.shown?.frame ?? this.wanted) + this._stride() + this.speed * this._data.fps * PATIENCE_S;
    this._place = Math.min(this._later(this._place, (passedMs / 1000) * this.speed), latest);
    this.wanted = Math.min(Math.floor(this._place), this._data.count - 1);
    for (let frame = this.wanted; frame > (this.shown?.frame ?? -1); frame -= 1) if (this._show(frame)) break;
    if (this.shown && this.shown.frame >= this._data.count - 1) this.pause();
    this._pursue();
  }

  /** The place in frames so many seconds later, by the frame times where they are known. @param {number} place @param {number} s */
  _later(place, s) {
    const at = Math.floor(place);
    const here = this._data.row(at)?.seconds;
    const next = this._data.row(at + 1)?.seconds;
    if (typeof here !== "number" || typeof next !== "number" || next <= here) return place + s * this._data.fps;
    const left = (at + 1 - place) * (next - here);
    return left > s ? place + s / (next - here) : this._later(at + 1, s - left);
  }

  /** How many frames play goes on from one picture to the next. */
  _stride() {
    return Math.max(1, Math.round((this.speed * this._data.fps) / SHOWN_PER_S));
  }

  /** Show a frame if all of it is here. @param {number} frame */
  _show(frame) {
    const row = this._data.row(frame);
    const picture = this._pictures.get(frame);
    if (!row || !picture) return false;
    const same = this.shown?.frame === frame && this.shown.picture.image === picture.image && this.shown.picture.why === picture.why;
    this.shown = { frame, row, picture };
    if (!same) this._changed(true);
    return true;
  }

  /** While one scrubs: the frame nearest to the wanted one that is here, if it is nearer than the one shown. */
  _showNearest() {
    const now = this.shown ? Math.abs(this.shown.frame - this.wanted) : Infinity;
    for (let off = 1; off < Math.min(now, 400); off += 1) {
      if (this._show(this.wanted - off) || this._show(this.wanted + off)) return;
    }
  }

  /** Ask for what is needed now, and for what is needed next. */
  _pursue() {
    if (!this._data.count) return; // the session is being opened
    const step = this.playing ? this._stride() : this._direction;
    const from = this.playing ? Math.ceil(this.wanted / step) * step : this.wanted; // the same frames until they are shown
    const number = this.playing ? AHEAD : this.scrubbing ? 1 : NEAR;
    const frames = Array.from({ length: number }, (_, i) => Math.min(from + i * step, this._data.count - 1));
    const inside = frames.filter((frame) => frame >= 0);
    for (const frame of new Set([inside[0], inside[inside.length - 1], Math.max(0, this.wanted - 2 * Math.ceil(this._data.fps))])) {
      if (!this._data.row(frame)) this._data.load(frame).then(() => this.came(), () => {});
    }
    this._pictures.want(inside);
    if (!this.playing && this.shown?.frame !== this.wanted) this._show(this.wanted);
  }
}

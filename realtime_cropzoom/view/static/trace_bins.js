// @ts-check
// The last minute in bins of 200 ms: each keeps the least and the greatest value, so that no peak is lost when it is
// drawn, and drawing costs the same at any frame rate.

/** @typedef {import("./types.js").Pose} Pose */

export const BIN_MS = 200;
export const BINS = 300;
export const QUANTITIES = /** @type {const} */ (["x", "y", "speed", "likelihood"]);

const STATES = ["", "searching", "tracking", "coasting", "lost"];
/** Speed is measured over at least this time, so that the jitter of single frames does not count as movement. */
const SPEED_OVER_MS = 40;
const LONGEST_GAP_MS = 400;

class MinMax {
  constructor() {
    this.least = new Float32Array(BINS).fill(NaN);
    this.most = new Float32Array(BINS).fill(NaN);
  }

  /** @param {number} i @param {number} value */
  add(i, value) {
    if (!(this.least[i] <= value)) this.least[i] = value;
    if (!(this.most[i] >= value)) this.most[i] = value;
  }

  /** @param {number} i */
  empty(i) {
    this.least[i] = NaN;
    this.most[i] = NaN;
  }
}

export class TraceBins {
  /** @param {number} keypoints */
  constructor(keypoints) {
    /** by keypoint, then by quantity @type {Record<string, MinMax>[]} */
    this.traces = Array.from({ length: keypoints }, () =>
      Object.fromEntries(QUANTITIES.map((quantity) => [quantity, new MinMax()])),
    );
    this._states = new Uint8Array(BINS);
    this._stamps = new Float64Array(BINS).fill(-1);
    /** @type {(number[]|null)[]} x, y, time of the sample that the next speed is measured from */
    this._from = new Array(keypoints).fill(null);
  }

  /** @param {Pose} pose */
  add(pose) {
    const i = this._bin(pose.timeMs);
    this._states[i] = Math.max(this._states[i], STATES.indexOf(pose.state));
    pose.points.slice(0, this.traces.length).forEach((point, k) => {
      if (!point) return;
      const [x, y, likelihood] = point;
      this.traces[k].x.add(i, x);
      this.traces[k].y.add(i, y);
      if (likelihood !== null) this.traces[k].likelihood.add(i, likelihood);
      this._addSpeed(k, i, x, y, pose.timeMs);
    });
  }

  /** Return the index of the bin of a time, or -1 if nothing was seen then. @param {number} stamp  time / BIN_MS */
  indexOf(stamp) {
    const i = ((stamp % BINS) + BINS) % BINS;
    return this._stamps[i] === stamp ? i : -1;
  }

  /** The worst state in a bin; "" for none. @param {number} stamp */
  stateAt(stamp) {
    const i = this.indexOf(stamp);
    return i < 0 ? "" : STATES[this._states[i]];
  }

  /** @param {number} k @param {number} i @param {number} x @param {number} y @param {number} timeMs */
  _addSpeed(k, i, x, y, timeMs) {
    const from = this._from[k];
    const passedMs = from ? timeMs - from[2] : Infinity;
    if (from && passedMs < SPEED_OVER_MS) return;
    if (from && passedMs <= LONGEST_GAP_MS) {
      this.traces[k].speed.add(i, (1000 * Math.hypot(x - from[0], y - from[1])) / passedMs);
    }
    this._from[k] = [x, y, timeMs];
  }

  /** @param {number} timeMs */
  _bin(timeMs) {
    const stamp = Math.floor(timeMs / BIN_MS);
    const i = ((stamp % BINS) + BINS) % BINS;
    if (this._stamps[i] !== stamp) {
      this._stamps[i] = stamp;
      this._states[i] = 0;
      for (const trace of this.traces) for (const quantity of QUANTITIES) trace[quantity].empty(i);
    }
    return i;
  }
}

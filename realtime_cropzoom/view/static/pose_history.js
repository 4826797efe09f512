// @ts-check
// The poses of the last seconds of one camera, found by their frame.

/** @typedef {import("./types.js").Pose} Pose */

const SPAN_MS = 15_000;
const MOST_DROPPED = 1024;

/**
 * Read a row of a `poses` message.
 * @param {any[]} row
 * @returns {Pose}
 */
export function readPose(row) {
  const [frame, timeMs, state, box, boxAgeMs, points, latencyMs, plausible, subject = 0, uncertain = false, meetings = 0] = row;
  return { frame, timeMs, state, box, boxAgeMs, points: points.map(readKeypoint), latencyMs, plausible, subject, uncertain, meetings };
}

/** A keypoint without a place is none. @param {any} point */
function readKeypoint(point) {
  return point === null || point[0] === null || point[1] === null ? null : point;
}

export class PoseHistory {
  constructor() {
    /** @type {Pose[]} */
    this._poses = [];
    this._first = 0;
  }

  /** @returns {Pose|null} */
  get newest() {
    return this._poses.length ? this._poses[this._poses.length - 1] : null;
  }

  clear() {
    this._poses = [];
    this._first = 0;
  }

  /**
   * Add poses in the order of their frames; those that are here already are left out.
   * @param {Pose[]} poses
   * @returns {Pose[]} those that were new
   */
  add(poses) {
    const last = this.newest?.frame ?? -1;
    const added = poses.filter((pose) => pose.frame > last);
    this._poses.push(...added);
    this._dropOld();
    return added;
  }

  /**
   * Return the pose of exactly this frame; null if there is none.
   * @param {number} frame
   */
  at(frame) {
    const i = this._indexOf(frame);
    const found = this._poses[i];
    return found && found.frame === frame ? found : null;
  }

  /**
   * Return the poses of the time before a frame, oldest first, with that frame itself.
   * @param {number} frame
   * @param {number} spanMs
   */
  before(frame, spanMs) {
    const end = this._indexOf(frame);
    const last = this._poses[end];
    const stop = last && last.frame === frame ? end + 1 : end;
    const since = (this._poses[stop - 1]?.timeMs ?? 0) - spanMs;
    let start = stop;
    while (start > this._first && this._poses[start - 1].timeMs >= since) start -= 1;
    return this._poses.slice(start, stop);
  }

  /** Return the index of the first pose whose frame is not before `frame`. @param {number} frame */
  _indexOf(frame) {
    let low = this._first;
    let high = this._poses.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this._poses[middle].frame < frame) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  _dropOld() {
    const since = (this.newest?.timeMs ?? 0) - SPAN_MS;
    while (this._first < this._poses.length && this._poses[this._first].timeMs < since) this._first += 1;
    if (this._first >= MOST_DROPPED) {
      this._poses.splice(0, this._first);
      this._first = 0;
    }
  }
}

// @ts-check
// Brings a picture and the pose of the same frame together: the points belong on the animal of that picture.

/** @typedef {import("./types.js").Pose} Pose */
/** What finds the pose of a frame. @typedef {{at: (frame: number) => Pose|null}} Frames */

/**
 * A decoded picture.
 * @typedef {object} Picture
 * @property {number} frame
 * @property {number} timeMs        Unix time of its capture
 * @property {ImageBitmap} image
 * @property {number} ofWidth       width of the frame that it shows (pixels)
 * @property {number} ofHeight
 * @property {number} arrivedMs     time on the page's clock
 */

const MOST_WAITING = 6;
/** A picture whose pose does not come is shown without it after this time. */
const PATIENCE_MS = 250;
/** From this age on, the picture no longer stands for what happens: poses go on without it. */
export const STALE_MS = 700;

export class Pairing {
  constructor() {
    /** @type {Picture[]} */
    this._waiting = [];
    /** @type {Picture|null} the picture that is shown */
    this.picture = null;
    /** @type {Pose|null} the pose of its frame */
    this.pose = null;
  }

  /** Forget all pictures: the run is another one. */
  clear() {
    for (const picture of this._waiting) picture.image.close();
    this._waiting = [];
    this.picture?.image.close();
    this.picture = null;
    this.pose = null;
  }

  /** @param {Picture} picture */
  offer(picture) {
    this._waiting.push(picture);
    if (this._waiting.length > MOST_WAITING) this._waiting.shift()?.image.close();
  }

  /**
   * Show the newest picture whose pose has come.
   * @param {Frames} frames
   * @param {number} nowMs
   * @returns {boolean} whether another picture is shown than before
   */
  advance(frames, nowMs) {
    for (let i = this._waiting.length - 1; i >= 0; i -= 1) {
      const pose = frames.at(this._waiting[i].frame);
      if (pose) return this._show(i, pose);
    }
    return this._showWithoutPose(nowMs);
  }

  /** Whether a picture waits for its pose. */
  get waits() {
    return this._waiting.length > 0;
  }

  /** Age of the shown picture; infinite without one. @param {number} nowMs */
  ageMs(nowMs) {
    return this.picture ? nowMs - this.picture.arrivedMs : Infinity;
  }

  /** A frame that was skipped has no pose, and a late pose must not hold the picture up. @param {number} nowMs */
  _showWithoutPose(nowMs) {
    const last = this._waiting.length - 1;
    if (last < 0) return false;
    const waited = nowMs - this._waiting[0].arrivedMs;
    return waited > PATIENCE_MS && this.ageMs(nowMs) > PATIENCE_MS ? this._show(last, null) : false;
  }

  /** @param {number} index @param {Pose|null} pose */
  _show(index, pose) {
    this.picture?.image.close();
    const gone = this._waiting.splice(0, index + 1);
    this.picture = /** @type {Picture} */ (gone.pop());
    for (const older of gone) older.image.close();
    this.pose = pose;
    return true;
  }
}

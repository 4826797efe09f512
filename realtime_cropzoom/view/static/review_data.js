// @ts-check
// The session as the server has it: facts and events at once, rows of frames and the timeline where one looks.

import { readPose } from "./pose_history.js";

const CHUNK = 512;
const MOST_CHUNKS = 48;
const MOST_TIMELINES = 24;

/** @typedef {import("./types.js").Pose} Pose */

/**
 * One frame.
 * @typedef {object} Row
 * @property {Pose} pose
 * @property {number|null} seconds    frame time since the first frame
 * @property {string} state           "" without one
 * @property {string} outcome         processed, skipped, failed; "" if unknown
 * @property {string|null} doubt
 * @property {number|null} speed
 */

/**
 * Something that happened; see `view/review_events.py`.
 * @typedef {{frame: number, kind: string, text: string, last?: number, px?: number, rule?: string}} SessionEvent
 */

/** @typedef {{first: number, count: number, edges: number[], seconds: (number|null)[], states: number[], outcomes: number[], likelihood: (number|null)[][], speed: (number|null)[][]}} Timeline */
/** @typedef {{state: "indexing"|"ready"|"none", title: string|null, progress: number, size: [number, number]|null, fps: number|null}} VideoStatus */

export class SessionData {
  constructor() {
    /** @type {any} */
    this.facts = null;
    /** @type {SessionEvent[]} */
    this.events = [];
    /** @type {Map<number, Row[]>} */
    this._chunks = new Map();
    /** @type {Map<number, Promise<void>>} */
    this._loading = new Map();
    /** @type {Map<string, Timeline|Promise<Timeline>>} */
    this._timelines = new Map();
  }

  async open() {
    const [facts, found] = await Promise.all([ask("/api/session"), ask("/api/session/events")]);
    this.facts = facts;
    this.events = found.events;
    this.leftOut = found.left_out;
  }

  get count() {
    return this.facts?.count ?? 0;
  }

  /** Frames per second, by the frame times, else by the video, else a guess. */
  get fps() {
    return this.facts?.fps ?? this.facts?.video?.fps ?? 30;
  }

  /** @returns {Promise<VideoStatus>} */
  async video() {
    this.facts.video = await ask("/api/session/video");
    return this.facts.video;
  }

  /** A frame, if it is here. @param {number} frame @returns {Row|null} */
  row(frame) {
    return this._chunks.get(Math.floor(frame / CHUNK))?.[frame % CHUNK] ?? null;
  }

  /** Have a frame, and those near it. @param {number} frame @returns {Promise<void>} */
  load(frame) {
    const number = Math.floor(frame / CHUNK);
    const chunk = this._chunks.get(number);
    if (chunk) {
      this._chunks.delete(number); // the last used is the last to go
      this._chunks.set(number, chunk);
      return Promise.resolve();
    }
    const loading = this._loading.get(number) ?? this._load(number);
    this._loading.set(number, loading);
    return loading;
  }

  /** @param {number} number */
  async _load(number) {
    try {
      const answer = await ask(`/api/session/poses?first=${number * CHUNK}&count=${CHUNK}`);
      this._chunks.set(number, answer.rows.map((/** @type {any} */ row, /** @type {number} */ i) => this._row(answer, row, i)));
      if (this._chunks.size > MOST_CHUNKS) this._chunks.delete(/** @type {number} */ (this._chunks.keys().next().value));
    } finally {
      this._loading.delete(number);
    }
  }

  /** @param {any} answer @param {any[]} row @param {number} i @returns {Row} */
  _row(answer, row, i) {
    const pose = readPose(row);
    const state = pose.state;
    if (!this.facts.has_states) pose.state = "tracking"; // a box of a prediction is no doubtful one
    return { pose, state, seconds: answer.seconds[i], outcome: this.facts.outcomes[answer.outcomes[i]],
      doubt: answer.doubts[i], speed: answer.speeds[i] };
  }

  /** The poses until a frame that are here, without a gap, oldest first. @param {number} frame @param {number} frames */
  before(frame, frames) {
    const poses = [];
    for (let at = frame; at > frame - frames && at >= 0; at -= 1) {
      const row = this.row(at);
      if (!row) break;
      poses.push(row.pose);
    }
    return poses.reverse();
  }

  /**
   * A stretch in bins, if it is here; asks for it if not, and calls `came` then.
   * @param {number} first @param {number} count @param {number} bins @param {() => void} came
   * @returns {Timeline|null}
   */
  timeline(first, count, bins, came) {
    const key = `${first} ${count} ${bins}`;
    const found = this._timelines.get(key);
    if (found) return found instanceof Promise ? null : found;
    const asked = ask(`/api/session/timeline?first=${first}&count=${count}&bins=${bins}`);
    this._timelines.set(key, asked);
    asked.then((timeline) => {
      this._timelines.set(key, timeline);
      if (this._timelines.size > MOST_TIMELINES) this._timelines.delete(/** @type {string} */ (this._timelines.keys().next().value));
      came();
    }, () => this._timelines.delete(key));
    return null;
  }
}

/** @param {string} path @returns {Promise<any>} */
async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${(await answer.text()).trim()}`);
  return answer.json();
}

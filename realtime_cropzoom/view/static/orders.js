// @ts-check
// Gives orders, and shows each answer.

import { noteDone, noteFailed } from "./notices.js";

/** @typedef {import("./state.js").Camera} Camera */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./types.js").Answer} Answer */

export class Orders {
  /**
   * @param {import("./connection.js").Connection} connection
   * @param {Store} store
   */
  constructor(connection, store) {
    this._connection = connection;
    this._store = store;
  }

  /**
   * Give an order without a notice.
   * @param {string} to @param {string} order @param {{target?: string|null, value?: any}} [what]
   * @returns {Promise<Answer>}
   */
  give(to, order, what = {}) {
    return this._connection.order(to, order, what);
  }

  /**
   * Give an order, and show a notice: `done` if it was carried out, else why not.
   * @param {string} to @param {string} order @param {{target?: string|null, value?: any}} what
   * @param {string} done @param {string} failed
   * @returns {Promise<Answer>}
   */
  async tell(to, order, what, done, failed) {
    const answer = await this.give(to, order, what);
    if (answer.ok) noteDone(done);
    else noteFailed(`${failed}: ${answer.error ?? "refused"}`);
    return answer;
  }

  /**
   * Give an order to the runs of several cameras; each that fails has its own notice.
   * @param {Camera[]} cameras @param {string} order @param {(camera: Camera) => any} value
   * @param {string} done @param {string} failed
   */
  async tellRuns(cameras, order, value, done, failed) {
    const several = cameras.length > 1;
    const answers = await Promise.all(cameras.map(async (camera) => {
      const answer = await this.ofRun(camera, order, { value: value(camera) });
      if (!answer.ok) noteFailed(`${several ? `${camera.name}: ` : ""}${failed}: ${answer.error ?? "refused"}`);
      return answer.ok;
    }));
    const went = answers.filter(Boolean).length;
    if (went) noteDone(several ? `${done} (${went} of ${cameras.length} cameras)` : done);
    return went === cameras.length && went > 0;
  }

  /** Give an order to the run of a camera. @param {Camera} camera @param {string} order @param {{target?: string|null, value?: any}} [what] @returns {Promise<Answer>} */
  async ofRun(camera, order, what = {}) {
    if (!camera.control) return { ok: false, error: "this run takes no orders from here" };
    const answer = await this.give(camera.control, order, what);
    if (answer.ok && answer.state?.settable) {
      camera.settable = answer.state.settable;
      this._store.tell("settable", camera.name);
    }
    return answer;
  }
}

// @ts-check
// What is shown of a camera at a glance: one word, its picture and its colour.

/** @typedef {import("./state.js").Camera} Camera */

/** Words for the states of the stream, when nothing comes. */
const STREAM = {
  stalled: "No frames",
  reconnecting: "Reconnecting",
  ended: "Ended",
  silent: "Silent",
};

/**
 * What a camera shows at a glance. While its stream is not live, that is more important than the last pose.
 * @param {Camera} camera
 * @param {boolean} linked    whether the page hears its server
 * @returns {{key: string, icon: string, word: string, stream: string, note?: string}}
 */
export function glance(camera, linked) {
  if (!linked) return { key: "nolink", icon: "silent", word: "No link", stream: "" };
  const link = camera.hello?.link;
  if (link === "refused") return { key: "refused", icon: "disarmed", word: "Refused", stream: "needs a key" };
  const stream = camera.status?.stream ?? "";
  if (stream in STREAM) {
    const word = STREAM[/** @type {keyof typeof STREAM} */ (stream)];
    return { key: stream, icon: stream, word, stream: camera.state ? `${stream}, last ${camera.state}` : stream };
  }
  if (link === "waiting") return { key: "waiting", icon: "waiting", word: "Waiting", stream: "waiting for the run" };
  if (!camera.state) return { key: "none", icon: "waiting", word: "Starting", stream: stream || "starting" };
  if (camera.status && !camera.status.publishing) {
    return { key: "paused", icon: "stalled", word: "Paused", stream: `no poses go out; ${camera.state}` };
  }
  if (camera.several) return { ...together(camera), stream: stream || "live" };
  const word = camera.state[0].toUpperCase() + camera.state.slice(1);
  return { key: camera.state, icon: camera.state, word, stream: stream || "live" };
}

/**
 * What several animals do. It stands out if one that has been found is not tracked; in a box that is searched, there may be
 * no animal.
 * @param {Camera} camera
 */
function together({ subjects, state }) {
  const tracked = subjects.filter((subject) => subject.state === "tracking").length;
  const uncertain = subjects.filter((subject) => subject.uncertain).length;
  const note = uncertain ? `${uncertain} uncertain` : "";
  const word = `${tracked} of ${subjects.length} tracking`;
  const gone = subjects.some((subject) => subject.state === "coasting" || subject.state === "lost");
  return tracked && gone ? { key: "some", icon: "coasting", word, note } : { key: state, icon: state, word, note };
}

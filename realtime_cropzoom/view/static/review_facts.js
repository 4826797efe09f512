// @ts-check
// What is known of the session as a whole, and of the frame that is shown, in words and numbers.

import { byId, icon, make, setAttribute, setText } from "./dom.js";
import { clock, count, fixed, milliseconds } from "./format.js";
import { timeText } from "./review_times.js";

/** @typedef {import("./review_data.js").SessionData} SessionData */
/** @typedef {import("./review_player.js").Shown} Shown */

/** @param {SessionData} data */
export function showSession(data) {
  const { facts } = data;
  document.title = `cropzoom: ${facts.name}`;
  setText(byId("name"), facts.name);
  setText(byId("about"), [facts.started_unix_s ? new Date(facts.started_unix_s * 1000).toLocaleString("sv").slice(0, 16) : "",
    `${count(facts.count)} frames`, facts.seconds === null ? "" : timeText(facts.seconds, 0)].filter(Boolean).join(" · "));
  setText(byId("session-run"), facts.run ? `run ${facts.run}` : facts.live ? "" : "predictions");
  byId("session-facts").replaceChildren(...factRows(data).map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
  const problems = [...facts.problems, ...Object.entries(data.leftOut ?? {}).map(([kind, n]) => `${count(n)} more events of the kind ${kind} are not shown`)];
  byId("problems").replaceChildren(...problems.map((/** @type {string} */ problem) => make("li", {}, problem)));
}

/** @param {SessionData} data @returns {[string, string][]} */
function factRows({ facts }) {
  const share = (/** @type {number} */ n) => (n < facts.count / 1000 ? "< 0.1 %" : `${((100 * n) / facts.count).toFixed(n === facts.count ? 0 : 1)} %`);
  const states = Object.entries(facts.state_counts).map(([state, n]) => `${state} ${share(Number(n))}`);
  const outcomes = Object.entries(facts.outcome_counts).filter(([outcome]) => outcome !== "processed").map(([outcome, n]) => `${count(Number(n))} ${outcome}`);
  const latency = facts.latency_ms?.total ?? facts.latency_ms?.published;
  /** @type {[string, string|null][]} */
  const rows = [
    ["states", states.join(" · ")],
    ["frames", facts.outcome_counts.processed === undefined ? null : outcomes.join(" · ") || "all processed"],
    ["rate", facts.fps ? `${fixed(facts.fps, facts.fps % 1 ? 1 : 0)} frames/s` : null],
    ["latency", latency?.p50 === undefined ? null : `median ${milliseconds(latency.p50)} ms · 99 % ${milliseconds(latency.p99)} ms`],
    ["ended", facts.reason],
    ["source", facts.source],
    ["pictures", facts.video.state === "indexing" ? `reading the index, ${Math.round(100 * facts.video.progress)} %` : facts.video.title],
    ["triggers", facts.triggers.join(", ")],
    ["folder", facts.folder],
  ];
  return /** @type {[string, string][]} */ (rows.filter(([, text]) => text));
}

/** @param {SessionData} data @param {Shown|null} shown */
export function showState(data, shown) {
  const state = shown?.row.state || "";
  const skipped = shown && shown.row.outcome !== "processed" && shown.row.outcome;
  const word = state ? state[0].toUpperCase() + state.slice(1) : skipped ? skipped[0].toUpperCase() + skipped.slice(1) : data.facts.has_states ? "No state" : "Predictions";
  setAttribute(byId("state"), "data-state", state || "none");
  setText(byId("state-word"), shown ? word : "Opening");
  if (byId("state-icon").dataset.icon !== state) {
    byId("state-icon").dataset.icon = state;
    byId("state-icon").replaceChildren(icon(state || "none"));
  }
  if (!shown) return;
  setText(byId("state-about"), `frame ${count(shown.frame)}`);
  const unixMs = shown.row.pose.timeMs;
  setText(byId("state-when"), timeText(shown.row.seconds));
  setText(byId("caption-text"), [`frame ${shown.frame}`, unixMs ? clock(unixMs, true) : "", data.facts.video.state === "ready" ? data.facts.video.title : ""].filter(Boolean).join(" · "));
}

/** @param {SessionData} data @param {Shown} shown */
export function showRow(data, { row }) {
  const { pose } = row;
  setText(byId("row-outcome"), row.outcome);
  const box = pose.box ? pose.box.map((v) => fixed(v)).join(", ") : "none";
  const speed = row.speed === null ? "–" : `${fixed(row.speed, row.speed < 10 ? 1 : 0)} ${data.facts.speed_unit}`;
  /** @type {[string, string][]} */
  const rows = [["plausible", pose.plausible === null ? "–" : pose.plausible ? "yes" : `no: ${row.doubt ?? ""}`], ["speed", speed],
    ["box x, y, w, h", box], ["age of the box", pose.boxAgeMs === null ? "–" : `${milliseconds(pose.boxAgeMs)} ms`]];
  if (data.facts.live) rows.push(["captured → pose", pose.latencyMs === null ? "–" : `${milliseconds(pose.latencyMs)} ms`]);
  fill(byId("row-facts"), rows, ([name, text], div = make("div", {}, make("dt"), make("dd"))) => {
    setText(div.children[0], name);
    setText(div.children[1], text);
    return div;
  });
  const points = data.facts.keypoint_names.map((/** @type {string} */ name, /** @type {number} */ i) => [name, pose.points[i] ?? null]);
  fill(byId("points").tBodies[0], points, ([name, point], line = make("tr", {}, make("th", { scope: "row" }), make("td"), make("td"), make("td"))) => {
    [name, fixed(point?.[0], 1), fixed(point?.[1], 1), fixed(point?.[2], 2)].forEach((text, i) => setText(line.children[i], text));
    return line;
  });
}

/**
 * Fill an element with one child for each value, and keep those that are there.
 * @param {HTMLElement} parent @param {any[]} values @param {(value: any, child?: any) => any} make
 */
function fill(parent, values, make) {
  values.forEach((value, i) => {
    const child = parent.children[i];
    const made = make(value, child);
    if (!child) parent.append(made);
  });
  while (parent.children.length > values.length) parent.lastElementChild?.remove();
}

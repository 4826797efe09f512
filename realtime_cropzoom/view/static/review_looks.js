// @ts-check
// How events look, in the list and on the timeline, and the kinds among which one jumps.

/** @typedef {import("./review_data.js").SessionEvent} SessionEvent */
/** @typedef {"fired"|"rule"|"marker"|"lost"|"jump"|"drop"|"doubt"|"other"} Group */

/** @type {Record<string, Group>} */
const GROUPS = {
  fired: "fired", test: "fired", sham: "rule", refused: "rule", allowed: "rule", released: "rule", resumed: "rule",
  safe: "rule", armed: "rule", disarmed: "rule", marker: "marker", lost: "lost", jump: "jump", implausible: "doubt", uncertain: "doubt",
  skipped: "drop", failed: "drop", unrecorded: "drop", reconnected: "drop", stalled: "drop",
};

/** Icon, colour of the theme, and lane of the timeline (0: what was done, 1: what went wrong). @type {Record<Group, {icon: string, colour: string, lane: number}>} */
export const LOOKS = {
  fired: { icon: "fired", colour: "--text-warn", lane: 0 },
  rule: { icon: "rule", colour: "--muted", lane: 0 },
  marker: { icon: "marker", colour: "--accent", lane: 0 },
  other: { icon: "note", colour: "--muted", lane: 0 },
  lost: { icon: "lost", colour: "--text-bad", lane: 1 },
  jump: { icon: "jump", colour: "--line-3", lane: 1 },
  drop: { icon: "drop", colour: "--text-bad", lane: 1 },
  doubt: { icon: "doubt", colour: "--muted", lane: 1 },
};

/** The kinds of events among which one jumps. @type {{kind: string, one: string, label: string, key: string, groups: Group[]}[]} */
export const JUMPS = [
  { kind: "lost", one: "lost stretch", label: "lost stretches", key: "l", groups: ["lost"] },
  { kind: "fired", one: "firing", label: "firings", key: "f", groups: ["fired"] },
  { kind: "rule", one: "event of the rules", label: "all events of rules", key: "r", groups: ["fired", "rule"] },
  { kind: "jump", one: "of the largest jumps", label: "largest jumps", key: "j", groups: ["jump"] },
  { kind: "marker", one: "marker", label: "markers", key: "m", groups: ["marker", "other"] },
  { kind: "drop", one: "missing frame", label: "missing frames", key: "d", groups: ["drop"] },
  { kind: "doubt", one: "doubtful pose", label: "doubtful poses", key: "i", groups: ["doubt"] },
];

/** @param {SessionEvent} event @returns {Group} */
export function groupOf(event) {
  return GROUPS[event.kind] ?? "other";
}

/** Patterns of the states, so that they are told apart without colour. */
export const STATE_LOOKS = {
  tracking: { colour: "--good", pattern: "plain" },
  coasting: { colour: "--warn", pattern: "stripes" },
  searching: { colour: "--seek", pattern: "dots" },
  lost: { colour: "--bad", pattern: "crosses" },
};

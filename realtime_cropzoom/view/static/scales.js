// @ts-check
// Colours of numbers. Both sets are told apart with any kind of colour vision.

/** Viridis without its darkest end: likelihood 0 → 1, and the occupancy map. */
const VIRIDIS = [
  [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
  [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37],
];
const STEPS = 32;

/** @type {string[]} */
const TABLE = Array.from({ length: STEPS + 1 }, (_, i) => `rgb(${viridis(i / STEPS).join(" ")})`);

/** Keypoints below this likelihood are drawn hollow. */
export const UNLIKELY = 0.5;

/**
 * Return a colour of the scale as [r, g, b].
 * @param {number} part  0 to 1
 * @returns {number[]}
 */
export function viridis(part) {
  const at = Math.min(Math.max(part, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((value, i) => Math.round(value + (VIRIDIS[low + 1][i] - value) * (at - low)));
}

/**
 * Return the colour of a likelihood; white if the model gives none.
 * @param {number|null} likelihood
 */
export function likelihoodColour(likelihood) {
  if (likelihood === null || !Number.isFinite(likelihood)) return "#ffffff";
  return TABLE[Math.round(Math.min(Math.max(likelihood, 0), 1) * STEPS)];
}

/** Number of colours for lines, `--line-0` … of the theme; further lines begin again. */
export const LINE_COLOURS = 6;

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

/** Colours of several animals, in order of their numbers; those of the pictures of `cropzoom draw`. */
export const ANIMAL_COLOURS = [
  "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#6e3ca0", "#8c564b",
  "#998a08", "#aa62d9", "#177334", "#990b08", "#6281d9", "#4a7317", "#990883", "#62d9c8",
];

/** Return the colour of an animal. @param {number} place  from 0 */
export function animalColour(place) {
  return ANIMAL_COLOURS[place % ANIMAL_COLOURS.length];
}

/** Return black or white: that with more contrast on a colour (luminance as WCAG has it). @param {string} colour  as #rrggbb */
export function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => (Number.parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#0f0f0f" : "#ffffff";
}

/** Number of colours for lines, `--line-0` … of the theme; further lines begin again. */
export const LINE_COLOURS = 6;

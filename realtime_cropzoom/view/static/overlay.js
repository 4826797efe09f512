// @ts-check
// Draws a pose, its box, skeleton and trail, and the zones, over a picture. Pixels of the frame have their centres at
// whole numbers, as in all files and messages.

import { inkOn, likelihoodColour, UNLIKELY } from "./scales.js";
import { centre, radius, readShape } from "./zone_shapes.js";

/** @typedef {import("./types.js").Pose} Pose */
/** @typedef {import("./zone_shapes.js").Shape} Shape */

/**
 * Where the frame lies on the canvas (CSS pixels).
 * @typedef {object} View
 * @property {number} left
 * @property {number} top
 * @property {number} scale   canvas pixels per frame pixel
 * @property {number} width   of the frame on the canvas
 * @property {number} height
 */

/**
 * What is drawn of one animal. The only one has a pose and a trail.
 * @typedef {object} Drawn
 * @property {Pose|null} pose
 * @property {Pose[]} trail               poses up to this one, oldest first
 * @property {string} [label]             its number, or its region with its state
 * @property {string} [short]             what stands in its place if there is little room
 * @property {string} [colour]            of one of several in one arena
 * @property {[number, number][]} [outline]  corners of its region
 * @property {boolean} [chosen]           whether the numbers beside the picture are of this region
 */

/** Where a label stands on the canvas. @typedef {[number, number, number, number]} Plate  left, top, width, height */

/** What is drawn. @typedef {{box: boolean, points: boolean, names: boolean, trail: boolean, zones: boolean}} Layers */

const TAU = 2 * Math.PI;
const TRAIL_PIECES = 12;
/** Radius of a keypoint: on a tile, of one of several regions, of an animal that has the picture to itself. */
const [SMALL, MIDDLE, LARGE] = [3, 3.5, 4.5];
/** A region that is narrower on the canvas has a small label; one that is narrower than that has none. */
const NARROW = 130;
const DARK = "rgb(0 0 0 / 75%)";
const ZONE_COLOURS = { "": "#ffffff", armed: "#ffb000", holding: "#ff5cb8", fired: "#ff5cb8" };

/**
 * Fit a frame into a canvas, in its middle.
 * @param {number} canvasWidth @param {number} canvasHeight @param {number} frameWidth @param {number} frameHeight
 * @returns {View}
 */
export function fitFrame(canvasWidth, canvasHeight, frameWidth, frameHeight) {
  const scale = Math.min(canvasWidth / frameWidth, canvasHeight / frameHeight) || 1;
  const [width, height] = [frameWidth * scale, frameHeight * scale];
  return { left: (canvasWidth - width) / 2, top: (canvasHeight - height) / 2, scale, width, height };
}

/** The place of a frame position on the canvas. @param {View} view @param {number} x @param {number} y */
export function toCanvas(view, x, y) {
  return [view.left + (x + 0.5) * view.scale, view.top + (y + 0.5) * view.scale];
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {View} view
 * @param {object} what
 * @param {Drawn[]} what.animals
 * @param {[number, number][]} what.bones indices of the keypoints that a line joins
 * @param {string[]} what.names           of the keypoints
 * @param {{name: string, spec: any, active: string}[]} what.zones
 * @param {Layers} what.layers
 */
export function drawOverlay(ctx, view, { animals, bones, names, zones, layers }) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(view.left, view.top, view.width, view.height);
  ctx.clip();
  ctx.lineJoin = ctx.lineCap = "round";
  if (layers.zones) for (const zone of zones) drawZone(ctx, view, zone);
  const size = view.width < 320 ? SMALL : animals.some(({ outline }) => outline) ? MIDDLE : LARGE;
  for (const { outline, chosen } of animals) if (layers.box && outline) drawOutline(ctx, view, outline, chosen ?? false);
  for (const { trail, colour } of animals) if (layers.trail) drawTrail(ctx, view, trail, colour);
  for (const { pose, colour } of animals) {
    if (!pose) continue;
    if (layers.box && pose.box) drawBox(ctx, view, pose.box, pose.state, colour);
    if (layers.points) drawSkeleton(ctx, view, pose, bones);
    if (layers.points) for (const point of pose.points) if (point) drawKeypoint(ctx, view, point, size);
    if (layers.names) drawNames(ctx, view, pose, names);
  }
  /** @type {Plate[]} */
  const plates = [];
  for (const animal of animals) if (layers.box) drawLabel(ctx, view, animal, plates);
  ctx.restore();
}

/** The outline of a region. @param {CanvasRenderingContext2D} ctx @param {View} view @param {[number, number][]} outline @param {boolean} chosen */
function drawOutline(ctx, view, outline, chosen) {
  ctx.beginPath();
  for (const [x, y] of outline) ctx.lineTo(view.left + x * view.scale, view.top + y * view.scale);
  ctx.closePath();
  stroke(ctx, chosen ? "#8ecbff" : "#ffffff", chosen ? 2.5 : 1.25);
}

/** The number of an animal on its box, or the name of a region in its corner. Without a pose, an animal has no number. */
function drawLabel(
  /** @type {CanvasRenderingContext2D} */ ctx,
  /** @type {View} */ view,
  /** @type {Drawn} */ { pose, label, short, colour, outline },
  /** @type {Plate[]} */ plates,
) {
  if (!label || (!outline && !pose?.box)) return;
  const region = outline ? placeOf(view, outline) : null;
  const room = region?.[2] ?? Infinity;
  const small = view.width < 320 || room < NARROW;
  ctx.font = `650 ${small ? 10 : 13}px system-ui, sans-serif`;
  const wide = (/** @type {string} */ text) => ctx.measureText(text).width + (small ? 6 : 10);
  const text = [label, short ?? label].find((one) => wide(one) <= room);
  if (!text) return;
  const [width, height] = [wide(text), small ? 13 : 19];
  const places = (region ? [[region[0] + 3, region[1] + 3]] : aroundBox(view, pose?.box ?? [0, 0, 0, 0], width, height)).map(([left, top]) => [
    Math.min(Math.max(left, view.left + 1), view.left + view.width - width - 1),
    Math.min(Math.max(top, view.top + 1), view.top + view.height - height - 1),
  ]);
  const [x, y] = places.find((place) => !plates.some((plate) => overlap(plate, [place[0], place[1], width, height]))) ?? places[0];
  plates.push([x, y, width, height]);
  ctx.fillStyle = colour ?? "rgb(0 0 0 / 72%)";
  ctx.fillRect(x, y, width, height);
  ctx.fillStyle = colour ? inkOn(colour) : "#ffffff";
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.fillText(text, x + (small ? 3 : 5), y + height / 2 + 0.5);
}

/** Where the label of a box may stand: above it, or below; the first that is free. @param {View} view @param {number[]} box @param {number} width @param {number} height */
function aroundBox({ left, top, scale }, [x, y, w, h], width, height) {
  const [near, far] = [left + x * scale, left + (x + w) * scale - width];
  const [above, below] = [top + y * scale - height - 1, top + (y + h) * scale + 1];
  return [[near, above], [far, above], [near, below], [far, below]];
}

/** @param {Plate} one @param {Plate} other */
function overlap([x, y, w, h], [left, top, width, height]) {
  return x < left + width && left < x + w && y < top + height && top < y + h;
}

/** The upper left corner of a region on the canvas, and its width there. @param {View} view @param {[number, number][]} outline */
function placeOf({ left, top, scale }, outline) {
  const [xs, ys] = [outline.map(([x]) => x), outline.map(([, y]) => y)];
  const least = Math.min(...xs);
  return [left + least * scale, top + Math.min(...ys) * scale, (Math.max(...xs) - least) * scale];
}

/** Trace the outline of a zone. @param {CanvasRenderingContext2D} ctx @param {View} view @param {Shape} shape */
function traceShape(ctx, view, shape) {
  const points = shape.points.map(([x, y]) => toCanvas(view, x, y));
  ctx.beginPath();
  if (shape.kind === "circle") ctx.arc(points[0][0], points[0][1], radius(shape) * view.scale, 0, TAU);
  else if (shape.kind === "rectangle") {
    const [[ax, ay], [bx, by]] = points;
    ctx.rect(ax, ay, bx - ax, by - ay);
  } else {
    points.forEach(([x, y]) => ctx.lineTo(x, y));
    ctx.closePath();
  }
}

/** Zones in cm are not drawn: only the trigger process knows the calibration. */
function drawZone(
  /** @type {CanvasRenderingContext2D} */ ctx,
  /** @type {View} */ view,
  /** @type {{name: string, spec: any, active: string}} */ { name, spec, active },
) {
  const shape = readShape(spec);
  if (!shape || shape.unit !== "px") return;
  const colour = ZONE_COLOURS[/** @type {keyof typeof ZONE_COLOURS} */ (active)] ?? "#ffffff";
  const strong = active === "holding" || active === "fired";
  traceShape(ctx, view, shape);
  ctx.globalAlpha = strong ? 0.35 : 0.08;
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.setLineDash(active ? [] : [6, 5]);
  stroke(ctx, colour, strong ? 3.5 : 1.75);
  ctx.setLineDash([]);
  const [x, y] = toCanvas(view, ...centre(shape));
  const words = { "": "", armed: "", holding: " · on", fired: " · fired" };
  drawText(ctx, name + (words[/** @type {keyof typeof words} */ (active)] ?? ""), x, y, colour, "center");
}

/** The path of the animal's middle; older pieces are fainter. @param {CanvasRenderingContext2D} ctx @param {View} view @param {Pose[]} trail @param {string} [colour] */
function drawTrail(ctx, view, trail, colour = "#56b4e9") {
  const path = trail.map(middleOf).filter((middle) => middle !== null).map(([x, y]) => toCanvas(view, x, y));
  const each = Math.max(1, Math.ceil((path.length - 1) / TRAIL_PIECES));
  ctx.lineWidth = 2.5;
  ctx.strokeStyle = colour;
  for (let start = 0; start < path.length - 1; start += each) {
    ctx.globalAlpha = 0.1 + (0.75 * start) / path.length;
    ctx.beginPath();
    for (const [x, y] of path.slice(start, start + each + 1)) ctx.lineTo(x, y);
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

/** Mean of the likely keypoints; null without one. @param {Pose} pose @returns {[number, number]|null} */
export function middleOf(pose) {
  let [sx, sy, n] = [0, 0, 0];
  for (const point of pose.points) {
    if (!point || (point[2] ?? 1) < UNLIKELY) continue;
    sx += point[0];
    sy += point[1];
    n += 1;
  }
  return n ? [sx / n, sy / n] : null;
}

/** Solid while tracking, dashed while the box is only carried on. */
function drawBox(
  /** @type {CanvasRenderingContext2D} */ ctx,
  /** @type {View} */ view,
  /** @type {number[]} */ [x, y, w, h],
  /** @type {string} */ state,
  /** @type {string|undefined} */ colour,
) {
  const { left, top, scale } = view;
  ctx.beginPath();
  ctx.rect(left + x * scale, top + y * scale, w * scale, h * scale);
  ctx.setLineDash(state === "tracking" ? [] : [8, 6]);
  stroke(ctx, colour ?? "#ffffff", colour ? 2.25 : 1.5);
  ctx.setLineDash([]);
}

/** @param {CanvasRenderingContext2D} ctx @param {View} view @param {Pose} pose @param {[number, number][]} bones */
function drawSkeleton(ctx, view, pose, bones) {
  ctx.beginPath();
  for (const [i, j] of bones) {
    const [a, b] = [pose.points[i], pose.points[j]];
    if (!a || !b) continue;
    ctx.moveTo(...pair(toCanvas(view, a[0], a[1])));
    ctx.lineTo(...pair(toCanvas(view, b[0], b[1])));
  }
  stroke(ctx, "rgb(255 255 255 / 85%)", 1.5);
}

/** Filled if likely, hollow if not: told apart without colours. */
function drawKeypoint(
  /** @type {CanvasRenderingContext2D} */ ctx,
  /** @type {View} */ view,
  /** @type {[number, number, number|null]} */ [x, y, likelihood],
  /** @type {number} */ size,
) {
  const [px, py] = toCanvas(view, x, y);
  ctx.beginPath();
  ctx.arc(px, py, size, 0, TAU);
  const colour = likelihoodColour(likelihood);
  if (likelihood === null || likelihood >= UNLIKELY) {
    ctx.fillStyle = colour;
    ctx.fill();
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = DARK;
    ctx.stroke();
  } else stroke(ctx, colour, 2.25);
}

/** @param {CanvasRenderingContext2D} ctx @param {View} view @param {Pose} pose @param {string[]} names */
function drawNames(ctx, view, pose, names) {
  pose.points.forEach((point, i) => {
    if (!point) return;
    const [x, y] = toCanvas(view, point[0], point[1]);
    drawText(ctx, names[i] ?? "", x + 9, y - 8, "#ffffff", "left");
  });
}

/** A line with a dark edge, which is seen on any picture. */
function stroke(
  /** @type {CanvasRenderingContext2D} */ ctx,
  /** @type {string} */ colour,
  /** @type {number} */ width,
) {
  ctx.strokeStyle = "rgb(0 0 0 / 55%)";
  ctx.lineWidth = width + 2;
  ctx.stroke();
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

/** @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} x @param {number} y @param {string} colour @param {CanvasTextAlign} align */
function drawText(ctx, text, x, y, colour, align) {
  ctx.font = "600 13px system-ui, sans-serif";
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.lineWidth = 4;
  ctx.strokeStyle = DARK;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

/** @param {number[]} values @returns {[number, number]} */
function pair([a, b]) {
  return [a, b];
}

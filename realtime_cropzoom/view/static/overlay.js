// @ts-check
// Draws a pose, its box, skeleton and trail, and the zones, over a picture. Pixels of the frame have their centres at
// whole numbers, as in all files and messages.

import { likelihoodColour, UNLIKELY } from "./scales.js";
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

/** What is drawn. @typedef {{box: boolean, points: boolean, names: boolean, trail: boolean, zones: boolean}} Layers */

const TAU = 2 * Math.PI;
const TRAIL_PIECES = 12;
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
 * @param {Pose|null} what.pose
 * @param {Pose[]} what.trail             poses up to this one, oldest first
 * @param {[number, number][]} what.bones indices of the keypoints that a line joins
 * @param {string[]} what.names           of the keypoints
 * @param {{name: string, spec: any, active: string}[]} what.zones
 * @param {Layers} what.layers
 */
export function drawOverlay(ctx, view, { pose, trail, bones, names, zones, layers }) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(view.left, view.top, view.width, view.height);
  ctx.clip();
  ctx.lineJoin = ctx.lineCap = "round";
  if (layers.zones) for (const zone of zones) drawZone(ctx, view, zone);
  if (layers.trail) drawTrail(ctx, view, trail);
  if (pose) {
    if (layers.box && pose.box) drawBox(ctx, view, pose.box, pose.state);
    if (layers.points) drawSkeleton(ctx, view, pose, bones);
    if (layers.points) for (const point of pose.points) if (point) drawKeypoint(ctx, view, point);
    if (layers.names) drawNames(ctx, view, pose, names);
  }
  ctx.restore();
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

/** The path of the animal's middle; older pieces are fainter. @param {CanvasRenderingContext2D} ctx @param {View} view @param {Pose[]} trail */
function drawTrail(ctx, view, trail) {
  const path = trail.map(middleOf).filter((middle) => middle !== null).map(([x, y]) => toCanvas(view, x, y));
  const each = Math.max(1, Math.ceil((path.length - 1) / TRAIL_PIECES));
  ctx.lineWidth = 2.5;
  ctx.strokeStyle = "#56b4e9";
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
) {
  const { left, top, scale } = view;
  ctx.beginPath();
  ctx.rect(left + x * scale, top + y * scale, w * scale, h * scale);
  ctx.setLineDash(state === "tracking" ? [] : [8, 6]);
  stroke(ctx, "#ffffff", 1.5);
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
) {
  const [px, py] = toCanvas(view, x, y);
  const size = view.width < 320 ? 3 : 4.5;
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

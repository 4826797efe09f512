// @ts-check
// Shapes of zones as in a rules file, and what an editor does with them. No drawing.

/** @typedef {import("./types.js").ZoneSpec} ZoneSpec */
/** @typedef {"polygon"|"circle"|"rectangle"} ShapeKind */
/** @typedef {[number, number]} Point */

/**
 * A zone. Points: corners of a polygon; two opposite corners of a rectangle; centre and a point on the edge of a circle.
 * @typedef {object} Shape
 * @property {ShapeKind} kind
 * @property {"px"|"cm"} unit
 * @property {Point[]} points
 */

/**
 * Read a zone of a rules file, such as {circle_px: [320, 240, 60]}; null if its form is not known here.
 * @param {ZoneSpec} spec
 * @returns {Shape|null}
 */
export function readShape(spec) {
  const [key, values] = Object.entries(spec ?? {}).find(([, value]) => Array.isArray(value)) ?? ["", []];
  const [kind, unit] = key.split("_");
  if ((unit !== "px" && unit !== "cm") || !(kind in READERS)) return null;
  return { kind: /** @type {ShapeKind} */ (kind), unit, points: READERS[kind](/** @type {any} */ (values)) };
}

/** @type {Record<string, (values: any[]) => Point[]>} */
const READERS = {
  polygon: (corners) => corners.map(([x, y]) => [x, y]),
  circle: ([x, y, radius]) => [[x, y], [x + radius, y]],
  rectangle: ([x, y, w, h]) => [[x, y], [x + w, y + h]],
};

/**
 * Write a zone as a rules file has it, in whole pixels.
 * @param {Shape} shape
 * @returns {ZoneSpec}
 */
export function writeShape(shape) {
  const points = shape.points.map(([x, y]) => [Math.round(x), Math.round(y)]);
  const [[ax, ay], [bx, by] = [ax, ay]] = points;
  if (shape.kind === "polygon") return { polygon_px: points };
  if (shape.kind === "circle") return { circle_px: [ax, ay, Math.round(radius(shape))] };
  return { rectangle_px: [Math.min(ax, bx), Math.min(ay, by), Math.abs(bx - ax), Math.abs(by - ay)] };
}

/** Radius of a circle. @param {Shape} shape */
export function radius(shape) {
  const [[x, y], [ex, ey]] = shape.points;
  return Math.hypot(ex - x, ey - y);
}

/**
 * Return the shape with one of its points elsewhere. The edge of a circle goes along with its centre.
 * @param {Shape} shape @param {number} index @param {Point} to
 * @returns {Shape}
 */
export function movePoint(shape, index, to) {
  if (shape.kind === "circle" && index === 0) {
    const [x, y] = shape.points[0];
    return moveShape(shape, to[0] - x, to[1] - y);
  }
  return { ...shape, points: shape.points.map((point, i) => (i === index ? to : point)) };
}

/** @param {Shape} shape @param {number} dx @param {number} dy @returns {Shape} */
export function moveShape(shape, dx, dy) {
  return { ...shape, points: shape.points.map(([x, y]) => [x + dx, y + dy]) };
}

/** Return the shape without one corner. Only polygons of four and more lose one. @param {Shape} shape @param {number} index */
export function removePoint(shape, index) {
  if (shape.kind !== "polygon" || shape.points.length <= 3) return shape;
  return { ...shape, points: shape.points.filter((_, i) => i !== index) };
}

/** Return the polygon with a new corner in the middle of the side after `index`. @param {Shape} shape @param {number} index */
export function splitSide(shape, index) {
  if (shape.kind !== "polygon") return shape;
  const [ax, ay] = shape.points[index];
  const [bx, by] = shape.points[(index + 1) % shape.points.length];
  const points = [...shape.points];
  points.splice(index + 1, 0, [(ax + bx) / 2, (ay + by) / 2]);
  return { ...shape, points };
}

/** Where the name of a zone stands: the middle of what it covers. @param {Shape} shape @returns {Point} */
export function centre(shape) {
  if (shape.kind === "circle") return shape.points[0];
  const xs = shape.points.map(([x]) => x);
  const ys = shape.points.map(([, y]) => y);
  return [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
}

/**
 * Whether a point is in a zone, as the rules see it.
 * @param {Shape} shape @param {Point} point
 */
export function contains(shape, [x, y]) {
  const [[ax, ay], [bx, by] = [ax, ay]] = shape.points;
  if (shape.kind === "circle") return Math.hypot(x - ax, y - ay) <= radius(shape);
  if (shape.kind === "rectangle") {
    return Math.min(ax, bx) <= x && x <= Math.max(ax, bx) && Math.min(ay, by) <= y && y <= Math.max(ay, by);
  }
  let inside = false;
  let [px, py] = shape.points[shape.points.length - 1];
  for (const [qx, qy] of shape.points) {
    if (py > y !== qy > y && x < ((qx - px) * (y - py)) / (qy - py) + px) inside = !inside;
    [px, py] = [qx, qy];
  }
  return inside;
}

/**
 * What is wrong with a zone, in words; null if nothing that can be seen here. The trigger process has the last word.
 * @param {Shape} shape
 */
export function problemOf(shape) {
  if (shape.kind === "polygon" && shape.points.length < 3) return "a polygon has three corners or more";
  if (shape.kind === "circle" && radius(shape) < 1) return "the circle has no size";
  const { rectangle_px } = writeShape(shape);
  if (rectangle_px && !(Number(rectangle_px[2]) && Number(rectangle_px[3]))) return "the rectangle has no size";
  return null;
}

// @ts-check
// The zones on the picture, to be drawn and moved by hand or by keys. Positions are pixels of the frame.

import { byId } from "./dom.js";
import { centre, movePoint, moveShape, radius, splitSide } from "./zone_shapes.js";
import { pointName } from "./zones.js";

/** @typedef {import("./zone_shapes.js").Shape} Shape */
/** @typedef {import("./zone_shapes.js").Point} Point */
/** @typedef {import("./zone_shapes.js").ShapeKind} ShapeKind */
/** @typedef {import("./zones.js").ZoneEditor} ZoneEditor */

const SVG = "http://www.w3.org/2000/svg";
/** A finger needs more room than a mouse. */
const POINT_PX = window.matchMedia("(pointer: coarse)").matches ? 12 : 7;
const CLOSE_PX = 12;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HINTS = {
  polygon: "Click the corners. Click the first one again, or press Enter, to close the polygon. Esc gives up.",
  circle: "Press in the middle of the circle, and drag to its edge. Esc gives up.",
  rectangle: "Press in one corner, and drag to the other. Esc gives up.",
};

export class ZoneCanvas {
  /** @param {ZoneEditor} editor */
  constructor(editor) {
    this._editor = editor;
    /** @type {import("./picture.js").PictureView|null} */
    this._view = null;
    this._placed = "";
    this._scale = 1;
    /** @type {{kind: ShapeKind, points: Point[]}|null} a shape that is being drawn */
    this._draft = null;
    /** @type {((to: Point) => void)|null} */
    this._drag = null;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", "Zones on the picture");
    svg.addEventListener("pointerdown", (event) => this._down(event));
    svg.addEventListener("pointermove", (event) => this._move(event));
    svg.addEventListener("pointerup", () => this._up());
    svg.addEventListener("pointercancel", () => this._up());
    svg.addEventListener("dblclick", () => this._close());
    this._svg = svg;
    byId("zone-canvas").append(svg);
    document.addEventListener("keydown", (event) => this._draftKey(event), true);
  }

  /** @param {import("./picture.js").PictureView} view */
  show(view) {
    this._view = view;
    this._placed = "";
    byId("zone-canvas").hidden = false;
    this.place();
  }

  hide() {
    this._draft = this._drag = null;
    byId("zone-canvas").hidden = true;
  }

  /** Lie exactly on the frame. */
  place() {
    const view = this._view?.view;
    const hello = this._view?.camera.hello;
    if (!view || !hello) return;
    const now = [view.left, view.top, view.width, view.height, hello.width, hello.height].join();
    if (now === this._placed) return;
    this._placed = now;
    this._scale = view.scale;
    const { style } = this._svg;
    style.left = `${view.left}px`;
    style.top = `${view.top}px`;
    style.width = `${view.width}px`;
    style.height = `${view.height}px`;
    this._svg.setAttribute("viewBox", `-0.5 -0.5 ${hello.width} ${hello.height}`);
    this.draw();
  }

  /** Begin a new shape; `byKey` puts one into the middle of the frame. @param {ShapeKind} kind @param {boolean} byKey */
  begin(kind, byKey) {
    this._draft = null;
    if (byKey) return this._addInMiddle(kind);
    this._draft = { kind, points: [] };
    this._editor.hint(HINTS[kind]);
    this.draw();
  }

  draw() {
    const focused = document.activeElement?.getAttribute("data-point");
    this._svg.replaceChildren();
    const { zones, chosen } = this._editor;
    zones.forEach((zone, i) => {
      if (zone.shape && i !== chosen) this._drawShape(zone.name, zone.shape, i);
    });
    const zone = zones[chosen];
    if (zone?.shape) this._drawShape(zone.name, zone.shape, chosen);
    if (zone?.shape && !this._draft) this._drawPoints(zone.shape);
    if (this._draft) this._drawDraft(this._draft);
    if (focused) /** @type {any} */ (this._svg.querySelector(`[data-point="${focused}"]`))?.focus({ preventScroll: true });
  }

  /** @param {string} name @param {Shape} shape @param {number} index */
  _drawShape(name, shape, index) {
    const outline = outlineOf(shape);
    outline.setAttribute("class", `zone-shape${index === this._editor.chosen ? " chosen" : ""}`);
    outline.setAttribute("data-zone", String(index));
    const text = document.createElementNS(SVG, "text");
    const [x, y] = centre(shape);
    setAll(text, { class: "zone-name", x, y });
    text.style.fontSize = `${13 / this._scale}px`;
    text.style.strokeWidth = `${4 / this._scale}px`;
    text.textContent = name;
    this._svg.append(outline, text);
  }

  /** @param {Shape} shape */
  _drawPoints(shape) {
    const size = POINT_PX / this._scale;
    if (shape.kind === "polygon") {
      shape.points.forEach(([ax, ay], i) => {
        const [bx, by] = shape.points[(i + 1) % shape.points.length];
        const side = document.createElementNS(SVG, "circle");
        setAll(side, { class: "zone-side", cx: (ax + bx) / 2, cy: (ay + by) / 2, r: size * 0.6, "data-side": i });
        this._svg.append(side);
      });
    }
    shape.points.forEach(([x, y], i) => {
      const point = document.createElementNS(SVG, "circle");
      setAll(point, { class: `zone-point${i === this._editor.chosenPoint ? " chosen" : ""}`, cx: x, cy: y, r: size, tabindex: 0,
        role: "button", "data-point": i, "aria-label": `${pointName(shape, i)} at ${Math.round(x)}, ${Math.round(y)}; arrow keys move it` });
      point.addEventListener("keydown", (event) => this._pointKey(event, i));
      this._svg.append(point);
    });
  }

  /** @param {{kind: ShapeKind, points: Point[]}} draft */
  _drawDraft({ kind, points }) {
    if (points.length > 1) {
      const outline = kind === "polygon" ? polyline(points) : outlineOf({ kind, unit: "px", points });
      outline.setAttribute("class", "zone-shape chosen");
      this._svg.append(outline);
    }
    for (const [x, y] of points) {
      const dot = document.createElementNS(SVG, "circle");
      setAll(dot, { class: "zone-point", cx: x, cy: y, r: POINT_PX / this._scale });
      this._svg.append(dot);
    }
  }

  /** @param {PointerEvent} event */
  _down(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    const at = this._position(event);
    this._svg.setPointerCapture(event.pointerId);
    if (this._draft) return this._draftDown(this._draft, at);
    const target = /** @type {Element} */ (event.target);
    const { point, side, zone } = /** @type {SVGElement} */ (target).dataset;
    const editor = this._editor;
    const shape = editor.zones[editor.chosen]?.shape;
    if (shape && point !== undefined) return this._dragPoint(shape, Number(point));
    if (shape && side !== undefined) return this._dragPoint(splitSide(shape, Number(side)), Number(side) + 1);
    if (zone !== undefined) this._dragShape(Number(zone), at);
  }

  /** @param {Shape} shape @param {number} index */
  _dragPoint(shape, index) {
    this._editor.remember();
    this._editor.chosenPoint = index;
    this._editor.reshape(shape);
    /** @type {any} */ (this._svg.querySelector(`[data-point="${index}"]`))?.focus({ preventScroll: true });
    this._drag = (to) => this._editor.reshape(movePoint(shape, index, to));
  }

  /** @param {number} index @param {Point} from */
  _dragShape(index, from) {
    const editor = this._editor;
    editor.choose(index);
    const shape = /** @type {Shape} */ (editor.zones[index].shape);
    let moved = false;
    this._drag = (to) => {
      if (!moved) editor.remember();
      moved = true;
      editor.reshape(moveShape(shape, to[0] - from[0], to[1] - from[1]));
    };
  }

  /** @param {PointerEvent} event */
  _move(event) {
    const at = this._position(event);
    if (this._drag) this._drag(at);
  }

  _up() {
    const draft = this._draft;
    this._drag = null;
    if (!draft || draft.kind === "polygon" || draft.points.length < 2) return;
    const shape = { kind: draft.kind, unit: /** @type {const} */ ("px"), points: draft.points };
    this._finish(shape);
  }

  /** @param {{kind: ShapeKind, points: Point[]}} draft @param {Point} at */
  _draftDown(draft, at) {
    if (draft.kind === "polygon") {
      const [first] = draft.points;
      if (first && draft.points.length > 2 && Math.hypot(at[0] - first[0], at[1] - first[1]) * this._scale < CLOSE_PX) return this._close();
      draft.points.push(at);
    } else {
      draft.points = [at, at];
      this._drag = (to) => { draft.points = [at, to]; this.draw(); };
    }
    this.draw();
  }

  /** Close the polygon that is drawn. A double click has put its last corner twice. */
  _close() {
    const draft = this._draft;
    if (draft?.kind !== "polygon") return;
    const points = draft.points.filter(([x, y], i) => i === 0 || Math.hypot(x - draft.points[i - 1][0], y - draft.points[i - 1][1]) * this._scale > 3);
    if (points.length < 3) return this._editor.hint("A polygon has three corners or more. Click the next one.");
    this._finish({ kind: "polygon", unit: "px", points });
  }

  /** @param {Shape} shape */
  _finish(shape) {
    this._draft = null;
    this._editor.hint("");
    this._editor.add(shape);
  }

  /** @param {ShapeKind} kind */
  _addInMiddle(kind) {
    const { x, y, size } = this._editor.middle();
    /** @type {Record<ShapeKind, Point[]>} */
    const points = {
      polygon: [[x - size, y - size], [x + size, y - size], [x, y + size]],
      circle: [[x, y], [x + size, y]],
      rectangle: [[x - size, y - size], [x + size, y + size]],
    };
    this._finish({ kind, unit: "px", points: points[kind] });
  }

  /** Enter closes what is drawn, Escape gives it up. @param {KeyboardEvent} event */
  _draftKey(event) {
    if (!this._draft || (event.key !== "Escape" && event.key !== "Enter")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Enter") return this._close();
    this._draft = this._drag = null;
    this._editor.hint("");
    this.draw();
  }

  /** @param {KeyboardEvent} event @param {number} index */
  _pointKey(event, index) {
    const editor = this._editor;
    const shape = editor.zones[editor.chosen]?.shape;
    const step = STEPS[/** @type {keyof typeof STEPS} */ (event.key)];
    if (!shape || (!step && event.key !== "Delete" && event.key !== "Backspace")) return;
    event.preventDefault();
    event.stopPropagation();
    if (!step) return editor.removeCorner(index);
    if (!event.repeat) editor.remember();
    const [x, y] = shape.points[index].map(Math.round);
    const by = event.shiftKey ? 10 : 1;
    editor.chosenPoint = index;
    editor.reshape(movePoint(shape, index, [x + by * step[0], y + by * step[1]]));
  }

  /** Place of a pointer, in frame pixels, inside of the frame. @param {PointerEvent} event @returns {Point} */
  _position(event) {
    const box = this._svg.getBoundingClientRect();
    const hello = this._view?.camera.hello;
    const within = (/** @type {number} */ value, /** @type {number} */ most) => Math.min(Math.max(Math.round(value), 0), most - 1);
    const scale = (hello?.width || 1) / box.width;
    return [within((event.clientX - box.left) * scale - 0.5, hello?.width || 1), within((event.clientY - box.top) * scale - 0.5, hello?.height || 1)];
  }
}

/** @param {Shape} shape @returns {SVGElement} */
function outlineOf(shape) {
  const [[ax, ay], [bx, by] = [ax, ay]] = shape.points;
  if (shape.kind === "circle") return setAll(document.createElementNS(SVG, "circle"), { cx: ax, cy: ay, r: radius(shape) });
  if (shape.kind === "polygon") return setAll(document.createElementNS(SVG, "polygon"), { points: shape.points.join(" ") });
  return setAll(document.createElementNS(SVG, "rect"), { x: Math.min(ax, bx), y: Math.min(ay, by), width: Math.abs(bx - ax), height: Math.abs(by - ay) });
}

/** @param {Point[]} points */
function polyline(points) {
  return setAll(document.createElementNS(SVG, "polyline"), { points: points.join(" ") });
}

/** @param {SVGElement} element @param {Record<string, any>} attributes */
function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

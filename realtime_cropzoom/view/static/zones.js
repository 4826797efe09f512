// @ts-check
// The zone editor: its state, and the panel beside the picture. `zone_canvas.js` is what lies on the picture.

import { byId, make, setText } from "./dom.js";
import { ask } from "./dialogs.js";
import { movePoint, problemOf, readShape, removePoint, writeShape } from "./zone_shapes.js";
import { ZoneCanvas } from "./zone_canvas.js";

/** @typedef {import("./zone_shapes.js").Shape} Shape */
/** @typedef {import("./zone_shapes.js").ShapeKind} ShapeKind */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./picture.js").PictureView} PictureView */

/**
 * A zone that is edited. `shape` is null if it cannot be drawn here; it then stays as the file has it.
 * @typedef {{name: string, spec: any, shape: Shape|null}} Zone
 */

const MOST_UNDO = 100;

export class ZoneEditor {
  /**
   * @param {Store} store
   * @param {import("./orders.js").Orders} orders
   * @param {() => PictureView|null} view   the picture that zones are drawn on
   */
  constructor(store, orders, view) {
    this._store = store;
    this._orders = orders;
    this._view = view;
    /** @type {Zone[]} */
    this.zones = [];
    this.chosen = -1;
    this.chosenPoint = -1;
    this._trigger = "";
    this._base = "[]";
    /** @type {string[]} */
    this._undo = [];
    this._canvas = new ZoneCanvas(this);
    byId("zones-close").addEventListener("click", () => this.close());
    byId("zones").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this._undoKey(event));
  }

  get isOpen() {
    return !byId("zones").hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    const view = this._view();
    const trigger = view && this._store.triggersOf(view.camera.name)[0];
    if (!trigger || this.isOpen) return;
    byId("zones").hidden = false;
    this._panel();
    this._load(trigger.name);
    view.hidesZones = true;
    this._canvas.show(view);
    byId("zones-close").focus({ preventScroll: true });
    byId("stage").scrollIntoView({ block: "nearest" });
  }

  /** Close, after a question if something would be lost. */
  async close() {
    if (!this.isOpen) return;
    if (this.isChanged && !(await ask({ title: "Leave the zones as they were?", text: ["What you drew is not saved."], yes: "Do not save", look: "danger" }))) return;
    byId("zones").hidden = true;
    this._canvas.hide();
    const view = this._view();
    if (view) view.frozen = view.hidesZones = false;
    byId("zones-open").focus();
  }

  get isChanged() {
    return inOrder(this._written()) !== this._base;
  }

  /** Fit what lies on the picture to the picture. Called before each repaint. */
  frame() {
    if (this.isOpen) this._canvas.place();
  }

  /** Note what has changed elsewhere. */
  notice() {
    if (!this.isOpen) return;
    const zones = this._store.triggers.get(this._trigger)?.zones ?? {};
    byId("zones-elsewhere").hidden = inOrder(zones) === this._base;
  }

  /** @param {string} trigger */
  _load(trigger) {
    this._trigger = trigger;
    const zones = this._store.triggers.get(trigger)?.zones ?? {};
    this.zones = Object.entries(zones).map(([name, spec]) => {
      const shape = readShape(spec);
      return { name, spec, shape: shape?.unit === "px" ? shape : null };
    });
    this._base = inOrder(this._written());
    this._undo = [];
    this.chosen = this.zones.findIndex((zone) => zone.shape);
    this.chosenPoint = -1;
    this.changed();
    this._showChosen();
  }

  /** The zones as a rules file has them; those that nobody touched as they were. */
  _written() {
    return Object.fromEntries(this.zones.map(({ name, spec, shape }) => [name, shape && isOther(shape, spec) ? writeShape(shape) : spec]));
  }

  /** @param {number} index @param {number} [point] */
  choose(index, point = -1) {
    const same = index === this.chosen;
    this.chosen = index;
    this.chosenPoint = point;
    if (!this.isOpen) return;
    if (!same) this._showChosen();
    this._showList();
    this._canvas.draw();
  }

  /** Keep what there is, so that it can come back. */
  remember() {
    this._undo.push(JSON.stringify(this.zones));
    if (this._undo.length > MOST_UNDO) this._undo.shift();
  }

  undo() {
    const before = this._undo.pop();
    if (!before) return;
    this.zones = JSON.parse(before);
    this.chosen = Math.min(this.chosen, this.zones.length - 1);
    this.changed();
    this._showChosen();
  }

  /** @param {Shape} shape  the new shape of the chosen zone */
  reshape(shape) {
    this.zones[this.chosen].shape = shape;
    this.changed();
  }

  /** @param {number} point */
  removeCorner(point) {
    const { shape } = this.zones[this.chosen];
    if (!shape) return;
    const fewer = removePoint(shape, point);
    if (fewer === shape) return this.tell("A polygon keeps three corners. Delete the zone instead.", false);
    this.remember();
    this.chosenPoint = Math.min(point, fewer.points.length - 1);
    this.reshape(fewer);
    this._showChosen();
  }

  /** @param {Shape} shape */
  add(shape) {
    this.remember();
    this.zones.push({ name: this._freeName(), spec: null, shape });
    this.chosen = this.zones.length - 1;
    this.changed();
    this._showChosen();
    byId("zone-name").select();
  }

  /** Show what was changed. */
  changed() {
    this.tell("", true);
    this._showList();
    this._showPoints();
    this._canvas.draw();
  }

  /** @param {string} text @param {boolean} ok */
  tell(text, ok) {
    const answer = byId("zone-answer");
    answer.className = ok ? "answer done" : "answer failed";
    setText(answer, text);
  }

  _freeName() {
    for (let n = 1; ; n += 1) if (!this.zones.some((zone) => zone.name === `zone_${n}`)) return `zone_${n}`;
  }

  /** Make the panel. */
  _panel() {
    const triggers = this._store.triggersOf(this._view()?.camera.name ?? "");
    const tool = (/** @type {ShapeKind} */ kind) => make("button", { type: "button", "data-tool": kind,
      onclick: (/** @type {MouseEvent} */ event) => this._canvas.begin(kind, event.detail === 0) }, `+ ${kind[0].toUpperCase()}${kind.slice(1)}`);
    const freeze = make("button", { type: "button", id: "zone-freeze", "aria-pressed": "false", onclick: () => this._freeze() }, "Hold picture");
    const select = make("select", { id: "zone-trigger", "aria-label": "Rules file", onchange: () => this._load(select.value) },
      ...triggers.map((trigger) => make("option", { value: trigger.name }, trigger.rules_file || trigger.name)));
    byId("zones-body").replaceChildren(
      triggers.length > 1 ? select : make("p", { class: "muted" }, triggers[0]?.rules_file ?? ""),
      make("p", { id: "zones-elsewhere", class: "answer failed", hidden: true }, "The zones were changed elsewhere. ",
        make("button", { type: "button", class: "quiet", onclick: () => this._load(this._trigger) }, "Load them")),
      make("div", { class: "tools" }, tool("polygon"), tool("circle"), tool("rectangle"), freeze,
        make("button", { type: "button", id: "zone-undo", title: "Ctrl+Z", onclick: () => this.undo() }, "Undo")),
      make("p", { id: "zone-hint", class: "muted", role: "status" }),
      make("ul", { id: "zone-list", "aria-label": "Zones" }),
      make("div", { id: "zone-chosen" }),
      make("div", { class: "tools" },
        make("button", { type: "button", id: "zone-check", onclick: () => this._send("check") }, "Check"),
        make("button", { type: "button", id: "zone-use", title: "Until the trigger process ends", onclick: () => this._send("use") }, "Use, do not save"),
        make("button", { type: "button", id: "zone-save", class: "main", onclick: () => this._send("save") }, "Save to the rules file")),
      make("p", { id: "zone-answer", class: "answer", role: "status" }));
    this.hint("");
  }

  /** @param {string} text */
  hint(text) {
    setText(byId("zone-hint"), text || "Drag a zone or its points. Tab and the arrow keys do it, too: 1 pixel, with Shift 10. Delete takes a corner away.");
  }

  _freeze() {
    const view = this._view();
    if (!view) return;
    view.frozen = !view.frozen;
    byId("zone-freeze").setAttribute("aria-pressed", String(view.frozen));
  }

  _showList() {
    const rows = this.zones.map((zone, i) => {
      const problem = this._problem(zone, i);
      const about = zone.shape ? zone.shape.kind : readShape(zone.spec)?.unit === "cm" ? "in cm: change it in the rules file" : "only in the rules file";
      return make("li", { "data-zone": zone.name, "data-chosen": i === this.chosen ? "yes" : "no" },
        make("button", { type: "button", disabled: !zone.shape, "aria-pressed": String(i === this.chosen), onclick: () => this.choose(i) },
          make("strong", {}, zone.name || "?"), make("span", { class: "muted" }, ` ${about}`)),
        problem ? make("span", { class: "answer failed" }, problem) : null);
    });
    const focused = document.activeElement?.closest("#zone-list li")?.getAttribute("data-zone");
    byId("zone-list").replaceChildren(...(rows.length ? rows : [make("li", { class: "nothing" }, "No zone yet.")]));
    if (focused) /** @type {any} */ (document.querySelector(`#zone-list li[data-zone="${CSS.escape(focused)}"] button`))?.focus();
  }

  /** @param {Zone} zone @param {number} index */
  _problem(zone, index) {
    if (!zone.name) return "it needs a name";
    if (this.zones.some((other, i) => i !== index && other.name === zone.name)) return "another zone has this name";
    return zone.shape ? problemOf(zone.shape) : null;
  }

  /** The name and the points of the chosen zone. */
  _showChosen() {
    const zone = this.zones[this.chosen];
    if (!zone?.shape) return byId("zone-chosen").replaceChildren();
    const name = make("input", { id: "zone-name", type: "text", maxlength: 60, value: zone.name, spellcheck: "false", autocomplete: "off" });
    name.addEventListener("focus", () => this.remember());
    name.addEventListener("input", () => { zone.name = name.value.trim(); this._showList(); this._canvas.draw(); });
    const remove = make("button", { type: "button", class: "danger", id: "zone-delete", onclick: () => this._delete() }, "Delete zone");
    byId("zone-chosen").replaceChildren(
      make("div", { class: "field" }, make("label", { for: "zone-name" }, "Name"), name, remove),
      make("div", { id: "zone-points", "aria-label": "Points, in pixels of the frame", role: "group" }));
    this._showPoints();
  }

  _showPoints() {
    const shape = this.zones[this.chosen]?.shape;
    const list = document.getElementById("zone-points");
    if (!shape || !list || list.contains(document.activeElement)) return;
    list.replaceChildren(...shape.points.map((point, i) => this._pointFields(shape, point, i)));
  }

  /** @param {Shape} shape @param {number[]} point @param {number} i */
  _pointFields(shape, point, i) {
    const called = pointName(shape, i);
    const field = (/** @type {number} */ axis) => {
      const input = make("input", { type: "number", step: 1, value: Math.round(point[axis]), "aria-label": `${called}, ${"xy"[axis]}` });
      input.addEventListener("change", () => {
        const now = this.zones[this.chosen].shape;
        if (!now || !Number.isFinite(input.valueAsNumber)) return;
        this.remember();
        const [x, y] = now.points[i];
        this.reshape(movePoint(now, i, axis ? [x, input.valueAsNumber] : [input.valueAsNumber, y]));
      });
      return input;
    };
    return make("span", { class: "point" }, called, field(0), field(1));
  }

  _delete() {
    this.remember();
    this.zones.splice(this.chosen, 1);
    this.chosen = this.zones.findIndex((zone) => zone.shape);
    this.changed();
    this._showChosen();
  }

  /** @param {KeyboardEvent} event */
  _undoKey(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !(event.target instanceof HTMLInputElement)) {
      event.preventDefault();
      this.undo();
    }
  }

  /** @param {"check"|"use"|"save"} what */
  async _send(what) {
    const wrong = this.zones.find((zone, i) => this._problem(zone, i));
    if (wrong) return this.tell(`${wrong.name || "A zone"}: ${this._problem(wrong, this.zones.indexOf(wrong))}`, false);
    if (what !== "check" && !(await this._mayChange())) return;
    const written = this._written();
    const value = { zones: written, save: what === "save", dry: what === "check" };
    this.tell("Asking the trigger process…", true);
    const answer = await this._orders.give(this._trigger, "zones", { value });
    if (!answer.ok) return this.tell(String(answer.error), false);
    if (what !== "check") this._base = inOrder(written);
    this.notice();
    const done = { check: "The zones and the rules fit together.", use: "In use. The file is as it was.", save: "Saved, and in use. The file from before is beside it, with .bak." };
    this.tell(done[what], true);
  }

  /** While rules are armed, a zone that moves can switch an output. */
  _mayChange() {
    const armed = this._store.triggers.get(this._trigger)?.armed ?? [];
    if (!armed.length) return Promise.resolve(true);
    return ask({ title: "Rules are armed", text: [`New zones hold at once for ${armed.join(", ")}. An animal that is inside then may switch an output.`],
      yes: "Change the zones", look: "arm" });
  }

  /** The middle of the frame, for a shape that is made by the keyboard. @returns {{x: number, y: number, size: number}} */
  middle() {
    const hello = this._view()?.camera.hello;
    const [width, height] = [hello?.width || 640, hello?.height || 480];
    return { x: Math.round(width / 2), y: Math.round(height / 2), size: Math.round(Math.min(width, height) / 8) };
  }
}

/** What a point of a shape is called. @param {Shape} shape @param {number} i */
export function pointName(shape, i) {
  if (shape.kind === "circle") return ["centre", "edge"][i];
  return shape.kind === "rectangle" ? ["first corner", "second corner"][i] : `corner ${i + 1}`;
}

/** Zones as text that does not depend on their order. @param {Record<string, any>} zones */
function inOrder(zones) {
  return JSON.stringify(Object.entries(zones).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether a shape is another one than in the file. @param {Shape} shape @param {any} spec */
function isOther(shape, spec) {
  const before = spec && readShape(spec);
  return !before || JSON.stringify(before) !== JSON.stringify(shape);
}


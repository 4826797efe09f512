// @ts-check
// Which of box, points, names, trail and zones are drawn on the picture.

import { byId, make } from "./dom.js";

/** @typedef {keyof import("./overlay.js").Layers} LayerName */

const KEPT_AT = "cropzoom.layers";

export class Layers {
  /** @param {() => void} changed */
  constructor(changed) {
    this._changed = changed;
    /** @type {import("./overlay.js").Layers} */
    this.on = { box: true, points: true, names: false, trail: true, zones: true };
    for (const name of this._names()) {
      const kept = localStorage.getItem(`${KEPT_AT}.${name}`);
      if (kept) this.on[name] = kept === "on";
      byId("layers").append(make("button", { type: "button", "data-layer": name, "aria-pressed": String(this.on[name]),
        onclick: () => this.toggle(name) }, name));
    }
  }

  /** @param {LayerName} name */
  toggle(name) {
    this.on[name] = !this.on[name];
    localStorage.setItem(`${KEPT_AT}.${name}`, this.on[name] ? "on" : "off");
    document.querySelector(`[data-layer="${name}"]`)?.setAttribute("aria-pressed", String(this.on[name]));
    this._changed();
  }

  _names() {
    return /** @type {LayerName[]} */ (Object.keys(this.on));
  }
}

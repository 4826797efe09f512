// @ts-check
// Errors of the page itself: shown in a small line, never silent.

import { byId, make } from "./dom.js";

export class Faults {
  constructor() {
    this._count = 0;
    window.addEventListener("error", (event) => this.add(event.message || String(event.error)));
    window.addEventListener("unhandledrejection", (event) => this.add(String(event.reason?.message ?? event.reason)));
  }

  /** @param {string} text */
  add(text) {
    this._count += 1;
    const line = byId("fault");
    const more = this._count > 1 ? ` (${this._count} faults)` : "";
    line.replaceChildren(
      make("span", {}, `Fault of this page: ${text}${more}. Reload it if something looks wrong; the tracking is not concerned.`),
      make("button", { type: "button", class: "quiet", onclick: () => { line.hidden = true; } }, "Dismiss"));
    line.hidden = false;
  }
}

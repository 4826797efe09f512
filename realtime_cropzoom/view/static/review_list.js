// @ts-check
// The list of events, in the order of frames, with a filter. It follows the frame that is wanted.

import { byId, icon, make, setAttribute } from "./dom.js";
import { groupOf, JUMPS, LOOKS } from "./review_looks.js";

const AROUND = 120;

/** @typedef {import("./review_data.js").SessionEvent} SessionEvent */

export class EventList {
  /**
   * @param {import("./review_data.js").SessionData} data
   * @param {(frame: number) => void} go
   */
  constructor(data, go) {
    this._data = data;
    this._go = go;
    this._list = byId("events");
    /** @type {SessionEvent[]} */
    this._passing = [];
    this._from = 0;
    this._at = -2;
    byId("events-kind").addEventListener("change", () => this.filter());
    byId("events-text").addEventListener("input", () => this.filter());
    this._list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this._press(event));
    new ResizeObserver(() => this._choose(this._at)).observe(this._list);
    this._list.addEventListener("click", (/** @type {MouseEvent} */ event) => this._click(event));
  }

  start() {
    const present = new Set(this._data.events.map(groupOf));
    const some = JUMPS.filter(({ groups }) => groups.some((group) => present.has(group)));
    byId("events-kind").replaceChildren(make("option", { value: "" }, `all (${this._data.events.length})`),
      ...some.map(({ kind, label, groups }) => make("option", { value: kind }, `${label} (${this._number(groups)})`)));
    this.filter();
  }

  /** @param {string[]} groups */
  _number(groups) {
    return this._data.events.filter((event) => groups.includes(groupOf(event))).length;
  }

  filter() {
    const groups = JUMPS.find(({ kind }) => kind === byId("events-kind").value)?.groups;
    const text = byId("events-text").value.trim().toLowerCase();
    this._passing = this._data.events.filter((event) => (!groups || groups.includes(groupOf(event)))
      && (!text || `${event.kind} ${event.text} ${event.frame}`.toLowerCase().includes(text)));
    this._at = -2;
    this.show(this._frame ?? 0);
  }

  /** Show where a frame is in the list. @param {number} frame */
  show(frame) {
    this._frame = frame;
    const at = lastUntil(this._passing, frame);
    if (at === this._at) return;
    if (this._at === -2 || at < this._from || at >= this._from + this._list.children.length) this._make(at);
    this._choose(at);
    this._at = at;
  }

  /** @param {number} at */
  _make(at) {
    this._from = Math.max(0, at - AROUND);
    const rows = this._passing.slice(this._from, at + AROUND).map((event, i) => rowOf(event, this._from + i));
    this._list.replaceChildren(...(rows.length ? rows : [make("div", { class: "nothing", role: "option", "aria-disabled": "true" }, "No events of this kind.")]));
  }

  /** @param {number} at */
  _choose(at) {
    this._list.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
    const row = /** @type {HTMLElement|null} */ (at < 0 ? null : this._list.querySelector(`#event-${at}`));
    setAttribute(this._list, "aria-activedescendant", row?.id ?? null);
    if (!row) return;
    row.setAttribute("aria-selected", "true");
    this._reveal(row);
  }

  /** Have a row in view, without moving the page. @param {HTMLElement} row */
  _reveal(row) {
    const [inner, outer] = [row.getBoundingClientRect(), this._list.getBoundingClientRect()];
    if (inner.top < outer.top) this._list.scrollTop -= outer.top - inner.top;
    else if (inner.bottom > outer.bottom) this._list.scrollTop += inner.bottom - outer.bottom;
  }

  /** @param {KeyboardEvent} event */
  _press(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this._pick(Math.min(Math.max(0, this._at + by), this._passing.length - 1));
  }

  /** @param {MouseEvent} event */
  _click(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("[data-at]");
    if (row) this._pick(Number(/** @type {HTMLElement} */ (row).dataset.at));
  }

  /** @param {number} at */
  _pick(at) {
    const event = this._passing[at];
    if (!event) return;
    this._go(event.frame);
    if (at < this._from || at >= this._from + this._list.children.length) this._make(at);
    this._choose(at);
    this._at = at;
  }
}

/** @param {SessionEvent} event @param {number} at */
function rowOf(event, at) {
  const group = groupOf(event);
  const frames = event.last === undefined ? `frame ${event.frame}` : `frames ${event.frame}–${event.last}`;
  const kind = event.kind.replaceAll("_", " ");
  const text = group === "fired" || group === "rule" ? `${kind}: ${event.text}` : event.text || kind;
  return make("div", { class: "event", id: `event-${at}`, role: "option", "aria-selected": "false", "data-at": at, "data-group": group },
    icon(LOOKS[group].icon), make("span", { class: "event-text", title: text }, text), make("span", { class: "event-about" }, frames));
}

/** Index of the last event that begins at a frame or before; -1 if there is none. @param {SessionEvent[]} events @param {number} frame */
export function lastUntil(events, frame) {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle].frame <= frame) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// @ts-check
// The list of events, newest first, with a filter.

import { byId, icon, make } from "./dom.js";
import { clock, words } from "./format.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./types.js").EventMessage} EventMessage */

const MOST_SHOWN = 200;

/** @type {Record<string, {group: string, icon: string}>} */
const LOOKS = {
  marker: { group: "marker", icon: "marker" },
  recording_started: { group: "record", icon: "record" },
  recording_stopped: { group: "record", icon: "ended" },
  fired: { group: "fired", icon: "armed" },
  sham: { group: "rule", icon: "armed" },
  released: { group: "rule", icon: "note" },
  resumed: { group: "rule", icon: "note" },
  refused: { group: "rule", icon: "silent" },
  allowed: { group: "rule", icon: "note" },
  safe: { group: "rule", icon: "disarmed" },
  test: { group: "fired", icon: "armed" },
  armed: { group: "order", icon: "armed" },
  disarmed: { group: "order", icon: "disarmed" },
  order: { group: "order", icon: "order" },
  replaced: { group: "order", icon: "order" },
  trigger_started: { group: "run", icon: "live" },
  trigger_gone: { group: "bad", icon: "silent" },
  setting_changed: { group: "order", icon: "order" },
  publishing_paused: { group: "order", icon: "stalled" },
  publishing_resumed: { group: "order", icon: "live" },
  detect_now: { group: "order", icon: "searching" },
  stop_asked: { group: "order", icon: "ended" },
  lost: { group: "run", icon: "lost" },
  found: { group: "run", icon: "tracking" },
  stalled: { group: "bad", icon: "stalled" },
  silent: { group: "bad", icon: "silent" },
  missed: { group: "bad", icon: "silent" },
  reconnected: { group: "run", icon: "reconnecting" },
  run_started: { group: "run", icon: "live" },
  run_ended: { group: "run", icon: "ended" },
};
const OTHER = { group: "run", icon: "note" };

/** @type {[string, string, string[]][]} value, label, groups */
const FILTERS = [
  ["all", "all", []],
  ["markers", "markers", ["marker"]],
  ["rules", "rules and outputs", ["fired", "rule"]],
  ["orders", "orders", ["order", "record"]],
  ["run", "run and stream", ["run", "bad"]],
];

export class Events {
  /** @param {Store} store */
  constructor(store) {
    this._store = store;
    this._list = byId("events");
    byId("events-kind").append(...FILTERS.map(([value, label]) => make("option", { value }, label)));
    byId("events-kind").addEventListener("change", () => this.showAll());
    byId("events-text").addEventListener("input", () => this.showAll());
    store.on("event", (event) => this._add(event));
    store.on("welcome", () => this.showAll());
  }

  /** Make the list anew. */
  showAll() {
    const shown = [];
    for (let i = this._store.events.length - 1; i >= 0 && shown.length < MOST_SHOWN; i -= 1) {
      if (this._passes(this._store.events[i])) shown.push(row(this._store.events[i]));
    }
    this._list.replaceChildren(...(shown.length ? shown : [make("li", { class: "nothing" }, "Nothing yet.")]));
  }

  /** @param {EventMessage} event */
  _add(event) {
    if (!this._passes(event)) return;
    this._list.querySelector(".nothing")?.remove();
    this._list.prepend(row(event));
    while (this._list.children.length > MOST_SHOWN) this._list.lastElementChild.remove();
  }

  /** @param {EventMessage} event */
  _passes(event) {
    const groups = FILTERS.find(([value]) => value === byId("events-kind").value)?.[2] ?? [];
    if (groups.length && !groups.includes(lookOf(event).group)) return false;
    const wanted = byId("events-text").value.trim().toLowerCase();
    return !wanted || `${event.what} ${event.text} ${event.camera} ${event.trigger}`.toLowerCase().includes(wanted);
  }
}

/** @param {EventMessage} event */
function lookOf(event) {
  return LOOKS[event.what] ?? OTHER;
}

/** @param {EventMessage} event */
function row(event) {
  const look = lookOf(event);
  const about = [event.camera ?? event.trigger, event.frame === null || event.frame === undefined ? null : `frame ${event.frame}`, event.by]
    .filter(Boolean).join(" · ");
  const says = event.text.replace(/^[\s:]+/, ""); // a decision about all rules names none
  const text = event.what === "marker" ? `“${event.text}”` : says ? `${words(event.what)}: ${says}` : words(event.what);
  return make("li", { class: "event", "data-what": event.what, "data-group": look.group },
    make("time", { datetime: new Date(event.t_unix_ms).toISOString(), title: clock(event.t_unix_ms, true) }, clock(event.t_unix_ms)),
    icon(look.icon), make("span", { class: "event-text" }, text), about ? make("span", { class: "event-about" }, about) : null);
}

// @ts-check
// Shortcuts of the keyboard, and the list of them.

import { byId, make } from "./dom.js";

/** @typedef {{key: string, shown?: string, says: string, order?: boolean, hidden?: boolean, always?: boolean, repeats?: boolean, act: (event: KeyboardEvent) => void}} Shortcut */

const KEPT_AT = "cropzoom.keys";

export class Keys {
  /** @param {Shortcut[]} shortcuts  `always`: also while a dialog is open; `repeats`: again while the key is held */
  constructor(shortcuts) {
    this._shortcuts = shortcuts;
    const on = byId("keys-on");
    on.checked = localStorage.getItem(KEPT_AT) !== "off";
    on.addEventListener("change", () => localStorage.setItem(KEPT_AT, on.checked ? "on" : "off"));
    byId("help").addEventListener("click", () => this.help());
    document.addEventListener("keydown", (event) => this._press(event));
  }

  /** Show the list. */
  help() {
    const given = document.body.dataset.orders === "yes";
    const shown = this._shortcuts.filter((shortcut) => !shortcut.hidden && (given || !shortcut.order));
    byId("keys-list").replaceChildren(...shown.flatMap(({ key, shown: name, says }) => [
      make("dt", {}, make("kbd", {}, name ?? key.toUpperCase())), make("dd", {}, says),
    ]));
    if (!byId("keys").open) byId("keys").showModal();
  }

  /** @param {KeyboardEvent} event */
  _press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const shortcut = this._shortcuts.find(({ key }) => key === event.key || key === event.key.toLowerCase());
    if (!shortcut || (shortcut.order && document.body.dataset.orders !== "yes")) return;
    if (event.repeat && !shortcut.repeats) return;
    const escape = event.key === "Escape";
    if (!escape && (isTyping(event.target) || !byId("keys-on").checked)) return;
    if (!shortcut.always && document.querySelector("dialog[open]")) return;
    if (event.key === " " && event.target instanceof HTMLButtonElement) return;
    event.preventDefault();
    shortcut.act(event);
  }
}

/** Whether keys are text there. @param {EventTarget|null} target */
function isTyping(target) {
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
    || (target instanceof HTMLInputElement && target.type !== "checkbox");
}

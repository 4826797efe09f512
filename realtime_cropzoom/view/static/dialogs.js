// @ts-check
// Questions before what cannot be taken back.

import { byId } from "./dom.js";

/**
 * Ask once. The focus is on Cancel, so that a key that is pressed by chance does nothing.
 * @param {object} what
 * @param {string} what.title
 * @param {(Node|string)[]} what.text
 * @param {string} what.yes          what happens, in a word or two: "Arm 3 rules"
 * @param {"main"|"arm"|"danger"} [what.look]
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes, look = "main" }) {
  const dialog = byId("ask");
  if (dialog.open) return Promise.resolve(false);
  byId("ask-title").textContent = title;
  byId("ask-text").replaceChildren(...text);
  byId("ask-yes").textContent = yes;
  byId("ask-yes").className = look;
  dialog.returnValue = "no";
  dialog.showModal();
  byId("ask-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Close what asks: what it asks about has changed. */
export function dropQuestion() {
  const dialog = byId("ask");
  if (dialog.open) dialog.close("no");
}

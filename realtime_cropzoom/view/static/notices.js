// @ts-check
// Answers to orders. What went well leaves after some seconds; what failed stays until it is put away.

import { byId, make } from "./dom.js";
import { clock } from "./format.js";

const SHOWN_MS = 6000;
const MOST = 4;

/** @param {string} text */
export function noteDone(text) {
  const notice = add(text, "notice done");
  setTimeout(() => notice.remove(), SHOWN_MS);
}

/** @param {string} text */
export function noteFailed(text) {
  const notice = add(`${clock(Date.now())} ${text}`, "notice failed");
  notice.setAttribute("role", "alert");
  notice.append(make("button", { type: "button", class: "quiet", onclick: () => notice.remove() }, "Dismiss"));
}

/** @param {string} text @param {string} look */
function add(text, look) {
  const notices = byId("notices");
  const notice = make("div", { class: look }, make("span", {}, text));
  notices.prepend(notice);
  while (notices.children.length > MOST) notices.lastElementChild.remove();
  return notice;
}

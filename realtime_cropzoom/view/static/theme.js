// @ts-check
// Light or dark: as the system has it, until a person chooses.

import { byId, forgetColours, icon } from "./dom.js";

const KEPT_AT = "cropzoom.theme";
const system = window.matchMedia("(prefers-color-scheme: light)");

/** @param {() => void} changed  called when the colours are other ones */
export function startTheme(changed) {
  byId("theme").append(icon("theme"));
  byId("theme").addEventListener("click", () => switchTheme(changed));
  system.addEventListener("change", () => apply(changed));
  apply(changed);
}

/** @param {() => void} changed */
export function switchTheme(changed) {
  const other = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  localStorage.setItem(KEPT_AT, other);
  apply(changed);
}

/** @param {() => void} changed */
function apply(changed) {
  const kept = localStorage.getItem(KEPT_AT);
  document.documentElement.dataset.theme = kept ?? (system.matches ? "light" : "dark");
  forgetColours();
  changed();
}

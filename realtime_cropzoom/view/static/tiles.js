// @ts-check
// Overview: one tile for each camera. A click or Enter shows one camera alone.

import { byId, icon, make, setAttribute, setText } from "./dom.js";
import { fixed } from "./format.js";
import { useIcon } from "./header.js";
import { PictureView } from "./picture.js";
import { glance } from "./words.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./state.js").Camera} Camera */

export class Tiles {
  /**
   * @param {Store} store
   * @param {import("./overlay.js").Layers} layers
   * @param {(camera: string) => void} choose
   */
  constructor(store, layers, choose) {
    this._store = store;
    this._layers = layers;
    this._choose = choose;
    /** @type {Map<string, {tile: any, view: PictureView, state: any, word: any, about: any}>} */
    this._tiles = new Map();
  }

  /** @param {number} nowMs */
  frame(nowMs) {
    for (const { view } of this._tiles.values()) view.frame(nowMs);
  }

  /** @param {string} name */
  viewOf(name) {
    return this._tiles.get(name)?.view ?? null;
  }

  /** @param {boolean} linked */
  show(linked) {
    for (const [name, { tile }] of this._tiles) {
      if (this._store.cameras.has(name)) continue;
      tile.remove();
      this._tiles.delete(name);
    }
    for (const camera of this._store.cameras.values()) {
      const { state, word, about } = this._tiles.get(camera.name) ?? this._add(camera);
      const seen = glance(camera, linked);
      setAttribute(state, "data-state", seen.key);
      useIcon(state.firstElementChild, seen.icon);
      setText(word, seen.word);
      const recording = camera.status?.recording ? "● REC" : "";
      setText(about, [seen.note ?? "", `${fixed(camera.status?.fps)} fps`, recording].filter(Boolean).join(" · "));
    }
  }

  /** Draw all tiles again. */
  refresh() {
    for (const { view } of this._tiles.values()) view.refresh();
  }

  /** @param {Camera} camera */
  _add(camera) {
    const canvas = make("canvas", { "aria-hidden": "true" });
    const note = make("span", { class: "note", hidden: true });
    const word = make("span");
    const state = make("span", { class: "tile-state state-colour" }, icon("waiting"), word);
    const about = make("span", { class: "muted" });
    const tile = make("button", { class: "tile", type: "button", "data-camera": camera.name, onclick: () => this._choose(camera.name) },
      make("span", { class: "frame" }, canvas, note),
      make("span", { class: "tile-foot" }, make("strong", {}, camera.name), about, state));
    byId("tiles").append(tile);
    const made = { tile, view: new PictureView(canvas, note, this._store, camera, this._layers), state, word, about };
    this._tiles.set(camera.name, made);
    return made;
  }
}

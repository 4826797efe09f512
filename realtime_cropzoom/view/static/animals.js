// @ts-check
// The list of several animals, or of the animals of several regions: what each does, and which one the traces show.

import { byId, icon, make, setAttribute, setText } from "./dom.js";
import { useIcon } from "./header.js";
import { animalColour, inkOn } from "./scales.js";

/** @typedef {import("./state.js").Camera} Camera */
/** @typedef {import("./state.js").Subject} Subject */
/** @typedef {{button: any, mark: any, pill: any, word: any}} Row */

export class Animals {
  /** @param {() => void} changed  is called when another animal is chosen */
  constructor(changed) {
    this._changed = changed;
    /** @type {Camera|null} */
    this._camera = null;
    this._names = "";
    /** @type {Row[]} */
    this._rows = [];
  }

  /** @param {Camera|null} camera @param {boolean} linked */
  show(camera, linked) {
    byId("animals-panel").hidden = !camera?.several;
    setText(byId("traces-title"), camera?.several ? `Last minute: ${camera.subject.title}` : "Last minute");
    setText(byId("map-title"), camera?.several ? "Where the animals were" : "Where the animal was");
    if (!camera?.several) return;
    this._camera = camera;
    const names = [camera.name, ...camera.subjects.map(({ name }) => name)].join("\n");
    if (names !== this._names) this._make(camera, names);
    const quiet = !linked || ["ended", "silent"].includes(camera.status?.stream ?? "") || camera.status?.publishing === false;
    camera.subjects.forEach((subject, i) => this._showOne(this._rows[i], subject, quiet));
  }

  /** @param {Camera} camera @param {string} names */
  _make(camera, names) {
    this._names = names;
    const regions = camera.subjects[0].outline.length > 0;
    setText(byId("animals-title"), regions ? "Regions" : "Animals");
    this._rows = camera.subjects.map((subject) => this._row(subject, regions));
    byId("animals").replaceChildren(...this._rows.map(({ button }) => make("li", {}, button)));
  }

  /** @param {Subject} subject @param {boolean} region @returns {Row} */
  _row(subject, region) {
    const [mark, word] = [make("span", { class: "animal-mark" }), make("span")];
    const pill = make("span", { class: "animal-state state-colour" }, icon("waiting"), word);
    const name = make("strong", { class: region ? null : "animal-chip" }, region ? null : make("span", { class: "unseen" }, "Animal "), subject.name);
    if (!region) name.style.background = animalColour(subject.place);
    if (!region) name.style.color = inkOn(animalColour(subject.place));
    const button = make("button", { type: "button", class: "animal", onclick: () => this._choose(subject.place) },
      make("span", { class: "animal-name" }, name, mark), pill);
    return { button, mark, pill, word };
  }

  /** @param {number} place */
  _choose(place) {
    if (!this._camera) return;
    this._camera.chosen = place;
    this._changed();
  }

  /** While nothing is heard, the last state is no news. @param {Row} row @param {Subject} subject @param {boolean} quiet */
  _showOne({ button, mark, pill, word }, subject, quiet) {
    const { state, uncertain } = subject;
    const meetings = subject.history.newest?.meetings ?? 0;
    setAttribute(button, "aria-pressed", String(this._camera?.chosen === subject.place));
    setAttribute(pill, "data-state", quiet ? "none" : state || "none");
    useIcon(pill.firstElementChild, quiet || !state ? "waiting" : state);
    setText(word, quiet && state ? `last ${state}` : state || "no pose yet");
    setAttribute(mark, "data-uncertain", uncertain ? "yes" : null);
    setText(mark, uncertain ? "uncertain" : meetings ? `met ${meetings}×` : "");
    mark.title = meetings ? `It became uncertain ${meetings} times: it may have been taken for another animal since then` : "";
  }
}

// @ts-check
// Settings that a run lets one change while it goes on, within its limits.

import { byId, make, setText } from "./dom.js";
import { words } from "./format.js";

/** @typedef {import("./state.js").Camera} Camera */
/** @typedef {import("./types.js").Settable} Settable */

export class Settings {
  /**
   * @param {import("./orders.js").Orders} orders
   * @param {() => Camera|null} camera   the one whose settings are shown
   */
  constructor(orders, camera) {
    this._orders = orders;
    this._camera = camera;
    this._shown = "";
    byId("settings-close").addEventListener("click", () => this.close());
  }

  get isOpen() {
    return !byId("settings").hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  async open() {
    const camera = this._camera();
    if (!camera?.control) return;
    byId("settings").hidden = false;
    this._shown = "";
    this.show();
    byId("settings-close").focus();
    const answer = await this._orders.ofRun(camera, "state");
    const nothing = Object.keys(camera.settable).length === 0;
    if (!answer.ok) byId("settings-rows").replaceChildren(make("p", { class: "answer failed", role: "alert" }, String(answer.error)));
    else if (nothing) byId("settings-rows").replaceChildren(make("p", { class: "nothing" }, "This run lets nothing be changed while it goes on."));
  }

  close() {
    if (!this.isOpen) return;
    byId("settings").hidden = true;
    byId("settings-open").focus();
  }

  /** Show the settings; a field in which somebody types stays as it is. */
  show() {
    const camera = this._camera();
    if (!this.isOpen || !camera) return;
    setText(byId("settings-title"), `Settings of ${camera.name}`);
    const key = camera.name + Object.keys(camera.settable).join();
    if (key !== this._shown) {
      this._shown = key;
      const rows = Object.entries(camera.settable).map(([name, settable]) => this._row(name, settable));
      const none = make("p", { class: "nothing" }, "Asking the run …");
      byId("settings-rows").replaceChildren(...(rows.length ? rows : [none]));
    }
    for (const [name, settable] of Object.entries(camera.settable)) fill(name, settable);
  }

  /** @param {string} name @param {Settable} settable */
  _row(name, settable) {
    const values = listOf(settable.value);
    const inputs = values.map((_, i) => make("input", {
      type: "number", id: `set-${name}-${i}`, "data-setting": name, required: true,
      min: listOf(settable.least)[i] ?? listOf(settable.least)[0], max: listOf(settable.most)[i] ?? listOf(settable.most)[0],
      step: isWhole(settable) ? 1 : "any", "aria-label": values.length > 1 ? `${words(name)} ${["width", "height"][i] ?? i + 1}` : null,
    }));
    const answer = make("span", { class: "answer", role: "status" });
    const form = make("form", { class: "setting", "data-setting": name, novalidate: true },
      make("label", { for: `set-${name}-0` }, words(name), make("span", { class: "limits" })),
      make("span", { class: "values" }, ...inputs.flatMap((/** @type {Node} */ input, /** @type {number} */ i) => (i ? ["×", input] : [input]))),
      make("button", { type: "submit" }, "Apply"), answer);
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this._apply(name, inputs, answer);
    });
    return form;
  }

  /** @param {string} name @param {HTMLInputElement[]} inputs @param {HTMLElement} answer */
  async _apply(name, inputs, answer) {
    const camera = this._camera();
    const wrong = inputs.find((input) => !input.checkValidity());
    if (!camera) return;
    if (wrong) return tell(answer, wrong.validationMessage, false);
    const values = inputs.map((input) => Number(input.value));
    const value = values.length > 1 ? values : values[0];
    const given = await this._orders.ofRun(camera, "set", { target: name, value });
    tell(answer, given.ok ? `Set to ${values.join(" × ")}` : String(given.error), given.ok);
    if (given.ok) for (const input of inputs) delete input.dataset.edited;
    this.show();
  }
}

/** @param {HTMLElement} answer @param {string} text @param {boolean} ok */
function tell(answer, text, ok) {
  answer.className = ok ? "answer done" : "answer failed";
  answer.textContent = text;
}

/** Show the present values, and put them into the fields that nobody has changed. @param {string} name @param {Settable} settable */
function fill(name, settable) {
  const limits = document.querySelector(`form[data-setting="${name}"] .limits`);
  if (limits) setText(limits, limitsOf(settable));
  listOf(settable.value).forEach((value, i) => {
    const input = /** @type {HTMLInputElement|null} */ (document.getElementById(`set-${name}-${i}`));
    if (!input || input === document.activeElement || input.dataset.edited) return;
    input.value = String(value);
    input.oninput = () => { input.dataset.edited = "yes"; };
  });
}

/** @param {Settable} settable */
function limitsOf({ value, least, most, unit }) {
  const present = listOf(value).join(" × ");
  return `now ${present}; ${listOf(least).join(" × ")} to ${listOf(most).join(" × ")}${unit ? ` ${unit}` : ""}`;
}

/** @param {Settable} settable */
function isWhole({ value, least, most }) {
  return [value, least, most].flatMap(listOf).every(Number.isInteger) && listOf(most)[0] > 2;
}

/** @param {number|number[]} value @returns {number[]} */
function listOf(value) {
  return Array.isArray(value) ? value : [value];
}

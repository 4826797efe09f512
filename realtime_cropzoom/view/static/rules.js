// @ts-check
// The rules and outputs of the trigger processes. Arming asks once; disarming is immediate.

import { byId, icon, make, setAttribute } from "./dom.js";
import { ask, dropQuestion } from "./dialogs.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./orders.js").Orders} Orders */
/** @typedef {import("./types.js").TriggerMessage} TriggerMessage */
/** @typedef {import("./types.js").RuleState} RuleState */

export class Rules {
  /** @param {Store} store @param {Orders} orders */
  constructor(store, orders) {
    this._store = store;
    this._orders = orders;
    this._shown = "";
    byId("arm-all").addEventListener("click", () => this.arm());
    byId("disarm-all").addEventListener("click", () => this.disarm());
    byId("disarm-now").addEventListener("click", () => this.disarm());
  }

  /** Disarm all rules of all processes, at once. */
  async disarm() {
    dropQuestion();
    const triggers = [...this._store.triggers.values()];
    await Promise.all(triggers.map((trigger) =>
      this._orders.tell(trigger.name, "disarm", {}, `${trigger.name}: disarmed`, `${trigger.name} IS NOT DISARMED`),
    ));
  }

  /** Ask, then arm all rules that are not armed. */
  async arm() {
    const triggers = this._store.connectedTriggers();
    const rules = triggers.flatMap((trigger) => trigger.rules.filter((rule) => !rule.armed));
    if (!rules.length) return;
    if (!(await this._askToArm(triggers, rules))) return;
    for (const trigger of triggers) {
      await this._orders.tell(trigger.name, "arm", {}, `${trigger.name}: armed`, `${trigger.name} is not armed`);
    }
  }

  /** @param {TriggerMessage} trigger @param {RuleState} rule */
  async _armOne(trigger, rule) {
    if (!(await this._askToArm([trigger], [rule]))) return;
    await this._orders.tell(trigger.name, "arm", { target: rule.name }, `${rule.name}: armed`, `${rule.name} is not armed`);
  }

  /** @param {TriggerMessage[]} triggers @param {RuleState[]} rules */
  _askToArm(triggers, rules) {
    const outputs = [...new Set(rules.flatMap((rule) => rule.outputs))];
    const dry = triggers.every((trigger) => trigger.dry_run);
    const kindOf = (/** @type {string} */ name) => triggers.map((trigger) => trigger.outputs[name]?.kind).find(Boolean);
    const lines = outputs.map((name) => make("li", {}, make("strong", {}, name), kindOf(name) ? `, ${kindOf(name)}` : ""));
    const says = dry
      ? "This is a dry run: the rules decide, and nothing is switched."
      : "From then on the animal switches these outputs:";
    const text = [make("p", {}, `Rules: ${rules.map((rule) => rule.name).join(", ")}`), make("p", {}, says), make("ul", {}, ...lines),
      make("p", { class: "muted" }, "D disarms at once.")];
    const yes = rules.length > 1 ? `Arm ${rules.length} rules` : "Arm this rule";
    return ask({ title: rules.length > 1 ? "Arm the rules?" : `Arm ${rules[0].name}?`, text, yes, look: "arm" });
  }

  /** @param {TriggerMessage} trigger @param {string} output */
  async _test(trigger, output) {
    const kind = trigger.outputs[output]?.kind;
    const text = [`One marked test pulse on ${output}${kind ? ` (${kind})` : ""}, armed or not. Is the way free?`];
    if (!(await ask({ title: `Test ${output}?`, text, yes: "Give the pulse", look: "arm" }))) return;
    await this._orders.tell(trigger.name, "test", { target: output }, `${output}: test pulse given`, `${output}: no test pulse`);
  }

  /** Show the rules, if anything about them is other than before. */
  show() {
    const triggers = [...this._store.triggers.values()];
    const key = JSON.stringify([triggers.map(({ name, link, rules, outputs, dry_run, rules_file }) => [name, link, rules, outputs, dry_run, rules_file])]);
    if (key === this._shown) return;
    this._shown = key;
    const focus = document.activeElement?.getAttribute("data-focus");
    const nothing = make("p", { class: "nothing" }, "No trigger process runs.");
    byId("rules").replaceChildren(...(triggers.length ? triggers.flatMap((trigger) => this._trigger(trigger)) : [nothing]));
    if (focus) /** @type {HTMLElement|null} */ (document.querySelector(`[data-focus="${CSS.escape(focus)}"]`))?.focus();
    byId("arm-all").disabled = !this._store.connectedTriggers().some((trigger) => trigger.rules.some((rule) => !rule.armed));
    byId("disarm-all").disabled = triggers.length === 0;
    byId("zones-open").disabled = this._store.connectedTriggers().length === 0;
  }

  /** @param {TriggerMessage} trigger @returns {Node[]} */
  _trigger(trigger) {
    const about = trigger.link === "gone" ? "gone: it no longer answers" : trigger.dry_run ? "dry run: nothing is switched" : "";
    const head = make("div", { class: "trigger-name", "data-trigger": trigger.name },
      make("span", {}, trigger.rules_file.split("/").pop() || trigger.name), make("strong", {}, about));
    if (trigger.link === "gone") return [head];
    return [head, ...trigger.rules.map((rule) => this._rule(trigger, rule)),
      ...Object.entries(trigger.outputs).map(([name, output]) => this._output(trigger, name, output))];
  }

  /** @param {TriggerMessage} trigger @param {RuleState} rule */
  _rule(trigger, rule) {
    const zones = rule.zones.length ? `${rule.zones.join(", ")} → ` : "→ ";
    const give = rule.armed
      ? () => this._orders.tell(trigger.name, "disarm", { target: rule.name }, `${rule.name}: disarmed`, `${rule.name} IS NOT DISARMED`)
      : () => this._armOne(trigger, rule);
    return make("div", { class: "rule", "data-rule": rule.name, "data-armed": rule.armed ? "yes" : "no", "data-holding": rule.holding ? "yes" : "no" },
      icon(rule.armed ? "armed" : "disarmed"),
      make("span", { class: "rule-text" }, make("strong", {}, rule.name),
        make("span", {}, `${zones}${rule.outputs.join(", ")}`)),
      make("button", { type: "button", class: "order", "data-focus": `rule ${trigger.name} ${rule.name}`, onclick: give,
        "aria-label": `${rule.armed ? "Disarm" : "Arm"} ${rule.name}` }, rule.armed ? "Disarm" : "Arm…"));
  }

  /** @param {TriggerMessage} trigger @param {string} name @param {import("./types.js").OutputState} output */
  _output(trigger, name, output) {
    const { level } = output;
    const on = level === true || level === 1 || level === "on" || level === "high";
    const row = make("div", { class: "output", "data-output": name },
      make("span", {}, make("strong", {}, name), make("span", { class: "muted" }, ` ${output.kind}`),
        output.error ? make("span", { class: "failed" }, ` ${output.error}`) : null),
      make("span", { class: "level" }, level === undefined || level === null ? "" : on ? "ON" : "off"),
      make("button", { type: "button", class: "order", "data-focus": `test ${trigger.name} ${name}`,
        onclick: () => this._test(trigger, name), "aria-label": `Test pulse on ${name}` }, "Test…"));
    setAttribute(row, "data-on", on ? "yes" : "no");
    return row;
  }
}

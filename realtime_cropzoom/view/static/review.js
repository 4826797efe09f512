// @ts-check
// The page of a finished session: what belongs to what, the keys, and the drawing before each repaint.

import { byId, icon, make, setAttribute, setText } from "./dom.js";
import { Faults } from "./faults.js";
import { count } from "./format.js";
import { Keys } from "./keys.js";
import { Layers } from "./layers.js";
import { noteDone, noteFailed } from "./notices.js";
import { SessionData } from "./review_data.js";
import { showRow, showSession, showState } from "./review_facts.js";
import { EventList, lastUntil } from "./review_list.js";
import { groupOf, JUMPS } from "./review_looks.js";
import { PictureView } from "./review_picture.js";
import { Pictures } from "./review_pictures.js";
import { Player, SPEEDS } from "./review_player.js";
import { timeText } from "./review_times.js";
import { TimelineView } from "./review_timeline.js";
import { drawScale } from "./scale_bar.js";
import { startTheme, switchTheme } from "./theme.js";

const VIDEO_ASKED_MS = 400;

class ReviewPage {
  constructor() {
    this.faults = new Faults();
    this.data = new SessionData();
    this.pictures = new Pictures(() => this.player?.came());
    this.player = new Player(this.data, this.pictures, (moved) => this.changed(moved));
    this.layers = new Layers(() => this.redraw());
    this.view = new PictureView(byId("picture"), byId("picture-note"), this.data, this.layers.on);
    this.timeline = new TimelineView(byId("timeline"), byId("timeline-canvas"), this.data, {
      go: (frame) => this.player.go(frame),
      scrubbing: (is) => this.scrub(is),
      readout: (text) => setText(byId("readout"), text),
    });
    this.list = new EventList(this.data, (frame) => this.visit(frame));
    this._dirty = true;
    /** What was drawn last. @type {import("./review_player.js").Shown|null} */
    this.drawn = null;
  }

  async start() {
    this.wire();
    startTheme(() => this.redraw());
    this.keys = new Keys(this.shortcuts());
    requestAnimationFrame((nowMs) => this.paint(nowMs));
    await this.data.open();
    showSession(this.data);
    this.list.start();
    this.fillJumps();
    byId("go-frame").value = "0";
    setText(byId("of"), `of ${count(this.data.count)}`);
    setAttribute(byId("timeline"), "aria-valuemax", String(this.data.count - 1));
    byId("layers").querySelector('[data-layer="zones"]').hidden = !Object.keys(this.data.facts.zones ?? {}).length;
    this.timeline.showAll();
    this.player.go(frameOfHash() ?? 0);
    await this.followVideo();
  }

  /** Wait until the pictures are found. Until then the poses are shown without them. */
  async followVideo() {
    for (;;) {
      const { state, title, progress } = await this.data.video();
      showSession(this.data);
      this.pictures.none = state === "ready" ? "" : state === "none" ? `No pictures: ${title}` : `The video is being read, ${Math.round(100 * progress)} %`;
      this.pictures.forget();
      this.redraw();
      if (state !== "indexing") break;
      await new Promise((resolve) => setTimeout(resolve, VIDEO_ASKED_MS));
    }
    this.pictures.fit(this.view.pixels);
    this.player.came();
  }

  wire() {
    for (const [id, name] of [["screenshot", "camera"], ["back", "back"], ["on", "on"], ["previous", "previous"], ["next", "next"], ["copy", "link"], ["play", "play"]]) {
      byId(id).append(icon(name));
    }
    byId("speed").append(...SPEEDS.map((speed) => make("option", { value: speed, selected: speed === 1 }, `${speed}×`)));
    byId("speed").addEventListener("change", () => this.player.faster(SPEEDS.indexOf(Number(byId("speed").value)) - SPEEDS.indexOf(this.player.speed)));
    const clicks = /** @type {[string, () => void][]} */ ([
      ["play", () => this.player.toggle()], ["back", () => this.player.step(-1)], ["on", () => this.player.step(1)],
      ["previous", () => this.jump(-1)], ["next", () => this.jump(1)], ["copy", () => this.copyLink()],
      ["screenshot", () => this.screenshot()], ["zoom-in", () => this.timeline.zoom(0.5)], ["zoom-out", () => this.timeline.zoom(2)],
      ["zoom-all", () => this.timeline.showAll()],
    ]);
    for (const [id, does] of clicks) byId(id).addEventListener("click", does);
    for (const id of ["speed", "jump-kind", "events-kind"]) byId(id).addEventListener("change", () => giveKeysBack(byId(id)));
    byId("go").addEventListener("submit", (/** @type {Event} */ event) => this.goTyped(event));
    byId("go-frame").addEventListener("focus", () => byId("go-frame").select());
    byId("timeline").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.pressTimeline(event));
    window.addEventListener("hashchange", () => this.visit(frameOfHash() ?? this.player.wanted));
    new ResizeObserver(() => this.resized()).observe(byId("frame"));
  }

  resized() {
    this.pictures.fit(this.view.pixels);
    this.redraw();
  }

  /** Draw all again. */
  redraw() {
    this._dirty = true;
    this.timeline?.recolour();
    drawScale(byId("likelihood-scale"));
  }

  /** @param {boolean} moved  whether a frame is other than before */
  changed(moved) {
    this._dirty = true;
    const { playing, wanted, shown } = this.player;
    setAttribute(byId("play"), "aria-label", playing ? "Pause" : "Play");
    setAttribute(byId("play"), "title", `${playing ? "Pause" : "Play"} (space)`);
    byId("play").replaceChildren(icon(playing ? "pause" : "play"));
    byId("speed").value = String(this.player.speed);
    if (!moved) return;
    if (document.activeElement !== byId("go-frame")) byId("go-frame").value = String(wanted);
    if (!playing && shown?.frame === wanted) history.replaceState(null, "", `#frame=${wanted}`);
  }

  /** @param {number} nowMs */
  paint(nowMs) {
    requestAnimationFrame((next) => this.paint(next));
    this.player.tick(nowMs);
    if (this._dirty && this.data.facts) {
      this._dirty = false;
      this.show();
    }
    this.timeline.draw();
  }

  show() {
    const { shown, wanted, playing } = this.player;
    this.view.draw(shown);
    this.drawn = shown;
    this.timeline.show(playing && shown ? shown.frame : wanted);
    this.list.show(shown?.frame ?? wanted);
    showState(this.data, shown);
    setAttribute(byId("timeline"), "aria-valuenow", String(wanted));
    setAttribute(byId("timeline"), "aria-valuetext", [`frame ${wanted}`, timeText(shown?.row.seconds), shown?.row.state].filter(Boolean).join(", "));
    if (shown) showRow(this.data, shown);
    this.showLink();
  }

  showLink() {
    byId("link").hidden = !this.pictures.isCut;
    if (this.pictures.isCut) setText(byId("link"), "No connection to cropzoom view: it was ended, or begun anew with another token.");
  }

  /** Go to a frame, and have it in view. @param {number} frame */
  visit(frame) {
    this.player.pause();
    this.player.go(frame);
  }

  /** @param {boolean} is */
  scrub(is) {
    this.player.scrubbing = is;
    if (is) this.player.pause();
    else this.player.came();
  }

  fillJumps() {
    const number = (/** @type {string[]} */ groups) => this.data.events.filter((event) => groups.includes(groupOf(event))).length;
    const select = byId("jump-kind");
    select.replaceChildren(...JUMPS.map(({ kind, label, key, groups }) => make("option", { value: kind, disabled: !number(groups) }, `${label} (${number(groups)})  ${key.toUpperCase()}`)));
    const first = JUMPS.find(({ groups }) => number(groups));
    if (first) select.value = first.kind;
    for (const id of ["previous", "next"]) byId(id).disabled = !first;
  }

  /**
   * Go to the next event of a kind, or the one before.
   * @param {1|-1} by @param {string} [kind]  the one that is chosen, if none is given
   */
  jump(by, kind = byId("jump-kind").value) {
    const which = JUMPS.find((jump) => jump.kind === kind);
    const events = this.data.events.filter((event) => which?.groups.includes(groupOf(event)));
    if (!which || !events.length) return this.say(`There are no ${which?.label ?? "such events"} in this session`);
    byId("jump-kind").value = kind;
    const { wanted } = this.player;
    const event = by > 0 ? events[lastUntil(events, wanted) + 1] : events[lastUntil(events, wanted - 1)];
    if (!event) return this.say(`There are no ${which.label} ${by > 0 ? "after" : "before"} this frame`);
    this.visit(event.frame);
    this.say(`frame ${event.frame}: ${event.text}`);
    return undefined;
  }

  /** @param {string} text */
  say(text) {
    setText(byId("readout"), text);
    setText(byId("said"), text);
  }

  /** @param {Event} event */
  goTyped(event) {
    event.preventDefault();
    const typed = byId("go-frame").value.replaceAll(/[\s,.]/g, "");
    if (!/^\d+$/.test(typed) || Number(typed) >= this.data.count) {
      this.say(`Frames go from 0 to ${count(this.data.count - 1)}`);
      byId("go-frame").select();
      return;
    }
    byId("go-frame").blur();
    this.visit(Number(typed));
  }

  /** The keys of a slider that the page does not have anyway. @param {KeyboardEvent} event */
  pressTimeline(event) {
    const by = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.player.step(by);
  }

  async copyLink() {
    const address = `${location.origin}/#frame=${this.player.wanted}`;
    try {
      await navigator.clipboard.writeText(address);
      noteDone(`Copied: ${address}`);
    } catch {
      noteFailed(`The browser does not let this page copy. The link is ${address}`);
    }
  }

  async screenshot() {
    try {
      if (!this.player.shown) throw new Error("there is no picture yet");
      noteDone(`Saved as ${await this.view.save(this.player.shown)}`);
    } catch (error) {
      noteFailed(`The picture is not saved: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @returns {import("./keys.js").Shortcut[]} */
  shortcuts() {
    const step = (/** @type {number} */ by) => (/** @type {KeyboardEvent} */ event) => this.player.step(event.shiftKey ? 10 * by : by);
    return [
      { key: " ", shown: "Space", says: "play, or pause", act: () => this.player.toggle() },
      { key: "ArrowRight", shown: "→", says: "one frame on; with Shift ten", repeats: true, act: step(1) },
      { key: "ArrowLeft", shown: "←", says: "one frame back; with Shift ten", repeats: true, act: step(-1) },
      { key: "Home", says: "first frame", act: () => this.visit(0) },
      { key: "End", says: "last frame", act: () => this.visit(this.data.count - 1) },
      { key: "g", says: "go to a frame", act: () => byId("go-frame").focus() },
      ...JUMPS.map(({ kind, one, key }) => ({ key, says: `next ${one}; with Shift the one before`, repeats: true,
        act: (/** @type {KeyboardEvent} */ event) => this.jump(event.shiftKey ? -1 : 1, kind) })),
      { key: "n", says: "next one of the kind that is chosen", repeats: true, act: () => this.jump(1) },
      { key: "p", says: "the one before", repeats: true, act: () => this.jump(-1) },
      { key: "[", says: "slower", act: () => this.player.faster(-1) },
      { key: "]", says: "faster", act: () => this.player.faster(1) },
      { key: "+", says: "timeline: closer", repeats: true, act: () => this.timeline.zoom(0.5) },
      { key: "=", says: "", hidden: true, repeats: true, act: () => this.timeline.zoom(0.5) },
      { key: "-", shown: "−", says: "timeline: wider", repeats: true, act: () => this.timeline.zoom(2) },
      { key: "0", says: "timeline: the whole session", act: () => this.timeline.showAll() },
      { key: "k", says: "names of the keypoints", act: () => this.layers.toggle("names") },
      { key: "b", says: "the box", act: () => this.layers.toggle("box") },
      { key: "y", says: "copy a link to this frame", act: () => this.copyLink() },
      { key: "c", says: "save the picture", act: () => this.screenshot() },
      { key: "t", says: "light or dark", act: () => switchTheme(() => this.redraw()) },
      { key: "Escape", shown: "Esc", says: "leave a field", act: () => /** @type {HTMLElement} */ (document.activeElement)?.blur() },
      { key: "?", says: "this list", act: () => this.keys?.help() },
    ];
  }
}

/** After a choice with the mouse, the keys are those of the page again. @param {HTMLElement} element */
function giveKeysBack(element) {
  if (!element.matches(":focus-visible")) element.blur();
}

/** The frame that the address names; null if it names none. */
function frameOfHash() {
  const found = /^#frame=(\d{1,12})$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

const page = new ReviewPage();
page.start().catch((error) => page.faults.add(String(error?.message ?? error)));

/** For tests and the curious: what the page shows. */
Object.defineProperty(window, "cropzoom", {
  value: {
    page,
    get shown() {
      const { wanted, playing } = page.player;
      const shown = page.drawn;
      return { frame: shown?.frame ?? null, wanted, playing, state: shown?.row.state ?? null, picture: Boolean(shown?.picture.image),
        why: shown?.picture.why ?? null, view: page.view.view, first: page.timeline.first, count: page.timeline.count };
    },
  },
});

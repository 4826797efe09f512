// @ts-check
// The live page of `cropzoom view`: brings its parts together.

import { Animals } from "./animals.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { byId, fitCanvas, icon, make, setText } from "./dom.js";
import { Events } from "./events.js";
import { clock } from "./format.js";
import { Header } from "./header.js";
import { drawHistogram } from "./histogram.js";
import { Keys } from "./keys.js";
import { drawMap } from "./map.js";
import { noteDone, noteFailed } from "./notices.js";
import { Numbers } from "./numbers.js";
import { Orders } from "./orders.js";
import { STALE_MS } from "./pairing.js";
import { PictureDecoder, PictureView } from "./picture.js";
import { Rules } from "./rules.js";
import { likelihoodColour } from "./scales.js";
import { saveScreenshot } from "./screenshot.js";
import { Settings } from "./settings.js";
import { Store } from "./state.js";
import { startTheme, switchTheme } from "./theme.js";
import { Tiles } from "./tiles.js";
import { BIN_MS } from "./trace_bins.js";
import { Traces } from "./traces.js";
import { ZoneEditor } from "./zones.js";
import { Faults } from "./faults.js";
import { Layers } from "./layers.js";

const TEXTS_MS = 200;
/** As often as a bin of the traces is full. */
const TRACES_MS = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : BIN_MS;

class Page {
  constructor() {
    this.faults = new Faults();
    this.store = new Store();
    const decoder = new PictureDecoder(this.store);
    this.connection = new Connection({
      onMessage: (message) => this.store.take(message),
      onPicture: (header, jpeg) => decoder.take(header, jpeg),
      onLink: () => this.showLink(),
    });
    /** @type {string|null} the camera that is looked at; null: all */
    this.chosen = null;
    /** @type {PictureView|null} */
    this.view = null;
    this.layers = new Layers(() => this.redraw());
    const choose = (/** @type {string|null} */ camera) => this.choose(camera);
    this.header = new Header(this.store, choose);
    this.tiles = new Tiles(this.store, this.layers.on, choose);
    this.numbers = new Numbers();
    this.animals = new Animals(() => { this.redraw(); this.showTexts(); });
    this.traces = new Traces();
    this.events = new Events(this.store);
    this.orders = new Orders(this.connection, this.store);
    this.controls = new Controls(this.orders, () => this.lookedAt());
    this.rules = new Rules(this.store, this.orders);
    this.settings = new Settings(this.orders, () => this.camera());
    this.zones = new ZoneEditor(this.store, this.orders, () => this.view);
    this._tracesAtMs = 0;
    this._awake = false;
  }

  start() {
    this.listen();
    byId("screenshot").append(icon("camera"));
    byId("settings-open").addEventListener("click", () => this.openSettings());
    byId("zones-open").addEventListener("click", () => this.openZones());
    byId("screenshot").addEventListener("click", () => this.screenshot());
    startTheme(() => this.redraw());
    new ResizeObserver(() => measureBar()).observe(byId("bar"));
    drawScale();
    this.keys = new Keys(this.shortcuts());
    document.addEventListener("visibilitychange", () => this.askForPictures());
    window.addEventListener("hashchange", () => this.follow());
    window.addEventListener("resize", () => this.redraw());
    this.connection.open();
    setInterval(() => this.showTexts(), TEXTS_MS);
  }

  /** Draw before the next repaint. Nothing is drawn that nobody asked for: a page that is open all day costs little. */
  wake() {
    if (this._awake) return;
    this._awake = true;
    requestAnimationFrame((nowMs) => {
      this._awake = false;
      this.frame(nowMs);
    });
  }

  /** New poses are drawn if a picture waits for one, or if no pictures come. @param {string} name */
  wakeForPoses(name) {
    const pairing = this.store.cameras.get(name)?.pairing;
    if (pairing && (pairing.waits || pairing.ageMs(performance.now()) > STALE_MS)) this.wake();
  }

  listen() {
    const { store } = this;
    store.on("welcome", ({ orders }) => { document.body.dataset.orders = orders ? "yes" : "no"; });
    store.on("picture", () => this.wake());
    store.on("poses", ({ camera }) => this.wakeForPoses(camera));
    store.on("cameras", () => this.follow());
    store.on("camera", () => { this.offerTraces(); this.redraw(); this.askForPictures(); });
    store.on("latency", ({ camera }) => { if (camera === this.chosen) drawHistogram(this.camera()?.latency ?? null); });
    store.on("map", ({ camera }) => { if (camera === this.chosen) this.drawMap(); });
    store.on("trigger", () => { this.rules.show(); this.zones.notice(); this.wake(); });
    store.on("triggers", () => this.rules.show());
    store.on("settable", () => this.settings.show());
    store.on("fault", (text) => this.faults.add(text));
  }

  /** The camera whose numbers are shown. */
  camera() {
    return this.chosen === null ? null : this.store.cameras.get(this.chosen) ?? null;
  }

  /** The cameras that orders go to. */
  lookedAt() {
    const camera = this.camera();
    return camera ? [camera] : [...this.store.cameras.values()];
  }

  /** Look at the camera that the address names; at the only one, or else at all. */
  follow() {
    const names = [...this.store.cameras.keys()];
    const wanted = decodeURIComponent(location.hash.slice(1));
    this.look(names.includes(wanted) ? wanted : names.length === 1 ? names[0] : null);
  }

  /** @param {string|null} camera */
  choose(camera) {
    if (camera === null && this.store.cameras.size < 2) return;
    const hash = camera === null ? "" : `#${encodeURIComponent(camera)}`;
    if (location.hash !== hash) history.pushState(null, "", hash || location.pathname);
    this.look(camera);
  }

  /** @param {string|null} name */
  look(name) {
    const same = name === this.chosen && this.view?.camera === this.camera();
    if (!same) {
      this.settings.close();
      this.zones.close();
    }
    this.chosen = name;
    const camera = this.camera();
    const overview = camera === null && this.store.cameras.size > 0;
    document.body.dataset.view = overview ? "tiles" : "one";
    byId("tiles").hidden = !overview;
    if (!same) this.view = camera ? new PictureView(byId("picture"), byId("picture-note"), this.store, camera, this.layers.on) : null;
    this.offerTraces();
    this.askForPictures();
    this.redraw();
    this.showTexts();
  }

  offerTraces() {
    const camera = this.camera();
    if (camera) this.traces.offer(camera);
  }

  /** A hidden page asks for no pictures. */
  askForPictures() {
    const shown = document.hidden ? [] : this.lookedAt().filter((camera) => camera.hello?.preview);
    this.connection.show(shown.map((camera) => camera.name));
  }

  /** @param {number} nowMs */
  frame(nowMs) {
    if (this.chosen === null) return this.tiles.frame(nowMs);
    this.view?.frame(nowMs);
    this.zones.frame();
    const camera = this.camera();
    if (camera && nowMs - this._tracesAtMs >= TRACES_MS) {
      this._tracesAtMs = nowMs;
      const events = this.store.events.filter((event) => event.camera === null || event.camera === camera.name);
      this.traces.draw(camera, this.store.nowMs(), events);
    }
  }

  /** Draw again what draws itself only when something has changed. */
  redraw() {
    this.view?.refresh();
    this.tiles.refresh();
    this.drawMap();
    drawHistogram(this.camera()?.latency ?? null);
    drawScale();
    this.wake();
  }

  drawMap() {
    const camera = this.camera();
    drawMap(camera?.map ?? null, camera?.hello ?? null);
  }

  showTexts() {
    this.header.linked = this.connection.link.state === "open";
    this.header.show(this.chosen);
    if (this.chosen === null) this.tiles.show(this.header.linked);
    this.numbers.show(this.camera());
    this.animals.show(this.camera(), this.header.linked);
    this.controls.show(this.header.linked);
    this.rules.show();
    this.showCaption();
    this.showLink();
    this.wake();
  }

  showCaption() {
    const camera = this.camera();
    if (!camera && !this.store.cameras.size) {
      byId("picture-note").hidden = false;
      setText(byId("picture-note"), `Waits ${this.header.waitsFor()}`);
    }
    const picture = camera?.pairing.picture;
    const pose = this.view?.pose;
    const parts = [camera?.name, picture ? `frame ${picture.frame}` : "", pose ? clock(pose.timeMs, true) : "",
      picture && !pose ? "no pose for this frame" : "", this.store.dropped ? `this browser is too slow: ${this.store.dropped} batches of poses left out` : "", !camera?.several && pose?.plausible === false ? "pose not plausible" : ""];
    setText(byId("caption-text"), parts.filter(Boolean).join(" · "));
  }

  showLink() {
    const { link } = this.connection;
    const line = byId("link");
    line.hidden = link.state === "open" || (link.state === "opening" && !this.store.welcome);
    if (line.hidden) return;
    const inS = Math.max(0, Math.ceil((link.retryAtMs - performance.now()) / 1000));
    const again = link.state === "opening" ? "Trying now." : `Next try in ${inS} s.`;
    const text = link.state === "refused"
      ? `cropzoom view runs anew, with another token. Open the address that it printed. ${again}`
      : `No connection to cropzoom view. What you see is old. ${again}`;
    if (!line.firstChild) line.append(make("span"), make("button", { type: "button", onclick: () => this.connection.retryNow() }, "Try now"));
    setText(line.firstElementChild, text);
  }

  async screenshot() {
    const view = this.view ?? this.tiles.viewOf(this.lookedAt()[0]?.name);
    try {
      if (!view) throw new Error("there is no picture yet");
      noteDone(`Saved as ${await saveScreenshot(this.store, view)}`);
    } catch (error) {
      noteFailed(`The picture is not saved: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Settings belong to one run. */
  openSettings() {
    if (this.camera()) this.settings.toggle();
    else noteFailed("Choose a camera first: its settings are its own");
  }

  /** Zones lie on one picture: that of the camera that the rules listen to. */
  openZones() {
    const [trigger] = this.store.connectedTriggers();
    if (!this.camera() && trigger?.camera && this.store.cameras.has(trigger.camera)) this.choose(trigger.camera);
    if (!trigger) noteFailed("No trigger process runs: zones belong to its rules file");
    else if (this.camera()) this.zones.toggle();
    else noteFailed("Choose a camera first: zones are drawn on its picture");
  }

  back() {
    if (this.settings.isOpen) this.settings.close();
    else if (this.zones.isOpen) this.zones.close();
    else if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur();
    else this.choose(null);
  }

  /** @param {number} number */
  chooseNumber(number) {
    const name = [...this.store.cameras.keys()][number - 1];
    if (name !== undefined) this.choose(name);
  }

  /** Hold the picture, or let it go on. */
  freeze() {
    if (this.view) this.view.frozen = !this.view.frozen;
  }

  /** @returns {import("./keys.js").Shortcut[]} */
  shortcuts() {
    const numbers = Array.from({ length: 9 }, (_, i) => ({ key: String(i + 1), says: `camera ${i + 1}`, act: () => this.chooseNumber(i + 1) }));
    numbers[0].says = "camera 1, and so on to 9";
    return [
      { key: "d", says: "disarm all rules, at once", order: true, always: true, act: () => this.rules.disarm() },
      { key: "a", says: "arm the rules (asks)", order: true, act: () => this.rules.arm() },
      { key: "m", says: "write a marker; Enter puts it, ↑ brings the last texts", order: true, act: () => byId("marker-text").focus() },
      { key: "r", says: "record, or stop (asks)", order: true, act: () => this.controls.record() },
      { key: "p", says: "pause publishing, or resume", order: true, act: () => this.controls.pause() },
      { key: "f", says: "find: detect now", order: true, act: () => this.controls.detect() },
      { key: "s", says: "settings of the run", order: true, act: () => this.openSettings() },
      { key: "z", says: "zones", order: true, act: () => this.openZones() },
      { key: " ", shown: "Space", says: "hold the picture, or go on", act: () => this.freeze() },
      { key: "l", says: "names of the keypoints", act: () => this.layers.toggle("names") },
      { key: "c", says: "save the picture", act: () => this.screenshot() },
      { key: "t", says: "light or dark", act: () => switchTheme(() => this.redraw()) },
      ...numbers.map((shortcut, i) => ({ ...shortcut, hidden: i > 0 })),
      { key: "Escape", shown: "Esc", says: "close, or back to all cameras", act: () => this.back() },
      { key: "?", says: "this list", act: () => this.keys?.help() },
    ];
  }
}

/** What is fixed to the window begins below the bar. */
function measureBar() {
  document.documentElement.style.setProperty("--bar", `${byId("bar").offsetHeight}px`);
}

/** The colours of likelihood, for the legend. */
function drawScale() {
  const { ctx, width, height } = fitCanvas(byId("likelihood-scale"));
  for (let x = 0; x < width; x += 1) {
    ctx.fillStyle = likelihoodColour(x / (width - 1));
    ctx.fillRect(x, 0, 1, height);
  }
}

const page = new Page();
page.start();

/** For tests and the curious: what the page shows. */
Object.defineProperty(window, "cropzoom", {
  value: {
    page,
    store: page.store,
    /** @param {string} [name] */
    shown(name) {
      const camera = page.store.cameras.get(name ?? page.chosen ?? "");
      const view = page.view?.camera === camera ? page.view : camera && page.tiles.viewOf(camera.name);
      if (!camera || !view) return null;
      return {
        camera: camera.name,
        run: camera.hello?.run ?? null,
        pictureFrame: camera.pairing.picture?.frame ?? null,
        poseFrame: view.pose?.frame ?? null,
        newestFrame: camera.history.newest?.frame ?? null,
        state: camera.state,
        stream: camera.status?.stream ?? null,
        pictures: camera.pictures,
        draws: view.draws,
        view: view.view,
      };
    },
    get link() {
      return page.connection.link.state;
    },
  },
});

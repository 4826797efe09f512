// @ts-check
// The picture of one camera, with the pose of exactly its frame. If no pictures come, the newest pose is drawn on the
// last one, dimmed, and a note says so.

import { fitCanvas, setText } from "./dom.js";
import { clock } from "./format.js";
import { drawOverlay, fitFrame } from "./overlay.js";
import { STALE_MS } from "./pairing.js";
import { animalColour } from "./scales.js";

/** @typedef {import("./state.js").Camera} Camera */
/** @typedef {import("./state.js").Store} Store */

const TRAIL_MS = 2000;
const DIMMED = 0.45;

export class PictureView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} note     shows why the picture is not live
   * @param {Store} store
   * @param {Camera} camera
   * @param {import("./overlay.js").Layers} layers
   */
  constructor(canvas, note, store, camera, layers) {
    this.canvas = canvas;
    this.camera = camera;
    this._note = note;
    this._store = store;
    this.layers = layers;
    this._drawn = "";
    /** Whether the picture is held. */
    this.frozen = false;
    /** Whether something else shows the zones. */
    this.hidesZones = false;
    /** @type {import("./overlay.js").View|null} */
    this.view = null;
    /** @type {import("./types.js").Pose|null} the pose that is drawn */
    this.pose = null;
    /** How often it was drawn. */
    this.draws = 0;
  }

  /** Draw, if anything is other than before. Called before each repaint of the browser. @param {number} nowMs */
  frame(nowMs) {
    const { camera } = this;
    if (this.frozen && camera.pairing.picture) {
      this._say(`Held at frame ${camera.pairing.picture.frame}`);
      return this._drawIfNew("frozen", false);
    }
    camera.pairing.advance(camera.frames, nowMs);
    const stale = camera.pairing.ageMs(nowMs) > STALE_MS;
    this.pose = stale && this._posesGoOn() ? camera.frames.newest : camera.pairing.pose;
    this._say(stale ? this._why() : "");
    this._drawIfNew(stale ? "stale" : "live", stale);
  }

  /** Draw again at the next chance. */
  refresh() {
    this._drawn = "";
  }

  /** @param {string} note */
  _say(note) {
    setText(this._note, note);
    this._note.hidden = !note;
  }

  /** @param {string} mode @param {boolean} stale */
  _drawIfNew(mode, stale) {
    const zones = this.layers.zones && !this.hidesZones ? this._store.zonesOf(this.camera.name) : [];
    const { canvas } = this;
    const now = [mode, this.camera.pairing.picture?.frame, this.pose?.frame, this.camera.chosen, canvas.clientWidth, canvas.clientHeight,
      Object.values(this.layers), zones.map((zone) => zone.active), this.camera.hello?.run].join();
    if (now === this._drawn || !this.camera.hello) return;
    this._drawn = now;
    this._draw(stale, zones);
  }

  /** @param {boolean} stale @param {any[]} zones */
  _draw(stale, zones) {
    const hello = /** @type {import("./types.js").CameraMessage} */ (this.camera.hello);
    const { ctx, width, height } = fitCanvas(this.canvas);
    const { picture } = this.camera.pairing;
    this.view = fitFrame(width, height, hello.width || 640, hello.height || 480);
    this.draws += 1;
    ctx.clearRect(0, 0, width, height);
    drawPicture(ctx, this.view, picture?.image ?? null, stale ? DIMMED : 1);
    drawOverlay(ctx, this.view, {
      animals: animalsAt(this.camera, this.pose?.frame ?? null),
      bones: bonesOf(hello),
      names: hello.keypoint_names,
      zones,
      layers: this.layers,
    });
  }

  /** Whether poses come that are newer than the picture. */
  _posesGoOn() {
    const { picture } = this.camera.pairing;
    const { newest } = this.camera.frames;
    return newest !== null && (picture === null || newest.timeMs - picture.timeMs > STALE_MS);
  }

  _why() {
    const { picture } = this.camera.pairing;
    const { hello, status } = this.camera;
    if (!hello) return "No run is here yet";
    if (!hello.preview) return this._posesGoOn() ? "This run sends no pictures; the points are live" : "This run sends no pictures";
    if (!picture) return "Waiting for a picture";
    if (!this._posesGoOn()) return `No new frames since ${clock(picture.timeMs)}`;
    if (status && !status.publishing) return `Publishing is paused since ${clock(picture.timeMs)}`;
    return `No new picture: the points are of frame ${this.pose?.frame}, the picture is of frame ${picture.frame}`;
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {import("./overlay.js").View} view @param {ImageBitmap|null} image @param {number} alpha */
function drawPicture(ctx, view, image, alpha) {
  ctx.fillStyle = "#101418";
  ctx.fillRect(view.left, view.top, view.width, view.height);
  if (!image) return;
  ctx.globalAlpha = alpha;
  ctx.drawImage(image, view.left, view.top, view.width, view.height);
  ctx.globalAlpha = 1;
}

/**
 * What is drawn of each animal in a frame.
 * @param {Camera} camera
 * @param {number|null} frame  null: the outlines alone
 * @returns {import("./overlay.js").Drawn[]}
 */
export function animalsAt(camera, frame) {
  return camera.subjects.map((subject) => {
    const { history, outline, name, place } = subject;
    const pose = frame === null ? null : history.at(frame);
    const trail = frame === null || (camera.several && !pose?.box) ? [] : history.before(frame, TRAIL_MS);
    if (!camera.several) return { pose, trail };
    if (outline.length) return { pose, trail, outline, label: [name, pose?.state].filter(Boolean).join(" "), short: name, chosen: place === camera.chosen };
    const label = pose?.uncertain ? `${name} uncertain` : name;
    return { pose: pose?.box ? pose : null, trail: sinceMissing(trail), label, colour: animalColour(place) };
  });
}

/** A line over a gap would show a way that nobody has seen. @param {import("./types.js").Pose[]} trail */
function sinceMissing(trail) {
  return trail.slice(trail.findLastIndex((pose) => !pose.box) + 1);
}

/** The skeleton as indices of keypoints. @param {import("./types.js").CameraMessage} hello @returns {[number, number][]} */
export function bonesOf(hello) {
  const index = (/** @type {string} */ name) => hello.keypoint_names.indexOf(name);
  return (hello.skeleton ?? [])
    .map(([a, b]) => /** @type {[number, number]} */ ([index(a), index(b)]))
    .filter(([i, j]) => i >= 0 && j >= 0);
}

/**
 * Decodes pictures, one at a time: while one is decoded only the newest of those that come is kept.
 */
export class PictureDecoder {
  /** @param {Store} store */
  constructor(store) {
    this._store = store;
    /** @type {Map<string, [any, Blob]>} */
    this._next = new Map();
    /** @type {Set<string>} */
    this._busy = new Set();
  }

  /** @param {any} header @param {Blob} jpeg */
  take(header, jpeg) {
    this._next.set(header.camera, [header, jpeg]);
    if (!this._busy.has(header.camera)) this._decode(header.camera);
  }

  /** @param {string} name */
  async _decode(name) {
    this._busy.add(name);
    for (let next = this._next.get(name); next; next = this._next.get(name)) {
      this._next.delete(name);
      const [header, jpeg] = next;
      try {
        this._offer(header, await createImageBitmap(jpeg));
      } catch (error) {
        this._store.tell("fault", `a picture of ${name} cannot be decoded: ${error}`);
      }
    }
    this._busy.delete(name);
  }

  /** A picture of an earlier run does not belong to the poses of this one. @param {any} header @param {ImageBitmap} image */
  _offer(header, image) {
    const camera = this._store.cameras.get(header.camera);
    if (!camera || camera.hello?.run !== header.run) return image.close();
    camera.pictures += 1;
    camera.pairing.offer({
      frame: header.frame,
      image,
      timeMs: header.t_unix_ms,
      ofWidth: header.of_width,
      ofHeight: header.of_height,
      arrivedMs: performance.now(),
    });
    this._store.tell("picture", header.camera);
  }
}

// @ts-check
// Pictures of frames: a few are fetched at a time, those that are wanted most first, and some are kept.

const AT_ONCE = 3;
const KEPT_BYTES = 220e6;
const WIDTHS = [320, 480, 640, 960, 1280, 1920, 2560];

/** A picture of a frame, or the reason why there is none. @typedef {{image: ImageBitmap|null, why: string}} Picture */

export class Pictures {
  /** @param {() => void} came  a picture has come */
  constructor(came) {
    this._came = came;
    /** @type {Map<number, Picture>} */
    this._kept = new Map();
    /** @type {Set<number>} */
    this._coming = new Set();
    /** @type {number[]} */
    this._wanted = [];
    this._generation = 0;
    this._width = WIDTHS[3];
    /** Reason why there is no picture of any frame; "" if there are some. */
    this.none = "The session is being opened";
    /** Whether the last request failed because the server did not answer. */
    this.isCut = false;
  }

  /** @param {number} frame @returns {Picture|undefined} */
  get(frame) {
    if (this.none) return { image: null, why: this.none };
    return this._kept.get(frame);
  }

  /** Fetch pictures that fill so many pixels; those of another size are forgotten. @param {number} pixels */
  fit(pixels) {
    const width = WIDTHS.find((w) => w >= pixels) ?? WIDTHS[WIDTHS.length - 1];
    if (width === this._width) return;
    this._width = width;
    this.forget();
  }

  /** Forget all pictures. */
  forget() {
    this._generation += 1;
    for (const { image } of this._kept.values()) image?.close();
    this._kept.clear();
    this._coming.clear();
    this._came();
  }

  /** Fetch these frames, the first ones first, and no others any more. @param {number[]} frames */
  want(frames) {
    this._wanted = frames;
    this._fetchNext();
  }

  _fetchNext() {
    while (!this.none && this._coming.size < AT_ONCE) {
      const next = this._wanted.find((frame) => !this._kept.has(frame) && !this._coming.has(frame));
      if (next === undefined) return;
      this._fetch(next);
    }
  }

  /** @param {number} frame */
  async _fetch(frame) {
    const generation = this._generation;
    this._coming.add(frame);
    try {
      const picture = await fetchPicture(frame, this._width);
      this.isCut = false;
      if (generation !== this._generation) picture.image?.close();
      else this._keep(frame, picture);
    } catch {
      this.isCut = true;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    if (generation !== this._generation) return;
    this._coming.delete(frame);
    this._came();
    this._fetchNext();
  }

  /** @param {number} frame @param {Picture} picture */
  _keep(frame, picture) {
    this._kept.set(frame, picture);
    const { image } = picture;
    const most = image ? Math.max(16, KEPT_BYTES / (4 * image.width * image.height)) : 4096;
    for (const old of this._kept.keys()) {
      if (this._kept.size <= most) break;
      if (this._wanted.includes(old)) continue;
      this._kept.get(old)?.image?.close();
      this._kept.delete(old);
    }
  }
}

/** @param {number} frame @param {number} width @returns {Promise<Picture>} */
async function fetchPicture(frame, width) {
  const answer = await fetch(`/api/session/frame/${frame}.jpg?width=${width}`);
  if (answer.status === 404) return { image: null, why: (await answer.text()).trim() };
  if (!answer.ok) throw new Error(`${answer.status}`);
  return { image: await createImageBitmap(await answer.blob()), why: "" };
}

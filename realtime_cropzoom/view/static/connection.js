// @ts-check
// The WebSocket to `cropzoom view`. It comes back by itself, and says what it waits for.

/** @typedef {import("./types.js").Answer} Answer */

/**
 * State of the connection.
 * @typedef {object} Link
 * @property {"open"|"opening"|"waiting"|"refused"} state
 * @property {number} retryAtMs   time on the page's clock of the next try, while waiting
 */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const ANSWER_WITHIN_MS = 8000;
const SILENT_MS = 10_000;

export class Connection {
  /**
   * @param {object} to
   * @param {(message: any) => void} to.onMessage   called for each object
   * @param {(header: any, jpeg: Blob) => void} to.onPicture
   * @param {(link: Link) => void} to.onLink
   */
  constructor(to) {
    this._to = to;
    /** @type {WebSocket|null} */
    this._socket = null;
    /** @type {Link} */
    this.link = { state: "opening", retryAtMs: 0 };
    this._waitMs = FIRST_WAIT_MS;
    this._timer = 0;
    this._heardMs = 0;
    this._nextId = 1;
    /** @type {Map<number, (answer: Answer) => void>} */
    this._asked = new Map();
    /** @type {string[]} */
    this._shown = [];
    window.addEventListener("online", () => this.retryNow());
    setInterval(() => this._closeIfSilent(), 1000);
  }

  open() {
    this._setLink("opening");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this._opened();
    socket.onmessage = (event) => this._take(event.data);
    socket.onclose = () => this._closed(socket);
    this._socket = socket;
    this._heardMs = performance.now();
  }

  /** Try at once, instead of at the end of the wait. */
  retryNow() {
    if (this.link.state !== "waiting" && this.link.state !== "refused") return;
    clearTimeout(this._timer);
    this.open();
  }

  /** Say of which cameras pictures are wanted. @param {string[]} cameras */
  show(cameras) {
    if (cameras.join("\n") === this._shown.join("\n")) return;
    this._shown = cameras;
    this._send({ kind: "show", previews: cameras });
  }

  /**
   * Give an order to a run or a trigger process. The answer says what went wrong; it never throws.
   * @param {string} to
   * @param {string} order
   * @param {{target?: string|null, value?: any}} [what]
   * @returns {Promise<Answer>}
   */
  order(to, order, { target = null, value = null } = {}) {
    const id = this._nextId++;
    if (!this._send({ kind: "order", id, to, order, target, value })) {
      return Promise.resolve({ ok: false, error: "not given: the page has no connection to cropzoom view" });
    }
    return new Promise((resolve) => {
      this._asked.set(id, resolve);
      const late = `no answer for ${ANSWER_WITHIN_MS / 1000} s; look at the state before you try again`;
      setTimeout(() => this._answer(id, { ok: false, error: late }), ANSWER_WITHIN_MS);
    });
  }

  /** @param {any} message */
  _send(message) {
    if (this._socket?.readyState !== WebSocket.OPEN) return false;
    this._socket.send(JSON.stringify(message));
    return true;
  }

  _opened() {
    this._waitMs = FIRST_WAIT_MS;
    this._setLink("open");
    this._send({ kind: "show", previews: this._shown });
  }

  /** @param {string|ArrayBuffer} data */
  _take(data) {
    this._heardMs = performance.now();
    if (typeof data !== "string") {
      const [header, jpeg] = splitPicture(data);
      this._to.onPicture(header, jpeg);
      return;
    }
    const content = JSON.parse(data);
    for (const message of Array.isArray(content) ? content : [content]) {
      if (message.kind === "answer") this._answer(message.id, message);
      else this._to.onMessage(message);
    }
  }

  /** @param {number} id @param {Answer} answer */
  _answer(id, answer) {
    this._asked.get(id)?.(answer);
    this._asked.delete(id);
  }

  /** @param {WebSocket} socket */
  async _closed(socket) {
    if (socket !== this._socket) return;
    this._socket = null;
    for (const id of [...this._asked.keys()]) {
      this._answer(id, { ok: false, error: "the connection broke; look at the state before you try again" });
    }
    const wasOpen = this.link.state === "open";
    this._setLink("waiting", this._waitMs);
    this._timer = setTimeout(() => this.open(), this._waitMs);
    this._waitMs = Math.min(2 * this._waitMs, LONGEST_WAIT_MS);
    if (!wasOpen && (await serverRefuses())) this._setLink("refused", this._waitMs / 2);
  }

  /** A machine that went away without a word leaves the socket open. The server sends at least once a second. */
  _closeIfSilent() {
    if (this.link.state === "open" && performance.now() - this._heardMs > SILENT_MS) {
      const socket = /** @type {WebSocket} */ (this._socket);
      socket.close();
      this._closed(socket);
    }
  }

  /** @param {Link["state"]} state @param {number} [waitMs] */
  _setLink(state, waitMs = 0) {
    this.link = { state, retryAtMs: performance.now() + waitMs };
    this._to.onLink(this.link);
  }
}

/**
 * Split a binary message: length of the header (uint32, little-endian), header (JSON), JPEG.
 * @param {ArrayBuffer} data
 * @returns {[any, Blob]}
 */
export function splitPicture(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  return [header, new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" })];
}

/** Whether the server answers, but does not let this page in: its token is that of an earlier server. */
async function serverRefuses() {
  try {
    const answer = await fetch("/", { method: "HEAD", cache: "no-store" });
    return answer.status === 401 || answer.status === 403;
  } catch {
    return false;
  }
}

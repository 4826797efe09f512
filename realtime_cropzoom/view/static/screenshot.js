// @ts-check
// Saves the picture with all that is drawn on it, and a line that says what it is.

import { drawOverlay, fitFrame } from "./overlay.js";
import { animalsAt, bonesOf } from "./picture.js";
import { clock } from "./format.js";

const FOOT = 34;
const LEAST_WIDTH = 960;

/**
 * @param {import("./state.js").Store} store
 * @param {import("./picture.js").PictureView} view
 * @returns {Promise<string>} the name of the file
 */
export async function saveScreenshot(store, view) {
  const { camera } = view;
  const hello = camera.hello;
  if (!hello) throw new Error("there is no picture to save");
  const frame = view.pose?.frame ?? camera.pairing.picture?.frame ?? 0;
  const canvas = compose(store, view, hello); // before the first wait: another frame is shown after it
  const blob = /** @type {Blob} */ (await canvas.convertToBlob({ type: "image/png" }));
  const name = `${camera.name.replace(/[^\w.-]/g, "_")}_frame${frame}.png`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return name;
}

/** @param {import("./state.js").Store} store @param {import("./picture.js").PictureView} view @param {import("./types.js").CameraMessage} hello */
function compose(store, view, hello) {
  const { camera, pose } = view;
  const scale = Math.max(1, LEAST_WIDTH / hello.width);
  const [width, height] = [Math.round(hello.width * scale), Math.round(hello.height * scale)];
  const canvas = new OffscreenCanvas(width, height + FOOT);
  const ctx = /** @type {any} */ (canvas.getContext("2d"));
  ctx.fillStyle = "#101418";
  ctx.fillRect(0, 0, width, height + FOOT);
  const picture = camera.pairing.picture;
  if (picture) ctx.drawImage(picture.image, 0, 0, width, height);
  drawOverlay(ctx, fitFrame(width, height, hello.width, hello.height), {
    animals: animalsAt(camera, pose?.frame ?? null),
    bones: bonesOf(hello),
    names: hello.keypoint_names,
    zones: store.zonesOf(camera.name),
    layers: view.layers,
  });
  ctx.font = "15px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.fillStyle = "#e8edf2";
  ctx.fillText(captionOf(view, hello), 12, height + FOOT / 2, width - 24);
  return canvas;
}

/** @param {import("./picture.js").PictureView} view @param {import("./types.js").CameraMessage} hello */
function captionOf({ camera, pose }, hello) {
  const { picture } = camera.pairing;
  const timeMs = pose?.timeMs ?? picture?.timeMs;
  const date = timeMs ? new Date(timeMs).toLocaleDateString("sv") : "";
  const other = pose && picture && picture.frame !== pose.frame ? ` on the picture of frame ${picture.frame}` : "";
  return [camera.name, pose ? `frame ${pose.frame}${other}` : picture ? `frame ${picture.frame}, no pose` : "no picture",
    timeMs ? `${date} ${clock(timeMs, true)}` : "", camera.several ? "" : pose?.state ?? "", `run ${hello.run}`].filter(Boolean).join("   ·   ");
}

// @ts-check
// Where the animal was during the session: brighter where it was longer, on a logarithmic scale.

import { byId, fitCanvas, themeColour } from "./dom.js";
import { fitFrame } from "./overlay.js";
import { viridis } from "./scales.js";

/**
 * @param {import("./types.js").MapMessage|null} map
 * @param {import("./types.js").CameraMessage|null} hello
 */
export function drawMap(map, hello) {
  const { ctx, width, height } = fitCanvas(byId("map"));
  ctx.clearRect(0, 0, width, height);
  if (!hello || width < 2 || height < 2) return;
  const view = fitFrame(width, height, hello.width || 4, hello.height || 3);
  ctx.fillStyle = themeColour("--raised");
  ctx.fillRect(view.left, view.top, view.width, view.height);
  if (!map) return;
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(heat(map), view.left, view.top, view.width, view.height);
}

/** One pixel for each cell. @param {import("./types.js").MapMessage} map */
function heat({ grid_w: wide, grid_h: tall, counts }) {
  const canvas = new OffscreenCanvas(wide, tall);
  const ctx = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = ctx.createImageData(wide, tall);
  const most = Math.log1p(Math.max(...counts, 1));
  counts.forEach((number, i) => {
    if (number) image.data.set([...viridis(Math.log1p(number) / most), 255], 4 * i);
  });
  ctx.putImageData(image, 0, 0);
  return canvas;
}

// @ts-check
// The colours of likelihood, for a legend.

import { fitCanvas } from "./dom.js";
import { likelihoodColour } from "./scales.js";

/** @param {HTMLCanvasElement} canvas */
export function drawScale(canvas) {
  const { ctx, width, height } = fitCanvas(canvas);
  for (let x = 0; x < width; x += 1) {
    ctx.fillStyle = likelihoodColour(x / (width - 1));
    ctx.fillRect(x, 0, 1, height);
  }
}

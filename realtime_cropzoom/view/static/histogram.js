// @ts-check
// Histogram of the latency of the last 10 s, with its median and its 99th percentile.

import { byId, fitCanvas, setText, themeColour } from "./dom.js";
import { milliseconds } from "./format.js";

const FOOT = 16;
const HEAD = 13;

/** @param {import("./types.js").LatencyMessage|null} latency */
export function drawHistogram(latency) {
  const { ctx, width, height } = fitCanvas(byId("latency"));
  ctx.clearRect(0, 0, width, height);
  const total = latency?.counts.reduce((sum, number) => sum + number, 0) ?? 0;
  const text = total ? `${total} poses` : "no poses";
  setText(byId("latency-text"), text);
  byId("latency").setAttribute("aria-label", total && latency
    ? `Histogram of the latency: median ${milliseconds(latency.p50)} ms, 99th percentile ${milliseconds(latency.p99)} ms`
    : "Histogram of the latency: no poses");
  if (!latency || !total) return;
  const [first, last] = shownBins(latency);
  const plot = height - FOOT;
  const bin = width / (last - first + 1);
  const most = Math.max(...latency.counts);
  ctx.fillStyle = themeColour("--accent");
  for (let i = first; i <= last; i += 1) {
    const share = latency.counts[i] / most;
    const tall = share > 0 ? Math.max(2, share * (plot - HEAD)) : 0;
    ctx.fillRect((i - first) * bin + 0.5, plot - tall, Math.max(1, bin - 1.5), tall);
  }
  drawFoot(ctx, latency, first, last, width, height);
}

/** The bins that hold something, with one beside each end. @param {import("./types.js").LatencyMessage} latency */
function shownBins({ counts }) {
  const first = counts.findIndex((number) => number > 0);
  const last = counts.length - 1 - [...counts].reverse().findIndex((number) => number > 0);
  return [Math.max(0, first - 2), Math.min(counts.length - 1, Math.max(last, first + 8) + 1)];
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {import("./types.js").LatencyMessage} latency
 * @param {number} first @param {number} last @param {number} width @param {number} height
 */
function drawFoot(ctx, latency, first, last, width, height) {
  const plot = height - FOOT;
  const { edges_ms: edges } = latency;
  ctx.font = "11px system-ui, sans-serif";
  ctx.fillStyle = themeColour("--muted");
  ctx.textBaseline = "bottom";
  ctx.textAlign = "left";
  ctx.fillText(milliseconds(edges[first]), 0, height);
  ctx.textAlign = "right";
  const end = edges[last + 1];
  ctx.fillText(end === undefined ? `> ${milliseconds(edges[last])} ms` : `${milliseconds(end)} ms`, width, height);
  ctx.strokeStyle = themeColour("--line");
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(0, plot + 0.5);
  ctx.lineTo(width, plot + 0.5);
  ctx.stroke();
  for (const [value, name] of /** @type {[number|null, string][]} */ ([[latency.p50, "p50"], [latency.p99, "p99"]])) {
    if (value !== null) drawMark(ctx, name, value, positionOf(value, edges, first, last) * width, plot, width);
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {string} name @param {number} value  ms @param {number} x @param {number} plot @param {number} width */
function drawMark(ctx, name, value, x, plot, width) {
  ctx.strokeStyle = ctx.fillStyle = themeColour(name === "p50" ? "--text" : "--text-warn");
  ctx.lineWidth = 1.5;
  ctx.setLineDash(name === "p50" ? [] : [4, 3]);
  ctx.beginPath();
  ctx.moveTo(x, 0);
  ctx.lineTo(x, plot);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.font = "600 11px system-ui, sans-serif";
  ctx.textBaseline = "top";
  const left = name === "p50" ? x > 60 : x > width - 60;
  ctx.textAlign = left ? "right" : "left";
  ctx.fillText(`${name} ${milliseconds(value)}`, x + (left ? -4 : 4), 0);
}

/** Place of a value among the shown bins, 0 to 1; bins have equal widths on the screen. */
function positionOf(
  /** @type {number} */ value,
  /** @type {number[]} */ edges,
  /** @type {number} */ first,
  /** @type {number} */ last,
) {
  let i = first;
  while (i < last && edges[i + 1] <= value) i += 1;
  const next = edges[i + 1] ?? edges[i] * 2;
  const within = Math.min(1, Math.max(0, (value - edges[i]) / (next - edges[i] || 1)));
  return (i - first + within) / (last - first + 1);
}

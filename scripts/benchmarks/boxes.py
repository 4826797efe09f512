"""Boxes: regions of one camera with a mouse each; one box, four and eight, and both ways to find a box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.material import CROP_SIZE, SHIPPED, Bench
from benchmarks.results import Row, percentiles
from realtime_cropzoom.bench.live import run_from_memory
from realtime_cropzoom.sources.arena.boxes import ArenaBoxes
from realtime_cropzoom.sources.arena.source import ArenaSettings
from realtime_cropzoom.types import UInt8

TITLE = "Several boxes under one camera, 1280×480, at 30 frames a second: capture to the subscriber's process"
_SIZE, _BOXES, _FPS = (1280, 480), 8, 30.0
_FRAMES_IN_MEMORY = 120
_SECONDS = 20


def run(bench: Bench) -> Iterator[Row]:
    """Yield a row for each number of boxes with a mouse, with both ways to find a box."""
    arena = ArenaBoxes(ArenaSettings(width=_SIZE[0], height=_SIZE[1], boxes=_BOXES, seed=4))
    images = [arena.render(i) for i in range(bench.count(_FRAMES_IN_MEMORY))]
    rectangles = arena.rectangles()
    for boxes, more in ((1, {}), (4, {}), (8, {}), (8, {"box_from": "pose"})):
        regions = {name: {"rectangle_px": list(rectangles[name])} for name in list(rectangles)[:boxes]}
        yield _row(bench, images, regions, more)


def _row(bench: Bench, images: list[UInt8], regions: dict[str, Any], more: dict[str, str]) -> Row:
    settings = bench.settings(SHIPPED, regions=regions, crop_size=CROP_SIZE // 2, **more)
    live = run_from_memory(settings, images, _FPS, bench.count(round(_SECONDS * _FPS)))
    ms, found = percentiles(live.latency_ms), live.summary["animal"]["found"] or 0.0
    detections = live.detections_per_s / len(regions)
    way = "".join(f", box_from {value}" for value in more.values())
    numbers = {"boxes": len(regions), "ms": ms, "lost": live.lost, "found": found, "detections": detections, **more}
    value = f"p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms, {live.lost} frames lost"
    return Row(
        f"{len(regions)} boxes{way}",
        f"{value}, {detections:.0f} detections a second and box, found in {100 * found:.1f} %",
        "no frame lost",
        live.lost == 0,
        f"{live.poses} poses",
        numbers,
    )

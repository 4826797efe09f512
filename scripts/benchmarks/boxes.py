"""Boxes: regions of one camera with a mouse each; one box, four and eight, and both ways to find a box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.material import CROP_SIZE, SHIPPED, Bench, MemorySource
from benchmarks.results import Row
from benchmarks.runs import Listener, receive_ours
from realtime_cropzoom.pipeline.pipeline import Pipeline
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
    count = bench.count(round(_SECONDS * _FPS))
    with Listener(receive_ours) as listener:
        source = MemorySource(images, _FPS, count, before=listener.wait_ready)
        chosen = {"publish": "tcp://127.0.0.1:*", "publish_latest": "none", "crop_size": CROP_SIZE // 2, **more}
        pipeline = Pipeline(bench.settings(SHIPPED, regions=regions, **chosen), source=lambda: source)
        pipeline.start()
        listener.connect(pipeline.endpoints[0])
        summary = pipeline.join()
        received = listener.result()
    ms = received.latency_ms[received.frame >= min(count // 4, round(_FPS / 2))]
    p50, p99 = (float(np.percentile(ms, q)) if len(ms) else np.nan for q in (50, 99))
    lost = summary["counts"]["skipped"] + summary["counts"]["failed"] + received.missed
    detections = summary["detector"]["detections"] / summary["seconds"] / len(regions)
    found = summary["animal"]["found"] or 0.0
    way = "".join(f", box_from {value}" for value in more.values())
    numbers = {"boxes": len(regions), "p50_ms": p50, "p99_ms": p99, "lost": lost, "found": found, **more}
    value = f"{p50:.1f} ms, p99 {p99:.1f} ms, {lost} frames lost, {detections:.0f} detections a second and box, "
    return Row(
        f"{len(regions)} boxes{way}",
        f"{value}found in {100 * found:.1f} %",
        "no frame lost",
        lost == 0,
        f"{len(ms)} poses",
        numbers,
    )

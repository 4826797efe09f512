"""``cropzoom demo``: the whole thing on the synthetic arena, with a real subscriber, and the truth beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.config import load_settings
from realtime_cropzoom.draw import contact_sheet, write_png
from realtime_cropzoom.pipeline import Pipeline
from realtime_cropzoom.report import report
from realtime_cropzoom.session_table import read_session
from realtime_cropzoom.sources.arena import Arena, parse_arena

SOURCE = "synthetic:arena,size=640x480,fps=60,seconds=15,seed=7"
PICTURE = "demo.png"


def demo(out: Path, source: str = SOURCE, *, say: Callable[[str], None], watch: Callable[[Pipeline], None]) -> str:
    """Track the arena live and return the report. ``watch`` shows progress until the run ends.

    Raises ConfigError where ``source`` is no arena: there is no truth to compare with then.
    """
    parse_arena(source)
    pipeline = Pipeline(
        load_settings(
            {"source": source, "out": out, "publish": "tcp://127.0.0.1:*", "publish_latest": "tcp://127.0.0.1:*"}
        )
    )
    pipeline.start()
    for note in pipeline.notes:
        say(note)
    with subprocess.Popen(
        [sys.executable, "-m", "realtime_cropzoom", "listen", pipeline.endpoints[0], "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as subscriber:
        watch(pipeline)
        try:
            summary = pipeline.join()
            printed, _ = subscriber.communicate(timeout=10)
        finally:
            subscriber.kill()
    folder = Path(summary["folder"])
    say("drawing …")
    write_png(folder / PICTURE, contact_sheet(read_session(folder)))
    text = f"{report(summary, json.loads(printed))}\npicture: {folder / PICTURE}"
    return f"{text}\n\n{error_report(truth_error(folder, source))}"


def truth_error(folder: Path, source: str) -> dict[str, Any]:
    """Compare the poses of a session with the arena's own keypoints: pixels, over all keypoints with a pose."""
    tables = read_session(folder)
    arena = Arena(parse_arena(source))
    truth = np.stack([arena.truth(i) for i in range(len(tables.poses))])
    distance = np.linalg.norm(tables.poses[:, :, :2] - truth, axis=2)
    tracked = np.isfinite(distance)
    boxes = tables.boxes[:, None, :]
    inside: Any = ((truth >= boxes[..., :2]) & (truth < boxes[..., :2] + boxes[..., 2:])).all(axis=(1, 2))
    with_box = np.isfinite(tables.boxes).all(axis=1)
    errors = distance[tracked]
    return {
        "frames_with_pose": int(tracked.any(axis=1).sum()),
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
        "max": float(errors.max()),
        "whole_animal_in_box": float(inside[with_box].mean()),
    }


def error_report(error: dict[str, Any]) -> str:
    """Return the comparison in a line."""
    return (
        f"error against the known truth over {error['frames_with_pose']} frames: mean {error['mean']:.2f} px, "
        f"median {error['median']:.2f}, p95 {error['p95']:.2f}, max {error['max']:.1f}; "
        f"whole animal in the box on {100 * error['whole_animal_in_box']:.1f} % of them"
    )

"""``cropzoom demo``: a live run on the synthetic arena, with a subscriber process, compared with the true keypoints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.pipeline.report import report
from realtime_cropzoom.plots.image_files import write_png
from realtime_cropzoom.plots.session_pictures import contact_sheet
from realtime_cropzoom.runtime.processes import apart, interrupt
from realtime_cropzoom.sessions.latest import note_session
from realtime_cropzoom.sessions.table import read_session
from realtime_cropzoom.sources.arena.source import Arena, parse_arena

SOURCE = "synthetic:arena,size=640x480,fps=60,seconds=15,seed=7"
PICTURE = "demo.png"
FINISHED = "finished"
_END_MESSAGE_TIMEOUT_S = 3.0
_EXIT_TIMEOUT_S = 5.0


def make_pipeline(out: Path, source: str = SOURCE) -> Pipeline:
    """Return the pipeline of a demo, not started yet.

    Args:
        out: Folder in which the session folder is created.
        source: A synthetic arena.

    Raises:
        ConfigError: if the source is not an arena; only an arena has true keypoints.
    """
    parse_arena(source)
    any_port = "tcp://127.0.0.1:*"
    return Pipeline(load_settings({"source": source, "out": out, "publish": any_port, "publish_latest": any_port}))


def demo(
    pipeline: Pipeline,
    source: str = SOURCE,
    *,
    say: Callable[[str], None],
    watch: Callable[[Pipeline], None],
    columns: int = 80,
) -> str:
    """Track the arena live and return the report.

    Args:
        pipeline: The pipeline of ``make_pipeline``.
        source: Its source.
        say: Prints a line.
        watch: Shows progress until the run ends or is stopped.
        columns: Width of the report.
    """
    pipeline.start()
    if pipeline.folder is not None:
        note_session(pipeline.folder)
    for note in pipeline.notes:
        say(note)
    with _subscriber(pipeline.endpoints[0]) as subscriber:
        try:
            watch(pipeline)
            summary = pipeline.join()
            whole = summary["reason"] == FINISHED
            received = _received(subscriber) if whole else None
        finally:
            subscriber.kill()
    folder = Path(summary["folder"])
    lines = [report(summary, received, columns)]
    if received is None and whole:
        say("the subscriber process had not connected when the run ended")
    if whole:  # a demo that is stopped draws nothing
        say("drawing …")
        lines += _results(folder, source)
    return "\n".join(lines)


def _subscriber(endpoint: str) -> subprocess.Popen[str]:
    """Start ``cropzoom listen``, outside of the group that gets Ctrl-C. It ends when the run ends."""
    command = [sys.executable, "-m", "realtime_cropzoom", "listen", endpoint, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **apart())


def _received(subscriber: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Return the counts of the subscriber; None if it had not connected when the run ended."""
    printed = ""
    for timeout_s in (_END_MESSAGE_TIMEOUT_S, _EXIT_TIMEOUT_S):
        try:
            printed, _ = subscriber.communicate(timeout=timeout_s)
            break
        except subprocess.TimeoutExpired:  # it connected after the end message was sent
            interrupt(subscriber)
    try:
        received: dict[str, Any] = json.loads(printed)
    except ValueError:
        return None
    return received if received["received"] else None


def _results(folder: Path, source: str) -> list[str]:
    try:
        write_png(folder / PICTURE, contact_sheet(read_session(folder)))
        error = truth_error(folder, source)
    except DataError as why:  # stopped before the animal was found
        return ["", str(why)]
    return [f"picture: {folder / PICTURE}", "", error_report(error)]


def truth_error(folder: Path, source: str) -> dict[str, Any]:
    """Compare the poses of a session with the true keypoints of the arena.

    Args:
        folder: The session.
        source: The arena.

    Returns:
        Mean, median, 95th percentile and maximum error (px) over all keypoints of frames with a pose, the number of
        these frames, and the share of boxes that contain the whole animal.

    Raises:
        DataError: if no frame has a pose.
    """
    tables = read_session(folder)
    arena = Arena(parse_arena(source))
    truth = np.stack([arena.truth(i) for i in range(len(tables.poses))])
    distance = np.linalg.norm(tables.poses[:, :, :2] - truth, axis=2)
    tracked = np.isfinite(distance)
    boxes = tables.boxes[:, None, :]
    inside: Any = ((truth >= boxes[..., :2]) & (truth < boxes[..., :2] + boxes[..., 2:])).all(axis=(1, 2))
    with_box = np.isfinite(tables.boxes).all(axis=1)
    errors = distance[tracked]
    if len(errors) == 0:
        raise DataError(f"{folder} has no frame with a pose, so that nothing can be compared")
    return {
        "frames_with_pose": int(tracked.any(axis=1).sum()),
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
        "max": float(errors.max()),
        "whole_animal_in_box": float(inside[with_box].mean()),
    }


def error_report(error: dict[str, Any]) -> str:
    """Return the result of ``truth_error`` as one line."""
    return (
        f"error against the known truth over {error['frames_with_pose']} frames: mean {error['mean']:.2f} px, "
        f"median {error['median']:.2f}, p95 {error['p95']:.2f}, max {error['max']:.1f}; "
        f"whole animal in the box on {100 * error['whole_animal_in_box']:.1f} % of them"
    )

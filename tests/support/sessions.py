"""Session folders of a test's own making."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from realtime_cropzoom.sinks.video_encoder import VideoEncoder
from support.pipelines import (
    Files,
    Film,
)


def write_poses(path: Path, poses: dict[int, float], likelihood: float | None = 1.0) -> Path:
    """A prediction file of one keypoint, whose x is given by frame."""
    coords = ["x", "y", "likelihood"] if likelihood is not None else ["x", "y"]
    columns = pd.MultiIndex.from_product([["me"], ["nose"], coords], names=["scorer", "bodyparts", "coords"])
    rows = [[x, 2 * x, likelihood][: len(coords)] for x in poses.values()]
    pd.DataFrame(rows, index=list(poses), columns=columns).to_csv(path)
    return path


def drop_from_recording(live: Files, film: Film, frames: set[int]) -> None:
    """Leave a recording as one that could not keep up."""
    path = live.folder / "film.mkv"
    path.unlink()
    encoder = VideoEncoder(path, (160, 96), 60.0, "ffv1")
    rows, number = ["frame,recorded,dropped,segment"], 0
    for index in range(60):
        if index in frames:
            rows.append(f"{index},,too_slow,0")
            continue
        frame = encoder.convert(film.draw(index))
        assert frame is not None
        encoder.write(frame, int(live.timing["pts_ns"][index]))
        rows.append(f"{index},{number},,0")
        number += 1
    encoder.close()
    (live.folder / "film_recording.csv").write_text("\n".join([*rows, ""]))

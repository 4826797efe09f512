"""Recordings of rendered white rats on dark floors, with the truth of each frame, and labels made of that truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime_cropzoom.offline.video_writer import VideoWriter
from realtime_cropzoom.sessions.dlc_csv import read_predictions
from realtime_cropzoom.sessions.pose_rows import pose_cells, pose_header
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.types import Float64, Keypoints

NAMES = ("nose", "ear_l", "ear_r", "tail_base")
SCORER = "truth"
_CRF = 23
"""Compression as in a usual recording."""


@dataclass(frozen=True, slots=True)
class RatFilm:
    """A recording whose truth is known."""

    video: Path
    truth: Float64
    """(T, K, 2) keypoints in frame pixels."""

    @property
    def truth_csv(self) -> Path:
        """The truth as a pose file."""
        return self.video.with_name(f"{self.video.stem}_truth.csv")

    @property
    def body_px(self) -> float:
        """Median distance between nose and tail base in pixels."""
        return float(np.median(np.linalg.norm(self.truth[:, 0] - self.truth[:, -1], axis=1)))


def rat_arena(seed: int, seconds: float, size: tuple[int, int] = (640, 480), fps: float = 30.0) -> ArenaSettings:
    """Return the arena of one recording: of the same laboratory as the others, and of another rat and day."""
    draw = np.random.default_rng([seed, 20])
    return ArenaSettings(
        *size,
        fps,
        seconds,
        seed,
        noise=draw.uniform(1.5, 4),
        blur=draw.uniform(0.5, 1.0),
        exposure_ms=draw.uniform(4, 12),
        scale=draw.uniform(1.2, 1.6),
        coat=int(draw.integers(205, 250)),
        floor=int(draw.integers(25, 70)),
        build="rat",
        bedding=draw.uniform(0.1, 0.5) if draw.random() < 0.4 else 0.0,
        cable="edge" if draw.random() < 0.25 else "none",
    )


def record_rat(video: Path, settings: ArenaSettings) -> RatFilm:
    """Write a recording (H.264) and its truth as a pose file beside it."""
    arena = Arena(settings)
    count = arena.info.frame_count
    assert count is not None
    print(f"rendering {video}, {count} frames", flush=True)
    video.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(video, (settings.width, settings.height), settings.fps, quality=_CRF) as writer:
        for index in range(count):
            writer.write(arena.render(index), round(index * 1e9 / settings.fps))
        writer.commit()
    film = RatFilm(video, np.stack([arena.truth(index) for index in range(count)]))
    sure = np.ones(len(NAMES), np.float32)
    rows = [f"{i}{pose_cells(Keypoints(xy.astype(np.float32), sure))}\n" for i, xy in enumerate(film.truth)]
    film.truth_csv.write_text(pose_header(NAMES, SCORER) + "".join(rows))
    return film


def record_rats(
    folder: Path, count: int, seconds: float, first_seed: int = 0, size: tuple[int, int] = (640, 480), fps: float = 30.0
) -> list[RatFilm]:
    """Write recordings of several rats: ``rat1.mp4``, ``rat1_truth.csv``, and so on."""
    settings = [rat_arena(first_seed + number, seconds, size, fps) for number in range(count)]
    return [record_rat(folder / f"rat{number}.mp4", each) for number, each in enumerate(settings, 1)]


def read_rats(folder: Path) -> list[RatFilm]:
    """Return the recordings that have their truth beside them, in this folder or in folders of it."""
    truths = sorted(folder.rglob("*_truth.csv"))
    return [
        RatFilm(path.with_name(path.name.replace("_truth.csv", ".mp4")), read_predictions(path).xy) for path in truths
    ]


def label_in_deeplabcut(labeled_data: Path, films: Sequence[RatFilm], click_px: float = 0.0, seed: int = 0) -> int:
    """Label the pictures below a folder ``labeled-data`` as a person does with napari-deeplabcut, from the truth.

    Pictures that have labels already keep them.

    Args:
        labeled_data: The folder. Each folder in it has the name of a recording.
        films: The recordings.
        click_px: Standard deviation of a click from the truth in pixels.
        seed: Seed of these deviations.

    Returns:
        The number of labelled pictures.
    """
    truths = {film.video.stem: film.truth for film in films}
    draw = np.random.default_rng([seed, 21])
    count = 0
    for folder in sorted(path for path in labeled_data.iterdir() if path.is_dir()):
        rows = ["scorer,," + f",{SCORER}" * 2 * len(NAMES)]
        rows += ["bodyparts,," + "".join(f",{name},{name}" for name in NAMES), "coords,," + ",x,y" * len(NAMES)]
        done = "".join(path.read_text() for path in folder.glob("CollectedData_*.csv"))
        for picture in sorted(path for path in folder.glob("img*.png") if path.name not in done):
            xy = truths[folder.name][int(picture.stem.removeprefix("img"))]
            xy = xy + click_px * draw.standard_normal(xy.shape)
            rows.append(f"labeled-data,{folder.name},{picture.name}" + "".join(f",{v:.2f}" for v in xy.ravel()))
        if len(rows) > 3:
            (folder / f"CollectedData_{SCORER}.csv").write_text("\n".join(rows) + "\n")
        count += len(rows) - 3
    return count

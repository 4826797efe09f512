"""Prediction error: the distance between the animal and its assumed place at the moment of an output.

    python scripts/prediction_error.py [RECORDING …] --out docs/pictures/prediction.png

The script tracks the arena at three frame rates and each RECORDING at its own, in lockstep, with the shipped models.
It then uses every pose at several times after its frame: unchanged, and predicted by each filter. The true positions
are known for the arena at any time; for a recording they are the later poses, interpolated between frames.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from realtime_cropzoom.filters import FILTERS, make_filter
from realtime_cropzoom.pipeline.tracking import track
from realtime_cropzoom.sessions.table import read_session
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.types import Float64

HORIZONS_MS = (5, 10, 20, 35, 50)
RATES = (30, 100, 200)
SECONDS = 60
SEED = 5
FAST_PX_S, SLOW_PX_S = 100.0, 20.0
WAYS = ("raw", *FILTERS)
COLOURS = {"raw": "#888888", "one_euro": "#d9822b", "kalman": "#1f6fb4"}

Truth = Callable[[Float64], Float64]


@dataclass(frozen=True)
class Tracked:
    """Tracked poses, and the true positions of the keypoints."""

    name: str
    seconds: Float64
    """(n,) frame times (s)."""
    poses: Float64
    """(n, K, 3): x, y (frame pixels), likelihood."""
    truth: Truth
    """Maps (n,) times (s) to (n, K, 2) positions (frame pixels)."""

    def speed(self) -> Float64:
        """Return the (n, K) speeds (pixels per second) over 100 ms around each frame."""
        moved = self.truth(self.seconds + 0.05) - self.truth(self.seconds - 0.05)
        return np.asarray(np.linalg.norm(moved, axis=2) / 0.1, np.float64)


def main() -> None:
    """Print the table, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, nargs="*", metavar="RECORDING")
    parser.add_argument("--out", type=Path, metavar="PNG", default=Path("prediction.png"))
    args = parser.parse_args()
    truth = arena_truth()
    tracked = [tracked_arena(fps, truth) for fps in RATES] + [tracked_recording(path) for path in args.recordings]
    errors = {t.name: {way: errors_px(t, way) for way in WAYS} for t in tracked}
    print(table(tracked, errors))
    draw(tracked, errors).savefig(args.out, dpi=120)


def tracked_arena(fps: int, truth: Truth) -> Tracked:
    """Track the arena at a frame rate, with 30 detections per second, as live."""
    source = f"synthetic:arena,fps={fps},seconds={SECONDS},seed={SEED}"
    return Tracked(f"arena, {fps} fps", *track_poses(source, detector_every=max(1, fps // 30)), truth)


def arena_truth() -> Truth:
    """Return the true positions in the arena. Its path does not depend on the frame rate, so it is sampled every ms."""
    arena = Arena(ArenaSettings(fps=1000, seconds=None, seed=SEED))
    path = np.array([arena.truth(ms) for ms in range(1000 * SECONDS + 200)])
    return interpolated(np.arange(len(path)) / 1000, path)


def tracked_recording(path: Path) -> Tracked:
    """Track a recording. Its own poses are the truth."""
    seconds, poses = track_poses(str(path))
    fps = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    return Tracked(f"{path.stem}, {fps:.0f} fps", seconds, poses, interpolated(seconds, poses[:, :, :2]))


def track_poses(source: str, *, detector_every: int = 1) -> tuple[Float64, Float64]:
    """Track a source; return times and poses of all frames with a pose."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in track(source, pace="fast", out=folder, detector_every=detector_every):
            pass
        (session,) = Path(folder).iterdir()
        tables = read_session(session)
    there = np.isfinite(tables.poses).all(axis=(1, 2))
    return tables.seconds[there], tables.poses[there]


def interpolated(times: Float64, path: Float64) -> Truth:
    """Return a function that interpolates the path (n, K, 2) at any time."""

    def at(seconds: Float64) -> Float64:
        columns = [np.interp(seconds, times, column) for column in path.reshape(len(path), -1).T]
        return np.stack(columns, axis=1).reshape(len(seconds), *path.shape[1:])

    return at


def errors_px(tracked: Tracked, way: str) -> Float64:
    """Return the (horizons, n, K) errors (pixels) when the pose is used; NaN after the end of the truth."""
    start, velocity = filtered(tracked, way)
    errors = []
    for horizon_ms in HORIZONS_MS:
        later = tracked.seconds + horizon_ms / 1000
        off = np.linalg.norm(start + velocity * horizon_ms / 1000 - tracked.truth(later), axis=2)
        errors.append(np.where((later <= tracked.seconds[-1])[:, None], off, np.nan))
    return np.array(errors)


def filtered(tracked: Tracked, way: str) -> tuple[Float64, Float64]:
    """Return (n, K, 2) positions and (n, K, 2) velocities."""
    raw = tracked.poses[:, :, :2]
    if way == "raw":
        return raw, np.zeros_like(raw)
    pose_filter = make_filter(way, raw.shape[1])
    times = (tracked.seconds * 1e9).round().astype(np.int64).tolist()
    poses = [
        pose_filter.update(t, pose[:, :2], pose[:, 2]).points for t, pose in zip(times, tracked.poses, strict=True)
    ]
    found = np.array(poses)
    return found[:, :, :2], found[:, :, 2:4]


def table(tracked: Sequence[Tracked], errors: dict[str, dict[str, Float64]]) -> str:
    """Return a Markdown table of median and 95th percentile, for moving and resting keypoints."""
    words = " | ".join(f"{way} {what}" for what in ("moving", "at rest") for way in WAYS)
    rows = [f"| | ms | {words} |", "|---|---|" + "---|" * (2 * len(WAYS))]
    shares: list[str] = []
    for t in tracked:
        speed = t.speed()
        for k, horizon_ms in enumerate(HORIZONS_MS):
            cells = [
                spread(errors[t.name][way][k][chosen])
                for chosen in (speed > FAST_PX_S, speed < SLOW_PX_S)
                for way in WAYS
            ]
            rows.append(f"| {t.name} | {horizon_ms} | {' | '.join(cells)} |")
        shares.append(f"{t.name}: {(speed > FAST_PX_S).mean():.0%} move, {(speed < SLOW_PX_S).mean():.0%} rest")
    return "\n".join([*rows, "", *shares])


def spread(errors: Float64) -> str:
    """Return median and 95th percentile."""
    return f"{np.nanmedian(errors):.2f} / {np.nanpercentile(errors, 95):.1f}"


def draw(tracked: Sequence[Tracked], errors: dict[str, dict[str, Float64]]) -> Figure:
    """Return the figure: one panel per recording, with the error of moving keypoints over the age of the pose."""
    figure = Figure(figsize=(3.6 * len(tracked), 3.8), layout="constrained")
    panels = figure.subplots(1, len(tracked), sharey=True, squeeze=False)[0]
    for panel, t in zip(panels, tracked, strict=True):
        moving = t.speed() > FAST_PX_S
        for way in WAYS:
            off = [error[moving] for error in errors[t.name][way]]
            panel.plot(HORIZONS_MS, [np.nanmedian(e) for e in off], "o-", color=COLOURS[way], label=way)
            panel.plot(HORIZONS_MS, [np.nanpercentile(e, 95) for e in off], "--", color=COLOURS[way], linewidth=1)
        panel.set(title=t.name, xlabel="capture → output (ms)", ylim=(0, None))
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("error at the output (px)\nmedian, and dashed the 95th percentile")
    panels[0].legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()

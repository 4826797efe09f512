"""Count how often the tracks of a session changed their animal, on the arena, whose truth is known.

    python scripts/count_swaps.py SESSION

The session is one of ``cropzoom run synthetic:arena,animals=N… --animals N --pace fast``. A track is *clear* in a frame
if its box lies on an animal and no other animal is within a body length. A *swap* is a track that is clear with another
animal than the last time. It is *marked* if the track was uncertain in a frame from then until now.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from realtime_cropzoom.sessions.files import region_files
from realtime_cropzoom.sessions.latest import find_session
from realtime_cropzoom.sources.arena.source import Arena, parse_arena
from realtime_cropzoom.types import Float64
from realtime_cropzoom.yaml_file import read_yaml

BODY_PX, ON_IT_PX = 118.0, 60.0
"""Length of an animal, and the greatest distance from its middle of a box that lies on it (frame pixels)."""


@dataclass(slots=True)
class Counts:
    """What happened to all tracks of a session."""

    frames: int = 0
    """Number of frames, times the number of tracks."""
    seen: int = 0
    uncertain: int = 0
    meetings: int = 0
    marked: int = 0
    """Number of marked swaps."""
    unmarked: int = 0
    """Number of swaps without a mark."""
    poses: int = 0
    """Number of poses that are certain, and tracked."""
    elsewhere: int = 0
    """Those that lie on another animal than the box."""


def count(session: Path) -> Counts:
    """Return the counts of a session of the arena."""
    session = find_session(session)
    settings = read_yaml(session / "config.yaml")
    arena, counts = Arena(parse_arena(settings["source"])), Counts()
    files = region_files(session)
    frames = len(pd.read_csv(files[0].with_name(f"{files[0].stem}_bbox.csv")))
    truth = np.array([arena.truth_of_all(index) for index in range(frames)])
    for poses in files:
        _count_track(counts, poses, truth)
    return counts


def _count_track(counts: Counts, file: Path, truth: Float64) -> None:
    boxes = pd.read_csv(file.with_name(f"{file.stem}_bbox.csv"), index_col=0)
    poses = pd.read_csv(file, header=[0, 1, 2], index_col=0).to_numpy(float).reshape(len(boxes), -1, 3)[:, :, :2]
    centres = boxes[["x", "y"]].to_numpy(float) + boxes[["w", "h"]].to_numpy(float) / 2
    middles = (truth[:, :, 1:3].mean(axis=2) + truth[:, :, 3]) / 2  # between the ears and the base of the tail
    meetings, certain = boxes["meetings"].ffill().fillna(0).to_numpy(int), (boxes["uncertain"] == "no").to_numpy()
    tracked = (boxes["state"] == "tracking").to_numpy()
    counts.frames += len(boxes)
    counts.seen += int(np.isfinite(centres[:, 0]).sum())
    counts.uncertain += int((~certain).sum())
    counts.meetings += int(meetings.max(initial=0))
    animal, before = -1, 0
    for index, centre in enumerate(centres):
        distances = np.linalg.norm(middles[index] - centre, axis=1)
        if not np.isfinite(distances).all():
            continue
        nearest = int(distances.argmin())
        apart = np.linalg.norm(middles[index] - middles[index, nearest], axis=1)
        if distances[nearest] < ON_IT_PX and (apart < BODY_PX).sum() == 1:
            if animal not in (-1, nearest):
                is_marked = bool((~certain[before : index + 1]).any())
                counts.marked += int(is_marked)
                counts.unmarked += int(not is_marked)
            animal, before = nearest, index
        if certain[index] and tracked[index] and np.isfinite(poses[index]).all():
            errors = np.linalg.norm(truth[index] - poses[index], axis=2).mean(axis=1)
            counts.poses += 1
            counts.elsewhere += int(errors.argmin() != nearest and errors[nearest] > BODY_PX / 4)


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", type=Path, help="session folder of a run on the arena")
    found = count(parser.parse_args().session)
    share = 100 / max(1, found.frames)
    print(f"in {found.frames} frames of all tracks: seen {share * found.seen:.1f} %, ", end="")
    print(f"uncertain {share * found.uncertain:.1f} %, {found.meetings} meetings")
    print(f"swaps: {found.marked} marked, {found.unmarked} unmarked")
    print(f"poses that are tracked and certain: {found.poses}, on another animal: {found.elsewhere}")


if __name__ == "__main__":
    main()

"""Split of a project's labels into frames to train on and frames to measure the error on. No I/O.

Neighbouring frames of a recording show almost the same. A model that is measured on the neighbours of its training
frames looks better than it is. Whole recordings are therefore held out, or else blocks of time, with a gap around them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from realtime_cropzoom.errors import ConfigError, did_you_mean, listed, quoted

Set = Literal["train", "held_out", "gap"]
"""What a frame is for: to train on, to measure the error on, or neither, because it is too near to a held-out one."""

MIN_RECORDINGS = 3
"""Minimum number of recordings for holding out a whole one. Of two, the other would be all that is trained on."""
NEIGHBOURS = 30
"""Distance (frames) up to which frames of a recording are neighbours: a second at 30 frames per second."""
_MAX_GAP_SHARE = 0.02
"""Maximum of that distance, relative to the length of the labelled part of a recording."""
_FRAMES_PER_BLOCK = 5
"""Number of held-out frames in a row for one block; more are spread over several blocks."""
_MAX_BLOCKS = 4
"""Maximum number of blocks of a recording."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a labelled frame comes from."""

    recording: str
    """Name of the folder of its picture, which is that of the recording."""
    index: int
    """Number of the frame in the recording."""


def place_of(image: str, row: int) -> Place:
    """Return the place of a picture by its path: ``frames/RECORDING/img00001234.png``.

    Args:
        image: Path in the label file.
        row: Its row there, which is the index if the name has no number.
    """
    folder, _, name = image.replace("\\", "/").rpartition("/")
    numbers = re.findall(r"\d+", name.rpartition(".")[0])
    return Place(folder.rpartition("/")[2], int(numbers[-1]) if numbers else row)


@dataclass(frozen=True, slots=True)
class ProjectSplit:
    """The set of each frame."""

    sets: tuple[Set, ...]
    """In the order of the frames."""
    why: tuple[str, ...]
    """What was held out, and why, a sentence each."""

    def indices(self, of: Set) -> list[int]:
        """Return the indices of the frames of a set."""
        return [i for i, word in enumerate(self.sets) if word == of]


def split_project(
    images: Sequence[str], share: float, recordings: Sequence[str], earlier: Mapping[str, str], seed: int
) -> ProjectSplit:
    """Split labelled frames.

    Args:
        images: Paths of the frames in the label file.
        share: Share of the frames to hold out.
        recordings: Names of recordings to hold out whole; empty to choose.
        earlier: Sets of the split before, by path. What was held out stays held out, unless ``recordings`` says else.
        seed: Seed of the choice.

    Raises:
        ConfigError: if a recording is unknown, or nothing would be left to train on.
    """
    places = [place_of(image, row) for row, image in enumerate(images)]
    by_recording: dict[str, list[int]] = defaultdict(list)
    for i, place in enumerate(places):
        by_recording[place.recording].append(i)
    if recordings:
        sets, why = _given(places, by_recording, recordings)
    else:
        sets, why = _chosen(images, places, by_recording, share, earlier, np.random.default_rng(seed))
    return ProjectSplit(tuple(sets), tuple(why))


def _given(
    places: Sequence[Place], by_recording: Mapping[str, Sequence[int]], recordings: Sequence[str]
) -> tuple[list[Set], list[str]]:
    names = {_stem(name) if name not in by_recording else name for name in recordings}
    for name in names - by_recording.keys():
        raise ConfigError(
            f"held_out.recordings: got {quoted(name)}, expected recordings with labels: {listed(sorted(by_recording))}."
            f"{did_you_mean(name, list(by_recording))}"
        )
    if names == by_recording.keys():
        raise ConfigError(
            f"held_out.recordings: got all {len(names)} recordings, expected one left to train on. Remove one"
        )
    sets: list[Set] = ["held_out" if place.recording in names else "train" for place in places]
    return sets, [f"{_count(sets.count('held_out'))} held out: {listed(sorted(names))}, as project.yaml says"]


def _stem(path: str) -> str:
    name = path.replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _chosen(
    images: Sequence[str],
    places: Sequence[Place],
    by_recording: Mapping[str, Sequence[int]],
    share: float,
    earlier: Mapping[str, str],
    rng: np.random.Generator,
) -> tuple[list[Set], list[str]]:
    held = _kept(images, places, by_recording, earlier)
    new = {name: rows for name, rows in by_recording.items() if not any(images[i] in earlier for i in rows)}
    kept, why = len(held), []
    if len(by_recording) >= MIN_RECORDINGS:
        names = _recordings(new, share * len(images) - kept, bool(held), rng)
        held |= {i for name in names for i in new[name]}
        why += [f"the whole of {listed(sorted(names))}, which is not trained on"] if names else []
    else:
        blocks = [_blocks(sorted(rows, key=lambda i: places[i].index), share, rng) for _, rows in sorted(new.items())]
        held |= {i for block in blocks for i in block}
        why += ["blocks of time, with a gap around them"] if any(blocks) else []
    why += [f"{kept} that were held out before"] if kept else []
    fixed = {i for i, image in enumerate(images) if earlier.get(image, "gap") != "gap"}
    sets = _with_gaps(places, by_recording, held, fixed)
    line = f"{_count(sets.count('held_out'))} held out to measure the error: {'; '.join(why)}"
    return sets, [line, *_doubts(sets, places, by_recording)]


def _kept(
    images: Sequence[str],
    places: Sequence[Place],
    by_recording: Mapping[str, Sequence[int]],
    earlier: Mapping[str, str],
) -> set[int]:
    """Return the frames that were held out before, and new ones that are nearer to them than to trained ones."""
    held = set()
    for rows in by_recording.values():
        known = [i for i in rows if images[i] in earlier]
        for i in rows if known else ():
            nearest = min(known, key=lambda j: (abs(places[j].index - places[i].index), j))
            if earlier[images[i] if images[i] in earlier else images[nearest]] == "held_out":
                held.add(i)
    return held


def _recordings(
    new: Mapping[str, Sequence[int]], wanted: float, any_held: bool, rng: np.random.Generator
) -> list[str]:  # fmt: skip
    """Return recordings that together have about the wanted number of frames; at least one if nothing is held out."""
    names = sorted(new)
    chosen: list[str] = []
    for name in rng.permutation(names).tolist():
        if abs(wanted - len(new[name])) < abs(wanted) and len(chosen) < len(names) - 1:
            chosen.append(name)
            wanted -= len(new[name])
    if not chosen and not any_held and names:
        chosen = [min(names, key=lambda name: (len(new[name]), name))]
    return chosen


def _blocks(rows: Sequence[int], share: float, rng: np.random.Generator) -> list[int]:
    """Return the rows of blocks, one in each of a few equal parts of a recording.

    Args:
        rows: Its frames, in the order of time.
        share: Share to hold out.
        rng: Random numbers.
    """
    count = round(share * len(rows))
    if count == 0:
        return []
    blocks = min(_MAX_BLOCKS, max(1, count // _FRAMES_PER_BLOCK))
    held: list[int] = []
    for part, size in zip(np.array_split(rows, blocks), np.array_split(np.arange(count), blocks), strict=True):
        start = int(rng.integers(0, len(part) - len(size) + 1))
        held += part[start : start + len(size)].tolist()
    return held


def gap_of(indices: Sequence[int]) -> int:
    """Return up to which distance frames of a recording are neighbours, for the indices of its labelled frames."""
    return min(NEIGHBOURS, int(_MAX_GAP_SHARE * (max(indices) - min(indices))))


def _with_gaps(
    places: Sequence[Place], by_recording: Mapping[str, Sequence[int]], held: set[int], fixed: set[int]
) -> list[Set]:
    """Return the set of each frame. Of two neighbours on both sides, one falls into the gap, but none that is fixed."""
    sets: list[Set] = ["held_out" if i in held else "train" for i in range(len(places))]
    for rows in by_recording.values():
        gap = gap_of([places[i].index for i in rows])
        for i in sorted(rows, key=lambda i: sets[i] == "held_out"):  # what is trained on gives way first
            others = [
                j for j in rows if sets[j] not in ("gap", sets[i]) and abs(places[i].index - places[j].index) <= gap
            ]
            if i not in fixed and others:
                sets[i] = "gap"
    return sets


def _doubts(
    sets: Sequence[Set], places: Sequence[Place], by_recording: Mapping[str, Sequence[int]]
) -> list[str]:  # fmt: skip
    lines = []
    if gaps := sets.count("gap"):
        lines.append(f"{_count(gaps)} too near to a held-out one and not used")
    both = [rows for rows in by_recording.values() if len({sets[i] for i in rows} - {"gap"}) > 1]
    near = [rows for rows in both if gap_of([places[i].index for i in rows]) < NEIGHBOURS]
    if near:
        lines.append(
            "the labelled frames are close to each other in time, so the error on the held-out ones will look better "
            "than on another recording. Label frames of at least three recordings"
        )
    return lines


def _count(frames: int) -> str:
    return f"{frames} frame is" if frames == 1 else f"{frames} frames are"

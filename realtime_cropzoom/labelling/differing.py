"""The first round of picking: frames of recordings that differ, from each other and from all that are picked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import ConfigError, CropzoomError, DataError, SourceError, advise, pluralize
from realtime_cropzoom.labelling.frame_table import FrameRow, read_frame_table
from realtime_cropzoom.labelling.picking import WHY, Method, candidates, choose, groups
from realtime_cropzoom.labelling.recordings import Recording, open_recording
from realtime_cropzoom.labelling.rounds import Done, Pick, Plan, picked_of, seen_before
from realtime_cropzoom.labelling.same_picture import check_not_replaced
from realtime_cropzoom.labelling.small_pictures import LOOK, Seen, difference, look, small_picture
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.types import Float32, Int64, UInt8

_MOTION_S = 0.1
"""Time between two frames whose difference is the motion."""
Bar = Callable[[str, int], AbstractContextManager[Done]]
"""Shows the progress of something with a name and a number of steps."""


def plan_differing(
    project: Project,
    recordings: Sequence[Path],
    count: int,
    method: Method,
    command: Sequence[str],
    bar: Bar,
    begins: Done = lambda: None,
) -> Plan:
    """Pick frames of each recording.

    Args:
        project: The project.
        recordings: The recordings, absolute.
        count: Number of frames of each recording.
        method: How they are picked.
        command: What the command was given.
        bar: Shows the progress.
        begins: Is called when all recordings are checked, before their frames are looked at.

    Raises:
        ConfigError: if a recording has fewer frames.
        DataError: if another recording is at the path of one that was picked from, or no frame differs.
        SourceError: if one cannot be read. Nothing is written in any case.
    """
    rows = read_frame_table(project)
    picks, counted = list[Pick](), list[str]()
    with ExitStack() as stack:
        opened = []
        with bar("opening recordings", len(recordings)) as done:
            for path in recordings:
                opened.append(stack.enter_context(open_recording(path)))
                done()
        for recording in opened:
            check_not_replaced(project, recording, rows)
        _check_counts(opened, rows, count)
        begins()
        seen = seen_before(project, rows)
        for recording in opened:
            numbers = _pick(recording, picked_of(recording.path, rows), count, method, seen, bar)
            picks += [Pick(str(recording.path), int(number), WHY[method]) for number in numbers]
            if recording.by_decoding:
                counted.append(str(recording.path))
            recording.close()
    if not picks:
        raise DataError("no frame differs from those that are picked already; expected another recording")
    return Plan([*command], picks, counted)


def _check_counts(recordings: Sequence[Recording], rows: Sequence[FrameRow], count: int) -> None:
    """Raise ConfigError, with a line for each recording that has fewer frames than are asked for."""
    faults = []
    for recording in recordings:
        have = len(picked_of(recording.path, rows))
        left = recording.count - have
        if left < count:
            of = f" that {'is' if left == 1 else 'are'} not picked yet" if have else ""
            give = advise(f"Give --count {left}", f"Ask for {left}") if left > 0 else "Leave it out"
            faults.append(
                f"{recording.path}: got {pluralize(max(0, left), 'frame')}{of}, expected at least {count}. {give}"
            )
    if faults:
        raise ConfigError("\n".join(faults))


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of a recording."""

    numbers: Int64
    """(n,) frames."""
    looks: UInt8
    """(n, H, W) their grey pictures."""
    motion: Float32
    """(n,) how much each differs from the frame ``_MOTION_S`` later; 0 if nobody asks."""


def _pick(recording: Recording, taken: set[int], count: int, method: Method, seen: Seen, bar: Bar) -> Int64:
    """Return the numbers of frames of one recording."""
    wanted = candidates(recording.count, recording.key_frames, count)
    later = max(1, round(_MOTION_S * recording.fps)) if method == "motion" else 0
    looked = _look(recording, wanted[~np.isin(wanted, [*taken])], later, bar)
    if len(looked.numbers) < count:  # most frames are taken, or do not decode
        rest = np.setdiff1d(np.arange(recording.count), [*taken])
        looked = _look(
            recording, rest[np.linspace(0, len(rest) - 1, min(len(rest), len(wanted))).astype(int)], later, bar
        )
    if not len(looked.numbers):
        raise SourceError(f"{recording.path}: none of its frames can be decoded; expected a video that plays")
    found = groups(method, looked.looks, looked.motion, min(count, len(looked.numbers)))
    smalls = np.array([small_picture(picture) for picture in looked.looks])
    return looked.numbers[choose(found, smalls, seen, count)]


def _look(recording: Recording, numbers: Int64, later: int, bar: Bar) -> _Looked:
    """Read frames as small pictures. If one does not decode, frames are counted from the beginning, as a run does."""
    while True:
        try:
            return _read_all(recording, numbers, later, bar, strict=True)
        except CropzoomError:
            if not recording.count_decoded():
                return _read_all(recording, numbers, later, bar, strict=False)


def _read_all(recording: Recording, numbers: Int64, later: int, bar: Bar, *, strict: bool) -> _Looked:
    looks, motion, readable = list[UInt8](), list[float](), list[int]()
    with bar(f"looking at {recording.path.name}", len(numbers)) as done:
        for number in map(int, numbers):
            try:
                picture = look(recording.read(number))
                after = look(recording.read(min(number + later, recording.count - 1))) if later else picture
            except (SourceError, DataError):
                if strict:
                    raise
                continue
            finally:
                done()
            readable.append(number)
            looks.append(picture)
            motion.append(float(difference(small_picture(picture), small_picture(after)[None])[0]))
    return _Looked(
        np.array(readable, np.int64), np.array(looks, np.uint8).reshape(-1, *LOOK[::-1]), np.array(motion, np.float32)
    )

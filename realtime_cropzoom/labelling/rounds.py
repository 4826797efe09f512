"""A round of picking: its plan, its pictures as files, its rows in ``frames.csv``, and its contact sheet.

The plan is written before the first picture. If the command is interrupted, the same command goes on with the pictures
that are missing; another command leaves them out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np

from realtime_cropzoom.errors import DataError, SinkError, pluralize
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_whole
from realtime_cropzoom.files.atomic_images import write_image
from realtime_cropzoom.files.csv_text import parse_frame_number
from realtime_cropzoom.labelling.frame_table import (
    FrameRow,
    image_path,
    read_frame_table,
    unique_folder,
    write_frame_table,
)
from realtime_cropzoom.labelling.recordings import Recording, name_of, open_recording
from realtime_cropzoom.labelling.same_picture import is_frame, is_same
from realtime_cropzoom.labelling.small_pictures import Seen, small_picture
from realtime_cropzoom.plots.contact_sheet import Tile, contact_sheet
from realtime_cropzoom.plots.image_files import write_png
from realtime_cropzoom.project.edit import save_recordings
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.project.in_use import project_in_use
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Box, UInt8

_PLAN = "unfinished.json"
_MOST_COLUMNS = 10
Done = Callable[[], object]
"""Is called after each step of something long."""


class Pick(msgspec.Struct, frozen=True):
    """A frame to write as a picture."""

    recording: str
    """Path of the recording, absolute."""
    frame: int
    """Number of the frame."""
    why: str
    """Why it was picked, in words."""
    cause: str = ""
    """The kind of doubt, of frames where the models are not sure."""
    xy: list[tuple[float, float] | None] = []
    """Keypoints that a model found in it, for the contact sheet; empty for none."""
    box: tuple[float, float, int, int] | None = None
    """Box of the model, likewise."""


class Plan(msgspec.Struct, frozen=True):
    """All frames of a round."""

    command: list[str]
    """What the command was given. Only the same goes on with the plan."""
    picks: list[Pick]
    counted: list[str] = []
    """Recordings whose frames are numbered by what decodes."""


def unfinished(project: Project, command: Sequence[str]) -> Plan | None:
    """Return the plan that the same command left when it was interrupted; None if there is none.

    Args:
        project: The project.
        command: What the command was given.
    """
    try:
        plan = msgspec.json.decode(_plan_file(project).read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError):
        return None
    return plan if plan.command == [*command] else None


def seen_before(project: Project, rows: Sequence[FrameRow]) -> Seen:
    """Return the small pictures of all frames of a project. A picture that is gone or damaged is left out."""
    smalls = []
    for row in rows:
        with contextlib.suppress(DataError):
            smalls.append(small_picture(read_image(project.folder / row.image)))
    return Seen(smalls)


def picked_of(recording: Path, rows: Sequence[FrameRow]) -> set[int]:
    """Return the numbers of the frames of a recording that a project has."""
    real = os.path.realpath(recording)
    owners = {row.recording for row in rows if os.path.realpath(row.recording) == real}
    return {row.frame for row in rows if row.recording in owners}


def write_round(project: Project, plan: Plan, done: Done = lambda: None) -> list[FrameRow]:
    """Write the pictures of a plan, and for each of them a row in ``frames.csv`` after it is there.

    Args:
        project: The project.
        plan: The frames. Those that are in the table already are not written again.
        done: Is called after each picture.

    Returns:
        The rows of the round.

    Raises:
        SourceError: if a recording cannot be read.
        DataError: if a picture that the table does not know would be replaced by another.
        SinkError: if a file cannot be written. What was written stays, and the same command goes on.
        ConfigError: if another command works on the frames or labels.
    """
    with project_in_use(project.folder, "frames") as fresh:
        return _write_round(fresh, plan, done)


def _write_round(project: Project, plan: Plan, done: Done) -> list[FrameRow]:
    make_folder(project.frames_folder)
    write_whole(_plan_file(project), msgspec.json.encode(plan), MAKE_ROOM)
    _note_recordings(project, plan)
    rows = [*read_frame_table(project)]
    number = _round_of(plan, rows)
    try:
        for path, picks in groupby(plan.picks, key=lambda pick: pick.recording):
            _write_pictures(project, plan, Path(path), [*picks], number, rows, done)
    except KeyboardInterrupt as stopped:
        stopped.add_note(_how_far(plan, rows, number))
        raise
    except SinkError as error:
        raise SinkError(f"{error}. {_how_far(plan, rows, number)}") from error
    _plan_file(project).unlink(missing_ok=True)
    return [row for row in rows if row.round == number]


def _how_far(plan: Plan, rows: Sequence[FrameRow], number: int) -> str:
    written = sum(row.round == number for row in rows)
    return f"{written} of {pluralize(len(plan.picks), 'picture')} are written; the same command goes on with the others"


def _write_pictures(
    project: Project, plan: Plan, path: Path, picks: list[Pick], number: int, rows: list[FrameRow], done: Done
) -> None:
    have = picked_of(path, rows)
    missing = [pick for pick in picks if pick.frame not in have]
    if not missing:
        return
    with open_recording(path) as recording:
        if str(path) in plan.counted:
            recording.count_decoded()
        folder = unique_folder(name_of(path), str(path), rows, lambda name: _is_free(project, name, recording))
        for pick in sorted(missing, key=lambda pick: pick.frame):
            image = image_path(folder, pick.frame)
            picture = recording.read(pick.frame)
            _check_free(project.folder / image, picture)
            write_image(project.folder / image, picture[:, :, ::-1])
            rows.append(FrameRow(image, str(path), pick.frame, number, pick.why))
            write_frame_table(project, rows)
            done()


def _is_free(project: Project, folder: str, recording: Recording) -> bool:
    """Return whether all pictures in a folder that the table does not know are frames of this recording."""
    pictures = (project.frames_folder / folder).glob("img*.png")
    return all(is_frame(picture, recording, parse_frame_number(picture.stem[3:]) or 0) for picture in pictures)


def _check_free(path: Path, picture: UInt8) -> None:
    """Raise DataError if another picture, which the table does not know, is where one is to be written."""
    if path.exists() and not is_same(path, picture):
        raise DataError(
            f"{path}: got a picture that frames.csv does not name, expected nothing there. "
            "Move it away, then give the same command again"
        )


def _round_of(plan: Plan, rows: Sequence[FrameRow]) -> int:
    """Return the number of a round: that of its pictures that are there, or a new one."""
    planned = {(pick.recording, pick.frame) for pick in plan.picks}
    begun = [row.round for row in rows if (row.recording, row.frame) in planned]
    return max(begun) if begun else max((row.round for row in rows), default=0) + 1


def _note_recordings(project: Project, plan: Plan) -> None:
    known = {os.path.realpath(path) for path in project.recordings}
    more = dict.fromkeys(pick.recording for pick in plan.picks if os.path.realpath(pick.recording) not in known)
    save_recordings(project, [*project.file.recordings, *more])


def write_sheet(project: Project, rows: Sequence[FrameRow], plan: Plan) -> Path:
    """Write the contact sheet of a round, and return its path. Raises SinkError.

    Args:
        project: The project.
        rows: The rows of the round.
        plan: Its plan, with what models found in the frames.
    """
    found = {(pick.recording, pick.frame): pick for pick in plan.picks}
    ordered = sorted(rows, key=lambda row: (row.folder, row.frame))
    tiles = [_tile(project, row, found.get((row.recording, row.frame))) for row in ordered]
    columns = min(_MOST_COLUMNS, max(4, round(len(tiles) ** 0.5)))
    names = project.keypoints if any(tile.xy is not None for tile in tiles) else ()
    path = project.frames_folder / f"contact_sheet_round{rows[0].round}.png"
    write_png(path, contact_sheet(tiles, columns, names=names))
    return path


def _tile(project: Project, row: FrameRow, pick: Pick | None) -> Tile:
    image: UInt8 = read_image(project.folder / row.image)
    caption = f"{row.folder} {row.frame}" + (f"\n{row.why}" if pick is not None and pick.xy else "")
    if pick is None or not pick.xy:
        return Tile(image, caption, marked=None if pick is None or pick.box is None else Box(*pick.box))
    xy = np.array([(np.nan, np.nan) if at is None else at for at in pick.xy])
    return Tile(image, caption, xy, skeleton=project.skeleton, marked=None if pick.box is None else Box(*pick.box))


def _plan_file(project: Project) -> Path:
    return project.frames_folder / _PLAN

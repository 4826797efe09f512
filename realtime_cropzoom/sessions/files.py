"""Files of a session: finds them and reads those with one row per frame. How any file is read or written: ``files``.

Three kinds of session are found in the same way: the folder of a live run; ``X.csv`` with ``X_bbox.csv``
next to it, without times; and a single prediction file of Lightning Pose or DeepLabCut.
"""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_cropzoom.errors import ConfigError, DataError, error_text
from realtime_cropzoom.files.csv_text import complete_lines, parse_frame_number, parse_frame_numbers
from realtime_cropzoom.files.paths import is_there, user_path
from realtime_cropzoom.inference.tracks import MAX_ANIMALS
from realtime_cropzoom.sessions.dlc_csv import Predictions
from realtime_cropzoom.sessions.latest import describe_latest, find_session, is_elsewhere
from realtime_cropzoom.sessions.pose_rows import animal_names
from realtime_cropzoom.sources.factory import SYNTHETIC, open_source
from realtime_cropzoom.sources.recording_table import VIDEO_SUFFIXES, recorded_videos, recording_tables, video_of
from realtime_cropzoom.types import Float64
from realtime_cropzoom.yaml_file import read_yaml

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_MAX_MISSING_PER_ROW = 1_000
"""Maximum number of missing frames per row. In a file with more, the index does not hold frame numbers."""
_MAX_LISTED = 8
"""Maximum number of folders that an error text lists for the user to choose from."""


@dataclass(frozen=True)
class Session:
    """The files of a session, and what its settings, its summary or its note say. Each is read at most once."""

    poses: Path
    """File of the poses."""
    boxes: Path | None
    timing: Path | None
    """Times of the frames; None unless a live run wrote them."""
    recordings: tuple[Path, ...] = ()
    """Tables of the run's recordings of frames, in the order of their frames."""
    events: Path | None = None
    """Events of the run; None if it wrote none."""

    @classmethod
    def open(cls, path: Path) -> Session:
        """Find the files of a session folder, or those next to a pose file.

        Args:
            path: A session folder, a pose file, or a path with ``latest`` in it.

        Raises:
            DataError: if there is no pose file, or a folder holds several sessions.
        """
        given, path = path, find_session(path)
        if path != given and is_elsewhere(given):
            logger.warning(describe_latest(given, path))
        poses = _pose_file(path) if path.is_dir() else path
        if not poses.is_file():
            raise DataError(f"there is no {poses}; expected a session folder or a file of poses (CSV)")
        others = {what: poses.with_name(f"{poses.stem}_{what}.csv") for what in ("bbox", "timing", "events")}
        boxes, timing, events = (other if other.is_file() else None for other in others.values())
        session = cls(poses, boxes, timing, tuple(recording_tables(poses)), events)
        if events is not None or session.region is None:
            return session
        shared = poses.with_name(f"{poses.stem.removesuffix(f'_{session.region}')}_events.csv")
        return replace(session, events=shared if shared.is_file() else None)

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return self.poses.parent

    @property
    def live(self) -> bool:
        """Whether a live run wrote the files. It may have been killed, so each file may end anywhere."""
        return self.timing is not None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the live run; empty if there are none. A file that cannot be read gives a warning."""
        if not self.live:
            return {}
        try:
            settings = read_yaml(self.folder / "config.yaml")
        except ConfigError as error:
            logger.warning("%s; the session is read without its settings", error)
            return {}
        return settings if isinstance(settings, dict) else {}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``summary.json`` of the live run; empty if a killed run or a full disk left none, or half of one."""
        path = self.folder / "summary.json"
        if not self.live or not path.is_file():
            return {}
        try:
            summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            logger.warning("cannot read %s (%s); the session is read without its summary", path, error_text(error))
            return {}
        return summary

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions of the live run, or of its animals if several share an arena; empty for one animal."""
        return _places(self.settings)

    @property
    def animals(self) -> int:
        """Number of animals that share the arena of the live run; 1 for one animal in the frame or in each region."""
        return 1 if isinstance(self.settings.get("regions"), dict) else max(1, len(self.regions))

    @property
    def region(self) -> str | None:
        """The region whose animal is in these files; None for the one in the whole frame."""
        fitting = [name for name in self.regions if self.poses.stem.endswith(f"_{name}")]
        return max(fitting, key=len, default=None)

    @property
    def animal(self) -> int | None:
        """The number of the animal in these files, from 1; None unless several share the arena."""
        alone = self.region is None or isinstance(self.settings.get("regions"), dict)
        return None if alone else self.regions.index(str(self.region)) + 1

    @property
    def outline(self) -> list[tuple[float, float]]:
        """Corners of the region (frame pixels); empty without regions."""
        if self.region is None or not isinstance(self.settings.get("regions"), dict):
            return []
        shape = self.settings["regions"][self.region]
        if shape.get("rectangle_px"):
            x, y, w, h = shape["rectangle_px"]
            left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
            return [(left, top), (right, top), (right, bottom), (left, bottom)]
        return [(x, y) for x, y in shape["polygon_px"]]

    @cached_property
    def source(self) -> str | None:
        """Source of the frames, by the settings of the run or the note of the offline command; None if unknown."""
        if not self.live:
            return read_noted_source(self.poses)
        source = self.settings.get("source")
        return None if source is None else str(source)


def find_video(source: str | None, poses: Path) -> str | None:
    """Return the video of a session: its source, or else a recording of the run, if possible that of its whole length.

    Args:
        source: The source of the session; None if unknown.
        poses: The pose file of the session.

    Returns:
        The source or path; None if no video exists.
    """
    if source is not None and (source.startswith(SYNTHETIC) or is_there(user_path(source))):
        return source
    own = [path for suffix in VIDEO_SUFFIXES if (path := poses.with_suffix(suffix)).exists()]
    return next(map(str, own or recorded_videos(poses)), None)


def _pose_file(folder: Path) -> Path:
    """Return the pose file of a folder: next to it, a live run wrote a timing file, an offline command only boxes."""
    for suffix in ("_timing.csv", "_bbox.csv"):
        found = sorted(folder.glob(f"*{suffix}"))
        if len(found) > 1:
            stems = [path.name.removesuffix(suffix) for path in found]
            listed = ", ".join(stems[:_MAX_LISTED]) + (", …" if len(stems) > _MAX_LISTED else "")
            raise DataError(
                f"{folder} holds {len(found)} {_what(folder)}: {listed}. Give the file of the poses of one, such as "
                f"{folder / f'{stems[0]}.csv'}"
            )
        if found:
            return folder / f"{found[0].name.removesuffix(suffix)}.csv"
    if below := sorted({path.parent.name for path in folder.glob("*/*_timing.csv")}):
        what = "cameras" if (folder / "summary.json").is_file() else "sessions"
        names = ", ".join(below[:_MAX_LISTED]) + (", …" if len(below) > _MAX_LISTED else "")
        raise DataError(
            f"{folder} holds {len(below)} {what}: {names}. Give the folder of one, as in "
            f"'cropzoom draw {folder / below[0]}'"
        )
    raise DataError(
        f"{folder} is not a session folder; expected one that cropzoom run has made, or a file of poses (CSV)"
    )


def _what(folder: Path) -> str:
    """Return of what a folder holds several: animals or regions of a run, or sessions."""
    files = region_files(folder)
    if not files:
        return "sessions"
    return "regions" if Session.open(files[0]).animal is None else "animals"


def region_files(folder: Path) -> list[Path]:
    """Return the pose file of each region or animal that a run has left in its folder; empty for any other folder."""
    try:
        settings = read_yaml(folder / "config.yaml")
    except ConfigError:
        return []
    regions = _places(settings) if isinstance(settings, dict) else ()
    found = [_shortest(folder.glob(f"*_{glob.escape(name)}_timing.csv")) for name in regions]
    return [path.with_name(f"{path.name.removesuffix('_timing.csv')}.csv") for path in found if path is not None]


def _places(settings: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the regions or animals that have files of their own, by the settings of a run."""
    given, animals = settings.get("regions"), settings.get("animals")
    if isinstance(given, dict):
        return tuple(map(str, given))
    return animal_names(animals) if type(animals) is int and 1 < animals <= MAX_ANIMALS else ()


def _shortest(paths: Iterable[Path]) -> Path | None:
    """Return the path with the shortest name: the name of a region may be the end of that of another one."""
    return min(paths, key=lambda path: len(path.name), default=None)


def frame_index(predictions: Predictions) -> pd.Index[int]:
    """Return the frame number of each row.

    Raises:
        DataError: if the rows are images, or a frame occurs twice.
    """
    if predictions.index and all(parse_frame_number(cell) is None for cell in predictions.index):
        raise DataError(f"{predictions.path} is about images ({predictions.index[0]}), not about the frames of a video")
    return _frame_index(predictions.path, predictions.index)


def read_rows(path: Path, *, live: bool) -> pd.DataFrame:
    """Read a file of boxes or times.

    Args:
        path: The file.
        live: Whether a live run wrote it. Then a last line that was cut off is left out.

    Returns:
        One row per row of the file, with the frame numbers as index.

    Raises:
        DataError: if the file cannot be read.
    """
    import pandas as pd  # 0.3 s, which the end of a run need not wait for

    names = ("outcome", "state", "dropped", "plausible", "box_origin", "uncertain")
    text: dict[str | int, str] = dict.fromkeys(names, "string")
    try:
        table = pd.read_csv(complete_lines(path) if live else path, dtype={0: "str", **text})
        cells = table.iloc[:, 0].fillna("").astype(str)
        kept = (cells != "") | table.iloc[:, 1:].notna().any(axis=1)
        cells, table = cells[kept], table.loc[kept].iloc[:, 1:]
        if live and (unknown := _text_columns(table.drop(columns=list(text), errors="ignore"))):
            raise DataError(
                f"another version of this program made {path}: the column {unknown[0]} is unknown. "
                "Read the session with the version that made it (version in its summary.json)"
            )
        table = table.astype({name: np.float64 for name in table.columns if name not in text})
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot read {path}: {error_text(error)}") from None
    return table.set_index(_frame_index(path, cells.tolist()))


def read_recordings(tables: Sequence[Path]) -> pd.DataFrame:
    """Read the tables of recordings into one.

    Args:
        tables: They have different frames.

    Returns:
        Their rows, with the frame numbers as index, and the name of the video in ``recording`` for recorded frames.

    Raises:
        DataError: if a table cannot be read.
    """
    import pandas as pd

    parts = []
    for table in tables:
        rows, video = read_rows(table, live=True), video_of(table)
        name = table.name.removesuffix("_recording.csv") if video is None else video.name
        if "recorded" in rows:
            names = pd.Series(name, rows.index, dtype="string")
            parts.append(rows.assign(recording=names.where(rows["recorded"].notna())))
    joined = pd.concat(parts) if parts else pd.DataFrame()
    return joined.loc[~joined.index.duplicated(keep="last")]


def _text_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns in which no cell that is filled is a number."""
    import pandas as pd

    columns = {name: column.dropna() for name, column in table.items()}
    numbers = {name: pd.to_numeric(column, errors="coerce") for name, column in columns.items()}
    return [str(name) for name, column in columns.items() if len(column) and numbers[name].isna().all()]


def _frame_index(path: Path, cells: Sequence[str]) -> pd.Index[int]:
    """Return the frame numbers in the first cells of rows. Raises DataError if a cell holds none."""
    import pandas as pd

    frames = pd.Index(parse_frame_numbers(path, cells))
    if len(frames) and frames.max() > _MAX_MISSING_PER_ROW * (len(frames) + 1_000):
        raise DataError(f"{path} has {len(frames)} rows and a frame {frames.max()}; expected one row per frame")
    return frames


def read_noted_source(poses: Path) -> str | None:
    """Return the source that an offline command made a file of poses from.

    Args:
        poses: The file of poses. The note next to it names the source.

    Returns:
        The path of the video, or a synthetic source; None if the note is missing, or names neither.
    """
    try:
        made_of = json.loads(poses.with_name(f"{poses.name}.made_of.json").read_text(encoding="utf-8"))["made_of"]
        source = made_of.get("source") or made_of["video"]
        return source if isinstance(source, str) and source.startswith(SYNTHETIC) else str(source["path"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def frame_times(video: str) -> Float64:
    """Decode a video and return the time (s) of each frame since the first. Raises SourceError."""
    source = open_source(video)
    try:
        return np.array([captured.pts_ns for captured in source.frames()], np.float64) / 1e9
    finally:
        source.close()

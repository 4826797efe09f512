"""Films of a finished session: where its pictures come from, and which picture is that of a captured frame.

The video that was played comes first, if it is still there and its frames have the times that the run noted. Else it is
what the run itself recorded, by the tables of the recordings. The synthetic arena is rendered again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from realtime_cropzoom.errors import CropzoomError, DataError, SourceError
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.files.paths import as_text, is_file, is_folder, user_path
from realtime_cropzoom.sessions.review_session import ReviewSession
from realtime_cropzoom.sources.base import without_password
from realtime_cropzoom.sources.factory import SYNTHETIC, has_scheme
from realtime_cropzoom.sources.random_access import RandomAccessVideo
from realtime_cropzoom.sources.recording_table import read_uncaptured, recorded_videos, recording_table_path
from realtime_cropzoom.types import Int64, UInt8

Progress = Callable[[float], None]
"""Is called with the share of an index that is read, 0 to 1."""
_TOLERANCE_NS = 1_000
"""Maximum difference of one and the same time in the file of times and in a video: rounding."""


class NoPicture(CropzoomError):
    """There is no picture of a frame; the text says why."""


class Film(Protocol):
    """Pictures by captured frame. One and the same thread makes, reads and closes it."""

    title: str
    """What the pictures are, in words."""
    fps: float | None
    """Nominal frames per second; None if unknown."""

    def read(self, frame: int) -> UInt8:
        """Return the picture of a captured frame, (H, W, 3) uint8 RGB.

        Raises:
            NoPicture: if there is none.
        """
        ...

    def prepare(self, frame: int) -> None:
        """Decode a frame that may be asked for next, if that is worth it."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


class VideoFilm:
    """Pictures from one video or several."""

    def __init__(
        self, title: str, videos: list[RandomAccessVideo], numbers: list[Int64], lacking: dict[int, str]
    ) -> None:
        """``numbers`` has, for each video, the number in it of each captured frame; -1 if it lacks the frame.

        Args:
            title: What the pictures are.
            videos: The open videos.
            numbers: Per video (n,) numbers.
            lacking: Why a frame is in none of them, where that is known.
        """
        self.title = title
        self.fps = videos[0].fps
        self._videos, self._numbers, self._lacking = videos, numbers, lacking

    @property
    def parts(self) -> list[tuple[RandomAccessVideo, Int64]]:
        """The videos, and the number in each of them of each captured frame; -1 for none."""
        return list(zip(self._videos, self._numbers, strict=True))

    def read(self, frame: int) -> UInt8:
        """See ``Film.read``."""
        video, number = self._where(frame)
        try:
            return video.read(number)
        except SourceError as error:
            raise NoPicture(f"frame {frame} cannot be shown: {error}") from None

    def prepare(self, frame: int) -> None:
        """See ``Film.prepare``."""
        with contextlib.suppress(NoPicture, SourceError):
            video, number = self._where(frame)
            video.prepare(number)

    def _where(self, frame: int) -> tuple[RandomAccessVideo, int]:
        for video, numbers in zip(self._videos, self._numbers, strict=True):
            if frame < len(numbers) and numbers[frame] >= 0:
                return video, int(numbers[frame])
        why = self._lacking.get(frame, "")
        raise NoPicture(f"frame {frame} is not in the recording" + (f": {why.replace('_', ' ')}" if why else ""))

    def close(self) -> None:
        """See ``Film.close``."""
        for video in self._videos:
            video.close()


class ArenaFilm:
    """Pictures of the synthetic arena, which is rendered again."""

    def __init__(self, spec: str) -> None:
        """Prepare the arena. Raises ConfigError if it is not valid."""
        from realtime_cropzoom.sources.arena.boxes import open_arena
        from realtime_cropzoom.sources.arena.source import parse_arena

        self.title = "the synthetic arena, rendered again"
        self._arena = open_arena(parse_arena(spec))
        self.fps: float | None = self._arena.settings.fps

    def read(self, frame: int) -> UInt8:
        """See ``Film.read``."""
        count = self._arena.info.frame_count
        if count is not None and frame >= count:
            raise NoPicture(f"frame {frame}: the arena has {count} frames")
        return self._arena.render(frame)

    def prepare(self, frame: int) -> None:
        """Do nothing: a frame is rendered quickly."""

    def close(self) -> None:
        """See ``Film.close``."""


def open_film(review: ReviewSession, source: Path | None, progress: Progress) -> Film:
    """Return the pictures of a session.

    Args:
        review: The session.
        source: Its video, if the user names one.
        progress: Is called while an index is read.

    Raises:
        NoPicture: if there are none; the text says what was tried.
    """
    tried: list[str] = []
    for attempt in _attempts(review, source, progress):
        try:
            return attempt()
        except CropzoomError as error:
            tried.append(as_text(str(error)))
    raise NoPicture("; ".join(dict.fromkeys(tried)) or f"the frames were not recorded, and {_why_gone(review)}")


def _why_gone(review: ReviewSession) -> str:
    """Return why the source of a session cannot be shown again."""
    source = review.tables.source
    if source is None:
        return "the session does not say what its source was"
    shown = as_text(without_password(source))
    if is_folder(user_path(source)):
        return f"the source, {shown}, is a folder of images, not a video"
    return f"the source, {shown}, was live" if has_scheme(source) else f"the source, {shown}, is not where it was"


def _attempts(review: ReviewSession, source: Path | None, progress: Progress) -> Iterator[Callable[[], Film]]:
    spec = review.tables.source
    if source is not None:
        yield lambda: _film_of_source(review, source, progress)
        return
    if spec is not None and spec.startswith(SYNTHETIC):
        yield lambda: ArenaFilm(spec)
    elif spec is not None:
        for path in _places_of(spec, review.folder):
            yield lambda path=path: _film_of_source(review, path, progress)  # type: ignore[misc]
    videos = recorded_videos(review.session.poses) if review.session.live else []
    if videos:
        yield lambda: _film_of_recordings(review, videos, progress)
    elif not review.session.live and (video := _video_beside(review.session.poses)) is not None:
        yield lambda: _film_of_source(review, video, progress)


def _places_of(source: str, folder: Path) -> list[Path]:
    """Return where a video may be: where the run found it, or near the session, if both were moved together."""
    path = user_path(source)
    if "://" in source:
        return []
    near = (folder.absolute(), *folder.absolute().parents[:2])
    return [p for p in dict.fromkeys([path, *(f / path.name for f in near)]) if is_file(p)]


def _video_beside(poses: Path) -> Path | None:
    """Return the video of the same name beside a file of predictions."""
    return next((p for s in (".mp4", ".mkv", ".avi", ".mov") if is_file(p := poses.with_suffix(s))), None)


def _film_of_recordings(review: ReviewSession, paths: list[Path], progress: Progress) -> Film:
    videos, numbers, lacking, unreadable = [], [], dict[int, str](), list[str]()
    for path in paths:
        try:
            table, missing = _read_table(path, review.count)
            videos.append(RandomAccessVideo(path, progress=progress))
        except CropzoomError as error:
            unreadable.append(str(error))
            continue
        numbers.append(np.where(table < videos[-1].count, table, -1))
        lacking.update(missing)
    if not videos:
        raise NoPicture("; ".join(unreadable))
    names = ", ".join(as_text(path.name) for path in paths)
    what = "the recording of the run" if len(paths) == 1 else "the recordings of the run"
    return VideoFilm(f"{what}: {names}", videos, numbers, lacking)


def _read_table(video: Path, count: int) -> tuple[Int64, dict[int, str]]:
    """Return the number in the recording of each captured frame, -1 for none, and why frames are missing."""
    numbers, missing, table = np.full(count, -1, np.int64), dict[int, str](), recording_table_path(video)
    try:
        for row in Records(table, complete_only=True):
            frame = int(row["frame"])
            if row["recorded"] and 0 <= frame < count:
                numbers[frame] = int(row["recorded"])
            elif row["dropped"]:
                missing[frame] = row["dropped"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{table} is not the table of a recording: {error}") from error
    return numbers, missing


def _film_of_source(review: ReviewSession, path: Path, progress: Progress) -> Film:
    """Return the pictures of the video that was played.

    Raises:
        NoPicture: if its frames are not those of the session.
        SourceError: if it cannot be read.
    """
    video = RandomAccessVideo(path, progress=progress)
    try:
        numbers = _numbers_by_time(review, video) if review.session.live else None
        if numbers is None:
            played = _played(path, video.count)
            if len(played) != review.count and not review.session.live and not video.by_counting:
                video.close()  # some packets may not decode: only counting tells which
                video = RandomAccessVideo(path, by_counting=True, progress=progress)
            if len(played) < review.count and not review.session.settings.get("loop"):
                raise NoPicture(f"{path} has {len(played)} frames, but the session has {review.count}")
            numbers = played[np.arange(review.count) % len(played)]
    except CropzoomError:
        video.close()
        raise
    return VideoFilm(f"the source: {as_text(path.name)}", [video], [numbers], {})


def _played(path: Path, count: int) -> Int64:
    """Return the numbers of the frames of a video that are played: a recording leaves out those not captured."""
    return np.setdiff1d(np.arange(count), np.array(sorted(read_uncaptured(path)), np.int64))


def _numbers_by_time(review: ReviewSession, video: RandomAccessVideo) -> Int64 | None:
    """Return the number in the video of each captured frame, by the time that the run noted for it.

    Returns:
        (n,) numbers; None if the run, or the video, has no such times.

    Raises:
        NoPicture: if the video has no frames at these times: it is another one.
    """
    noted, times = review.timing["device_ns"].to_numpy(np.float64), video.times_ns
    known = np.flatnonzero(np.isfinite(noted) & (review.timing["captured_ns"].to_numpy(np.float64) > 0))
    if not len(known) or not len(times):
        return None
    at = np.searchsorted(times, noted[known] - _TOLERANCE_NS).clip(max=len(times) - 1)
    if (np.abs(times[at] - noted[known]) > _TOLERANCE_NS).any():
        raise NoPicture("the video at the place of the source has other frame times than the run: it is another one")
    numbers = np.full(review.count, -1, np.int64)
    numbers[known] = at
    if review.session.settings.get("loop"):  # only the first round has times
        period = int(known[-1]) + 1
        numbers = numbers[np.arange(review.count) % period]
    return numbers

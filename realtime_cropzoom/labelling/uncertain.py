"""The further rounds of picking: frames of sessions where the models are not sure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import ConfigError, DataError, SourceError, listed
from realtime_cropzoom.labelling.differing import Bar
from realtime_cropzoom.labelling.doubts import Doubt, find_doubts, spread
from realtime_cropzoom.labelling.frame_table import FrameRow, read_frame_table
from realtime_cropzoom.labelling.recordings import absolute, number_played
from realtime_cropzoom.labelling.rounds import Done, Pick, Plan, picked_of, seen_before
from realtime_cropzoom.labelling.small_pictures import Seen, small_picture
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sessions.films import NoPicture, VideoFilm, open_film
from realtime_cropzoom.sessions.review_session import ReviewSession
from realtime_cropzoom.sources.image_folder import DEFAULT_FPS
from realtime_cropzoom.sources.random_access import RandomAccessVideo


def plan_uncertain(
    project: Project,
    sessions: Sequence[Path],
    count: int,
    command: Sequence[str],
    bar: Bar,
    begins: Done = lambda: None,
) -> Plan:
    """Pick frames of each session.

    Args:
        project: The project.
        sessions: Folders of runs, or files of predictions.
        count: Number of frames of each session.
        command: What the command was given.
        bar: Shows the progress.
        begins: Is called when all sessions are checked, before their frames are looked at.

    Raises:
        ConfigError: if a session has other keypoints than the project.
        DataError: if a session or its recording cannot be read, or no frame is left to pick. Nothing is written.
    """
    reviews = [_open(project, path) for path in sessions]
    rows = read_frame_table(project)
    picks, counted = list[Pick](), list[str]()
    with ExitStack() as stack:
        films = [
            stack.enter_context(closing(_film_of(review, path))) for path, review in zip(sessions, reviews, strict=True)
        ]
        begins()
        seen = seen_before(project, rows)
        for path, review, film in zip(sessions, reviews, films, strict=True):
            with bar(f"looking at {path.name}", count) as done:
                picker = _Picker(project, review, film, rows, seen, done)
                doubts = find_doubts(*picker.numbers())
                spread(doubts, review.count, count, film.fps or DEFAULT_FPS, picker.accept)
            film.close()
            picks += picker.picks
            rows = (*rows, *picker.rows())
            counted += [str(absolute(video.path)) for video, _ in film.parts if video.by_counting]
    if not picks:
        raise DataError("no frame of these sessions is left to pick: the models are sure, or what is left looks alike")
    return Plan([*command], sorted(picks, key=lambda pick: (pick.recording, pick.frame)), counted)


def _open(project: Project, path: Path) -> ReviewSession:
    """Return a session of the project's models. Raises ConfigError if its keypoints are others."""
    review = ReviewSession(path)
    names = review.tables.keypoint_names
    if {*names} != {*project.keypoints}:
        raise ConfigError(
            f"{path}: got a session with the keypoints {listed(names)}, expected those of the project: "
            f"{listed(project.keypoints)}. Give a session of its own models"
        )
    return review


def _film_of(review: ReviewSession, path: Path) -> VideoFilm:
    try:
        film = open_film(review, None, lambda share: None)
    except NoPicture as error:
        raise DataError(f"{path}: there are no pictures of its frames: {error}") from None
    if not isinstance(film, VideoFilm):
        raise DataError(f"{path}: its frames are those of the synthetic arena; expected a session of a recording")
    return film


class _Picker:
    """Accepts frames of one session."""

    def __init__(
        self,
        project: Project,
        review: ReviewSession,
        film: VideoFilm,
        rows: Sequence[FrameRow],
        seen: Seen,
        done: Done,
    ) -> None:
        tables = review.tables
        self._review, self._film, self._seen, self._done = review, film, seen, done
        self._order = [tables.keypoint_names.index(name) for name in project.keypoints]
        self._names = project.keypoints
        self._poses, self._boxes = tables.poses[:, self._order], tables.boxes
        self._taken = {str(absolute(v.path)): picked_of(absolute(v.path), rows) for v, _ in film.parts}
        self.picks: list[Pick] = []

    def numbers(self) -> tuple[np.ndarray, np.ndarray, Sequence[str], Sequence[str], Sequence[str]]:
        """Return what ``find_doubts`` needs. Frames that a run skipped have no state, and are no doubtful ones."""
        frames = self._review.tables.frames
        reasons = frames["doubt"].fillna("").astype(str).tolist()
        return self._poses, self._boxes, self._review.tables.states, reasons, self._names

    def accept(self, doubt: Doubt) -> bool:
        """Pick a frame, if it is in a recording, was not picked, and looks like none that was."""
        video, raw = self._where(doubt.frame)
        if video is None:
            return False
        path = str(absolute(video.path))
        number = number_played(video.path, raw)
        if number in self._taken[path]:
            return False
        try:
            small = small_picture(video.read(raw))
        except SourceError:
            return False
        if self._seen.has(small):
            return False
        self._seen.add(small)
        self._taken[path].add(number)
        xy, box = self._poses[doubt.frame, :, :2], self._boxes[doubt.frame]
        points = [None if np.isnan(at).any() else (float(at[0]), float(at[1])) for at in xy]
        corners = None if np.isnan(box).any() else (float(box[0]), float(box[1]), int(box[2]), int(box[3]))
        self.picks.append(Pick(path, number, doubt.why, doubt.cause, points, corners))
        self._done()
        return True

    def rows(self) -> list[FrameRow]:
        """Return the picks as rows, so that another session of the same recording does not pick them again."""
        return [FrameRow("frames//", pick.recording, pick.frame, 0) for pick in self.picks]

    def _where(self, frame: int) -> tuple[RandomAccessVideo | None, int]:
        for video, numbers in self._film.parts:
            if frame < len(numbers) and numbers[frame] >= 0:
                return video, int(numbers[frame])
        return None, -1

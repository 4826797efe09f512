"""A session as a file of the Rerun viewer: ``cropzoom convert SESSION --to rrd``.

::

    picture            the video, and for each frame the place in it; else a picture now and then
    picture/points     keypoints, with names, colours and the skeleton
    picture/box        the crop
    state              the tracking state, at each change
    likelihood/NAME    of each keypoint
    events             what happened: triggers, markers, lost stretches, missing frames

Timelines: ``frame`` (capture index) and ``time`` (frame time since the first frame, if it is known).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.errors import ConfigError, SinkError, install_advice
from realtime_cropzoom.files.paths import as_text
from realtime_cropzoom.plots.overlay import palette
from realtime_cropzoom.sessions.convert import check_writable, export_path, write_whole
from realtime_cropzoom.sessions.films import Film, NoPicture, VideoFilm, open_film
from realtime_cropzoom.sessions.review_session import STATES, ReviewSession
from realtime_cropzoom.types import Float64, Int64, State
from realtime_cropzoom.view.review_events import Event, collect_events
from realtime_cropzoom.view.review_pictures import encode_jpeg

_PICTURES_PER_S = 5.0
"""Pictures a second where the video itself cannot be put into the file."""
_MOST_PICTURES = 3000
_WIDTH = 640
"""Maximum width (pixels) of such pictures."""
_BOX_COLOUR = (255, 214, 64)
_STATE_COLOURS = {
    State.TRACKING.value: (0, 122, 90),
    State.COASTING.value: (242, 177, 52),
    State.SEARCHING.value: (31, 99, 173),
    State.LOST.value: (200, 67, 15),
}


def export_rerun(
    run: Path,
    out: Path | None = None,
    *,
    video: Path | None = None,
    triggers: Path | None = None,
    overwrite: bool = False,
) -> tuple[Path, str]:
    """Write a session for the Rerun viewer, and return the new file, and in words where its pictures come from.

    Args:
        run: A session folder, or a file of predictions.
        out: The new file; None puts it next to the poses.
        video: The video, if it is not where the run found it.
        triggers: Folder of a trigger process, or of several; None looks beside the session.
        overwrite: Whether to replace an existing file.

    Raises:
        DataError: if the session cannot be read.
        SinkError: if the file exists, or cannot be written.
        ConfigError: if the library is missing.
    """
    try:
        importlib.import_module("rerun")
    except ImportError as error:
        raise ConfigError(f"rrd: {install_advice(error.name or 'rerun')}") from None
    path = export_path(run, ".rrd") if out is None else out
    check_writable(path, run, overwrite=overwrite)
    review = ReviewSession(run)
    events = collect_events(review, triggers).events
    try:
        film = open_film(review, video, lambda share: None)
    except NoPicture as why:
        write_whole(path, lambda partial: _write(partial, review, events, None))
        return path, f"no pictures: {why}"
    try:
        write_whole(path, lambda partial: _write(partial, review, events, film))
    finally:
        film.close()
    return path, film.title


def _write(path: Path, review: ReviewSession, events: list[Event], film: Film | None) -> None:
    import rerun as rr
    import rerun.blueprint as rrb

    recording: Any = rr.RecordingStream("cropzoom", recording_id=review.run)
    pictures = rrb.Spatial2DView(origin="/picture", name="picture")
    numbers = rrb.Vertical(
        rrb.StateTimelineView(origin="/state", name="state"),
        rrb.TimeSeriesView(origin="/likelihood", name="likelihood"),
        rrb.TextLogView(origin="/events", name="events"),
    )
    try:
        recording.save(path, default_blueprint=rrb.Blueprint(rrb.Horizontal(pictures, numbers)))
    except RuntimeError as error:
        raise SinkError(f"cannot write {path}: {error}; give another file with --out") from error
    recording.send_recording_name(as_text(review.folder.name))
    _Writer(recording, review).write(events, film)
    recording.flush()
    recording.disconnect()


class _Writer:
    """Writes the parts of one session."""

    def __init__(self, recording: Any, review: ReviewSession) -> None:
        import rerun

        self._rr: Any = rerun
        self._to, self._review = recording, review
        self._frames = np.arange(review.count)
        self._seconds = review.tables.seconds

    def write(self, events: list[Event], film: Film | None) -> None:
        """Write all of it."""
        self._write_points()
        self._write_boxes()
        self._write_states()
        self._write_likelihoods()
        self._write_events(events)
        if film is not None and not (isinstance(film, VideoFilm) and self._write_videos(film)):
            self._write_pictures(film)

    def _times(self, frames: Int64) -> list[Any]:
        """Return the timelines of frames. Without frame times there is only the number."""
        times = [self._rr.TimeColumn("frame", sequence=frames)]
        if np.isfinite(self._seconds).all():
            times.append(self._rr.TimeColumn("time", duration=self._seconds[frames]))
        return times

    def _send(self, entity: str, frames: Int64, columns: Any) -> None:
        if len(frames):
            self._to.send_columns(entity, indexes=self._times(frames), columns=columns)

    def _write_points(self) -> None:
        rr, poses, names = self._rr, self._review.tables.poses, self._review.tables.keypoint_names
        known = np.isfinite(poses[:, :, :2]).all(axis=2)
        annotations = [
            rr.AnnotationInfo(id=k, label=as_text(name), color=colour)
            for k, (name, colour) in enumerate(zip(names, palette(len(names)), strict=True))
        ]
        self._to.log(
            "picture",
            rr.AnnotationContext(
                rr.ClassDescription(
                    info=rr.AnnotationInfo(id=0, label="animal"),
                    keypoint_annotations=annotations,
                    keypoint_connections=self._bones(),
                )
            ),
            static=True,
        )
        columns = rr.Points2D.columns(
            positions=poses[known][:, :2] + 0.5,  # the middle of the first pixel is at 0.5 there, and at 0 here
            keypoint_ids=np.nonzero(known)[1],
            class_ids=np.zeros(int(known.sum()), np.int64),
        )
        self._send("picture/points", self._frames, columns.partition(known.sum(axis=1)))

    def _bones(self) -> list[tuple[int, int]]:
        names = list(self._review.tables.keypoint_names)
        skeleton = self._review.session.summary.get("skeleton") or []
        return [(names.index(a), names.index(b)) for a, b in skeleton if a in names and b in names]

    def _write_boxes(self) -> None:
        boxes = self._review.tables.boxes
        known = np.isfinite(boxes).all(axis=1)
        if not known.any():
            return
        halves: Float64 = boxes[known][:, 2:] / 2
        columns = self._rr.Boxes2D.columns(
            centers=boxes[known][:, :2] + halves,
            half_sizes=halves,
            colors=np.tile(np.array(_BOX_COLOUR, np.uint8), (int(known.sum()), 1)),
        )
        self._send("picture/box", self._frames, columns.partition(known.astype(np.int64)))

    def _write_states(self) -> None:
        codes = self._review.states.astype(np.int64)
        given = np.flatnonzero(codes > 0)  # a skipped frame has none, and does not end a state
        frames = given[np.diff(codes[given], prepend=-1) != 0]
        if not len(frames):
            return
        values = list(_STATE_COLOURS)
        colours = np.array(list(_STATE_COLOURS.values()), np.uint8)
        self._to.log("state", self._rr.StateConfiguration(values=values, labels=values, colors=colours), static=True)
        self._send("state", frames, self._rr.StateChange.columns(state=[STATES[code] for code in codes[frames]]))

    def _write_likelihoods(self) -> None:
        names = self._review.tables.keypoint_names
        for k, (name, colour) in enumerate(zip(names, palette(len(names)), strict=True)):
            values = self._review.tables.poses[:, k, 2]
            frames = np.flatnonzero(np.isfinite(values))
            entity = ["likelihood", as_text(name)]
            self._to.log(entity, self._rr.SeriesLines(colors=colour, names=as_text(name)), static=True)
            self._send(self._rr.new_entity_path(entity), frames, self._rr.Scalars.columns(scalars=values[frames]))

    def _write_events(self, events: list[Event]) -> None:
        frames = np.array([event.frame for event in events], np.int64)
        texts = [f"{event.kind}: {event.text}" for event in events]
        bad = {"lost", "unrecorded", "failed", "skipped", "reconnected"}
        levels = ["WARN" if event.kind in bad else "INFO" for event in events]
        self._send("events", frames, self._rr.TextLog.columns(text=texts, level=levels))

    def _write_videos(self, film: VideoFilm) -> bool:
        """Write the videos of a film as they are; return False if the viewer cannot play one of them."""
        assets = []
        for video, numbers in film.parts:
            try:
                asset = self._rr.AssetVideo(path=video.path)
                times_ns = np.sort(np.asarray(asset.read_frame_timestamps_nanos(), np.int64))
            except Exception:  # a codec or a container that Rerun does not know
                return False
            if len(times_ns) != video.count or video.by_counting:
                return False
            assets.append((asset, times_ns, numbers))
        for part, (asset, times_ns, numbers) in enumerate(assets):
            entity = "picture/video" if len(assets) == 1 else f"picture/video_{part + 1}"
            self._to.log(entity, asset, static=True)
            frames = np.flatnonzero(numbers >= 0)
            references = self._rr.VideoFrameReference.columns(timestamp=times_ns[numbers[frames]])
            self._send(entity, frames, references)
        return True

    def _write_pictures(self, film: Film) -> None:
        """Write some pictures of a film."""
        rate = self._review.facts()["fps"] or film.fps or 30.0
        step = max(1, round(rate / _PICTURES_PER_S), -(-self._review.count // _MOST_PICTURES))
        for frame in range(0, self._review.count, step):
            try:
                picture = film.read(frame)
            except NoPicture:
                continue
            scale = max(1.0, picture.shape[1] / _WIDTH)
            self._to.set_time("frame", sequence=frame)
            if np.isfinite(self._seconds).all():
                self._to.set_time("time", duration=float(self._seconds[frame]))
            image = self._rr.EncodedImage(contents=encode_jpeg(picture, _WIDTH), media_type="image/jpeg")
            self._to.log("picture/image", image)
            if frame == 0 and scale > 1:
                self._to.log("picture/image", self._rr.Transform3D(scale=[scale, scale, 1.0]), static=True)

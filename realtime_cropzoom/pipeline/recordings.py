"""Recordings: the recorders of a run, those that it began with and those that orders start and stop while it goes.

Whatever takes long is done in the thread that gives the order, or in that of the recorder: the memory for the frames
that wait, the file, the encoder. The pose stage and the source learn of a recorder by one assignment each.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import SinkError, StateError
from realtime_cropzoom.files.append import NO_ANSWER
from realtime_cropzoom.pipeline.pose import PoseStage
from realtime_cropzoom.pipeline.source_reader import SourceReader
from realtime_cropzoom.runtime.started import in_time
from realtime_cropzoom.runtime.worker import POLL_S
from realtime_cropzoom.sinks.base_recorder import BaseRecorder
from realtime_cropzoom.sinks.event_log import EventLog
from realtime_cropzoom.sinks.packet_recorder import PacketRecorder
from realtime_cropzoom.sinks.recorder import Recorder, RecorderMaker
from realtime_cropzoom.sinks.recording import Recording
from realtime_cropzoom.sources.recording_table import CROPS, VIDEO_SUFFIXES, recording_table_path

_MAX_SAME = 1000
"""Maximum number of recordings of one name."""
_CLOSES_WITHIN_S = 10.0
"""Maximum wait (s) until the frames of a stopped recording are in its file."""

_PAUSE_WITHIN_S = 0.1
"""Maximum wait (s) for a pause between two poses: to open an encoder of H.264 holds the interpreter for 3 or 4 ms."""


class Recordings:
    """The recorders of a run. Any thread may read ``all`` and ``current``; ``start`` and ``stop`` take turns."""

    def __init__(self, maker: RecorderMaker, recorders: Sequence[Recorder]) -> None:
        """Take over the recorders that the run begins with.

        Args:
            maker: Makes further ones.
            recorders: They run already.
        """
        self._maker = maker
        self.all: tuple[Recorder, ...] = tuple(recorders)
        """All recorders, those that have ended included; replaced as a whole."""
        self._changing = threading.Lock()
        self._pose: PoseStage | None = None
        self._reader: SourceReader | None = None
        self._events: EventLog | None = None

    def attach(self, pose: PoseStage, reader: SourceReader, events: EventLog) -> None:
        """Name the stage and the source that further recorders follow, and the log of what happens to recordings.

        Args:
            pose: Tells each recorder which frames are done.
            reader: Shows each captured frame to a recorder that copies.
            events: Is told of a recording that fails.
        """
        self._pose, self._reader, self._events = pose, reader, events
        for recorder in self.all:
            self._tell_failure(recorder.recording)

    def _tell_failure(self, recording: Recording[Any]) -> None:
        assert self._events is not None
        add, video = self._events.add, recording.video.name
        recording.on_failure = lambda reason: add("recording_stopped", f"{video} failed: {reason}", "recorder")

    @property
    def current(self) -> BaseRecorder | None:
        """The recorder of frames that takes new frames; None if none does."""
        frames = (recorder for recorder in reversed(self.all) if isinstance(recorder, BaseRecorder))
        return next((r for r in frames if r.is_alive() and r.recording.end is None), None)

    @property
    def now(self) -> Recording[Any] | None:
        """The recording of frames that goes on; None without one, also once it could not be written on."""
        current = self.current
        return None if current is None or current.recording.failed else current.recording

    def start(self, name: str | None) -> BaseRecorder:
        """Begin to record every captured frame from now on; return once the files are open.

        Args:
            name: Name of the video, without its suffix; if there is one of that name, a number follows. None takes
                the name of the source.

        Raises:
            SinkError: if the files cannot be made, or the disk does not answer.
            StateError: if the frames are recorded already, or the run has no stages yet.
        """
        with self._changing:
            current = self.current
            if current is not None and not current.recording.failed:
                raise StateError(f"record: {current.recording.video.name} is being recorded; stop that recording first")
            if current is not None:
                self._end(current)
            folder, wanted = self._maker.folder, name or self._maker.info.name
            stem = in_time(f"the folder {folder}", lambda: free_stem(folder, wanted))
            recorder = self._begin(stem)
            try:
                recorder.recording.wait_open(self._maker.control.stop.is_set)
            except BaseException:
                recorder.stop_before(recorder.recording.first)
                self._detach(recorder)
                self.all = tuple(other for other in self.all if other is not recorder)
                raise
            return recorder

    def stop(self) -> BaseRecorder:
        """End the recording with the newest captured frame; return once its files are closed.

        Raises:
            SinkError: if the disk does not answer; the recorder then goes on by itself.
            StateError: if no frames are recorded.
        """
        with self._changing:
            recorder = self.current
            if recorder is None:
                raise StateError("stop_recording: no frames are recorded; start a recording first")
            self._end(recorder)
            if recorder.is_alive():
                raise SinkError(f"{recorder.recording.video}: {NO_ANSWER}; it is closed as soon as it does")
            return recorder

    def log_end(self) -> None:
        """Add an event for the recording that the end of the run has ended, once its recorder is done."""
        for recorder in self.all:
            recording = recorder.recording
            goes_on = recording.end is None and not recording.failed
            if isinstance(recorder, BaseRecorder) and goes_on and self._events is not None:
                self._events.add("recording_stopped", recording.as_text(), "end of the run")

    def _begin(self, stem: str) -> BaseRecorder:
        if self._pose is None or self._reader is None:
            raise StateError("record: the run is about to start; record when it runs")
        self._maker.make_room()
        recorder = self._maker.frames(stem)
        self._tell_failure(recorder.recording)
        if isinstance(recorder, PacketRecorder):
            self._reader.tap = recorder.offer
        self.all = (*self.all, recorder)
        self._pose.sinks = (*self._pose.sinks, recorder)
        if not self._maker.lockstep:
            self._pose.pauses.wait_for(self._maker.ring.newest + 1, _PAUSE_WITHIN_S)
        recorder.start()
        return recorder

    def _end(self, recorder: BaseRecorder) -> None:
        """End a recording with the newest captured frame; wait until its files are closed, but not for ever."""
        recorder.stop_before(self._maker.ring.newest + 1)
        until = now_s() + _CLOSES_WITHIN_S
        while recorder.is_alive() and now_s() < until and not self._maker.control.stop.is_set():
            recorder.join(POLL_S)
        self._detach(recorder)

    def _detach(self, recorder: BaseRecorder) -> None:
        assert self._pose is not None
        assert self._reader is not None
        self._pose.sinks = tuple(sink for sink in self._pose.sinks if sink is not recorder)
        if isinstance(recorder, PacketRecorder):
            self._reader.tap = None


def free_stem(folder: Path, name: str) -> str:
    """Return ``name``, or ``name-2``, ``name-3`` … if the folder has a recording or a video of that name.

    Args:
        folder: Folder of the run.
        name: The name wanted.

    Raises:
        SinkError: if a thousand are there.
    """
    for stem in (name, *(f"{name}-{n}" for n in range(2, _MAX_SAME))):
        videos = [folder / f"{stem}{suffix}" for suffix in VIDEO_SUFFIXES]
        is_taken = any(path.exists() for path in (*videos, recording_table_path(videos[0])))
        if not is_taken and not stem.endswith(CROPS):  # that would be the recording of the crops
            return stem
    raise SinkError(f"{folder} holds a thousand recordings of the name {name}; give another name")

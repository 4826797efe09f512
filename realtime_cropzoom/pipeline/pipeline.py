"""Builds the stages, starts them, and ends them, in reading order.

::

    capture → ring ─┬─ newest ──→ detect ──→ box slot ─┐
                    ├─ in order ───────────────────→ pose ─┬→ publish → ZeroMQ
                    │                                      ├→ write   → CSV
                    │                                      ├→ (track) → your script
                    │                                      └→ (record-crops) → video
                    └─ in order, as far behind as the ring reaches ─→ (record) → video
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from realtime_cropzoom.calibration.calibration import Calibration, calibration_yaml
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.config.settings import NONE, Settings
from realtime_cropzoom.errors import ConfigError, SinkError, StageError, StateError
from realtime_cropzoom.files.append import NO_ANSWER
from realtime_cropzoom.files.atomic import to_json, try_write_whole
from realtime_cropzoom.inference.box_size import BoxSizes
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Model, Models
from realtime_cropzoom.inference.schedule import Gaps, LatestSchedule, LockstepSchedule, Schedule
from realtime_cropzoom.messaging.keys import read_server_keys
from realtime_cropzoom.messaging.limits import check_open_files, raise_limit
from realtime_cropzoom.messaging.message import PoseMessage, StatusMessage
from realtime_cropzoom.messaging.security import Security
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.detect import DetectStage
from realtime_cropzoom.pipeline.pose import PoseStage
from realtime_cropzoom.pipeline.source_reader import CaptureOptions
from realtime_cropzoom.pipeline.startup import (
    box_notes,
    check_crop_size,
    check_filter,
    listener_notes,
    load_calibration,
    load_model,
    model_notes,
)
from realtime_cropzoom.pipeline.status import RunReporter, StageSet
from realtime_cropzoom.pipeline.watchdog import Watchdog
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.queues import QueueSink, Sink
from realtime_cropzoom.runtime.records import pose_message
from realtime_cropzoom.runtime.ring import NewestReader, OrderedReader, Ring
from realtime_cropzoom.runtime.started import in_time
from realtime_cropzoom.runtime.tuning import tune
from realtime_cropzoom.runtime.worker import RunControl, Stage
from realtime_cropzoom.sessions.folder import CALIBRATION, file_stem, make_given_folder, make_session_folder
from realtime_cropzoom.sessions.schedule_file import read_schedule
from realtime_cropzoom.sinks.csv_writer import CsvSink
from realtime_cropzoom.sinks.packet_recorder import PacketRecorder
from realtime_cropzoom.sinks.recorder import CropRecorder, Recorder, check_copy, make_recorders
from realtime_cropzoom.sinks.zmq_publisher import ZmqSink
from realtime_cropzoom.sources.base import Source, SourceInfo
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.live.reconnect import ReconnectPolicy
from realtime_cropzoom.sources.recording_table import find_gaps

logger = logging.getLogger(__name__)

T = TypeVar("T")
_STAGES_END_WITHIN_S = 1.0
_SINKS_END_WITHIN_S = 0.7
_SAVED_WITHIN_S = 1.0
_LOCKSTEP_SLOTS = 8


class RunState(Enum):
    """Where in its life a run is: each state follows the one above it, and none comes twice."""

    BUILT = "is not started yet"
    STARTED = "is started"
    STOPPING = "is about to end"
    JOINED = "is over"


class Pipeline:
    """One run: ``start`` it, ``wait`` for it or ``stop`` it, then ``join``; or use it in a ``with``.

    It runs once. What does not fit its ``state`` raises StateError, and leaves the run and its files as they are.
    """

    def __init__(
        self,
        settings: Settings,
        source: Callable[[], Source] | None = None,
        *,
        folder: Path | None = None,
        anchor_ns: int | None = None,
    ) -> None:
        """``source`` opens the frames in place of ``settings.source``; it is called in the capture thread.

        One of several cameras is given its ``folder``, which must not be there yet, and the Unix anchor of them all.
        """
        if source is None and settings.source is None:
            raise ConfigError("no source; give a video file, or synthetic:arena")
        self.settings = settings
        self.control = RunControl()
        self.folder: Path | None = None
        self._given_folder, self._anchor_ns = folder, anchor_ns
        self.summary: dict[str, Any] = {}
        self.notes: list[str] = []
        """What a user should know before the first frame, a line each."""
        self._lockstep = settings.pace == "fast"
        self._restart = settings.on_failure == "restart" and not self._lockstep  # where a replay must be reproducible
        options = replace(settings.source_options(), stopped=self.control.stop.is_set)
        self._capture = CaptureStage(
            source or (lambda: open_source(str(settings.source), options)),
            self.control,
            CaptureOptions(
                realtime=not self._lockstep,
                frames=settings.frames,
                speed=settings.speed,
                reconnect=ReconnectPolicy(settings.reconnect_for_s, settings.changed == "adapt"),
                stall_after_ms=settings.stall_after_ms,
            ),
        )
        self._account: RunReporter | None = None
        self._stages: StageSet | None = None
        self._watchdog: Watchdog | None = None
        self._tracked: QueueSink | None = None
        self._unsaved: list[str] = []
        """Small files that could not be written, and why."""
        self._restore: Callable[[], None] = lambda: None
        self._state = RunState.BUILT
        self._started_in = 0
        """The process it runs in: after a fork, its threads are there only."""
        self._changing, self._joining = threading.Lock(), threading.Lock()

    @property
    def state(self) -> RunState:
        """Where in its life the run is; one that has come to its end by itself is over once it is joined."""
        state = self._state
        return RunState.STOPPING if state is RunState.STARTED and self.control.stop.is_set() else state

    def start(self, *, tracked: bool = False) -> None:
        """Open and check everything, then let the frames flow. With ``tracked``, ``messages`` can be iterated.

        Raises ConfigError, SourceError, ModelError, ScheduleError or SinkError before the first
        frame is taken; nothing is left running then. Raises StateError if it was started before.
        """
        raise_limit()
        check_open_files()
        with self._changing:
            if self._state is not RunState.BUILT:
                raise StateError(
                    f"start: this run {self.state.value}; expected one that is not started yet. "
                    "Make a new Pipeline for another run (a 'with' starts its own)"
                )
            self._state, self._started_in = RunState.STARTED, os.getpid()
        self._restore = tune()
        try:
            self._capture.start()
            self._build(self._capture.wait_open(), tracked)
        except BaseException:
            self._state = RunState.JOINED
            self._take_back()
            self._restore()
            raise

    def _take_back(self) -> None:
        """End what a start that was refused has started, and remove its folder, which has no frame in it."""
        self.control.stop.set()
        stages, self._stages = self._stages, None
        threads: list[Stage] = [self._capture]
        if stages is not None:
            sinks = [sink for sink in (stages.publish, stages.write, *stages.recorders) if sink is not None]
            for sink in sinks:
                sink.end()
            threads += [stages.pose, *([] if stages.detect is None else [stages.detect]), *sinks]
        for thread in threads:
            if thread.is_alive():
                thread.join(_STAGES_END_WITHIN_S)
        if (folder := self.folder) is not None:
            with contextlib.suppress(SinkError):  # a disk that hangs keeps it
                in_time(f"the folder {folder}", lambda: shutil.rmtree(folder, ignore_errors=True), _STAGES_END_WITHIN_S)

    def _build(self, info: SourceInfo, tracked: bool) -> None:
        """First all that can be refused, then what leaves something behind, then the threads."""
        s = self.settings
        info = replace(info, name=file_stem(info.name))
        if info.live and self._lockstep:
            raise ConfigError(f"{info.name} is a live source and waits for nobody; leave out --pace fast")
        if info.live and s.speed != 1:
            raise ConfigError(f"{info.name} is a live source, but speed is for recordings. Leave it out")
        check_copy(s, info)
        self.notes += info.notes
        models = Models(pose=load_model(s, "pose"), detector=None if s.schedule else load_model(s, "detector"))
        self.notes += model_notes("pose", models.pose, s, info.fps)
        check_crop_size(s, info)
        check_filter(s, info)
        calibration = load_calibration(s, info)
        rule = None
        if models.detector is not None:
            self.notes += model_notes("detector", models.detector, s, info.fps)
            rule = s.box_rule(models.detector.keypoint_names, models.pose.trained_crop_size)
        schedule = self._schedule()
        self.notes += box_notes(models.pose, rule, schedule)
        slot = BoxSlot(schedule)
        self._account = account = RunReporter(s, info, models, self.control, self._anchor_ns, calibration)
        from_begin = s.start_s == 0 and not s.loop
        gaps = find_gaps(s.source, schedule) if models.reach and from_begin else Gaps()
        if problem := gaps.problem(str(s.source)):
            account.lacking.append(problem)

        slots = _LOCKSTEP_SLOTS if self._lockstep else s.max_lag + 6 + (s.record_buffer + 2) * s.recording
        ring = Ring(slots, info.height, info.width)
        with contextlib.ExitStack() as if_refused:
            publish = self._publisher(account)
            if publish is not None:
                if_refused.callback(_end, publish)
            self.folder = self._on_disk(s.out, lambda: self._make_folder(info))
            if calibration is not None:
                text = calibration_yaml(calibration)
                self._on_disk(self.folder, lambda: self._save(CALIBRATION, text))
            crop_size = models.pose.size if rule is None or rule.crop_size is None else (rule.crop_size,) * 2
            recorders = make_recorders(s, info, ring, crop_size, self.folder, self.control)
            for recorder in recorders:
                recorder.start()
                if_refused.callback(_end, recorder)
            for recorder in recorders:
                recorder.recording.wait_open(self.control.stop.is_set)
            folder = self.folder
            write = self._on_disk(folder, lambda: self._writer(info, models.pose, folder, publish, calibration))
            if_refused.pop_all()
        if tracked:
            self._tracked = QueueSink(self.control, lockstep=self._lockstep)

        reader = OrderedReader(ring, None if self._lockstep else s.max_lag)
        sinks = [sink for sink in (publish, write, self._tracked, *recorders) if sink is not None]
        pose = PoseStage(
            models.pose, ring, reader, slot, sinks, self.control, edge=s.edge, restart=self._restart,
            judge=s.pose_judge(models.pose.presence), pose_filter=s.pose_filter(len(models.pose.keypoint_names)),
            gaps=gaps,
            on_box=next((recorder.show for recorder in recorders if isinstance(recorder, CropRecorder)), None),
        )  # fmt: skip
        detect = None
        if models.detector is not None and rule is not None:
            detect = self._detect_stage(models, rule, ring, slot, gaps)
        self._stages = account.stages = StageSet(self._capture, ring, detect, pose, publish, write, recorders)
        summary = to_json(account.summary(str(self.folder), ended=False))
        self._on_disk(self.folder, lambda: self._save("summary.json", summary))

        write.start()
        pose.start()
        if detect is not None:
            detect.start()
        if not self._lockstep:  # there a stage may have to wait for a disk
            models_at_work = [stage for stage in (detect, pose) if stage is not None]
            self._watchdog = Watchdog(
                models_at_work, s.hang_after_s, self._capture.stream, self.control, write, pose.progress
            )
            self._watchdog.start()
        copier = next((recorder for recorder in recorders if isinstance(recorder, PacketRecorder)), None)
        self._capture.begin(ring, None if copier is None else copier.offer)

    def _schedule(self) -> Schedule:
        s = self.settings
        if s.schedule is not None:
            return read_schedule(s.schedule, s.source)
        if self._lockstep:
            return LockstepSchedule(s.state_limits(), s.detector_every)
        return LatestSchedule(s.state_limits())

    def _detect_stage(self, models: Models, rule: BoxRule, ring: Ring, slot: BoxSlot, gaps: Gaps) -> DetectStage:
        s = self.settings
        assert models.detector is not None
        return DetectStage(
            models.detector,
            OrderedReader(ring, None) if self._lockstep else NewestReader(ring),
            slot,
            self.control,
            rule=rule,
            sizes=BoxSizes(models.pose.expected_side if rule.crop_size is None else None),
            gaps=gaps if self._lockstep else None,
            every=s.detector_every if self._lockstep else 1,
            max_fps=None if self._lockstep else s.detector_max_fps,
            restart=self._restart,
        )

    def _publisher(self, account: RunReporter) -> ZmqSink | None:
        s = self.settings
        if s.publish == NONE:
            return None
        latest = None if s.publish_latest == NONE else s.publish_latest
        security = Security(None if s.key_folder is None else read_server_keys(s.key_folder), s.insecure)
        sink = ZmqSink(
            s.publish, latest, account, self.control, encoding=s.encoding, lockstep=self._lockstep,
            max_age_ms=None if self._lockstep else s.max_age_ms, echo_endpoint=s.echo_endpoint(),
            security=security,
        )  # fmt: skip
        sink.start()
        try:
            sink.wait_bound()
        except SinkError as error:
            sink.join(_SINKS_END_WITHIN_S)
            if not s.publish_optional:
                raise
            logger.warning("%s; going on with files alone", error)
            return None
        self.notes += listener_notes(s, security.keys)
        echo = "" if sink.echo is None else f"; clock echo at {sink.echo}"
        self.notes.append(f"publishing at {' and, newest pose only, at '.join(sink.bound_to)}{echo}")
        return sink

    def _on_disk(self, where: Path, work: Callable[[], T]) -> T:
        """Do what a disk that hangs would never let go of. Raises SinkError after some seconds."""
        return in_time(f"the folder {where}", work, stopped=self.control.stop.is_set)

    def _make_folder(self, info: SourceInfo) -> Path:
        if self._given_folder is None:
            return make_session_folder(self.settings.out, info.name)
        return make_given_folder(self._given_folder)

    def _writer(
        self, info: SourceInfo, pose: Model, folder: Path, publish: ZmqSink | None, calibration: Calibration | None
    ) -> CsvSink:
        sink = CsvSink(
            folder,
            info.name,
            pose.keypoint_names,
            pose.file.scorer,
            self.control,
            lockstep=self._lockstep,
            publications=None if publish is None else publish.publications,
            calibration=calibration,
        )
        self._save("config.yaml", self.settings.to_yaml())
        return sink

    @property
    def info(self) -> SourceInfo:
        """What is known of the source. Raises StateError before the start."""
        return self._running("info")[0].info

    @property
    def endpoints(self) -> list[str]:
        """The endpoints bound: poses, then newest pose only; empty where nothing is published. Raises StateError."""
        publish = self._running("endpoints")[1].publish
        return publish.bound_to if publish else []

    def messages(self) -> Iterator[PoseMessage]:
        """Yield the pose messages of a run started with ``tracked``. Raises StateError of any other."""
        account, _ = self._running("messages")
        if self._tracked is None:
            raise StateError("messages: this run keeps none; expected one started with start(tracked=True)")
        for record in self._tracked:
            yield pose_message(record, account.identity, now_ns(), self._tracked.dropped)

    def progress(self) -> StatusMessage:
        """Return what the heartbeat says right now. Raises StateError before the start."""
        return self._running("progress")[0].status()

    def _running(self, what: str) -> tuple[RunReporter, StageSet]:
        """What there is of a run once it is started. Raises StateError before, and where ``start`` was refused."""
        if self._account is None or self._stages is None:
            why = RunState.BUILT.value if self._state is RunState.BUILT else "could not be started"
            raise StateError(f"{what}: this run {why}; expected one that is. Call start() first, or use a 'with'")
        return self._account, self._stages

    def wait(self, timeout_s: float) -> bool:
        """Wait for the run to end by itself; return whether it has. Raises StateError before the start."""
        threads = self._threads("wait")
        deadline = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def stop(self, reason: str = "stopped") -> None:
        """Ask the run to end; may be called from a signal handler, more than once, and before the start."""
        if not self.control.stop.is_set():
            self.control.reason = reason  # first: the publishing thread says it in its end message
            self.control.stop.set()

    def join(self) -> dict[str, Any]:
        """Wait for the end, close everything, write ``summary.json`` and return it.

        After ``stop`` this takes 2 s at most, even with a thread stuck in native code, which is
        then named. Raises the first error of the run; called again, it returns the summary. Raises
        StateError before the start, and in another process than the run's own.
        """
        account, stages = self._running("join")
        if os.getpid() != self._started_in:
            raise StateError(
                f"join: this run belongs to process {self._started_in}, and this is a fork of it ({os.getpid()}); "
                "call join there"
            )
        with self._joining:
            if self._state is not RunState.JOINED:
                self._come_to_end(account, stages)
                if self.control.error is not None:
                    raise self.control.error
        return self.summary

    def _come_to_end(self, account: RunReporter, stages: StageSet) -> None:
        while not self.control.stop.is_set() and not self.wait(0.2):
            pass
        stuck = self._end_threads(stages)
        self._state = RunState.JOINED
        self.control.stop.set()
        held_up = [t for t in (stages.write, *stages.recorders) if t.is_alive()]  # by a disk that does not answer
        stuck = [name for name in stuck if name not in {thread.stage for thread in held_up}]
        if stuck:
            self.control.fail(stuck[0], StageError(f"left behind, stuck in native code: {', '.join(stuck)}"))
        self._restore()
        self.summary = account.summary(str(self.folder))
        self.summary["problems"] += self._unsaved
        captured = account.counts().captured
        for thread in held_up:
            if isinstance(thread, CsvSink):
                self.summary["problems"] += thread.left_behind()
            else:
                self.summary["problems"] += thread.recording.left_behind(captured)
        self._save_in_time("summary.json", to_json(self.summary))

    def _save_in_time(self, name: str, text: str) -> None:
        """Write a small file; where the disk does not answer, say so and leave that to a thread of its own."""
        thread = threading.Thread(target=self._save, args=(name, text), name="cropzoom-save", daemon=True)
        before = len(self._unsaved)
        thread.start()
        thread.join(_SAVED_WITHIN_S)
        if thread.is_alive():
            self._unsaved.append(f"{self.folder}/{name}: {NO_ANSWER}; it is not written, and says 'running'")
        problems = [*self.summary["problems"], *self._unsaved[before:]]
        self.summary["problems"] = list(dict.fromkeys(problems))  # a folder that is gone is said once

    def __enter__(self) -> Pipeline:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.wait(0):
            self.stop()
        self.join()

    def _threads(self, what: str = "join") -> list[Stage]:
        _, s = self._running(what)
        return [t for t in (s.capture, s.detect, s.pose, s.publish, s.write, *s.recorders) if t is not None]

    def _end_threads(self, stages: StageSet) -> list[str]:
        """Join all threads, the stages first; sinks are told of the end even if the pose stage is stuck."""
        sinks = [s for s in (stages.publish, stages.write, *stages.recorders) if s is not None]
        deadline = time.monotonic() + _STAGES_END_WITHIN_S
        for thread in self._threads():
            if thread not in sinks:
                thread.join(max(0.0, deadline - time.monotonic()))
        if self._watchdog is not None:
            self._watchdog.join(_STAGES_END_WITHIN_S)
        if stages.pose.is_alive():
            stages.pose.abandon()
        deadline = time.monotonic() + _SINKS_END_WITHIN_S
        for sink in (*sinks, self._tracked):
            if sink is not None:
                sink.end()
        for sink in sinks:
            sink.join(max(0.0, deadline - time.monotonic()))
        return [t.stage for t in self._threads() if t.is_alive()]

    def _save(self, name: str, text: str) -> None:
        assert self.folder is not None
        problem = try_write_whole(self.folder / name, text)
        if problem is not None:
            logger.error("%s", problem)
            self._unsaved.append(problem)


def track(source: str | Path | None = None, *, config: Path | None = None, **settings: Any) -> Iterator[PoseMessage]:
    """Track ``source`` and yield a message a processed frame; ends with the stream and closes itself.

    A recording is played in real time, as by a camera, and frames may be skipped where the machine does not keep up;
    ``pace="fast"`` takes every frame. ``settings`` are those of ``docs/reference/settings.md``. Files are written as in
    ``cropzoom run``; nothing is published unless ``publish`` says where. Raises as ``Pipeline.start`` does, and what
    ended the run early.
    """
    flags: dict[str, Any] = {"publish": NONE, **settings}
    if source is not None:
        flags["source"] = str(source)
    pipeline = Pipeline(load_settings(flags, config))
    pipeline.start(tracked=True)
    try:
        yield from pipeline.messages()
    except BaseException:  # the loop was left, or Ctrl-C came while it waited: an endless source must not go on
        pipeline.stop()
        raise
    finally:
        pipeline.join()


def _end(thread: Sink | Recorder) -> None:
    """Take back a thread that was started before something else was refused."""
    thread.end()
    thread.join(_SINKS_END_WITHIN_S)

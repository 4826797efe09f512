"""Builds the stages, starts them, and ends them, in reading order.

::

    capture → ring ─┬─ newest ──→ detect ──→ box slot ─┐
                    └─ in order ───────────────────→ pose ─┬→ publish → ZeroMQ
                                                           ├→ write   → CSV
                                                           └→ (track) → your script
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from realtime_cropzoom import __version__
from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.config import NONE, SHIPPED, Settings, load_settings
from realtime_cropzoom.errors import ConfigError, CropzoomError, SinkError, StageError
from realtime_cropzoom.message import (
    SCHEMA_VERSION,
    Counts,
    EndMessage,
    HelloMessage,
    Percentiles,
    PoseMessage,
    StatusMessage,
)
from realtime_cropzoom.model import Model, shipped_model
from realtime_cropzoom.records import RunIdentity, pose_message
from realtime_cropzoom.ring import NewestReader, OrderedReader, Ring
from realtime_cropzoom.schedule import FileSchedule, LatestSchedule, LockstepSchedule, Schedule
from realtime_cropzoom.session_folder import make_session_folder, to_json, write_text
from realtime_cropzoom.sinks.base import Sink
from realtime_cropzoom.sinks.files import CsvSink
from realtime_cropzoom.sinks.queue import QueueSink
from realtime_cropzoom.sinks.zmq import ZmqSink
from realtime_cropzoom.sources import Source, SourceInfo
from realtime_cropzoom.sources.opening import open_source
from realtime_cropzoom.stages.base import Control, Stage
from realtime_cropzoom.stages.boxslot import BoxSlot
from realtime_cropzoom.stages.capture import CaptureStage
from realtime_cropzoom.stages.detect import DetectStage
from realtime_cropzoom.stages.pose import PoseStage
from realtime_cropzoom.types import State, StreamState

logger = logging.getLogger(__name__)

_STAGES_END_WITHIN_S = 1.0
_SINKS_END_WITHIN_S = 0.7
_SWITCH_INTERVAL_S = 0.0005
"""How long one Python thread may keep the others waiting; the default of 5 ms is a frame at 200 fps."""


@dataclass(slots=True)
class _Parts:
    """What a started pipeline is made of."""

    info: SourceInfo
    ring: Ring
    pose: PoseStage
    detect: DetectStage | None
    publish: ZmqSink | None
    write: CsvSink
    sinks: list[Sink] = field(default_factory=list)


class Pipeline:
    """One run: ``start`` it, ``wait`` for it or ``stop`` it, then ``join``; or use it in a ``with``."""

    def __init__(self, settings: Settings, source: Callable[[], Source] | None = None) -> None:
        """``source`` opens the frames in place of ``settings.source``; it is called in the capture thread."""
        if source is None and settings.source is None:
            raise ConfigError("no source; give a video file, or synthetic:arena")
        self.settings = settings
        self.control = Control()
        self.run_id = secrets.token_hex(6)
        self.folder: Path | None = None
        self.summary: dict[str, Any] = {}
        self.notes: list[str] = []
        """What a user should know before the first frame, a line each."""
        self.reason = "finished"
        self._lockstep = settings.pace == "fast"
        self._capture = CaptureStage(
            source or (lambda: open_source(str(settings.source))),
            self.control,
            realtime=not self._lockstep,
            frames=settings.frames,
        )
        self._parts: _Parts | None = None
        self._tracked: QueueSink | None = None
        self._restore: Callable[[], None] = lambda: None
        self._joined = False

    # -- start ---------------------------------------------------------------------------------

    def start(self, *, tracked: bool = False) -> None:
        """Open and check everything, then let the frames flow. With ``tracked``, ``records`` can be iterated.

        Raises ConfigError, SourceError, ModelError, ScheduleError or SinkError before the first
        frame is taken; nothing is left running then.
        """
        self._restore = _tune_process()
        try:
            self._capture.start()
            self._build(self._capture.wait_open(), tracked)
        except BaseException:
            self.control.stop.set()
            self._capture.join(_STAGES_END_WITHIN_S)
            if self.folder is not None:
                with contextlib.suppress(OSError):
                    self.folder.rmdir()
            self._restore()
            raise

    def _build(self, info: SourceInfo, tracked: bool) -> None:
        s = self.settings
        pose_model = self._load("pose")
        detector = None if s.schedule else self._load("detector")
        _check_crop_size(s, info)
        identity = RunIdentity(self.run_id, s.camera, pose_model.keypoint_names, unix_offset_ns())

        rule = s.box_rule(detector.keypoint_names, pose_model.trained_crop_size) if detector else None
        slot = BoxSlot(self._schedule())
        ring = Ring(max(16, s.max_lag + 6) if not self._lockstep else 8, info.height, info.width)
        sinks: list[Sink] = []
        publish = self._publisher(identity, info, detector, pose_model)
        try:
            self.folder = make_session_folder(s.out, info.name)
            write = CsvSink(
                self.folder,
                info.name,
                pose_model.keypoint_names,
                pose_model.file.scorer,
                self.control,
                lockstep=self._lockstep,
            )
        except CropzoomError:
            if publish is not None:
                publish.end()
                publish.join(_SINKS_END_WITHIN_S)
            raise
        sinks += [sink for sink in (publish, write) if sink is not None]
        if tracked:
            self._tracked = QueueSink(self.control, lockstep=self._lockstep)
            sinks.append(self._tracked)
        reader = OrderedReader(ring, None if self._lockstep else s.max_lag)
        pose = PoseStage(pose_model, ring, reader, slot, sinks, self.control, edge=s.edge)
        detect = None
        if detector is not None and rule is not None:
            detect = DetectStage(
                detector,
                OrderedReader(ring, None) if self._lockstep else NewestReader(ring),
                slot,
                self.control,
                rule=rule,
                every=s.detector_every if self._lockstep else 1,
                max_fps=None if self._lockstep else s.detector_max_fps,
            )
        self._parts = _Parts(info, ring, pose, detect, publish, write, sinks)
        self._models = {"detector": detector, "pose": pose_model}
        self._save("config.yaml", s.to_yaml())

        write.start()
        pose.start()
        if detect is not None:
            detect.start()
        self._capture.begin(ring)

    def _load(self, role: Any) -> Model:
        s = self.settings
        given = s.pose if role == "pose" else s.detector
        model = Model(
            shipped_model(role) if given == SHIPPED else Path(given).expanduser(),
            role,
            provider=s.provider,
            precision=s.precision,
            threads=s.pose_threads if role == "pose" else s.detector_threads,
            method=s.decoder,
        )
        self.notes.append(
            f"{role} model: {given} on {model.session.provider}, {model.size[0]}x{model.size[1]}, "
            f"keypoints {', '.join(model.keypoint_names)}"
        )
        return model

    def _schedule(self) -> Schedule:
        s = self.settings
        if s.schedule is not None:
            return FileSchedule.read(s.schedule)
        if self._lockstep:
            return LockstepSchedule(s.state_limits(), s.detector_every)
        return LatestSchedule(s.state_limits())

    def _publisher(
        self, identity: RunIdentity, info: SourceInfo, detector: Model | None, pose: Model
    ) -> ZmqSink | None:
        s = self.settings
        if s.publish == NONE:
            return None
        hello = HelloMessage(
            schema=SCHEMA_VERSION,
            run=self.run_id,
            camera=s.camera,
            source=s.source or info.name,
            keypoint_names=list(pose.keypoint_names),
            width=info.width,
            height=info.height,
            fps=info.fps,
            detector_sha256=None if detector is None else detector.sha256(),
            pose_sha256=pose.sha256(),
            config_sha256=hashlib.sha256(s.to_yaml().encode()).hexdigest(),
            version=__version__,
            unix_offset_ns=identity.unix_offset_ns,
        )
        sink = ZmqSink(
            s.publish,
            None if s.publish_latest == NONE else s.publish_latest,
            self.control,
            identity=identity,
            hello=hello,
            status=lambda: self._status(identity),
            last_word=lambda: self._end_message(identity),
            encoding=s.encoding,
            lockstep=self._lockstep,
        )
        sink.start()
        try:
            sink.wait_bound()
        except SinkError as error:
            sink.join()
            if not s.publish_optional:
                raise
            logger.warning("%s; going on with files alone", error)
            self.notes.append(f"not publishing: {error}")
            return None
        self.notes.append(f"publishing at {' and '.join(sink.bound_to)} (the second: newest pose only)")
        return sink

    # -- while it runs -------------------------------------------------------------------------

    @property
    def info(self) -> SourceInfo:
        """What is known of the source. Only once started."""
        assert self._parts is not None
        return self._parts.info

    @property
    def endpoints(self) -> list[str]:
        """The endpoints bound: poses, then newest pose only; empty where nothing is published. Only once started."""
        assert self._parts is not None
        return self._parts.publish.bound_to if self._parts.publish else []

    def records(self) -> Iterator[PoseMessage]:
        """Yield the pose messages of a run started with ``tracked``."""
        assert self._tracked is not None
        pose = self._models["pose"]
        assert pose is not None
        identity = RunIdentity(self.run_id, self.settings.camera, pose.keypoint_names, unix_offset_ns())
        for record in self._tracked:
            yield pose_message(record, identity, now_ns(), self._tracked.dropped)

    def progress(self) -> StatusMessage:
        """Return what the heartbeat says right now."""
        return self._status(RunIdentity(self.run_id, self.settings.camera, (), 0))

    def _status(self, identity: RunIdentity) -> StatusMessage:
        parts, now = self._parts, now_ns()
        latency: dict[str, Percentiles] = {}
        state, counts, backlog, detector_fps = State.SEARCHING, Counts(0, 0, 0, 0, 0), 0, 0.0
        if parts is not None:
            latency = {name: Percentiles(**h.summary()) for name, h in parts.pose.latencies.items()}
            settled = parts.pose.counts
            counts = Counts(*settled, parts.publish.dropped if parts.publish else 0)
            backlog = max(0, parts.ring.newest + 1 - settled[0])
            last = parts.pose.last
            state = last.in_force.state if last is not None else State.SEARCHING
            detector_fps = parts.detect.rate.per_second(now) if parts.detect else 0.0
        return StatusMessage(
            schema=SCHEMA_VERSION,
            run=self.run_id,
            camera=identity.camera,
            state=state.value,
            stream=(StreamState.LIVE if self._capture.is_alive() else StreamState.ENDED).value,
            counts=counts,
            backlog=backlog,
            fps=round(self._capture.rate.per_second(now), 2),
            detector_fps=round(detector_fps, 2),
            latency_ms=latency,
            time_ns=now,
            unix_offset_ns=identity.unix_offset_ns,
        )

    def _end_message(self, identity: RunIdentity) -> EndMessage:
        counts = self._status(identity).counts
        reason = str(self.control.error) if self.control.error else self.reason
        return EndMessage(SCHEMA_VERSION, self.run_id, identity.camera, reason, counts, now_ns())

    # -- end -----------------------------------------------------------------------------------

    def wait(self, timeout_s: float) -> bool:
        """Wait for the run to end by itself; return whether it has."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads():
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads())

    def stop(self, reason: str = "stopped") -> None:
        """Ask the run to end; may be called from a signal handler and more than once."""
        if not self.control.stop.is_set():
            self.reason = reason
            self.control.stop.set()

    def join(self) -> dict[str, Any]:
        """Wait for the end, close everything, write ``summary.json`` and return it.

        After ``stop`` this takes 2 s at most, even with a thread stuck in native code, which is
        then named. Raises the first error of the run.
        """
        if self._joined or self._parts is None:
            return self.summary
        while not self.control.stop.is_set() and not self.wait(0.2):
            pass
        stuck = self._end_threads()
        self._joined = True
        self.control.stop.set()
        if stuck:
            self.control.fail(stuck[0], StageError(f"left behind, stuck in native code: {', '.join(stuck)}"))
        self._restore()
        self.summary = self._summarise()
        self._save("summary.json", to_json(self.summary))
        if self.control.error is not None:
            raise self.control.error
        return self.summary

    def __enter__(self) -> Pipeline:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.join()

    def _threads(self) -> list[Stage]:
        assert self._parts is not None
        stages: list[Stage | None] = [self._capture, self._parts.detect, self._parts.pose]
        return [t for t in (*stages, self._parts.publish, self._parts.write) if t is not None]

    def _end_threads(self) -> list[str]:
        """Join all threads, the stages first; sinks are told of the end even if the pose stage is stuck."""
        assert self._parts is not None
        sinks = [sink for sink in self._parts.sinks if sink is not self._tracked]
        deadline = time.monotonic() + _STAGES_END_WITHIN_S
        stages = [t for t in self._threads() if t not in sinks]
        for stage in stages:
            stage.join(max(0.0, deadline - time.monotonic()))
        for sink in self._parts.sinks:
            sink.end()
        deadline = time.monotonic() + (_SINKS_END_WITHIN_S if self.control.stop.is_set() else 60.0)
        for sink in sinks:
            sink.join(max(0.0, deadline - time.monotonic()))
        return [t.stage for t in self._threads() if t.is_alive()]

    def _summarise(self) -> dict[str, Any]:
        parts = self._parts
        assert parts is not None
        captured, processed, skipped, failed = parts.pose.counts
        seconds = self._capture.seconds()
        latencies = {name: h.summary() for name, h in parts.pose.latencies.items()}
        if parts.publish is not None:
            latencies["published"] = parts.publish.latency.summary()
        detector: dict[str, Any] | None = None
        if parts.detect is not None:
            d = parts.detect
            latencies["detect"] = d.latency.summary()
            detector = {"detections": d.count, "unusable": d.unusable, "failed": d.failed}
        problems = [*self._capture.problems, *parts.write.problems()]
        if failed:
            problems.append(f"{failed} frames failed: the pose model gave numbers that are not finite")
        if detector and detector["failed"]:
            problems.append(f"{detector['failed']} detections failed: the detector gave numbers that are not finite")
        return {
            "run": self.run_id,
            "version": __version__,
            "source": self.settings.source or parts.info.name,
            "reason": str(self.control.error) if self.control.error else self.reason,
            "problems": problems,
            "seconds": round(seconds, 3),
            "fps": round((captured - 1) / seconds, 2) if seconds else None,
            "counts": {
                "captured": captured,
                "processed": processed,
                "skipped": skipped,
                "failed": failed,
                "unsent": parts.publish.dropped if parts.publish else 0,
            },
            "detector": detector,
            "latency_ms": latencies,
            "box_age_ms": parts.pose.box_age.summary(),
            "models": {
                role: {"path": str(m.file.onnx), "sha256": m.sha256(), "provider": m.session.provider}
                for role, m in self._models.items()
                if m is not None
            },
            "folder": str(self.folder),
        }

    def _save(self, name: str, text: str) -> None:
        assert self.folder is not None
        problem = write_text(self.folder / name, text)
        if problem is not None:
            logger.error("%s", problem)


def track(source: str | None = None, *, config: Path | None = None, **settings: Any) -> Iterator[PoseMessage]:
    """Track ``source`` and yield a message a processed frame; ends with the stream and closes itself.

    ``settings`` are those of ``docs/settings.md``. Files are written as in ``cropzoom run``;
    nothing is published unless ``publish`` says where. Raises as ``Pipeline.start`` does, and
    what ended the run early.
    """
    flags: dict[str, Any] = {"publish": NONE, **settings}
    if source is not None:
        flags["source"] = str(source)
    pipeline = Pipeline(load_settings(flags, config))
    pipeline.start(tracked=True)
    try:
        yield from pipeline.records()
    except GeneratorExit:
        pipeline.stop()
        raise
    finally:
        pipeline.join()


def _check_crop_size(settings: Settings, info: SourceInfo) -> None:
    limit = 2 * max(info.width, info.height)
    if settings.crop_size is not None and settings.crop_size > limit:
        raise ConfigError(
            f"crop_size is {settings.crop_size}, but frames are {info.width}x{info.height}; expected at most {limit}"
        )


def _tune_process() -> Callable[[], None]:
    """Keep threads from getting in each other's way; returns what undoes it."""
    interval, cv_threads = sys.getswitchinterval(), cv2.getNumThreads()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    cv2.setNumThreads(1)

    def restore() -> None:
        sys.setswitchinterval(interval)
        cv2.setNumThreads(cv_threads)

    return restore

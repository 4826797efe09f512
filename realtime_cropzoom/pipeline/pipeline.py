"""Pipeline: one run, from its start to its end.

::

    capture → ring ─┬─ newest ──→ detect ──→ box slot ─┐
                    ├─ in order ───────────────────→ pose ─┬→ publish → ZeroMQ
                    │                                      ├→ write   → CSV
                    │                                      ├→ (track) → your script
                    │                                      └→ (record-crops) → video
                    └─ in order, as far behind as the ring reaches ─→ (record) → video

``startup`` decides what a run consists of, ``build`` makes it, ``stages`` starts and joins its threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.control.server import ControlServer
from realtime_cropzoom.errors import ConfigError, StageError, StateError
from realtime_cropzoom.files.atomic import to_json
from realtime_cropzoom.messaging.limits import check_open_files, raise_limit
from realtime_cropzoom.messaging.message import HelloMessage, PoseMessage, StatusMessage
from realtime_cropzoom.pipeline.build import StageBuilder
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.hand import Hand
from realtime_cropzoom.pipeline.orders import RunOrders, take_orders
from realtime_cropzoom.pipeline.run_folder import RunFolder
from realtime_cropzoom.pipeline.stages import STAGE_JOIN_TIMEOUT_S, StageSet
from realtime_cropzoom.pipeline.startup import capture_options, plan_run
from realtime_cropzoom.pipeline.status import RunReporter, describe_run
from realtime_cropzoom.pipeline.summary import build_summary
from realtime_cropzoom.runtime.records import pose_message
from realtime_cropzoom.runtime.tuning import tune
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sinks.csv_writer import CsvSink
from realtime_cropzoom.sources.base import Source, SourceInfo
from realtime_cropzoom.sources.factory import open_source


class RunState(Enum):
    """State of a run. A run passes through its states in this order and never goes back.

    ======== ======== =========================================================
    From     To       When
    ======== ======== =========================================================
    BUILT    STARTED  ``start`` is called
    STARTED  STOPPING ``stop`` is called, or an error ends the run
    STARTED  JOINED   ``start`` fails, or ``join`` returns after the last frame
    STOPPING JOINED   ``join`` returns, or ``start`` fails
    ======== ======== =========================================================
    """

    BUILT = "is not started yet"
    STARTED = "is started"
    STOPPING = "is about to end"
    JOINED = "is over"


class Pipeline:
    """One run: ``start`` it, ``wait`` for it or ``stop`` it, then ``join``; or use it in a ``with``.

    It runs once. A call that does not fit its ``state`` raises StateError, and leaves the run and its files as they
    are.
    """

    def __init__(
        self,
        settings: Settings,
        source: Callable[[], Source] | None = None,
        *,
        folder: Path | None = None,
        anchor_ns: int | None = None,
    ) -> None:
        """Create the run without starting it.

        Args:
            settings: The settings of the run.
            source: Opens the source in place of ``settings.source``. It is called in the thread of the source.
            folder: The folder of the run, which must not exist yet; None for a new session folder. One of several
                cameras has its own.
            anchor_ns: Unix time minus monotonic time (ns), if several runs share it; None to measure it.

        Raises:
            ConfigError: if there is no source.
        """
        if source is None and settings.source is None:
            raise ConfigError("no source; give a video file, or synthetic:arena")
        self.settings = settings
        self.control = RunControl()
        self.summary: dict[str, Any] = {}
        """Content of ``summary.json``, once the run is over."""
        self.notes: list[str] = []
        """Messages that a user should read before the first frame, one line each."""
        options = replace(settings.source_options(), stopped=self.control.stop.is_set)
        open_given = source or (lambda: open_source(str(settings.source), options))
        self._capture = CaptureStage(open_given, self.control, capture_options(settings))
        self._folder = RunFolder(settings.out, folder, self.control.stop.is_set)
        self._anchor_ns = anchor_ns
        self._reporter: RunReporter | None = None
        """Set once the stages exist."""
        self._orders = RunOrders(self._describe, self.stop)
        self._server: ControlServer | None = None
        """Takes orders; None without one."""
        self._restore: Callable[[], None] = lambda: None
        """Ends the tuning of the process."""
        self._state = RunState.BUILT
        self._pid = 0
        """The process that started the run: after a fork, only that one has its threads."""
        self._starting, self._joining = threading.Lock(), threading.Lock()

    @property
    def state(self) -> RunState:
        """State of the run. A run that has ended by itself is JOINED only after ``join``."""
        state = self._state
        return RunState.STOPPING if state is RunState.STARTED and self.control.stop.is_set() else state

    @property
    def folder(self) -> Path | None:
        """The folder of the run; None until it is made."""
        return self._folder.path

    def start(self, *, tracked: bool = False) -> None:
        """Open and check everything, then let the frames flow. If that fails, nothing is left running.

        Args:
            tracked: Whether ``messages`` will be iterated.

        Raises:
            CropzoomError: if settings, source, models, box file, endpoints or files are refused.
            StateError: if the run was started before.
        """
        raise_limit()
        check_open_files()
        with self._starting:
            if self._state is not RunState.BUILT:
                raise StateError(
                    f"start: this run {self.state.value}; expected one that is not started yet. "
                    "Make a new Pipeline for another run (a 'with' starts its own)"
                )
            self._state, self._pid = RunState.STARTED, os.getpid()
        self._restore = tune()
        try:
            self._server = take_orders(self.settings, self._orders)
            self._capture.start()
            stages = self._build(self._capture.wait_open(), tracked)
            stages.start()
            self._orders.ready(Hand(stages, lockstep=self.settings.pace == "fast"))
        except BaseException:
            self._state = RunState.JOINED
            self._take_back()
            self._restore()
            raise

    def _build(self, info: SourceInfo, tracked: bool) -> StageSet:
        plan = plan_run(self.settings, info)
        control = None if self._server is None else self._server.name
        description = describe_run(plan, self._anchor_ns, control)
        builder = StageBuilder(description, self.control, self._folder)
        stages = builder.build(self._capture, tracked=tracked)
        self.notes += [*plan.notes, *builder.notes]
        if control is not None:
            self.notes.append(f"taking orders as {control} ('cropzoom ctl')")
        self._reporter = reporter = RunReporter(description, self.control, stages)
        if stages.publish is not None:
            stages.publish.reporter = reporter
        summary = to_json(build_summary(reporter, str(self.folder), ended=False))
        self._folder.in_time(lambda: self._folder.save("summary.json", summary))
        return stages

    def _take_back(self) -> None:
        """End what a failed start has started, and remove its folder."""
        self.control.stop.set()
        reporter, self._reporter = self._reporter, None
        if reporter is not None:
            reporter.stages.take_back()
        if self._capture.is_alive():
            self._capture.join(STAGE_JOIN_TIMEOUT_S)
        if self._server is not None:
            self._server.close()
        self._folder.remove()

    def _describe(self) -> dict[str, Any]:
        """Return what an answer to an order says about the run."""
        folder, reporter = self.folder, self._reporter
        described = {"camera": self.settings.camera, "folder": None if folder is None else str(folder.absolute())}
        return described if reporter is None else {**described, **reporter.state()}

    @property
    def info(self) -> SourceInfo:
        """Properties of the source. Raises StateError before the start."""
        return self._running("info").description.plan.info

    @property
    def endpoints(self) -> list[str]:
        """The bound endpoints: poses, then newest pose only; empty if nothing is published. Raises StateError."""
        publish = self._running("endpoints").stages.publish
        return publish.bound_to if publish else []

    def messages(self) -> Iterator[PoseMessage]:
        """Yield the pose messages of a run started with ``tracked``. Raises StateError for any other."""
        reporter = self._running("messages")
        script = reporter.stages.script
        if reporter.identity.animals > 1:
            raise ConfigError("messages: this run follows several animals; expected one. Subscribe to its endpoint")
        if script is None:
            raise StateError("messages: this run keeps none; expected one started with start(tracked=True)")
        for record in script:
            yield pose_message(record, reporter.identity, now_ns(), script.dropped)

    def hello(self) -> HelloMessage:
        """Return the hello message of the run. Raises StateError before the start."""
        return self._running("hello").hello()

    def progress(self) -> StatusMessage:
        """Return the status message of this moment. Raises StateError before the start."""
        return self._running("progress").status()

    def frames_to_record(self) -> int | None:
        """Return the number of frames that are still to be recorded, if nothing else is left to do; else None.

        Raises:
            StateError: before the start.
        """
        return self._running("frames_to_record").stages.frames_to_record()

    def _running(self, what: str) -> RunReporter:
        """Return the reporter of a started run. Raises StateError before the start, and if ``start`` failed."""
        if self._reporter is None:
            why = RunState.BUILT.value if self._state is RunState.BUILT else "could not be started"
            raise StateError(f"{what}: this run {why}; expected one that is. Call start() first, or use a 'with'")
        return self._reporter

    def wait(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` (s) for the run to end by itself; return whether it has. Raises StateError."""
        return self._running("wait").stages.wait(timeout_s)

    def stop(self, reason: str = "stopped") -> None:
        """Ask the run to end. May be called from a signal handler, more than once, and before the start."""
        if not self.control.stop.is_set():
            self.control.reason = reason  # first: the publishing thread sends it in its end message
            self.control.stop.set()

    def join(self) -> dict[str, Any]:
        """Wait for the end, close everything, and write ``summary.json``.

        After ``stop`` this takes 2 s at most, even if a thread hangs in native code; that thread is then named.

        Returns:
            The content of ``summary.json``; the same again if called again.

        Raises:
            CropzoomError: the first error of the run, at the first call.
            StateError: before the start, and in another process than the one of the run.
        """
        reporter = self._running("join")
        if os.getpid() != self._pid:
            raise StateError(
                f"join: this run belongs to process {self._pid}, and this is a fork of it ({os.getpid()}); "
                "call join there"
            )
        with self._joining:
            if self._state is not RunState.JOINED:
                self._end(reporter)
                if self.control.error is not None:
                    raise self.control.error
        return self.summary

    def _end(self, reporter: RunReporter) -> None:
        while not self.control.stop.is_set() and not self.wait(0.2):
            pass
        if self._server is not None:
            self._server.end()
        hung = reporter.stages.end()
        self._state = RunState.JOINED
        self.control.stop.set()
        writers = [sink for sink in (reporter.stages.write, *reporter.stages.recorders) if sink.is_alive()]
        stuck = [name for name in hung if name not in {sink.stage for sink in writers}]
        if stuck:
            self.control.fail(stuck[0], StageError(f"left behind, stuck in native code: {', '.join(stuck)}"))
        if self._server is not None:
            self._server.close()
        self._restore()
        self.summary = build_summary(reporter, str(self.folder))
        problems = [*self.summary["problems"], *self._folder.problems]
        captured = reporter.counts().captured
        for sink in writers:  # a disk that does not answer holds them up
            if isinstance(sink, CsvSink):
                problems += sink.left_behind()
            else:
                problems += sink.recording.left_behind(captured)
        if reporter.stages.events.is_alive():
            problems += reporter.stages.events.left_behind()
        self.summary["problems"] = problems
        problems += self._folder.save_at_end("summary.json", to_json(self.summary))
        self.summary["problems"] = list(dict.fromkeys(problems))  # a folder that is gone is named once

    def __enter__(self) -> Pipeline:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.wait(0):
            self.stop()
        self.join()

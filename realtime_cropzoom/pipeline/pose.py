"""Frames + boxes → poses in frame pixels. Only this stage decides the outcome of a frame.

A context model answers for a frame once it has seen two more, so frames wait for their answer,
and what comes after them waits too: records leave in the order of capture. The frames around the
one in question are those that are processed; a frame that was jumped over is not among them. The
first and the last two of a sequence repeat their neighbour's keypoints, in frame space; a frame
without a box ends the sequence. With any other model a frame has its answer at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Protocol

import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import StageError
from realtime_cropzoom.filters import FilteredPose, PoseFilter
from realtime_cropzoom.inference.context_window import ContextWindow, InferenceRequest
from realtime_cropzoom.inference.crop import Edge
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import PoseJudge, judged
from realtime_cropzoom.inference.schedule import NO_BOX, PASSED_OVER, Gaps
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.records import FrameCounts, FrameOutcome, Record
from realtime_cropzoom.runtime.ring import EndOfStream, Lease, OrderedReader
from realtime_cropzoom.runtime.stats import Histogram
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.types import ActiveBox, Box, Float32, FrameMeta, Keypoints

logger = logging.getLogger(__name__)

LATENCIES = ("wait", "crop", "infer", "decode", "total")
"""Handed over → taken → model input ready → heatmaps there → pose in frame pixels; and all of it.

Each is the frame's own time: the frames that a context model waits for show in ``infer``.
"""


class RecordSink(Protocol):
    """What the pose stage needs of a sink."""

    def put(self, record: Record) -> None:
        """Take in the next record."""
        ...

    def end(self) -> None:
        """Learn that there are no more."""
        ...


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """Options of the pose stage, for one run: judge and filter keep a state."""

    edge: Edge
    """Content of the crop beyond the edge of the frame."""
    judge: PoseJudge
    """Judges whether a pose is plausible, and decides the state of each frame."""
    pose_filter: PoseFilter | None = None
    """Filters the poses; None for no filter."""
    gaps: Gaps = field(default_factory=Gaps)
    """Frames before which others are missing. There a context model starts a new sequence."""
    restart: bool = False
    """Whether the stage starts again after an error."""


@dataclass(frozen=True, slots=True, eq=False)
class _Cropped:
    """A frame whose model input is ready; its place in the ring is given back already."""

    stamp: FrameMeta
    active_box: ActiveBox
    used: Box
    """What the input really shows."""
    model_input: Float32
    taken_ns: int
    cropped_ns: int


class PoseStage(Stage):
    """Crops, infers, decodes and remaps frame after frame, and hands a record of each to every sink."""

    def __init__(
        self,
        model: Model,
        reader: OrderedReader,
        slot: BoxSlot,
        sinks: Sequence[RecordSink],
        control: RunControl,
        options: PoseOptions,
        on_box: Callable[[FrameMeta, ActiveBox], None] | None = None,
    ) -> None:
        """Create the stage without starting it.

        Args:
            model: The pose model.
            reader: Reads the frames from the ring.
            slot: Returns the box of each frame.
            sinks: Receive the record of each frame, in this order.
            control: Control of the run.
            options: Options of the stage.
            on_box: Receives the box of each frame that waits for its result, when the wait begins. A frame may wait
                longer than the ring holds its pixels, so a thread that needs them must not wait for the record. In
                lockstep such a wait would never end, because the ring waits for its readers.
        """
        super().__init__("pose", control, restart=options.restart)
        self._model = model
        self._ring = reader.ring
        self._reader = reader
        self._slot = slot
        self._sinks = sinks
        self._edge: Edge = options.edge
        self._judge = options.judge
        self._filter = options.pose_filter
        self._on_box = on_box
        self._gaps = deque(options.gaps.before if model.reach else ())
        self._no_pose = (np.full((len(model.keypoint_names), 2), np.nan), np.full(len(model.keypoint_names), np.nan))
        # As many as the window holds: by the time one is filled again, its frame has left the window.
        self._inputs = cycle([model.new_input() for _ in range(2 * model.reach + 1)])
        self._window: ContextWindow[_Cropped] = ContextWindow(model.reach)
        self._held: deque[_Cropped | FrameMeta] = deque()
        """Frames without a result yet, and the frames skipped behind the first of them, in order of capture."""
        self._answer: Keypoints | None = None
        """The model's last answer."""
        self._finishing = threading.Lock()
        """Guards the outcomes: if this thread hangs, ``abandon`` decides them in another thread."""
        self._abandoned = False
        self.counts = FrameCounts()
        """Counts of all frames that have an outcome. Replaced as a whole, so other threads may read it."""
        self.last: Record | None = None
        """The last frame that was not skipped."""
        self.latencies = {name: Histogram() for name in LATENCIES}
        self.box_age = Histogram()

    def work(self) -> None:
        """Process frames until the ring is closed or the run stops."""
        self._process_all()
        self.busy_since_ns = now_ns()
        self._end_sequence()
        self.busy_since_ns = 0

    def progress(self) -> tuple[int, int, float]:
        """Return the frames captured, those skipped of them, and how old the newest pose was at its making, in ms."""
        last = self.last
        age_ms = 0.0 if last is None else (last.inferred_ns - last.stamp.captured_ns) / 1e6
        return self.counts.captured, self.counts.skipped, max(0.0, age_ms)

    def recover(self) -> None:
        """Fail the frames in hand. The next frame starts a new sequence."""
        in_hand = self._in_hand()
        self._held.clear()
        self._window = ContextWindow(self._model.reach)
        for stamp, outcome, active_box in in_hand:
            self._finish_frame(stamp, outcome, active_box)

    def finish(self) -> None:
        """Mark the remaining frames as skipped, and announce the end of the stream."""
        self._held.clear()
        self._skip(self._left())
        for sink in self._sinks:
            sink.end()

    def abandon(self) -> None:
        """Decide the outcome of every frame in place of this thread, which hangs. Should it return, it is ignored.

        Called from another thread, once the run is over.
        """
        if not self._finishing.acquire(timeout=POLL_S):  # this thread hangs in a sink, not in its model
            return
        try:
            self._abandoned = True
            for stamp, outcome, active_box in self._in_hand():
                self._record(stamp, outcome, active_box)
            for stamp in self._left():
                self._record(stamp, FrameOutcome.SKIPPED, NO_BOX)
        finally:
            self._finishing.release()

    def _in_hand(self) -> list[tuple[FrameMeta, FrameOutcome, ActiveBox]]:
        """Return the frames that were taken and have no outcome, with the one they get if there will be no result."""
        held = {(item.stamp if isinstance(item, _Cropped) else item).index: item for item in tuple(self._held)}
        frames = []
        for stamp in self._ring.stamps(self.counts.captured, self._reader.next_index):
            item = held.get(stamp.index)
            if isinstance(item, FrameMeta):
                frames.append((stamp, FrameOutcome.SKIPPED, NO_BOX))
            else:
                frames.append((stamp, FrameOutcome.FAILED, NO_BOX if item is None else item.active_box))
        return frames

    def _left(self) -> list[FrameMeta]:
        return self._ring.stamps(self.counts.captured, self._ring.newest + 1)

    def _process_all(self) -> None:
        while not self.control.stop.is_set():
            try:
                lease = self._reader.take(POLL_S)
            except EndOfStream:
                return
            if lease is not None:
                with lease:
                    self._skip(lease.skipped)
                    self.busy_since_ns = now_ns()
                    self._process(lease)
                    self.busy_since_ns = 0

    def _process(self, lease: Lease) -> None:
        taken_ns = now_ns()
        stamp = lease.frame.stamp
        while self._gaps and self._gaps[0] <= stamp.index:  # a window does not reach over frames that are missing
            self._gaps.popleft()
            self._end_sequence()
        active_box = self._box_for(stamp)
        if active_box is None:  # stopped while waiting: the frame is left
            return
        if active_box is PASSED_OVER:
            self._skip([stamp])
        elif active_box.box is None:
            lease.release()
            self._end_sequence()
            self._finish_frame(stamp, FrameOutcome.PROCESSED, active_box, inferred_ns=now_ns())
        else:
            model_input = next(self._inputs)
            used = self._model.prepare(lease.frame.image, active_box.box, self._edge, model_input)
            lease.release()
            if (
                self._model.reach
            ):  # any other model's record leaves a moment later, and its core is not shared till then
                self._tell_box(stamp, active_box)
            self._take_in(_Cropped(stamp, active_box, used, model_input, taken_ns, now_ns()))

    def _take_in(self, cropped: _Cropped) -> None:
        self._held.append(cropped)
        question = self._window.push(cropped)
        if question is not None:
            self._ask(question)

    def _ask(self, question: InferenceRequest[_Cropped]) -> None:
        outputs = self._model.infer(*(frame.model_input for frame in question.window))
        inferred_ns = now_ns()
        self._answer = self._model.decode(outputs, question.middle.used)
        self._give_answer(question.answers, inferred_ns)

    def _end_sequence(self) -> None:
        """Give the frames that wait for others an answer without them."""
        question, repeats = self._window.flush()
        if question is not None:
            self._ask(question)
        if repeats:
            self._give_answer(repeats, now_ns())

    def _give_answer(self, frames: Sequence[_Cropped], inferred_ns: int) -> None:
        """Settle the first of the frames that wait, and what was skipped right behind each."""
        done_ns = now_ns()
        assert self._answer is not None
        for frame in frames:
            self._held.popleft()
            self._finish_inferred(frame, self._answer, inferred_ns, done_ns)
            while self._held and isinstance(skipped := self._held[0], FrameMeta):
                self._held.popleft()
                self._finish_frame(skipped, FrameOutcome.SKIPPED, NO_BOX)

    def _finish_inferred(self, frame: _Cropped, keypoints: Keypoints, inferred_ns: int, done_ns: int) -> None:
        stamp, active_box = frame.stamp, frame.active_box
        if not np.isfinite(keypoints.xy).all():
            logger.warning("frame %d failed: the pose model gave numbers that are not finite", stamp.index)
            self._finish_frame(stamp, FrameOutcome.FAILED, active_box)
            return
        self._finish_frame(stamp, FrameOutcome.PROCESSED, active_box, keypoints, frame.cropped_ns, done_ns)
        times = (stamp.captured_ns, frame.taken_ns, frame.cropped_ns, inferred_ns, done_ns)
        for name, begun, ended in zip(LATENCIES, times, times[1:], strict=False):
            self.latencies[name].add((ended - begun) / 1e6)
        self.latencies["total"].add((done_ns - stamp.captured_ns) / 1e6)
        self.box_age.add(active_box.age_ms)

    def _box_for(self, stamp: FrameMeta) -> ActiveBox | None:
        while not self.control.stop.is_set():
            closed = self._slot.closed  # asked first: what was offered before it was closed is known now
            chosen = self._slot.choose(stamp, POLL_S)
            if chosen is not None:
                return chosen
            if closed and not self.control.stop.is_set():  # a stop ends the detector, too, which closes the slot
                raise StageError(f"frame {stamp.index} waits for a detection, but the detector has ended without it")
        return None

    def _skip(self, stamps: list[FrameMeta]) -> None:
        for stamp in stamps:
            if self._held:
                self._held.append(stamp)
                self._tell_box(stamp, NO_BOX)
            else:
                self._finish_frame(stamp, FrameOutcome.SKIPPED, NO_BOX)

    def _tell_box(self, stamp: FrameMeta, active_box: ActiveBox) -> None:
        if self._on_box is not None:
            self._on_box(stamp, active_box)

    def _finish_frame(
        self,
        stamp: FrameMeta,
        outcome: FrameOutcome,
        active_box: ActiveBox,
        keypoints: Keypoints | None = None,
        cropped_ns: int | None = None,
        inferred_ns: int = 0,
    ) -> None:
        """Decide the outcome of the next frame in order of capture, unless the stage was abandoned."""
        with self._finishing:
            if not self._abandoned:
                self._record(stamp, outcome, active_box, keypoints, cropped_ns, inferred_ns)

    def _record(
        self,
        stamp: FrameMeta,
        outcome: FrameOutcome,
        active_box: ActiveBox,
        keypoints: Keypoints | None = None,
        cropped_ns: int | None = None,
        inferred_ns: int = 0,
    ) -> None:
        """Judge and filter the pose, count the frame, and put its record into each sink. The caller holds the lock."""
        seq, doubt, filtered, counts = -1, None, None, self.counts.plus(outcome)
        seen = outcome is not FrameOutcome.SKIPPED
        if seen:  # judged in frame time, so that a replay gives the same numbers
            if keypoints is not None and active_box.box is not None:
                doubt = self._judge.doubt(stamp, active_box.box, keypoints)
            active_box = judged(active_box, self._judge.state(stamp, active_box, doubt, posed=keypoints is not None))
        if outcome is FrameOutcome.PROCESSED:
            seq, filtered = counts.processed - 1, self._filtered(stamp, keypoints)
        record = Record(stamp, outcome, active_box, keypoints, cropped_ns, inferred_ns, seq, counts, filtered, doubt)
        self.counts = counts
        if seen:
            self.last = record
        for sink in self._sinks:
            sink.put(record)

    def _filtered(self, stamp: FrameMeta, keypoints: Keypoints | None) -> FilteredPose | None:
        """Return the filtered pose, in frame time; None without a filter."""
        if self._filter is None:
            return None
        xy, likelihood = self._no_pose if keypoints is None else (keypoints.xy, keypoints.likelihood)
        return self._filter.update(stamp.pts_ns, xy, likelihood, stamp.segment)

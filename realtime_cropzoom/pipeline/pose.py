"""Frames + boxes → poses in frame pixels. The only stage that gives frames their fate.

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
from dataclasses import dataclass
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
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.runtime.ring import EndOfStream, Lease, OrderedReader, Ring
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


@dataclass(frozen=True, slots=True, eq=False)
class _Cropped:
    """A frame whose model input is ready; its place in the ring is given back already."""

    stamp: FrameMeta
    in_force: ActiveBox
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
        ring: Ring,
        reader: OrderedReader,
        slot: BoxSlot,
        sinks: Sequence[RecordSink],
        control: RunControl,
        *,
        edge: Edge,
        restart: bool = False,
        judge: PoseJudge,
        pose_filter: PoseFilter | None = None,
        on_box: Callable[[FrameMeta, ActiveBox], None] | None = None,
        gaps: Gaps | None = None,
    ) -> None:
        """``gaps`` says where frames are missing: there what a context model sees ends, and begins again.

        ``on_box`` is told the box of each frame that waits for its answer, when it begins to.

        A frame may wait for its answer longer than the ring holds its pixels: who needs those must not wait for
        the record. In lockstep such a wait would never end, because the ring waits for its readers.
        """
        super().__init__("pose", control, restart=restart)
        self._model = model
        self._ring = ring
        self._reader = reader
        self._slot = slot
        self._sinks = sinks
        self._edge = edge
        self._judge = judge
        self._filter = pose_filter
        self._on_box = on_box
        self._gaps = deque(gaps.before if gaps is not None and model.reach else ())
        self._no_pose = (np.full((len(model.keypoint_names), 2), np.nan), np.full(len(model.keypoint_names), np.nan))
        # As many as the window holds: by the time one is filled again, its frame has left the window.
        self._inputs = cycle([model.new_input() for _ in range(2 * model.reach + 1)])
        self._window: ContextWindow[_Cropped] = ContextWindow(model.reach)
        self._held: deque[_Cropped | Record] = deque()
        """Frames without an answer yet, and what was skipped behind the first of them, in order of capture."""
        self._answer: Keypoints | None = None
        """The model's last answer."""
        self._fates = threading.Lock()
        """Guards the fates: of a stuck stage somebody else must give them."""
        self._abandoned = False
        self._settled = [0, 0, 0, 0]  # captured, processed, skipped, failed
        self.counts = (0, 0, 0, 0)
        """Captured, processed, skipped, failed: of all frames that have a fate; replaced as a whole."""
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
        return self.counts[0], self.counts[2], max(0.0, age_ms)

    def recover(self) -> None:
        """Fail the frames in hand; those that come are a new sequence."""
        in_hand = self._in_hand()
        self._held.clear()
        self._window = ContextWindow(self._model.reach)
        for record in in_hand:
            self._settle(record)

    def finish(self) -> None:
        """Give the rest their fate, and pass the end of the stream on."""
        self._held.clear()
        self._skip(self._left())
        for sink in self._sinks:
            sink.end()

    def abandon(self) -> None:
        """Give every frame its fate in place of a thread that is stuck; should it come back, it is not heard.

        Called from another thread, once the run is over.
        """
        if not self._fates.acquire(timeout=POLL_S):  # it is stuck with a sink, not with its model
            return
        try:
            self._abandoned = True
            for record in self._in_hand():
                self._give_fate(record)
            for stamp in self._left():
                self._give_fate(Record(stamp, FrameOutcome.SKIPPED, NO_BOX))
        finally:
            self._fates.release()

    def _in_hand(self) -> list[Record]:
        """What becomes of the frames that were taken and have no fate, where there will be no answer for them."""
        held = {frame.stamp.index: frame for frame in tuple(self._held)}
        records = []
        for stamp in self._ring.stamps(self._settled[0], self._reader.next_index):
            frame = held.get(stamp.index)
            if not isinstance(frame, Record):  # one that was skipped stays so
                frame = Record(stamp, FrameOutcome.FAILED, NO_BOX if frame is None else frame.in_force)
            records.append(frame)
        return records

    def _left(self) -> list[FrameMeta]:
        return self._ring.stamps(self._settled[0], self._ring.newest + 1)

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
        in_force = self._box_for(stamp)
        if in_force is None:  # stopped while waiting: the frame is left
            return
        if in_force is PASSED_OVER:
            self._skip([stamp])
        elif in_force.box is None:
            lease.release()
            self._end_sequence()
            self._settle(Record(stamp, FrameOutcome.PROCESSED, in_force, inferred_ns=now_ns()))
        else:
            model_input = next(self._inputs)
            used = self._model.prepare(lease.frame.image, in_force.box, self._edge, model_input)
            lease.release()
            if (
                self._model.reach
            ):  # any other model's record leaves a moment later, and its core is not shared till then
                self._tell_box(stamp, in_force)
            self._take_in(_Cropped(stamp, in_force, used, model_input, taken_ns, now_ns()))

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
            self._settle_answered(frame, self._answer, inferred_ns, done_ns)
            while self._held and isinstance(skipped := self._held[0], Record):
                self._held.popleft()
                self._settle(skipped)

    def _settle_answered(self, frame: _Cropped, keypoints: Keypoints, inferred_ns: int, done_ns: int) -> None:
        stamp, in_force = frame.stamp, frame.in_force
        if not np.isfinite(keypoints.xy).all():
            logger.warning("frame %d failed: the pose model gave numbers that are not finite", stamp.index)
            self._settle(Record(stamp, FrameOutcome.FAILED, in_force))
            return
        self._settle(Record(stamp, FrameOutcome.PROCESSED, in_force, keypoints, frame.cropped_ns, done_ns))
        times = (stamp.captured_ns, frame.taken_ns, frame.cropped_ns, inferred_ns, done_ns)
        for name, begun, ended in zip(LATENCIES, times, times[1:], strict=False):
            self.latencies[name].add((ended - begun) / 1e6)
        self.latencies["total"].add((done_ns - stamp.captured_ns) / 1e6)
        self.box_age.add(in_force.age_ms)

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
            record = Record(stamp, FrameOutcome.SKIPPED, NO_BOX)
            if self._held:
                self._held.append(record)
                self._tell_box(stamp, NO_BOX)
            else:
                self._settle(record)

    def _tell_box(self, stamp: FrameMeta, in_force: ActiveBox) -> None:
        if self._on_box is not None:
            self._on_box(stamp, in_force)

    def _settle(self, record: Record) -> None:
        with self._fates:
            if not self._abandoned:
                self._give_fate(record)

    def _give_fate(self, record: Record) -> None:
        if record.fate is not FrameOutcome.SKIPPED:
            self._form_opinion(record)
        settled = self._settled
        settled[0] += 1
        settled[(FrameOutcome.PROCESSED, FrameOutcome.SKIPPED, FrameOutcome.FAILED).index(record.fate) + 1] += 1
        if record.fate is FrameOutcome.PROCESSED:
            record.seq = settled[1] - 1
            record.filtered = self._filtered(record)
        record.counts = self.counts = (settled[0], settled[1], settled[2], settled[3])
        if record.fate is not FrameOutcome.SKIPPED:
            self.last = record
        for sink in self._sinks:
            sink.put(record)

    def _form_opinion(self, record: Record) -> None:
        """Say what speaks against the pose, and the state that follows; in frame time, so that a replay says it too."""
        stamp, in_force, found = record.stamp, record.in_force, record.keypoints
        if found is not None and in_force.box is not None:
            record.doubt = self._judge.doubt(stamp, in_force.box, found)
        state = self._judge.state(stamp, in_force, record.doubt, posed=found is not None)
        record.in_force = judged(in_force, state)

    def _filtered(self, record: Record) -> FilteredPose | None:
        """Filter in frame time, so that a replay, and who reads the files, gets the same numbers."""
        if self._filter is None:
            return None
        found = record.keypoints
        xy, likelihood = self._no_pose if found is None else (found.xy, found.likelihood)
        return self._filter.update(record.stamp.pts_ns, xy, likelihood, record.stamp.segment)

"""Pose stage: crops each frame with its box, runs the pose model and maps the keypoints to frame pixels.

Only this stage decides the outcome of a frame: processed, skipped or failed.

A context model needs two later frames. The stage therefore delays each result by two processed frames, and emits the
records in the order of capture. A skipped frame is not part of the sequence that the model sees. The first and the
last two frames of a sequence repeat the nearest keypoints, in frame space; a frame without a box ends the sequence.
Any other model gives its result at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Protocol

import msgspec
import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import StageError
from realtime_cropzoom.filters import FilteredPose, PoseFilter
from realtime_cropzoom.inference.boxes import with_found_box
from realtime_cropzoom.inference.context_window import ContextWindow, InferenceRequest
from realtime_cropzoom.inference.crop import Edge
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import PoseJudge, with_state
from realtime_cropzoom.inference.schedule import NO_BOX, SKIPPED_IN_RECORDING, Gaps
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.pauses import Pauses
from realtime_cropzoom.runtime.priority import raise_priority
from realtime_cropzoom.runtime.records import FrameCounts, FrameOutcome, Record
from realtime_cropzoom.runtime.ring import EndOfStream, Lease, OrderedReader
from realtime_cropzoom.runtime.stats import Histogram
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.types import ActiveBox, Float32, FrameMeta, Keypoints

logger = logging.getLogger(__name__)

LATENCIES = ("wait", "crop", "infer", "decode", "total")
"""Names of the measured times of a frame: captured → taken → model input ready → model output → pose in frame pixels,
and the sum. ``infer`` includes the wait of a context model for later frames."""


class PosePublisher(Protocol):
    """Sends the poses to the subscribers."""

    def publish(self, record: Record) -> int:
        """Send the pose of a processed frame, and return when (monotonic, ns); NOT_PUBLISHED if it was not sent."""
        ...

    def end(self) -> None:
        """Announce that no further pose follows."""
        ...


class RecordSink(Protocol):
    """A receiver of records."""

    def put(self, record: Record) -> None:
        """Receive the next record."""
        ...

    def end(self) -> None:
        """Announce that no further record follows."""
        ...


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """Options of the pose stage, for one run: ``judge`` and ``filter`` keep a state."""

    edge: Edge
    """Content of the crop beyond the edge of the frame."""
    judge: PoseJudge
    """Checks whether a pose is plausible, and decides the state of each frame."""
    pose_filter: PoseFilter | None = None
    """Filters the poses; None for no filter."""
    gaps: Gaps = field(default_factory=Gaps)
    """Frames before which others are missing. There a context model starts a new sequence."""
    own_box: bool = False
    """Whether the model's own box takes the place of the whole frame that it saw."""
    restart: bool = False
    """Whether the stage starts again after an error."""
    urgent: bool = False
    """Whether the thread of the stage has real-time priority."""


@dataclass(frozen=True, slots=True, eq=False)
class _Cropped:
    """A frame whose model input is ready. Its slot in the ring is released already."""

    meta: FrameMeta
    active_box: ActiveBox
    view: View
    """Where the model input lies in the frame."""
    model_input: Float32
    taken_ns: int
    cropped_ns: int


class PoseStage(Stage):
    """Processes one frame after another, and puts the record of each into every sink."""

    def __init__(
        self,
        model: Model,
        reader: OrderedReader,
        slot: BoxSlot,
        sinks: Sequence[RecordSink],
        control: RunControl,
        options: PoseOptions,
        *,
        publisher: PosePublisher | None = None,
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
            publisher: Sends the pose of each frame before its record goes to the sinks; None to send none.
            on_box: Receives the box of each frame that waits for its result, when the wait begins. A frame may wait
                longer than the ring holds its pixels, so a thread that needs them must not wait for the record. In
                lockstep such a wait would never end, because the ring waits for its readers.
        """
        super().__init__("pose", control, restart=options.restart)
        self._model = model
        self._ring = reader.ring
        self._reader = reader
        self._slot = slot
        self.sinks = tuple(sinks)
        """Receive the record of each frame; replaced as a whole, when an order starts or stops a recording."""
        self._publisher = publisher
        self._edge: Edge = options.edge
        self._urgent = options.urgent
        self._own_box = options.own_box
        self.judge = options.judge
        """Checks whether a pose is plausible. Only this thread uses it."""
        self._changes: deque[Callable[[FrameMeta], None]] = deque()
        """Changes that wait for the next frame."""
        self.publishing = True
        """Whether processed frames have a message. Another thread may change it; a frame sees one value."""
        self._withheld = 0
        """Number of processed frames without a message."""
        self._filter = options.pose_filter
        self._on_box = on_box
        self._gaps = deque(options.gaps.before if model.context_radius else ())
        self._no_pose = (np.full((len(model.keypoint_names), 2), np.nan), np.full(len(model.keypoint_names), np.nan))
        # One per frame of the window: when an input is filled again, its frame has left the window.
        self._inputs = cycle([model.new_input() for _ in range(2 * model.context_radius + 1)])
        self._window: ContextWindow[_Cropped] = ContextWindow(model.context_radius)
        self._held: deque[_Cropped | FrameMeta] = deque()
        """Frames without a result yet, and the frames skipped behind the first of them, in order of capture."""
        self._keypoints: Keypoints | None = None
        """The last result of the model, in frame space."""
        self.pauses = Pauses()
        """The times between two frames."""
        self._finishing = threading.Lock()
        """Guards the outcomes: if this thread hangs, ``abandon`` decides them in another thread."""
        self._abandoned = False
        self.counts = FrameCounts()
        """Counts of all frames that have an outcome. Replaced as a whole, so other threads may read it."""
        self.last: Record | None = None
        """Record of the last frame that was not skipped; None before it."""
        self.latencies = {name: Histogram() for name in LATENCIES}
        """Times (ms) of the frames with a pose, by name."""
        self.box_age = Histogram()
        """Age (ms) of the boxes of these frames."""

    def work(self) -> None:
        """Process frames until the ring is closed or the run stops."""
        if self._urgent:
            raise_priority()
        self._process_all()
        self.busy_since_ns = now_ns()
        self._end_sequence()
        self.busy_since_ns = 0

    def progress(self) -> tuple[int, int, float]:
        """Return the number of captured frames, the number of skipped ones, and the age (ms) of the newest pose."""
        last = self.last
        age_ms = 0.0 if last is None else (last.inferred_ns - last.meta.captured_ns) / 1e6
        return self.counts.captured, self.counts.skipped, max(0.0, age_ms)

    def before_next_frame(self, change: Callable[[FrameMeta], None]) -> None:
        """Call ``change`` with the next frame before its box is chosen, in the thread of the stage. Any thread may ask.

        No frame then sees a part of the change.

        Args:
            change: Takes the first frame that sees the change. It must be quick, and raise nothing.
        """
        self._changes.append(change)

    def recover(self) -> None:
        """Fail the frames in hand. The next frame starts a new sequence."""
        in_hand = self._in_hand()
        self._held.clear()
        self._window = ContextWindow(self._model.context_radius)
        for meta, outcome, active_box in in_hand:
            self._finish_frame(meta, outcome, active_box)

    def finish(self) -> None:
        """Mark the remaining frames as skipped, and announce the end of the stream."""
        self.pauses.close()
        self._held.clear()
        self._skip(self._left())
        if self._publisher is not None:
            self._publisher.end()
        for sink in self.sinks:
            sink.end()

    def abandon(self) -> None:
        """Decide the outcome of every frame in place of this thread, which hangs. Should it return, it is ignored.

        Called from another thread, once the run is over.
        """
        if not self._finishing.acquire(timeout=POLL_S):  # this thread hangs in a sink, not in its model
            return
        try:
            self._abandoned = True
            for meta, outcome, active_box in self._in_hand():
                self._record(meta, outcome, active_box)
            for meta in self._left():
                self._record(meta, FrameOutcome.SKIPPED, NO_BOX)
        finally:
            self._finishing.release()

    def _in_hand(self) -> list[tuple[FrameMeta, FrameOutcome, ActiveBox]]:
        """Return the frames that were taken and have no outcome, with the one they get if there will be no result."""
        held = {(item.meta if isinstance(item, _Cropped) else item).index: item for item in tuple(self._held)}
        frames = []
        for meta in self._ring.metas(self.counts.captured, self._reader.next_index):
            item = held.get(meta.index)
            if isinstance(item, FrameMeta):
                frames.append((meta, FrameOutcome.SKIPPED, NO_BOX))
            else:
                frames.append((meta, FrameOutcome.FAILED, NO_BOX if item is None else item.active_box))
        return frames

    def _left(self) -> list[FrameMeta]:
        return self._ring.metas(self.counts.captured, self._ring.newest + 1)

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
                if self._ring.newest < self._reader.next_index:  # else the next frame waits already
                    self.pauses.begin(self._reader.next_index - 1)

    def _process(self, lease: Lease) -> None:
        taken_ns = now_ns()
        meta = lease.frame.meta
        while self._changes:
            self._changes.popleft()(meta)
        while self._gaps and self._gaps[0] <= meta.index:  # a sequence ends where frames are missing
            self._gaps.popleft()
            self._end_sequence()
        active_box = self._box_for(meta)
        if active_box is None:  # the run stopped: ``finish`` skips the frame
            return
        if active_box is SKIPPED_IN_RECORDING:
            self._skip([meta])
        elif active_box.box is None:
            lease.release()
            self._end_sequence()
            self._finish_frame(meta, FrameOutcome.PROCESSED, active_box, inferred_ns=now_ns())
        else:
            model_input = next(self._inputs)
            view = self._model.prepare(lease.frame.image, active_box.box, self._edge, model_input)
            lease.release()
            # Without context the record follows at once, and the core stays with the model until then.
            if self._model.context_radius:
                self._report_box(meta, active_box)
            self._push(_Cropped(meta, active_box, view, model_input, taken_ns, now_ns()))

    def _push(self, cropped: _Cropped) -> None:
        self._held.append(cropped)
        request = self._window.push(cropped)
        if request is not None:
            self._infer(request)

    def _infer(self, request: InferenceRequest[_Cropped]) -> None:
        outputs = self._model.infer(*(frame.model_input for frame in request.window))
        inferred_ns = now_ns()
        self._keypoints = self._model.decode(outputs, request.middle.view)
        self._finish_frames(request.answers, inferred_ns)

    def _end_sequence(self) -> None:
        """Finish the frames that wait for later ones without them."""
        request, repeats = self._window.flush()
        if request is not None:
            self._infer(request)
        if repeats:
            self._finish_frames(repeats, now_ns())

    def _finish_frames(self, frames: Sequence[_Cropped], inferred_ns: int) -> None:
        """Finish the first of the waiting frames with the last result, and the skipped frames right behind each."""
        done_ns = now_ns()
        assert self._keypoints is not None
        for frame in frames:
            self._held.popleft()
            self._finish_inferred(frame, self._keypoints, inferred_ns, done_ns)
            while self._held and isinstance(skipped := self._held[0], FrameMeta):
                self._held.popleft()
                self._finish_frame(skipped, FrameOutcome.SKIPPED, NO_BOX)

    def _finish_inferred(self, frame: _Cropped, keypoints: Keypoints, inferred_ns: int, done_ns: int) -> None:
        meta, active_box = frame.meta, frame.active_box
        if keypoints.spoilt:
            logger.warning("frame %d failed: the pose model gave numbers that are not finite", meta.index)
            self._finish_frame(meta, FrameOutcome.FAILED, active_box)
            return
        self._finish_frame(meta, FrameOutcome.PROCESSED, active_box, keypoints, frame.cropped_ns, done_ns)
        times = (meta.captured_ns, frame.taken_ns, frame.cropped_ns, inferred_ns, done_ns)
        for name, begun, ended in zip(LATENCIES, times, times[1:], strict=False):
            self.latencies[name].add((ended - begun) / 1e6)
        self.latencies["total"].add((done_ns - meta.captured_ns) / 1e6)
        self.box_age.add(active_box.age_ms)

    def _box_for(self, meta: FrameMeta) -> ActiveBox | None:
        while not self.control.stop.is_set():
            closed = self._slot.closed  # asked first: a detection from before the close is found below
            chosen = self._slot.choose(meta, POLL_S)
            if chosen is not None:
                return chosen
            if closed and not self.control.stop.is_set():  # the stop itself also ends the detector
                raise StageError(f"frame {meta.index} waits for a detection, but the detector has ended without it")
        return None

    def _skip(self, metas: list[FrameMeta]) -> None:
        for meta in metas:
            if self._held:
                self._held.append(meta)
                self._report_box(meta, NO_BOX)
            else:
                self._finish_frame(meta, FrameOutcome.SKIPPED, NO_BOX)

    def _report_box(self, meta: FrameMeta, active_box: ActiveBox) -> None:
        if self._on_box is not None:
            self._on_box(meta, active_box)

    def _finish_frame(
        self,
        meta: FrameMeta,
        outcome: FrameOutcome,
        active_box: ActiveBox,
        keypoints: Keypoints | None = None,
        cropped_ns: int | None = None,
        inferred_ns: int = 0,
    ) -> None:
        """Decide the outcome of the next frame in order of capture, unless the stage was abandoned."""
        with self._finishing:
            if not self._abandoned:
                self._record(meta, outcome, active_box, keypoints, cropped_ns, inferred_ns)

    def _record(
        self,
        meta: FrameMeta,
        outcome: FrameOutcome,
        active_box: ActiveBox,
        keypoints: Keypoints | None = None,
        cropped_ns: int | None = None,
        inferred_ns: int = 0,
    ) -> None:
        """Check, filter and publish the pose, count the frame, and put its record into each sink.

        The caller holds the lock.
        """
        seq, doubt, filtered, counts = -1, None, None, self.counts.plus(outcome)
        seen = outcome is not FrameOutcome.SKIPPED
        if seen:  # judged in frame time, so that a replay gives the same numbers
            if self._own_box and keypoints is not None:
                active_box = with_found_box(active_box, keypoints)
            if keypoints is not None and active_box.box is not None:
                doubt = self.judge.doubt(meta, active_box.box, keypoints)
            active_box = with_state(active_box, self.judge.state(meta, active_box, doubt, posed=keypoints is not None))
        if outcome is FrameOutcome.PROCESSED:
            filtered = self._filtered(meta, keypoints)
            if self.publishing:
                seq = counts.processed - 1 - self._withheld
            else:  # without a number: to a subscriber, a gap in them is a loss
                self._withheld += 1
        record = Record(meta, outcome, active_box, keypoints, cropped_ns, inferred_ns, seq, counts, filtered, doubt)
        if seq >= 0 and self._publisher is not None:
            record = msgspec.structs.replace(record, published_ns=self._publisher.publish(record))
        if seen:
            self._slot.posed(meta, None if doubt is not None else keypoints, inferred_ns)
            self.last = record
        self.counts = counts
        for sink in self.sinks:
            sink.put(record)

    def _filtered(self, meta: FrameMeta, keypoints: Keypoints | None) -> FilteredPose | None:
        """Return the filtered pose, in frame time; None without a filter."""
        if self._filter is None:
            return None
        xy, likelihood = self._no_pose if keypoints is None else (keypoints.xy, keypoints.likelihood)
        return self._filter.update(meta.pts_ns, xy, likelihood, meta.segment)

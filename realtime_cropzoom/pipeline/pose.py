"""Pose stage: crops each frame with its box, runs the pose model and maps the keypoints to frame pixels.

Only this stage decides the outcome of a frame: processed, skipped or failed. It does so for each subject: a run has
one, or one for each region of the frame (``subject``). Their crops go through the model one after another, or as one
batch.

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
from typing import Protocol

import msgspec

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import StageError
from realtime_cropzoom.inference.context_window import InferenceRequest
from realtime_cropzoom.inference.copies import find_copies
from realtime_cropzoom.inference.crop import Edge
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.schedule import NO_BOX, SKIPPED_IN_RECORDING, Gaps
from realtime_cropzoom.pipeline.subject import Cropped, Result, Subject
from realtime_cropzoom.runtime.pauses import Pauses
from realtime_cropzoom.runtime.priority import raise_priority
from realtime_cropzoom.runtime.records import NOT_PUBLISHED, FrameCounts, FrameOutcome, Record
from realtime_cropzoom.runtime.ring import EndOfStream, Lease, OrderedReader
from realtime_cropzoom.runtime.stats import Histogram
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.types import ActiveBox, Box, FrameMeta, Keypoints, State

logger = logging.getLogger(__name__)

LATENCIES = ("wait", "crop", "infer", "decode", "total")
"""Names of the measured times of a frame: captured → taken → model input ready → model output → pose in frame pixels,
and the sum. ``infer`` includes the wait of a context model for later frames."""
_BEST = (State.TRACKING, State.COASTING, State.LOST, State.SEARCHING)
"""States, the best one first."""


class PosePublisher(Protocol):
    """Sends the poses to the subscribers."""

    def publish(self, *records: Record) -> int:
        """Send the poses of a processed frame that belong in one message; usually that is one.

        Returns:
            When (monotonic, ns); NOT_PUBLISHED if they were not sent.
        """
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
    """Options of the pose stage."""

    edge: Edge
    """Content of the crop beyond the edge of the frame."""
    gaps: Gaps = field(default_factory=Gaps)
    """Frames before which others are missing. There a context model starts a new sequence."""
    own_box: bool = False
    """Whether the model's own box takes the place of the whole frame that it saw."""
    together: bool = False
    """Whether the crops of all subjects go through the model as one batch, and not one after another."""
    one_message: bool = False
    """Whether the subjects are animals that may meet: the poses of all of them are published at once, as one message,
    and a pose that two of them have belongs to one."""
    restart: bool = False
    """Whether the stage starts again after an error."""
    urgent: bool = False
    """Whether the thread of the stage has real-time priority."""


_RANKS = {FrameOutcome.SKIPPED: 0, FrameOutcome.PROCESSED: 1, FrameOutcome.FAILED: 2}
"""The outcome of a frame is the highest one of its subjects: one failed pose makes it a failed frame."""


class PoseStage(Stage):
    """Processes one frame after another, and puts a record for each subject into every sink."""

    def __init__(
        self,
        model: Model,
        reader: OrderedReader,
        subjects: Sequence[Subject],
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
            subjects: The tracked animals, at least one. With a context model there is exactly one.
            sinks: Receive the record of each subject in each frame, in this order.
            control: Control of the run.
            options: Options of the stage.
            publisher: Sends the poses of each frame before their records go to the sinks; None to send none.
            on_box: Receives the box of each frame that waits for its result, when the wait begins. A frame may wait
                longer than the ring holds its pixels, so a thread that needs them must not wait for the record. In
                lockstep such a wait would never end, because the ring waits for its readers.
        """
        super().__init__("pose", control, restart=options.restart)
        self._model = model
        self._ring = reader.ring
        self._reader = reader
        self.subjects = tuple(subjects)
        """The tracked animals. Only this thread changes them."""
        self.sinks = tuple(sinks)
        """Receive the records; replaced as a whole, when an order starts or stops a recording."""
        self._publisher = publisher
        self._options = options
        self._changes: deque[Callable[[FrameMeta], None]] = deque()
        """Changes that wait for the next frame."""
        self.publishing = True
        """Whether processed frames have a message. Another thread may change it; a frame sees one value."""
        self._on_box = on_box
        self._gaps = deque(options.gaps.before if model.context_radius else ())
        self._records: list[tuple[Subject, Record]] = []
        """Records of this frame that wait for those of the other subjects, because they share a message."""
        self._messages = 0
        """Number of messages that all subjects shared."""
        self._outcome = FrameOutcome.SKIPPED
        """Outcome of this frame, by the subjects that have one."""
        self.pauses = Pauses()
        """The times between two frames."""
        self._finishing = threading.Lock()
        """Guards the outcomes: if this thread hangs, ``abandon`` decides them in another thread."""
        self._abandoned = False
        self.counts = FrameCounts()
        """Counts of all frames that have an outcome for each subject. Replaced as a whole, so other threads may read
        it."""
        self.latencies = {name: Histogram() for name in LATENCIES}
        """Times (ms) of the poses, by name."""
        self.box_age = Histogram()
        """Age (ms) of the boxes of these poses."""

    @property
    def last(self) -> Record | None:
        """The newest record of the subject that is tracked best, of frames that were not skipped; None before it."""
        records = [subject.last for subject in self.subjects if subject.last is not None]
        return min(records, key=lambda record: _BEST.index(record.active_box.state), default=None)

    def seen(self) -> dict[str, int | None]:
        """Return the frame time (ns) of the last frame in which an animal was tracked; None before the first.

        Returns:
            It by the name of the region; of the whole frame, whose name is empty, that of any animal.
        """
        if self.subjects[0].region is not None:
            return {s.region.name: s.judge.seen_ns for s in self.subjects if s.region is not None}
        return {"": max((seen for s in self.subjects if (seen := s.judge.seen_ns) is not None), default=None)}

    def work(self) -> None:
        """Process frames until the ring is closed or the run stops."""
        if self._options.urgent:
            raise_priority()
        self._process_all()
        self.busy_since_ns = now_ns()
        self._end_sequences()
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
        self._records.clear()
        for subject in self.subjects:
            subject.forget()
        for subject, meta, result in in_hand:
            self._finish_frame(subject, meta, result)

    def finish(self) -> None:
        """Mark the remaining frames as skipped, and announce the end of the stream."""
        self.pauses.close()
        for subject in self.subjects:
            subject.held.clear()
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
            self._records.clear()
            for subject, meta, result in self._in_hand():
                self._record(subject, meta, result)
            for meta in self._left():
                for subject in self.subjects:
                    self._record(subject, meta, Result(FrameOutcome.SKIPPED))
        finally:
            self._finishing.release()

    def _in_hand(self) -> list[tuple[Subject, FrameMeta, Result]]:
        """Return the frames that were taken and lack an outcome, with the result they get if the model gives none."""
        metas = self._ring.metas(self.counts.captured, self._reader.next_index)
        return [(s, meta, s.result_in_hand(meta)) for meta in metas for s in self.subjects if s.lacks(meta)]

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
            self._end_sequences()
        boxes = self._boxes_for(meta)
        if boxes is None:  # the run stopped: ``finish`` skips the frame
            return
        cropped = []
        for subject, active_box in boxes:
            if active_box is SKIPPED_IN_RECORDING:
                self._skip_for(subject, meta)
            elif active_box.box is not None:
                image, model_input = lease.frame.image, next(subject.inputs)
                if subject.region is not None:
                    image = subject.region.shown(image, active_box.box)
                view = self._model.prepare(image, active_box.box, self._options.edge, model_input)
                cropped.append((subject, Cropped(meta, active_box, view, model_input, taken_ns, now_ns())))
        lease.release()
        for subject, active_box in boxes:
            if active_box.box is None and active_box is not SKIPPED_IN_RECORDING:
                self._end_sequence(subject)
                self._finish_frame(subject, meta, Result(FrameOutcome.PROCESSED, active_box, inferred_ns=now_ns()))
        self._push(cropped)

    def _push(self, cropped: Sequence[tuple[Subject, Cropped]]) -> None:
        requests = []
        for subject, frame in cropped:
            # Without context the record follows at once, and the core stays with the model until then.
            if self._model.context_radius:
                self._report_box(frame.meta, frame.active_box)
            subject.held.append(frame)
            request = subject.window.push(frame)
            if request is not None:
                requests.append((subject, request))
        if self._options.one_message:
            self._tell_apart(requests)
            return
        at_once = max(1, len(requests)) if self._options.together else 1
        for first in range(0, len(requests), at_once):
            self._infer(requests[first : first + at_once])

    def _infer(self, requests: Sequence[tuple[Subject, InferenceRequest[Cropped]]]) -> None:
        """Run the model once, and finish the frames of these subjects that it answers."""
        windows = [[frame.model_input for frame in request.window] for _, request in requests]
        outputs = [self._model.infer(*windows[0])] if len(windows) == 1 else self._model.infer_many(windows)
        inferred_ns = now_ns()
        for (subject, request), answer in zip(requests, outputs, strict=True):
            subject.keypoints = self._model.decode(answer, request.middle.view)
            self._finish_frames(subject, request.answers, inferred_ns)

    def _tell_apart(self, requests: Sequence[tuple[Subject, InferenceRequest[Cropped]]]) -> None:
        """Run the model for each subject, and finish the frame of all; a copy of another one's pose is no pose."""
        windows = [[frame.model_input for frame in request.window] for _, request in requests]
        together = self._options.together and len(windows) > 1
        outputs = self._model.infer_many(windows) if together else (self._model.infer(*window) for window in windows)
        found: list[Keypoints] = []
        boxes: list[Box] = []
        for (_, request), answer in zip(requests, outputs, strict=True):
            found.append(self._model.decode(answer, request.middle.view))
            assert request.middle.active_box.box is not None
            boxes.append(request.middle.active_box.box)
        inferred_ns, copies = now_ns(), find_copies(found, boxes)
        for place, (subject, request) in enumerate(requests):
            subject.keypoints = None if place in copies else found[place]
            self._finish_frames(subject, request.answers, inferred_ns)

    def _end_sequences(self) -> None:
        for subject in self.subjects:
            self._end_sequence(subject)

    def _end_sequence(self, subject: Subject) -> None:
        """Finish the frames that wait for later ones without them."""
        request, repeats = subject.window.flush()
        if request is not None:
            self._infer([(subject, request)])
        if repeats:
            self._finish_frames(subject, repeats, now_ns())

    def _finish_frames(self, subject: Subject, frames: Sequence[Cropped], inferred_ns: int) -> None:
        """Finish the first of the waiting frames with the last result, and the skipped frames right behind each."""
        done_ns = now_ns()
        for frame in frames:
            subject.held.popleft()
            self._finish_inferred(subject, frame, subject.keypoints, inferred_ns, done_ns)
            while subject.held and isinstance(skipped := subject.held[0], FrameMeta):
                subject.held.popleft()
                self._finish_frame(subject, skipped, Result(FrameOutcome.SKIPPED))

    def _finish_inferred(
        self, subject: Subject, frame: Cropped, keypoints: Keypoints | None, inferred_ns: int, done_ns: int
    ) -> None:
        meta, active_box = frame.meta, frame.active_box
        if keypoints is not None and keypoints.spoilt:
            logger.warning("frame %d failed: the pose model gave numbers that are not finite", meta.index)
            self._finish_frame(subject, meta, Result(FrameOutcome.FAILED, active_box))
            return
        result = Result(FrameOutcome.PROCESSED, active_box, keypoints, frame.cropped_ns, done_ns)
        self._finish_frame(subject, meta, result)
        if keypoints is None:
            return
        times = (meta.captured_ns, frame.taken_ns, frame.cropped_ns, inferred_ns, done_ns)
        for name, begun, ended in zip(LATENCIES, times, times[1:], strict=False):
            self.latencies[name].add((ended - begun) / 1e6)
        self.latencies["total"].add((done_ns - meta.captured_ns) / 1e6)
        self.box_age.add(active_box.age_ms)

    def _boxes_for(self, meta: FrameMeta) -> list[tuple[Subject, ActiveBox]] | None:
        """Return the box of each subject; None if the run stopped."""
        boxes = []
        for subject in self.subjects:
            active_box = self._box_for(subject, meta)
            if active_box is None:
                return None
            boxes.append((subject, active_box))
        return boxes

    def _box_for(self, subject: Subject, meta: FrameMeta) -> ActiveBox | None:
        while not self.control.stop.is_set():
            closed = subject.slot.closed  # asked first: a detection from before the close is found below
            chosen = subject.slot.choose(meta, POLL_S)
            if chosen is not None:
                return chosen
            if closed and not self.control.stop.is_set():  # the stop itself also ends the detector
                raise StageError(f"frame {meta.index} waits for a detection, but the detector has ended without it")
        return None

    def _skip(self, metas: list[FrameMeta]) -> None:
        for meta in metas:
            for subject in self.subjects:
                if subject.lacks(meta):
                    self._skip_for(subject, meta)

    def _skip_for(self, subject: Subject, meta: FrameMeta) -> None:
        if subject.held:
            subject.held.append(meta)
            self._report_box(meta, NO_BOX)
        else:
            self._finish_frame(subject, meta, Result(FrameOutcome.SKIPPED))

    def _report_box(self, meta: FrameMeta, active_box: ActiveBox) -> None:
        if self._on_box is not None:
            self._on_box(meta, active_box)

    def _finish_frame(self, subject: Subject, meta: FrameMeta, result: Result) -> None:
        """Decide the outcome of the next frame in order of capture, unless the stage was abandoned."""
        with self._finishing:
            if not self._abandoned:
                self._record(subject, meta, result)

    def _record(self, subject: Subject, meta: FrameMeta, result: Result) -> None:
        """Make the record of a subject in a frame, and pass it on; with those of the others if they share a message.

        The caller holds the lock.
        """
        record = subject.record(meta, result, own_box=self._options.own_box, numbered=self.publishing)
        self._records.append((subject, record))
        if not self._options.one_message or len(self._records) == len(self.subjects):
            self._pass_on()

    def _pass_on(self) -> None:
        """Publish the records in hand, count them, and put them into each sink."""
        if self._options.one_message:
            self._number_together()
        numbered = [record for _, record in self._records if record.seq >= 0]
        published_ns = self._publisher.publish(*numbered) if numbered and self._publisher is not None else NOT_PUBLISHED
        records, self._records = self._records, []
        for subject, record in records:
            if record.seq >= 0 and published_ns != NOT_PUBLISHED:
                record = msgspec.structs.replace(record, published_ns=published_ns)
            subject.settle(record)
            self._count(record)
            for sink in self.sinks:
                sink.put(record)

    def _number_together(self) -> None:
        """Put the records in hand in the order of the subjects; give all the number of their message, if any has one.

        A subject that failed in a frame would count fewer messages than the others.
        """
        self._records.sort(key=lambda pair: pair[0].number)
        if any(record.seq >= 0 for _, record in self._records):
            numbered = [(s, msgspec.structs.replace(record, seq=self._messages)) for s, record in self._records]
            self._records, self._messages = numbered, self._messages + 1

    def _count(self, record: Record) -> None:
        """Count the frame of a record if it has an outcome for each subject now."""
        if _RANKS[record.outcome] > _RANKS[self._outcome]:
            self._outcome = record.outcome
        if not any(subject.lacks(record.meta) for subject in self.subjects):
            self.counts = self.counts.plus(self._outcome)
            self._outcome = FrameOutcome.SKIPPED

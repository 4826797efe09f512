"""Frames → boxes. Live it takes the newest frame, so many times a second at most; in lockstep every N-th.

A context model answers for a frame once it has seen two more: live those are the next two that it
takes, so that its boxes are older by as much; in lockstep they are the frame's own neighbours in
the recording, and only the answers that are wanted are asked for.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.inference.box_size import BoxSizes
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.context_window import ContextWindow, InferenceRequest
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.schedule import Gaps
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.ring import EndOfStream, Lease, NewestReader, OrderedReader
from realtime_cropzoom.runtime.stats import Histogram, Rate
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.types import Box, Detection, Float32, FrameMeta

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """Options of the detector stage, for one run."""

    rule: BoxRule
    """Makes boxes from keypoints."""
    sizes: BoxSizes | None = None
    """Warns if the first boxes do not fit the pose model; None for no check."""
    gaps: Gaps | None = None
    """Frames before which others are missing, where a context model starts again; None in a live run."""
    every: int = 1
    """A detection is made for each frame whose index is a multiple of this."""
    max_fps: float | None = None
    """Maximum number of detections per second; None for no limit."""
    restart: bool = False
    """Whether the stage starts again after an error."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A frame whose model input is ready; its place in the ring is given back already."""

    stamp: FrameMeta
    whole: Box
    model_input: Float32
    begun_ns: int


class DetectStage(Stage):
    """Runs the detector beside the pose stage."""

    def __init__(
        self,
        model: Model,
        reader: NewestReader | OrderedReader,
        slot: BoxSlot,
        control: RunControl,
        options: DetectOptions,
    ) -> None:
        """Create the stage without starting it.

        Args:
            model: The detector.
            reader: Reads the frames from the ring.
            slot: Receives the detections.
            control: Control of the run.
            options: Options of the stage.
        """
        super().__init__("detect", control, restart=options.restart)
        self._model = model
        # As many as the window holds: by the time one is filled again, its frame has left the window.
        self._inputs = cycle([model.new_input() for _ in range(2 * model.reach + 1)])
        self._window: ContextWindow[_Seen] = ContextWindow(model.reach)
        self._question: InferenceRequest[_Seen] | None = None
        """The last one there was, whether or not a frame wanted its answer."""
        self._reader = reader
        self._slot = slot
        self._rule, self._sizes = options.rule, options.sizes
        self._gaps = deque(options.gaps.before if options.gaps is not None and model.reach else ())
        self._every = options.every
        self._min_interval_ns = 0 if options.max_fps is None else round(1e9 / options.max_fps)
        self.latency = Histogram()
        self.rate = Rate()
        self.count = 0
        """Detections made."""
        self.unusable = 0
        """Detections without a box: nothing likely enough."""
        self.failed = 0
        """Detections whose numbers were none, or that broke off."""

    def work(self) -> None:
        """Detect until the ring is closed."""
        last_ns = 0
        while not self.control.stop.is_set():
            self.control.sleep_until(last_ns + self._min_interval_ns)
            try:
                lease = self._reader.take(POLL_S)
            except EndOfStream:
                self.busy_since_ns = now_ns()
                self._end_sequence()
                self.busy_since_ns = 0
                return
            if lease is None:
                continue
            with lease:
                if self._model.reach == 0 and not self._wanted(lease.frame.stamp):
                    continue
                last_ns = self.busy_since_ns = now_ns()
                self._see(lease)
                self.busy_since_ns = 0

    def recover(self) -> None:
        """Forget the frames in hand: there will be no detection of them."""
        self.failed += 1
        self._window = ContextWindow(self._model.reach)
        self._question = None

    def finish(self) -> None:
        """Let the pose stage stop waiting for boxes."""
        self._slot.close()

    def _wanted(self, stamp: FrameMeta) -> bool:
        return stamp.index % self._every == 0

    def _see(self, lease: Lease) -> None:
        """Take a frame, and detect what can be detected now."""
        begun_ns = now_ns()
        stamp, image = lease.frame.stamp, lease.frame.image
        while self._gaps and self._gaps[0] <= stamp.index:
            self._gaps.popleft()
            self._end_sequence()
            self._question = None
        whole = Box(0, 0, image.shape[1], image.shape[0])
        model_input = next(self._inputs)
        self._model.prepare(image, whole, "pad", model_input)
        lease.release()
        question = self._window.push(_Seen(stamp, whole, model_input, begun_ns))
        if question is not None:
            self._detect(question, question.answers)

    def _end_sequence(self) -> None:
        """Give the frames that wait for others a detection without them: somebody may wait for theirs."""
        question, repeats = self._window.flush()
        if question is not None:
            self._detect(question, question.answers)
        elif self._question is not None:  # asked once more, where its own frame wanted an answer too
            self._detect(self._question, repeats)

    def _detect(self, question: InferenceRequest[_Seen], frames: Sequence[_Seen]) -> None:
        """Offer the answer for those of ``frames`` that want one."""
        self._question = question
        wanted = [frame for frame in frames if self._wanted(frame.stamp)]
        if not wanted:
            return
        outputs = self._model.infer(*(frame.model_input for frame in question.window))
        keypoints = self._model.decode(outputs, question.middle.whole)
        box = self._rule.box(keypoints) if self._model.presence.is_sharp(keypoints) else None
        if box is not None and self._sizes is not None and (warning := self._sizes.see(box.w, keypoints)):
            logger.warning("%s", warning)
        done_ns = now_ns()
        for frame in wanted:
            self._slot.offer(Detection(frame.stamp, box, done_ns))
            self.count += 1
            self.failed += not np.isfinite(keypoints.xy).all()
            self.unusable += box is None
            self.latency.add((done_ns - frame.begun_ns) / 1e6)
            self.rate.add(done_ns)

"""Detector stage: finds the animal in whole frames and offers a box for each detection.

In a live run the stage reads the newest frame, at most a given number of times per second, and begins when the pose
stage has finished a frame: on few cores both models slow each other down. In lockstep
(``pace: fast``) it detects in every N-th frame.

It looks for each target: the one animal in the whole frame, or the one in each region, in turn, so that none waits
longer than the others. A live run looks at the newest frame for as many of them as there is time until the next one.
A detector that finds several animals in a picture looks once for all targets; ``assign`` says what belongs to which.

A context model needs two later frames. In a live run these are the next two frames that the stage reads, so its boxes
are older by as much. In lockstep they are the neighbours of the frame in the recording, and the model runs only for
the frames that need a detection.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.inference.box_size import BoxSizeCheck
from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.context_window import ContextWindow, InferenceRequest
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.inference.schedule import Gaps
from realtime_cropzoom.inference.tracks import Track
from realtime_cropzoom.pipeline.regions import Region
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.pauses import Patience, Pauses
from realtime_cropzoom.runtime.ring import EndOfStream, Lease, NewestReader, OrderedReader
from realtime_cropzoom.runtime.stats import Histogram, Rate
from realtime_cropzoom.runtime.worker import POLL_S, RunControl, Stage
from realtime_cropzoom.types import Box, BoxOrigin, Detection, Float32, FrameMeta, Keypoints

_MESSAGE_OUT_S = 0.0005
"""Time (s) for which a detection lets the message of the last pose go first: ZeroMQ's thread and the listener need the
cores, too."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """Options of the detector stage, for one run."""

    rule: BoxRule
    """Makes boxes from keypoints."""
    sizes: BoxSizeCheck | None = None
    """Warns if the first boxes do not fit the pose model; None for no check."""
    gaps: Gaps | None = None
    """Frames before which others are missing, where a context model starts again; None in a live run."""
    every: int = 1
    """A detection is made for each frame whose index is a multiple of this."""
    max_fps: float | None = None
    """Maximum number of detections per second; None for no limit."""
    restart: bool = False
    """Whether the stage starts again after an error."""


Assign = Callable[[FrameMeta, Outputs, View, BoxRule], Sequence[Keypoints | Track | None]]
"""Decodes the outputs for a whole frame, and returns what was found for each target: keypoints, None for nothing, or
for an animal among several its track, whose box the rule has made."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One animal that the detector looks for."""

    slot: BoxSlot
    """Receives its detections."""
    region: Region | None = None
    """The part of the frame in which it is; None for the whole frame."""


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A frame whose model input is ready. Its slot in the ring may be released already."""

    meta: FrameMeta
    target: Target
    view: View
    """Where the model input lies in the frame."""
    model_input: Float32
    begun_ns: int
    """Time (monotonic, ns) at which the stage took the frame."""


class DetectStage(Stage):
    """Runs the detector in parallel with the pose stage, which never waits for it in a live run."""

    def __init__(
        self,
        model: Model,
        reader: NewestReader | OrderedReader,
        targets: Sequence[Target],
        control: RunControl,
        options: DetectOptions,
        pauses: Pauses | None = None,
        *,
        assign: Assign | None = None,
    ) -> None:
        """Create the stage without starting it.

        Args:
            model: The detector.
            reader: Reads the frames from the ring.
            targets: The animals to look for, at least one. With a context model there is exactly one.
            control: Control of the run.
            options: Options of the stage.
            pauses: When the pose stage has no frame in hand: each detection waits for such a pause. None to begin
                whenever there is a new frame, which a reader in order needs.
            assign: Finds all targets in one look at the whole frame. None to look for each on its own.
        """
        super().__init__("detect", control, restart=options.restart)
        self._model = model
        # One per frame of the window: when an input is filled again, its frame has left the window.
        self._inputs = cycle([model.new_input() for _ in range(2 * model.context_radius + 1)])
        self._window: ContextWindow[_Prepared] = ContextWindow(model.context_radius)
        self._last_request: InferenceRequest[_Prepared] | None = None
        """The last request of the sequence, also if no frame of it needed a detection."""
        self._reader = reader
        self._is_live = isinstance(reader, NewestReader)
        self._pauses = pauses
        self._patience = Patience()
        self._targets, self._assign = tuple(targets), assign
        self._turn = 0
        """Place of the target that is looked for next."""
        self.rule = options.rule
        """Makes boxes. Another thread may replace it; a detection sees one."""
        self._sizes = options.sizes
        self._asked = threading.Event()
        """Whether the next frame is to be looked at without a wait."""
        self._gaps = deque(options.gaps.before if options.gaps is not None and model.context_radius else ())
        self._every = options.every
        self.max_fps = options.max_fps
        """Maximum number of detections per second; None for no limit. Another thread may replace it."""
        self.latency = Histogram()
        """Time (ms) from taking a frame until its detection is offered."""
        self.rate = Rate()
        """Rate of detections."""
        self.count = 0
        """Number of detections. One look for several targets is one."""
        self.unusable = 0
        """Number of detections without any box, because no keypoint was likely enough."""
        self.failed = 0
        """Number of detections whose keypoints are not finite, or that raised an error."""

    def work(self) -> None:
        """Detect until the ring is closed."""
        last_ns = 0
        while not self.control.stop.is_set():
            self._rest(last_ns)
            if not self._asked.is_set():
                self._wait_for_pause()
            try:
                lease = self._reader.take(POLL_S)
            except EndOfStream:
                self.busy_since_ns = now_ns()
                self._end_sequence()
                self.busy_since_ns = 0
                return
            if lease is None:
                continue
            self._asked.clear()
            with lease:
                if self._model.context_radius == 0 and not self._needs_detection(lease.frame.meta):
                    continue
                last_ns = now_ns()
                self._look(lease)

    def _look(self, lease: Lease) -> None:
        """Look for each target that wants it, beginning with the one whose turn it is."""
        meta, first, begun_ns = lease.frame.meta, self._turn, now_ns()
        for place in [*range(first, len(self._targets)), *range(first)]:
            if not self._is_wanted(self._targets[place], meta):
                continue
            self.busy_since_ns = now_ns()
            self._detect_in(lease, self._targets[place])
            self.busy_since_ns, self._patience.takes_ns = 0, now_ns() - begun_ns
            if self._assign is not None:  # one look for all
                return
            if self._is_live:  # in lockstep each frame begins with the first, for which the pose stage waits first
                self._turn = (place + 1) % len(self._targets)
                if self._reader.ring.newest > meta.index:  # the others have a newer frame
                    return

    def detect_now(self, newest: int) -> None:
        """Look at once at a frame that the detector has not seen, the newest or the next one. Any thread may ask.

        Args:
            newest: Index of the newest captured frame.
        """
        for target in self._targets:
            target.slot.ask(newest)
        self._asked.set()

    def _rest(self, last_ns: int) -> None:
        """Wait until the next detection is due or asked for, the run stops, or no further frame comes.

        Args:
            last_ns: When the last one began (monotonic, ns).
        """
        while self.max_fps is not None and not (self.control.stop.is_set() or self._reader.ring.closed):
            left_ns = last_ns + round(1e9 / self.max_fps) - now_ns()
            if left_ns <= 0 or self._asked.wait(min(left_ns / 1e9, POLL_S)):
                return

    def _wait_for_pause(self) -> None:
        """Wait for a new frame, and until the pose stage is done with it and its message is out, if that comes soon."""
        if self._pauses is None or not isinstance(self._reader, NewestReader):
            return
        meta = self._reader.peek(POLL_S)
        if meta is None:
            return
        self._patience.see(meta)
        if self._pauses.wait_for(*self._patience.wanted(meta, self._pauses.done, now_ns())):
            time.sleep(_MESSAGE_OUT_S)

    def _is_wanted(self, target: Target, meta: FrameMeta) -> bool:
        """Return whether a target needs a detection in a frame, as soon as that is known."""
        while not self.control.stop.is_set():
            needed = target.slot.needs_detection(meta, POLL_S)
            if needed is not None:
                return needed
        return False

    def recover(self) -> None:
        """Forget the frames in hand: there is no detection for them."""
        self.failed += 1
        self._window = ContextWindow(self._model.context_radius)
        self._last_request = None

    def finish(self) -> None:
        """Announce that no further detection follows, so that the pose stage does not wait for one."""
        for target in self._targets:
            target.slot.close()

    def _needs_detection(self, meta: FrameMeta) -> bool:
        return meta.index % self._every == 0

    def _detect_in(self, lease: Lease, target: Target) -> None:
        """Show the model a frame for a target, and run it if its window is full."""
        begun_ns = now_ns()
        meta, image = lease.frame.meta, lease.frame.image
        while self._gaps and self._gaps[0] <= meta.index:
            self._gaps.popleft()
            self._end_sequence()
            self._last_request = None
        model_input = next(self._inputs)
        region = None if self._assign is not None else target.region
        part = whole_image(image) if region is None else region.bounds
        shown = image if region is None else region.shown(image, part)
        view = self._model.prepare(shown, part, "pad", model_input)
        if len(self._targets) == 1:
            lease.release()
        request = self._window.push(_Prepared(meta, target, view, model_input, begun_ns))
        if request is not None:
            self._detect(request, request.answers)

    def _end_sequence(self) -> None:
        """Detect in the frames that wait for later ones without them: the pose stage may wait for their boxes."""
        request, repeats = self._window.flush()
        if request is not None:
            self._detect(request, request.answers)
        elif self._last_request is not None:  # the model runs again, also if the request had a detection already
            self._detect(self._last_request, repeats)

    def _detect(self, request: InferenceRequest[_Prepared], frames: Sequence[_Prepared]) -> None:
        """Run the model and offer its detection for each of ``frames`` that needs one."""
        self._last_request = request
        needed = [frame for frame in frames if self._needs_detection(frame.meta)]
        if not needed:
            return
        outputs = self._model.infer(*(frame.model_input for frame in request.window))
        middle = request.middle
        if self._assign is None:
            self._offer([(middle.target, self._model.decode(outputs, middle.view))], needed)
            return
        found = self._assign(middle.meta, outputs, middle.view, self.rule)
        self._offer(list(zip(self._targets, found, strict=True)), needed)

    def _offer(self, found: Sequence[tuple[Target, Keypoints | Track | None]], frames: Sequence[_Prepared]) -> None:
        """Offer what one look has found of each target, for each of ``frames``."""
        boxes = [one.box if isinstance(one, Track) else self._box(one) for _, one in found]
        spoilt = any(isinstance(one, Keypoints) and one.spoilt for _, one in found)
        done_ns = now_ns()
        for frame in frames:
            for (target, one), box in zip(found, boxes, strict=True):
                marks = (one.uncertain, one.meetings) if isinstance(one, Track) else (False, 0)
                target.slot.offer(Detection(frame.meta, box, done_ns, BoxOrigin.DETECTION, *marks))
            self.count += 1
            self.failed += spoilt
            self.unusable += all(box is None for box in boxes)
            self.latency.add((done_ns - frame.begun_ns) / 1e6)
            self.rate.add(done_ns)

    def _box(self, found: Keypoints | None) -> Box | None:
        """Return the box around what was found; None if nothing was, or if it does not look like an animal."""
        box = self.rule.box(found) if found is not None and self._model.presence.is_sharp(found) else None
        if box is not None and found is not None and self._sizes is not None:
            warning = self._sizes.add(box.w, found)
            if warning:
                logger.warning("%s", warning)
        return box

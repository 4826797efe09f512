"""Frames → boxes. Live it takes the newest frame, so many times a second at most; in lockstep every N-th."""

from __future__ import annotations

import numpy as np

from realtime_cropzoom.boxes import BoxRule
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.model import Model
from realtime_cropzoom.ring import EndOfStream, Lease, NewestReader, OrderedReader
from realtime_cropzoom.stages.base import POLL_S, Control, Stage
from realtime_cropzoom.stages.boxslot import BoxSlot
from realtime_cropzoom.stats import Histogram, Rate
from realtime_cropzoom.types import Box, Detection


class DetectStage(Stage):
    """Runs the detector beside the pose stage."""

    def __init__(
        self,
        model: Model,
        reader: NewestReader | OrderedReader,
        slot: BoxSlot,
        control: Control,
        *,
        rule: BoxRule,
        every: int,
        max_fps: float | None,
    ) -> None:
        super().__init__("detect", control)
        self._model = model
        self._input = model.new_input()
        self._reader = reader
        self._slot = slot
        self._rule = rule
        self._every = every
        self._min_interval_ns = 0 if max_fps is None else round(1e9 / max_fps)
        self.latency = Histogram()
        self.rate = Rate()
        self.count = 0
        """Detections made."""
        self.unusable = 0
        """Detections without a box: nothing likely enough."""
        self.failed = 0
        """Detections whose numbers were none."""

    def work(self) -> None:
        """Detect until the ring is closed."""
        last_ns = 0
        while not self.control.stop.is_set():
            self.sleep_until(last_ns + self._min_interval_ns)
            try:
                lease = self._reader.take(POLL_S)
            except EndOfStream:
                return
            if lease is None:
                continue
            with lease:
                if lease.frame.stamp.index % self._every:
                    continue
                last_ns = now_ns()
                self._detect(lease)

    def finish(self) -> None:
        """Let the pose stage stop waiting for boxes."""
        self._slot.close()

    def _detect(self, lease: Lease) -> None:
        begun_ns = now_ns()
        stamp, image = lease.frame.stamp, lease.frame.image
        whole = Box(0, 0, image.shape[1], image.shape[0])
        self._model.prepare(image, whole, "pad", self._input)
        lease.release()
        maps = self._model.infer(self._input)
        keypoints = self._model.decode(maps, whole)
        box = self._rule.box(keypoints)
        done_ns = now_ns()
        self._slot.offer(Detection(stamp, box, done_ns))
        self.count += 1
        self.failed += not np.isfinite(keypoints.xy).all()
        self.unusable += box is None
        self.latency.add((done_ns - begun_ns) / 1e6)
        self.rate.add(done_ns)

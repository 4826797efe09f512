"""Frames + boxes → poses in frame pixels. The only stage that gives frames their fate."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.crop import Edge
from realtime_cropzoom.model import Model
from realtime_cropzoom.records import Fate, Record
from realtime_cropzoom.ring import EndOfStream, Lease, OrderedReader, Ring
from realtime_cropzoom.schedule import NO_BOX, PASSED_OVER
from realtime_cropzoom.stages.base import POLL_S, Control, Stage
from realtime_cropzoom.stages.boxslot import BoxSlot
from realtime_cropzoom.stats import Histogram
from realtime_cropzoom.types import BoxInForce, Stamp

logger = logging.getLogger(__name__)

LATENCIES = ("wait", "crop", "infer", "decode", "total")
"""Handed over → taken → model input ready → heatmaps there → pose in frame pixels; and all of it."""


class Taker(Protocol):
    """What the pose stage needs of a sink."""

    def put(self, record: Record) -> None:
        """Take in the next record."""
        ...

    def end(self) -> None:
        """Learn that there are no more."""
        ...


class PoseStage(Stage):
    """Crops, infers, decodes and remaps frame after frame, and hands a record of each to every sink."""

    def __init__(
        self,
        model: Model,
        ring: Ring,
        reader: OrderedReader,
        slot: BoxSlot,
        sinks: Sequence[Taker],
        control: Control,
        *,
        edge: Edge,
    ) -> None:
        super().__init__("pose", control)
        self._model = model
        self._ring = ring
        self._reader = reader
        self._slot = slot
        self._sinks = sinks
        self._edge = edge
        self._input = model.new_input()
        self._settled = [0, 0, 0, 0]  # captured, processed, skipped, failed
        self.counts = (0, 0, 0, 0)
        """Captured, processed, skipped, failed: of all frames that have a fate; replaced as a whole."""
        self.last: Record | None = None
        """The last frame that was not skipped."""
        self.latencies = {name: Histogram() for name in LATENCIES}
        self.box_age = Histogram()

    def work(self) -> None:
        """Process frames until the ring is closed or the run stops; then give the rest their fate."""
        try:
            while not self.control.stop.is_set():
                try:
                    lease = self._reader.take(POLL_S)
                except EndOfStream:
                    return
                if lease is not None:
                    with lease:
                        self._skip(lease.skipped)
                        self._process(lease)
        finally:
            self._skip(self._ring.stamps(self._settled[0], self._ring.newest + 1))

    def finish(self) -> None:
        """Pass the end of the stream on."""
        for sink in self._sinks:
            sink.end()

    def _process(self, lease: Lease) -> None:
        taken_ns = now_ns()
        stamp = lease.frame.stamp
        in_force = self._box_for(stamp)
        if in_force is None:  # stopped while waiting: the frame is left
            return
        if in_force is PASSED_OVER:
            self._skip([stamp])
            return
        if in_force.box is None:
            self._settle(Record(stamp, Fate.PROCESSED, in_force, inferred_ns=now_ns()))
            return
        used = self._model.prepare(lease.frame.image, in_force.box, self._edge, self._input)
        lease.release()
        cropped_ns = now_ns()
        maps = self._model.infer(self._input)
        inferred_ns = now_ns()
        keypoints = self._model.decode(maps, used)
        done_ns = now_ns()
        fate = Fate.PROCESSED if np.isfinite(keypoints.xy).all() else Fate.FAILED
        if fate is Fate.FAILED:
            logger.warning("frame %d failed: the pose model gave numbers that are not finite", stamp.index)
            self._settle(Record(stamp, fate, in_force))
            return
        self._settle(Record(stamp, fate, in_force, keypoints, cropped_ns, done_ns))
        times = (stamp.captured_ns, taken_ns, cropped_ns, inferred_ns, done_ns)
        for name, begun, ended in zip(LATENCIES, times, times[1:], strict=False):
            self.latencies[name].add((ended - begun) / 1e6)
        self.latencies["total"].add((done_ns - stamp.captured_ns) / 1e6)
        self.box_age.add(in_force.age_ms)

    def _box_for(self, stamp: Stamp) -> BoxInForce | None:
        while not self.control.stop.is_set():
            chosen = self._slot.choose(stamp, POLL_S)
            if chosen is not None:
                return chosen
        return None

    def _skip(self, stamps: list[Stamp]) -> None:
        for stamp in stamps:
            self._settle(Record(stamp, Fate.SKIPPED, NO_BOX))

    def _settle(self, record: Record) -> None:
        settled = self._settled
        settled[0] += 1
        settled[(Fate.PROCESSED, Fate.SKIPPED, Fate.FAILED).index(record.fate) + 1] += 1
        if record.fate is Fate.PROCESSED:
            record.seq = settled[1] - 1
        record.counts = self.counts = (settled[0], settled[1], settled[2], settled[3])
        if record.fate is not Fate.SKIPPED:
            self.last = record
        for sink in self._sinks:
            sink.put(record)

"""Subject: one tracked animal of a run: its boxes, how its poses are judged and filtered, and what it has so far.

A run has one subject, or one for each region of the frame, or one for each animal in one arena. Only the pose stage
changes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from realtime_cropzoom.filters import FilteredPose, PoseFilter
from realtime_cropzoom.inference.boxes import with_found_box
from realtime_cropzoom.inference.context_window import ContextWindow
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import PoseJudge, with_state
from realtime_cropzoom.inference.schedule import NO_BOX
from realtime_cropzoom.pipeline.regions import Region
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.records import FrameCounts, FrameOutcome, Record
from realtime_cropzoom.types import ActiveBox, Float32, FrameMeta, Keypoints


@dataclass(frozen=True, slots=True, eq=False)
class Cropped:
    """A frame whose model input is ready. Its slot in the ring is released already."""

    meta: FrameMeta
    active_box: ActiveBox
    view: View
    """Where the model input lies in the frame."""
    model_input: Float32
    taken_ns: int
    cropped_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What the pose stage has found out about a subject in one frame."""

    outcome: FrameOutcome
    active_box: ActiveBox = NO_BOX
    keypoints: Keypoints | None = None
    """Frame space; None without a pose."""
    cropped_ns: int | None = None
    inferred_ns: int = 0


class Subject:
    """One tracked animal of a run."""

    def __init__(
        self,
        model: Model,
        slot: BoxSlot,
        judge: PoseJudge,
        pose_filter: PoseFilter | None = None,
        *,
        number: int = 0,
        region: Region | None = None,
    ) -> None:
        """Make a subject that no frame has shown yet.

        Args:
            model: The pose model.
            slot: Returns the box of each frame.
            judge: Checks whether a pose is plausible, and decides the state of each frame.
            pose_filter: Filters the poses; None for no filter.
            number: Its place among the subjects of the run, from 0.
            region: The part of the frame in which it is; None for the whole frame.
        """
        self.slot, self.judge, self.number, self.region = slot, judge, number, region
        self._filter = pose_filter
        keypoints, self._radius = len(model.keypoint_names), model.context_radius
        self._no_pose = (np.full((keypoints, 2), np.nan), np.full(keypoints, np.nan))
        # One per frame of the window: when an input is filled again, its frame has left the window.
        self.inputs = cycle([model.new_input() for _ in range(2 * model.context_radius + 1)])
        """Model inputs, to be filled in turn."""
        self.window: ContextWindow[Cropped] = ContextWindow(model.context_radius)
        """The frames of the next call of the model."""
        self.held: deque[Cropped | FrameMeta] = deque()
        """Frames without a result yet, and the frames skipped behind the first of them, in order of capture."""
        self.keypoints: Keypoints | None = None
        """The last result of the model, in frame space."""
        self.counts = FrameCounts()
        """Counts of the frames that have an outcome for this subject. Replaced as a whole, so other threads may read
        it."""
        self.last: Record | None = None
        """Its record of the last frame that was not skipped; None before it. Any thread may read it."""
        self._withheld = 0
        """Number of processed frames without a message."""

    def lacks(self, meta: FrameMeta) -> bool:
        """Return whether a frame has no outcome for this subject yet."""
        return self.counts.captured <= meta.index

    def result_in_hand(self, meta: FrameMeta) -> Result:
        """Return the result of a frame that was taken and has none, if there will be none from the model."""
        for item in tuple(self.held):
            if isinstance(item, FrameMeta):
                if item.index == meta.index:
                    return Result(FrameOutcome.SKIPPED)
            elif item.meta.index == meta.index:
                return Result(FrameOutcome.FAILED, item.active_box)
        return Result(FrameOutcome.FAILED)

    def forget(self) -> None:
        """Drop the frames in hand. The next frame starts a new sequence."""
        self.held.clear()
        self.window = ContextWindow(self._radius)

    def record(self, meta: FrameMeta, result: Result, *, own_box: bool, numbered: bool) -> Record:
        """Check and filter the pose of the next frame, and return its record.

        Args:
            meta: The frame.
            result: What was found.
            own_box: Whether the box that the model itself found takes the place of the whole frame that it saw.
            numbered: Whether a processed frame has a message.
        """
        outcome, active_box, keypoints = result.outcome, result.active_box, result.keypoints
        seq, doubt, filtered = -1, None, None
        counts = self.counts.plus(outcome)
        if outcome is not FrameOutcome.SKIPPED:  # judged in frame time, so that a replay gives the same numbers
            if own_box and keypoints is not None:
                active_box = with_found_box(active_box, keypoints)
            if keypoints is not None and active_box.box is not None:
                doubt = self.judge.doubt(meta, active_box.box, keypoints)
            active_box = with_state(active_box, self.judge.state(meta, active_box, doubt, posed=keypoints is not None))
        if outcome is FrameOutcome.PROCESSED:
            filtered = self._filtered(meta, keypoints)
            if numbered:
                seq = counts.processed - 1 - self._withheld
            else:  # without a number: to a subscriber, a gap in them is a loss
                self._withheld += 1
        return Record(
            meta, outcome, active_box, keypoints, result.cropped_ns, result.inferred_ns, seq, counts, filtered, doubt,
            subject=self.number,
        )  # fmt: skip

    def settle(self, record: Record) -> None:
        """Count the frame of a record, whose message is sent, and let the next boxes follow its pose."""
        if record.outcome is not FrameOutcome.SKIPPED:
            found = None if record.doubt is not None else record.keypoints
            self.slot.posed(record.meta, found, record.inferred_ns)
            self.last = record
        self.counts = record.counts

    def _filtered(self, meta: FrameMeta, keypoints: Keypoints | None) -> FilteredPose | None:
        """Return the filtered pose, in frame time; None without a filter."""
        if self._filter is None:
            return None
        xy, likelihood = self._no_pose if keypoints is None else (keypoints.xy, keypoints.likelihood)
        return self._filter.update(meta.pts_ns, xy, likelihood, meta.segment)

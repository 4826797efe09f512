"""Records: one per captured frame, which the pose stage passes to the sinks in capture order, and their messages."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from realtime_cropzoom.calibration.calibration import Calibration
from realtime_cropzoom.filters import FilteredPose
from realtime_cropzoom.inference.presence import Doubt
from realtime_cropzoom.messaging.message import (
    SCHEMA_VERSION,
    Animal,
    AnimalsMessage,
    BoxField,
    Counts,
    FilteredKeypoint,
    PoseMessage,
    TimeField,
    finite_or_none,
)
from realtime_cropzoom.types import ActiveBox, FrameMeta, Keypoints, StreamState

NOT_PUBLISHED = 0
"""Time of a message that was not sent, and of a frame without a message."""


class FrameOutcome(enum.StrEnum):
    """Outcome of a captured frame."""

    PROCESSED = "processed"
    """It has a row and a message, with a pose unless there was no box yet."""
    SKIPPED = "skipped"
    """Left out to keep up with the newest frame, or not processed when the run ended."""
    FAILED = "failed"
    """The model returned values that are not finite, or raised an error."""


class FrameCounts(NamedTuple):
    """Number of frames by outcome: captured = processed + skipped + failed."""

    captured: int = 0
    processed: int = 0
    skipped: int = 0
    failed: int = 0

    def plus(self, outcome: FrameOutcome) -> FrameCounts:
        """Return the counts with one more frame of this outcome."""
        captured, processed, skipped, failed = self
        if outcome is FrameOutcome.PROCESSED:
            return FrameCounts(captured + 1, processed + 1, skipped, failed)
        if outcome is FrameOutcome.SKIPPED:
            return FrameCounts(captured + 1, processed, skipped + 1, failed)
        return FrameCounts(captured + 1, processed, skipped, failed + 1)


class Record(msgspec.Struct, frozen=True, eq=False):
    """One captured frame and its result. A struct, because the pose thread builds one per frame."""

    meta: FrameMeta
    outcome: FrameOutcome
    active_box: ActiveBox
    keypoints: Keypoints | None = None
    """Frame space; None without a pose."""
    cropped_ns: int | None = None
    inferred_ns: int = 0
    seq: int = -1
    """Message number; -1 without a message."""
    counts: FrameCounts = FrameCounts()
    """Counts of the run, this frame included."""
    filtered: FilteredPose | None = None
    """The filtered pose, from this and all earlier poses; None without a filter."""
    doubt: Doubt | None = None
    """The reason to distrust the pose; None for a plausible pose, and without a pose."""
    published_ns: int = NOT_PUBLISHED
    """Time (monotonic, ns) at which its message was sent."""
    subject: int = 0
    """Number of the animal among those of the run; 0 for the only one."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The fields that are equal in every message of a run."""

    run: str
    camera: str
    keypoint_names: tuple[str, ...]
    unix_offset_ns: int
    calibration: Calibration | None = None
    """The calibration of the camera; None if messages carry no arena coordinates."""
    regions: tuple[str, ...] = ()
    """Names of the regions, by the number of their subjects; empty for a run of whole frames."""
    animals: int = 1
    """Number of animals in one arena."""


def pose_message(record: Record, identity: RunIdentity, published_ns: int, unsent: int) -> PoseMessage:
    """Build the message of a processed frame.

    Args:
        record: The record of the frame.
        identity: The fields that are equal in every message of the run.
        published_ns: Time of publication (monotonic, ns).
        unsent: Number of messages of this run that were not sent.
    """
    active_box, meta = record.active_box, record.meta
    return PoseMessage(
        schema=SCHEMA_VERSION,
        run=identity.run,
        camera=identity.camera,
        seq=record.seq,
        frame=meta.index,
        state=active_box.state.value,
        stream=StreamState.LIVE.value,
        keypoints=_keypoint_fields(record.keypoints, identity.keypoint_names),
        box=_box_field(active_box),
        time=_time_field([record], identity, published_ns),
        counts=Counts(*record.counts, unsent),
        segment=meta.segment,
        filtered=_filtered_fields(record.filtered, identity.keypoint_names),
        arena=_arena_fields(record.keypoints, identity),
        plausible=None if record.keypoints is None else record.doubt is None,
        doubt=None if record.doubt is None else record.doubt.value,
        region=identity.regions[record.subject] if identity.regions else None,
    )


def animals_message(records: Sequence[Record], identity: RunIdentity, published_ns: int, unsent: int) -> AnimalsMessage:
    """Build the message of a processed frame with several animals.

    Args:
        records: The record of each animal, in order of their numbers.
        identity: The fields that are equal in every message of the run.
        published_ns: Time of publication (monotonic, ns).
        unsent: Number of messages of this run that were not sent.
    """
    first = records[0]
    return AnimalsMessage(
        schema=SCHEMA_VERSION,
        run=identity.run,
        camera=identity.camera,
        seq=first.seq,
        frame=first.meta.index,
        stream=StreamState.LIVE.value,
        animals=[_animal(record, identity) for record in records],
        time=_time_field(records, identity, published_ns),
        counts=Counts(*first.counts, unsent),
        segment=first.meta.segment,
    )


def _animal(record: Record, identity: RunIdentity) -> Animal:
    names, active = identity.keypoint_names, record.active_box
    return Animal(
        number=record.subject + 1,
        state=active.state.value,
        keypoints=_keypoint_fields(record.keypoints, names),
        box=_box_field(active),
        uncertain=active.uncertain,
        meetings=active.meetings,
        plausible=None if record.keypoints is None else record.doubt is None,
        doubt=None if record.doubt is None else record.doubt.value,
        filtered=_filtered_fields(record.filtered, names),
        arena=_arena_fields(record.keypoints, identity),
    )


def _box_field(active: ActiveBox) -> BoxField | None:
    if active.box is None:
        return None
    x, y, w, h = active.box
    return BoxField(x, y, w, h, active.frame, active.age_ms, active.origin.value)


def _time_field(records: Sequence[Record], identity: RunIdentity, published_ns: int) -> TimeField:
    """Return the times of a frame; of several animals, those of the last one."""
    meta = records[0].meta
    return TimeField(
        device_ns=meta.device_ns,
        captured_ns=meta.captured_ns,
        detected_ns=max(record.active_box.detected_ns for record in records) or None,
        cropped_ns=max(record.cropped_ns or 0 for record in records) or None,
        inferred_ns=max(record.inferred_ns for record in records),
        published_ns=published_ns,
        unix_offset_ns=identity.unix_offset_ns,
    )


def _keypoint_fields(
    keypoints: Keypoints | None, names: tuple[str, ...]
) -> dict[str, tuple[float | None, float | None, float | None]]:
    if keypoints is None:
        return dict.fromkeys(names, (None, None, None))
    rows = zip(names, keypoints.xy.tolist(), keypoints.likelihood.tolist(), strict=True)
    return {n: (finite_or_none(x), finite_or_none(y), finite_or_none(p)) for n, (x, y), p in rows}


def _filtered_fields(filtered: FilteredPose | None, names: tuple[str, ...]) -> dict[str, FilteredKeypoint] | None:
    if filtered is None:
        return None
    return {n: FilteredKeypoint(*map(finite_or_none, p)) for n, p in zip(names, filtered.points, strict=True)}


def _arena_fields(
    keypoints: Keypoints | None, identity: RunIdentity
) -> dict[str, tuple[float | None, float | None]] | None:
    calibration, names = identity.calibration, identity.keypoint_names
    if calibration is None:
        return None
    if keypoints is None:
        return dict.fromkeys(names, (None, None))
    points = (calibration.point_to_arena(x, y) for x, y in keypoints.xy.tolist())
    return {n: (finite_or_none(x), finite_or_none(y)) for n, (x, y) in zip(names, points, strict=True)}

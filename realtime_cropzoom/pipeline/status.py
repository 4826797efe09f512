"""Reporters: build the messages that describe a run: hello, status and end.

``StartingReporter`` serves until the stages of the run exist, ``RunReporter`` from then on. The text for the
terminal is in ``report``, the content of ``summary.json`` in ``summary``.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from realtime_cropzoom import __version__
from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.config.group import NONE
from realtime_cropzoom.files.paths import as_text
from realtime_cropzoom.messaging.message import (
    SCHEMA_VERSION,
    Counts,
    EndMessage,
    EventMessage,
    HelloMessage,
    Percentiles,
    StatusMessage,
)
from realtime_cropzoom.pipeline.stages import StageSet
from realtime_cropzoom.pipeline.startup import RunPlan
from realtime_cropzoom.runtime.records import RunIdentity
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sinks.recorder import CropRecorder
from realtime_cropzoom.sources.base import without_password
from realtime_cropzoom.types import State, StreamState

_NO_COUNTS = Counts(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class RunDescription:
    """What does not change during a run: its plan, its identity and its start."""

    plan: RunPlan
    identity: RunIdentity
    started_unix_s: float
    """Start of the run (Unix time, s)."""
    control: str | None = None
    """Name of the socket for orders; None if the run takes none."""

    def hello(self) -> HelloMessage:
        """Return the message that a subscriber needs to interpret the poses."""
        s, models, info = self.plan.settings, self.plan.models, self.plan.info
        names = models.pose.keypoint_names
        return HelloMessage(
            schema=SCHEMA_VERSION,
            run=self.identity.run,
            camera=self.identity.camera,
            source=as_text(without_password(s.source or info.name)),
            keypoint_names=list(names),
            width=info.width,
            height=info.height,
            fps=info.fps,
            detector_sha256=None if models.detector is None else models.detector.sha256,
            pose_sha256=models.pose.sha256,
            config_sha256=hashlib.sha256(s.to_yaml().encode()).hexdigest(),
            version=__version__,
            unix_offset_ns=self.identity.unix_offset_ns,
            filter=None if s.filter == NONE else s.filter,
            arena_unit=None if self.identity.calibration is None else self.identity.calibration.unit,
            control=self.control,
            skeleton=[(names[a], names[b]) for a, b in models.pose.manifest.skeleton],
            regions={region.name: list(region.corners) for region in self.plan.regions},
            animals=s.animals,
        )

    @property
    def source(self) -> str:
        """The source as the user gave it, without a password."""
        return without_password(self.plan.settings.source or self.plan.info.name)


def describe_run(plan: RunPlan, anchor_ns: int | None = None, control: str | None = None) -> RunDescription:
    """Return the description of a run that starts now.

    Args:
        plan: The plan of the run.
        anchor_ns: Unix time minus monotonic time (ns), if several runs share it; None to measure it.
        control: Name of the socket for orders; None if the run takes none.
    """
    anchor_ns = unix_offset_ns() if anchor_ns is None else anchor_ns
    names, camera = plan.models.pose.keypoint_names, plan.settings.camera
    regions = tuple(region.name for region in plan.regions)
    animals = plan.settings.animals
    identity = RunIdentity(secrets.token_hex(6), camera, names, anchor_ns, plan.calibration, regions, animals)
    return RunDescription(plan, identity, round(time.time(), 3), control)


class _Reporter:
    """The messages that both reporters build in the same way."""

    def __init__(self, description: RunDescription, control: RunControl) -> None:
        self.description = description
        self._control = control

    @property
    def identity(self) -> RunIdentity:
        """The fields that are equal in every message of the run."""
        return self.description.identity

    def hello(self) -> HelloMessage:
        """Return the message that a subscriber needs to interpret the poses."""
        return self.description.hello()

    def end_message(self) -> EndMessage:
        """Return the end message."""
        identity, reason = self.identity, as_text(self.end_reason())
        return EndMessage(SCHEMA_VERSION, identity.run, identity.camera, reason, self.counts(), now_ns())

    def end_reason(self) -> str:
        """Return why the run ended: its first error, or else the reason of the stop."""
        return str(self._control.error) if self._control.error else self._control.reason

    def counts(self) -> Counts:
        """Return the counts of all frames that have an outcome."""
        return _NO_COUNTS


class StartingReporter(_Reporter):
    """The reporter before the stages exist: there are no frames yet."""

    def status(self) -> StatusMessage:
        """Return a status message without frames."""
        return StatusMessage(
            schema=SCHEMA_VERSION,
            run=self.identity.run,
            camera=self.identity.camera,
            state=State.SEARCHING.value,
            stream=self.stream().value,
            counts=_NO_COUNTS,
            backlog=0,
            fps=0.0,
            detector_fps=0.0,
            latency_ms={},
            time_ns=now_ns(),
            unix_offset_ns=self.identity.unix_offset_ns,
        )

    def stream(self) -> StreamState:
        """Return LIVE: the source is open."""
        return StreamState.LIVE

    def take_events(self) -> list[EventMessage]:
        """Return none: nothing has happened yet."""
        return []


class RunReporter(_Reporter):
    """The reporter of a run whose stages exist. Any thread may call it."""

    def __init__(self, description: RunDescription, control: RunControl, stages: StageSet) -> None:
        super().__init__(description, control)
        self.stages = stages

    def counts(self) -> Counts:
        """Return the counts of all frames that have an outcome."""
        publish = self.stages.publish
        return Counts(*self.stages.pose.counts, publish.too_old if publish else 0)

    def status(self) -> StatusMessage:
        """Return the status message (heartbeat) of this moment."""
        s, at_ns, counts = self.stages, now_ns(), self.counts()
        free, growth = s.disk.free_and_growth(at_ns) if s.disk else (None, None)
        last, reader, publish, recording = s.pose.last, s.capture.reader, s.publish, s.recordings.now
        return StatusMessage(
            schema=SCHEMA_VERSION,
            run=self.identity.run,
            camera=self.identity.camera,
            state=(last.active_box.state if last else State.SEARCHING).value,
            stream=self.stream().value,
            counts=counts,
            backlog=max(0, s.ring.newest + 1 - counts.captured),
            fps=round(reader.rate.per_second(at_ns), 2),
            detector_fps=round(s.detect.rate.per_second(at_ns), 2) if s.detect else 0.0,
            latency_ms={name: Percentiles(**h.summary()) for name, h in s.pose.latencies.items()},
            time_ns=at_ns,
            unix_offset_ns=self.identity.unix_offset_ns,
            segment=last.meta.segment if last else 0,
            lost=reader.lost,
            stale=reader.stale,
            too_old=publish.too_old if publish else 0,
            recorded=sum(r.recording.recorded for r in s.recorders if not isinstance(r, CropRecorder)),
            unrecorded=sum(r.recording.dropped_count() for r in s.recorders),
            refused=publish.rejected.count if publish else 0,
            cut_off=publish.rejected.cut_off if publish else 0,
            disk_free_bytes=free,
            disk_bytes_per_s=growth,
            previews=publish.previews(at_ns) if publish else 0,
            recording=None if recording is None else as_text(recording.video.name),
            recording_since_ns=None if recording is None else recording.began_ns,
            recording_frames=0 if recording is None else recording.recorded,
            publishing=s.pose.publishing,
            regions=self._region_states(),
        )

    def _region_states(self) -> dict[str, str]:
        """Return the state of the animal of each region, by its name; empty without regions."""
        return {
            subject.region.name: (subject.last.active_box.state if subject.last else State.SEARCHING).value
            for subject in self.stages.pose.subjects
            if subject.region is not None
        }

    def state(self) -> dict[str, Any]:
        """Return what an answer to an order says about the run."""
        last, publish, counts = self.stages.pose.last, self.stages.publish, self.counts()
        return {
            "run": self.identity.run,
            "source": as_text(self.description.source),
            "publish": publish.bound_to[0] if publish else None,
            "state": (last.active_box.state if last else State.SEARCHING).value,
            "stream": self.stream().value,
            "fps": round(self.stages.capture.reader.rate.per_second(now_ns()), 2),
            "counts": msgspec.to_builtins(counts),
        }

    def stream(self) -> StreamState:
        """Return whether frames arrive."""
        return self.stages.capture.stream(now_ns())

    def take_events(self) -> list[EventMessage]:
        """Return the events since the last call, oldest first."""
        return self.stages.events.take_unsent()

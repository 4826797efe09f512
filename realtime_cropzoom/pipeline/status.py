"""What a run says of itself: hello, heartbeat, last word, and the summary."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any

from realtime_cropzoom import __version__
from realtime_cropzoom.calibration.calibration import Calibration
from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.config.settings import NONE, Settings
from realtime_cropzoom.files.paths import as_text
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.messaging.message import (
    SCHEMA_VERSION,
    Counts,
    EndMessage,
    HelloMessage,
    Percentiles,
    StatusMessage,
)
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.clock_drift import ClockDrift
from realtime_cropzoom.pipeline.detect import DetectStage
from realtime_cropzoom.pipeline.pose import PoseStage
from realtime_cropzoom.runtime.records import RunIdentity
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import RunControl, Stage
from realtime_cropzoom.sinks.csv_writer import CsvSink
from realtime_cropzoom.sinks.recorder import CropRecorder, Recorder
from realtime_cropzoom.sinks.zmq_publisher import ZmqSink
from realtime_cropzoom.sources.base import SourceInfo, without_password
from realtime_cropzoom.types import State, StreamState


@dataclass(frozen=True, slots=True)
class StageSet:
    """The threads of a run, and the ring between them."""

    capture: CaptureStage
    ring: Ring
    detect: DetectStage | None
    pose: PoseStage
    publish: ZmqSink | None
    write: CsvSink
    recorders: tuple[Recorder, ...] = ()


class RunReporter:
    """Knows a run's settings, models and stages, and puts what they say into words."""

    def __init__(
        self,
        settings: Settings,
        info: SourceInfo,
        models: Models,
        control: RunControl,
        anchor_ns: int | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        """``anchor_ns`` is the Unix anchor where several runs share one; else it is measured."""
        self.settings = settings
        self.info = info
        self.models = models
        anchor_ns = unix_offset_ns() if anchor_ns is None else anchor_ns
        self.identity = RunIdentity(
            secrets.token_hex(6), settings.camera, models.pose.keypoint_names, anchor_ns, calibration
        )
        self._started_unix_s = round(time.time(), 3)
        self.stages: StageSet | None = None
        """Set once they are built; until then there is nothing to count."""
        self._control = control
        self.lacking: list[str] = []
        """What was known to be missing before the first frame."""

    def hello(self) -> HelloMessage:
        """Return what a subscriber must know to read the poses."""
        models, info = self.models, self.info
        return HelloMessage(
            schema=SCHEMA_VERSION,
            run=self.identity.run,
            camera=self.identity.camera,
            source=as_text(without_password(self.settings.source or info.name)),
            keypoint_names=list(models.pose.keypoint_names),
            width=info.width,
            height=info.height,
            fps=info.fps,
            detector_sha256=None if models.detector is None else models.detector.sha256,
            pose_sha256=models.pose.sha256,
            config_sha256=hashlib.sha256(self.settings.to_yaml().encode()).hexdigest(),
            version=__version__,
            unix_offset_ns=self.identity.unix_offset_ns,
            filter=None if self.settings.filter == NONE else self.settings.filter,
            arena_unit=None if self.identity.calibration is None else self.identity.calibration.unit,
        )

    def counts(self) -> Counts:
        """Return what became of all frames that have an outcome."""
        stages = self.stages
        if stages is None:
            return Counts(0, 0, 0, 0, 0)
        return Counts(*stages.pose.counts, stages.publish.dropped if stages.publish else 0)

    def status(self) -> StatusMessage:
        """Return the heartbeat of this moment."""
        stages, now, counts = self.stages, now_ns(), self.counts()
        last = stages.pose.last if stages else None
        recorders = stages.recorders if stages else ()
        return StatusMessage(
            schema=SCHEMA_VERSION,
            run=self.identity.run,
            camera=self.identity.camera,
            state=(last.active_box.state if last else State.SEARCHING).value,
            stream=self.stream().value,
            counts=counts,
            backlog=max(0, stages.ring.newest + 1 - counts.captured) if stages else 0,
            fps=round(stages.capture.reader.rate.per_second(now), 2) if stages else 0.0,
            detector_fps=round(stages.detect.rate.per_second(now), 2) if stages and stages.detect else 0.0,
            latency_ms={n: Percentiles(**h.summary()) for n, h in stages.pose.latencies.items()} if stages else {},
            time_ns=now,
            unix_offset_ns=self.identity.unix_offset_ns,
            segment=last.stamp.segment if last else 0,
            lost=stages.capture.reader.lost if stages else 0,
            stale=stages.capture.reader.stale if stages else 0,
            too_old=stages.publish.too_old if stages and stages.publish else 0,
            recorded=sum(r.recording.recorded for r in recorders if not isinstance(r, CropRecorder)),
            unrecorded=sum(r.recording.dropped_count() for r in recorders),
            refused=stages.publish.rejected.count if stages and stages.publish else 0,
            cut_off=stages.publish.rejected.cut_off if stages and stages.publish else 0,
        )

    def stream(self) -> StreamState:
        """Whether frames arrive."""
        return StreamState.LIVE if self.stages is None else self.stages.capture.stream(now_ns())

    def last_word(self) -> EndMessage:
        """Return the end message."""
        return EndMessage(
            SCHEMA_VERSION, self.identity.run, self.identity.camera, as_text(self._why_ended()), self.counts(), now_ns()
        )

    def summary(self, folder: str, *, ended: bool = True) -> dict[str, Any]:
        """Return the content of ``summary.json``: at the start, so that a killed run has one too, and at the end."""
        stages = self.stages
        assert stages is not None
        counts, seconds, detect = self.counts(), stages.capture.seconds(), stages.detect
        return {
            "run": self.identity.run,
            "version": __version__,
            "source": without_password(self.settings.source or self.info.name),
            "unix_offset_ns": self.identity.unix_offset_ns,
            "started_unix_s": self._started_unix_s,
            "reason": self._why_ended() if ended else "running",
            "pace": self.settings.pace,
            "problems": self._problems(stages),
            "seconds": round(seconds, 3),
            "fps": round((counts.captured - 1) / seconds, 2) if seconds else None,
            "counts": {name: getattr(counts, name) for name in counts.__struct_fields__},
            "lost": stages.capture.reader.lost,
            "stale": stages.capture.reader.stale,
            "clock_drift": _rounded(stages.capture.reader.drift.result()),
            "too_old": stages.publish.too_old if stages.publish else 0,
            "refused": stages.publish.rejected.count if stages.publish else 0,
            "cut_off": stages.publish.rejected.cut_off if stages.publish else 0,
            "refused_keys": dict(stages.publish.rejected.keys) if stages.publish else {},
            "animal": stages.write.quality.summary() if ended else None,
            "detector": detect and {"detections": detect.count, "unusable": detect.unusable, "failed": detect.failed},
            "restarts": {stage.stage: stage.restarts.count for stage in _with_models(stages)},
            "latency_ms": self._latencies(stages),
            "box_age_ms": stages.pose.box_age.summary(),
            "recordings": [recorder.recording.summary() for recorder in stages.recorders],
            "models": {
                role: {
                    "path": str(m.file.onnx),
                    "shipped": m.is_shipped,
                    "sha256": m.sha256,
                    "provider": m.session.provider,
                }
                for role, m in (("detector", self.models.detector), ("pose", self.models.pose))
                if m is not None
            },
            "folder": folder,
        }

    def _why_ended(self) -> str:
        return str(self._control.error) if self._control.error else self._control.reason

    def _latencies(self, stages: StageSet) -> dict[str, Any]:
        histograms = dict(stages.pose.latencies)
        if stages.publish is not None:
            histograms["published"] = stages.publish.latency
        if stages.detect is not None:
            histograms["detect"] = stages.detect.latency
        return {name: histogram.summary() for name, histogram in histograms.items()}

    def _problems(self, stages: StageSet) -> list[str]:
        problems = [*self.lacking, *stages.capture.reader.problems(), *stages.write.problems()]
        problems += [problem for recorder in stages.recorders for problem in recorder.recording.problems()]
        failed = {"frames": stages.pose.counts.failed, "detections": stages.detect.failed if stages.detect else 0}
        problems += [
            f"{n} {what} failed: the model gave numbers that are not finite, or broke off"
            for what, n in failed.items()
            if n
        ]
        problems += [
            f"the {stage.stage} stage failed and began anew {stage.restarts.count} times; the last time: "
            f"{stage.last_failure}"
            for stage in _with_models(stages)
            if stage.restarts.count
        ]
        return list(dict.fromkeys(problems))  # a folder that is gone is said once


def _rounded(drift: ClockDrift | None) -> dict[str, float] | None:
    return None if drift is None else {name: round(value, 3) for name, value in asdict(drift).items()}


def _with_models(stages: StageSet) -> list[Stage]:
    return [stage for stage in (stages.detect, stages.pose) if stage is not None]

"""Summary: the content of ``summary.json``, written at the start, so that a killed run has one, and at the end.

``report`` words it for the terminal. The messages to subscribers are in ``status``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from realtime_cropzoom import __version__
from realtime_cropzoom.pipeline.clock_drift import ClockDrift
from realtime_cropzoom.pipeline.stages import StageSet
from realtime_cropzoom.pipeline.status import RunDescription, RunReporter


def build_summary(reporter: RunReporter, folder: str, *, ended: bool = True) -> dict[str, Any]:
    """Return the content of ``summary.json``.

    Args:
        reporter: The reporter of the run.
        folder: The folder of the run.
        ended: Whether the run has ended. Before, its reason is "running" and the animal is not judged.
    """
    description, stages, counts = reporter.description, reporter.stages, reporter.counts()
    reader, detect, seconds = stages.capture.reader, stages.detect, stages.capture.seconds()
    return {
        "run": description.identity.run,
        "version": __version__,
        "source": description.source,
        "unix_offset_ns": description.identity.unix_offset_ns,
        "started_unix_s": description.started_unix_s,
        "reason": reporter.end_reason() if ended else "running",
        "pace": description.plan.settings.pace,
        "problems": _problems(description, stages),
        "seconds": round(seconds, 3),
        "fps": round((counts.captured - 1) / seconds, 2) if seconds else None,
        "counts": {name: getattr(counts, name) for name in counts.__struct_fields__},
        "lost": reader.lost,
        "stale": reader.stale,
        "clock_drift": _rounded(reader.drift.result()),
        **_publishing(stages),
        "animal": stages.write.quality.summary() if ended else None,
        "regions": {name: found.summary() if ended else None for name, found in stages.write.qualities.items()},
        "detector": detect and {"detections": detect.count, "unusable": detect.unusable, "failed": detect.failed},
        "restarts": {stage.stage: stage.restarts.count for stage in stages.with_models},
        "latency_ms": _latencies(stages),
        "box_age_ms": stages.pose.box_age.summary(),
        "recordings": [recorder.recording.summary() for recorder in stages.recorders],
        "setting_changes": [change._asdict() for change in stages.settings.changes],
        "models": _models(description),
        "boxes_as_trained": _boxes_as_trained(description, stages),
        "skeleton": description.hello().skeleton,
        "folder": folder,
    }


def _publishing(stages: StageSet) -> dict[str, Any]:
    publish = stages.publish
    return {
        "too_old": publish.too_old if publish else 0,
        "refused": publish.rejected.count if publish else 0,
        "cut_off": publish.rejected.cut_off if publish else 0,
        "refused_keys": dict(publish.rejected.keys) if publish else {},
    }


def _models(description: RunDescription) -> dict[str, Any]:
    models = description.plan.models
    return {
        role: {
            "path": str(model.file.onnx),
            "shipped": model.is_shipped,
            "sha256": model.sha256,
            "provider": model.session.provider,
            "threads": model.session.threads,
        }
        for role, model in (("detector", models.detector), ("pose", models.pose))
        if model is not None
    }


def _boxes_as_trained(description: RunDescription, stages: StageSet) -> bool:
    """Return whether all boxes have the side that the pose model was trained on."""
    settings, pose = description.plan.settings, description.plan.models.pose
    side = settings.crop_size or (pose.trained_crop_size if settings.crop_ratio is None else None)
    is_changed = any(change.setting in ("crop_size", "crop_ratio") for change in stages.settings.changes)
    return settings.schedule is None and not is_changed and pose.expected_side.is_given(side)


def _latencies(stages: StageSet) -> dict[str, Any]:
    histograms = dict(stages.pose.latencies)
    if stages.publish is not None:
        histograms["published"] = stages.publish.latency
    if stages.detect is not None:
        histograms["detect"] = stages.detect.latency
    return {name: histogram.summary() for name, histogram in histograms.items()}


def _problems(description: RunDescription, stages: StageSet) -> list[str]:
    """Return what the user must know, one line each; a folder that is gone is named once."""
    problems = [*description.plan.problems, *stages.capture.reader.problems(), *stages.write.problems()]
    problems += stages.events.problems()
    problems += [problem for recorder in stages.recorders for problem in recorder.recording.problems()]
    failed = {"frames": stages.pose.counts.failed, "detections": stages.detect.failed if stages.detect else 0}
    problems += [
        f"{number} {what} failed: the model gave numbers that are not finite, or broke off"
        for what, number in failed.items()
        if number
    ]
    problems += [
        f"the {stage.stage} stage failed and started again {stage.restarts.count} times; the last time: "
        f"{stage.last_failure}"
        for stage in stages.with_models
        if stage.restarts.count
    ]
    return list(dict.fromkeys(problems))


def _rounded(drift: ClockDrift | None) -> dict[str, float] | None:
    return None if drift is None else {name: round(value, 3) for name, value in asdict(drift).items()}

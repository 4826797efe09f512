"""Startup messages: what a user should know before the first frame, one line each."""

from __future__ import annotations

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import advise, listed
from realtime_cropzoom.inference.boxes import DEFAULT_CROP_RATIO, BoxRule
from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.schedule import FileSchedule, Schedule, WholeFrameSchedule
from realtime_cropzoom.messaging.endpoints import is_local
from realtime_cropzoom.messaging.keys import ServerKeys, allowed_clients
from realtime_cropzoom.runtime.priority import missing_permission


def priority_notes(settings: Settings) -> list[str]:
    """Return why the run has no real-time priority although it was asked for; empty otherwise."""
    if not settings.realtime_priority:
        return []
    if settings.pace == "fast":
        return ["realtime_priority: not used in lockstep, where no frame waits for a clock"]
    problem = missing_permission()
    return [] if problem is None else [f"realtime_priority: not applied, {problem}"]


def model_notes(role: Role, model: Model, settings: Settings, fps: float | None) -> list[str]:
    """Return the messages about a model.

    Args:
        role: Its role in the run.
        model: The model.
        settings: The settings of the run.
        fps: Frames per second of the source; None if unknown.
    """
    given = settings.pose if role == "pose" else settings.detector
    which = given if model.is_shipped else f"{given} ({model.title})"
    on = f" with {model.session.threads} threads" if model.session.threads > 1 else ""
    notes = [
        f"{role} model: {which} on {model.session.provider}{on}, {model.size[0]}x{model.size[1]}, "
        f"keypoints {listed(model.keypoint_names)}"
    ]
    if model.file.chosen:
        notes.append(model.file.chosen)
    if model.context_radius and settings.pace == "realtime":
        notes.append(_delay_note(role, model.context_radius, settings, fps))
    if not model.manifest.has_likelihood:
        effect = "it is null in messages and NaN in files" if role == "pose" else "min_likelihood does not apply to it"
        notes.append(f"the {role} model is a regression model and has no likelihood: {effect}")
    return notes


def box_notes(
    pose: Model, rule: BoxRule | None, schedule: Schedule | None = None, *, sized: bool = False
) -> list[str]:  # fmt: skip
    """Return warnings about the size of the boxes, as far as it is known before the first frame.

    Args:
        pose: The pose model, which expects boxes of about the size in its training data.
        rule: Makes boxes from detections; None if the run replays a schedule.
        schedule: The schedule of the run.
        sized: Whether the user gave the size of the boxes, as ``crop_size`` or ``crop_ratio``.

    Returns:
        Messages; an empty list if the size fits or is not known yet.
    """
    expected = pose.expected_side
    if isinstance(schedule, WholeFrameSchedule):
        notes = [_whole_frame_note(pose, schedule.side), _size_unused() if sized else None]
        return [note for note in notes if note is not None]
    if rule is None:
        note = expected.warning(schedule.sides()) if isinstance(schedule, FileSchedule) else None
    elif rule.crop_size is not None:
        note = expected.warning([rule.crop_size])
    else:
        note = expected.warning_if_unknown(DEFAULT_CROP_RATIO, rule.min_box) if rule.crop_ratio is None else None
    return [] if note is None else [note]


def _size_unused() -> str:
    return advise("--crop-size and --crop-ratio do", "the size of the boxes does") + (
        " not count: there is no detector, and the pose model sees whole frames"
    )


def _whole_frame_note(pose: Model, side: int) -> str | None:
    """Return a warning if a pose model that was trained on boxes sees frames, much larger ones as far as known."""
    expected, boxes = pose.expected_side, "boxes around the animal"
    if pose.manifest.whole_frame or (pose.manifest.role != "pose" and not expected.known):
        return None
    if expected.known:
        if expected.warning([side]) is None:
            return None
        boxes = f"boxes of {expected.side} px"
    return (
        f"the pose model was trained on {boxes}, but sees whole frames of {side} px, since there "
        "is no detector: keypoints will be off. " + advise("Give a detector with --detector", "Give a detector")
    )


def listener_notes(settings: Settings, keys: ServerKeys | None) -> list[str]:
    """Return who can listen to the publisher; an empty list if only this machine can."""
    if keys is not None:
        clients = sorted(allowed_clients(keys.clients).values())
        if clients:
            return [f"only clients with a key can listen: {', '.join(clients)}"]
        return [
            f"no client can listen: none has a key; make one with 'cropzoom keys {settings.key_folder} --client NAME'"
        ]
    if all(map(is_local, settings.endpoints().values())):
        return []
    return ["any program that can reach this machine can listen (insecure)"]


def _delay_note(role: Role, context_radius: int, settings: Settings, fps: float | None) -> str:
    """Return how late a context model is: a pose waits for the next frames, a box for the next that are detected in."""
    what, frames = ("poses", "frames") if role == "pose" else ("boxes", "detections")
    rate = fps
    if role == "detector":
        rate = min(fps or settings.detector_max_fps, settings.detector_max_fps)
    in_ms = f", at least {context_radius * 1000 / rate:.0f} ms at {rate:.4g} fps" if rate else ""
    return f"the {role} model is a context model: its {what} come {context_radius} {frames} late{in_ms}"

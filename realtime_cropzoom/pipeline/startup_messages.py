"""Startup messages: what a user should know before the first frame, one line each."""

from __future__ import annotations

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.inference.boxes import DEFAULT_CROP_RATIO, BoxRule
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_spec import Role
from realtime_cropzoom.inference.schedule import FileSchedule, Schedule
from realtime_cropzoom.messaging.endpoints import is_local
from realtime_cropzoom.messaging.keys import ServerKeys, allowed_clients


def model_notes(role: Role, model: Model, settings: Settings, fps: float | None) -> list[str]:
    """Return what there is to say of a model; ``fps`` is the source's, None where it does not say."""
    given = settings.pose if role == "pose" else settings.detector
    notes = [
        f"{role} model: {given} on {model.session.provider}, {model.size[0]}x{model.size[1]}, "
        f"keypoints {', '.join(model.keypoint_names)}"
    ]
    if model.file.chosen:
        notes.append(model.file.chosen)
    if model.reach and settings.pace == "realtime":
        notes.append(_says_when(role, model.reach, settings, fps))
    if model.file.kind == "regression":
        so = "null in messages and NaN in files" if role == "pose" else "min_likelihood does not apply to its keypoints"
        notes.append(f"the {role} model is a regression model and knows no likelihood: {so}")
    return notes


def box_notes(pose: Model, rule: BoxRule | None, schedule: Schedule | None = None) -> list[str]:
    """Return what is wrong with the size of the boxes, as far as that is known before the first frame."""
    expected = pose.expected_side
    if rule is None:
        note = expected.warning(schedule.sides()) if isinstance(schedule, FileSchedule) else None
    elif rule.crop_size is not None:
        note = expected.warning([rule.crop_size])
    else:
        note = expected.unsaid(DEFAULT_CROP_RATIO, rule.min_box) if rule.crop_ratio is None else None
    return [] if note is None else [note]


def listener_notes(settings: Settings, keys: ServerKeys | None) -> list[str]:
    """Return what there is to say of who can listen; nothing where it is this machine alone."""
    if keys is not None:
        clients = sorted(allowed_clients(keys.clients).values())
        if clients:
            return [f"only those with a key can listen: {', '.join(clients)}"]
        return [
            f"nobody can listen: no client has a key; make one with 'cropzoom keys {settings.key_folder} --client NAME'"
        ]
    if all(map(is_local, settings.endpoints().values())):
        return []
    return ["anybody who can reach this machine can listen (insecure)"]


def _says_when(role: Role, reach: int, settings: Settings, fps: float | None) -> str:
    """How late a context model is. The pose waits for the next frames, the detector for the next that it takes."""
    what, frames = ("poses", "frames") if role == "pose" else ("boxes", "frames that it takes")
    rate = fps
    if role == "detector":
        rate = min(fps or settings.detector_max_fps, settings.detector_max_fps)
    in_ms = f", at least {reach * 1000 / rate:.0f} ms at {rate:.4g} fps" if rate else ""
    return f"the {role} model is a context model: its {what} come {reach} {frames} late{in_ms}"

"""What a user should know of a model before the first frame, a line each."""

from __future__ import annotations

from realtime_cropzoom.config import Settings
from realtime_cropzoom.model import Model
from realtime_cropzoom.model_file import Role


def model_notes(role: Role, model: Model, settings: Settings, fps: float | None) -> list[str]:
    """Return what there is to say of a model; ``fps`` is the source's, None where it does not say."""
    given = settings.pose if role == "pose" else settings.detector
    notes = [
        f"{role} model: {given} on {model.session.provider}, {model.size[0]}x{model.size[1]}, "
        f"keypoints {', '.join(model.keypoint_names)}"
    ]
    if model.reach and settings.pace == "realtime":
        notes.append(_says_when(role, model.reach, settings, fps))
    if model.file.kind == "regression":
        so = "null in messages and NaN in files" if role == "pose" else "min_likelihood does not apply to its keypoints"
        notes.append(f"the {role} model is a regression model and knows no likelihood: {so}")
    return notes


def _says_when(role: Role, reach: int, settings: Settings, fps: float | None) -> str:
    """How late a context model is. The pose waits for the next frames, the detector for the next that it takes."""
    what, frames = ("poses", "frames") if role == "pose" else ("boxes", "frames that it takes")
    rate = fps
    if role == "detector":
        rate = min(fps or settings.detector_max_fps, settings.detector_max_fps)
    in_ms = f", at least {reach * 1000 / rate:.0f} ms at {rate:.4g} fps" if rate else ""
    return f"the {role} model is a context model: its {what} come {reach} {frames} late{in_ms}"

"""Check that the models find an animal in the measured frames."""

from __future__ import annotations

from realtime_cropzoom.checks.looking import Looker
from realtime_cropzoom.checks.models import CheckedModels
from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.inference.box_size import BoxSizeCheck
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.inference.pose_quality import PoseQuality, as_sentences, misfit_lines, quality_lines
from realtime_cropzoom.pipeline.startup import check_crop_size
from realtime_cropzoom.types import State

_FRAMES = 12
"""Number of frames that are checked. A model may need half a second for each."""


def check_animal(models: CheckedModels) -> CheckResult | None:
    """Look for an animal in some of the measured frames.

    Args:
        models: The loaded models and the frames of one camera.

    Returns:
        A line; None if a model or frames are missing, or another line reports the reason.
    """
    detector, pose, samples = models.loaded.get("detector"), models.loaded.get("pose"), models.measured.samples
    if detector is None or pose is None or not samples:
        return None
    try:
        if models.measured.info is not None:
            check_crop_size(models.settings, models.measured.info)
        looker = Looker(models.settings, Models(detector, pose))
    except ConfigError:  # check_models reports it
        return None
    quality, sizes, too_large = PoseQuality(pose.keypoint_names), BoxSizeCheck(None), None
    for image in samples[:: max(1, len(samples) // _FRAMES)]:
        look = looker.look(image)
        if look.box is not None and look.seen is not None:
            too_large = sizes.add(look.box.w, look.seen) or too_large
        quality.add(State.TRACKING if look.is_found else State.SEARCHING, look.found, look.doubt)
    return _line(
        quality,
        too_large or sizes.end(),
        shipped=detector.is_shipped or pose.is_shipped,
        boxes_as_trained=looker.rule is not None and pose.expected_side.is_given(looker.rule.crop_size),
    )


def _line(quality: PoseQuality, too_large: str | None, *, shipped: bool, boxes_as_trained: bool) -> CheckResult:
    summary = quality.summary()
    wrong = misfit_lines(summary, shipped=shipped, drawable=False, boxes_as_trained=boxes_as_trained)
    lines = quality_lines(summary, shipped=shipped)
    values = {"found": summary["found"], "length_px": summary["length_px"]}
    text = "; ".join(lines[: len(lines) - len(wrong)])
    if wrong:
        return bad(
            "animal", as_sentences([*([text] if text else []), *([too_large] if too_large else []), *wrong]), **values
        )
    return good("animal", text, **values)

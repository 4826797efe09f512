"""Check that the models find an animal in the measured frames."""

from __future__ import annotations

from collections.abc import Sequence

from realtime_cropzoom.checks.looking import Look, Looker
from realtime_cropzoom.checks.models import CheckedModels
from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.inference.box_size import BoxSizeCheck
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.inference.pose_quality import PoseQuality, as_sentences, misfit_lines, percent, quality_lines
from realtime_cropzoom.pipeline.animals import check_animals
from realtime_cropzoom.pipeline.regions import Region, make_regions
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
        regions: tuple[Region, ...] = ()
        if models.measured.info is not None:
            check_crop_size(models.settings, models.measured.info)
            regions = make_regions(models.settings.regions, models.measured.info)
        check_animals(models.settings, Models(detector, pose))
        looker = Looker(models.settings, Models(detector, pose), regions=regions)
    except ConfigError:  # check_models reports it
        return None
    looks = [looker.look_at_all(image) for image in samples[:: max(1, len(samples) // _FRAMES)]]
    names = [region.name for region in regions]
    with_animal = [k for k in range(len(looks[0])) if any(frame[k].is_found for frame in looks)]
    # A box may be empty: that is no fault of the models.
    counted = with_animal if names and with_animal else [*range(len(looks[0]))]
    quality, sizes, too_large = PoseQuality(pose.keypoint_names), BoxSizeCheck(None), None
    for look in (frame[k] for frame in looks for k in counted):
        if look.box is not None and look.seen is not None:
            too_large = sizes.add(look.box.w, look.seen) or too_large
        quality.add(State.TRACKING if look.is_found else State.SEARCHING, look.found, look.doubt)
    return _line(
        quality,
        too_large or sizes.end(),
        _by_place(looks, names),
        shipped=detector.is_shipped or pose.is_shipped,
        boxes_as_trained=looker.rule is not None and pose.expected_side.is_given(looker.rule.crop_size),
    )


def _by_place(looks: Sequence[Sequence[Look]], regions: Sequence[str]) -> str | None:
    """Return how many animals were found, or in how many frames that of each region; None for one animal."""
    animals = len(looks[0])
    if regions:
        shares = [sum(frame[k].is_found for frame in looks) / len(looks) for k in range(len(regions))]
        each = (f"{name} {percent(share) if share else 'never'}" for name, share in zip(regions, shares, strict=True))
        return f"by region: {', '.join(each)}"
    if animals == 1:
        return None
    most = max(sum(look.is_found for look in frame) for frame in looks)
    return f"at most {most} of {animals} animals found in one frame"


def _line(
    quality: PoseQuality, too_large: str | None, by_place: str | None, *, shipped: bool, boxes_as_trained: bool
) -> CheckResult:
    summary = quality.summary()
    wrong = misfit_lines(summary, shipped=shipped, drawable=False, boxes_as_trained=boxes_as_trained)
    lines = quality_lines(summary, shipped=shipped)
    values = {"found": summary["found"], "length_px": summary["length_px"]}
    own = lines[: len(lines) - len(wrong)]
    text = "; ".join([*own, by_place] if own and by_place else own)
    if wrong:
        return bad(
            "animal", as_sentences([*([text] if text else []), *([too_large] if too_large else []), *wrong]), **values
        )
    return good("animal", text, **values)

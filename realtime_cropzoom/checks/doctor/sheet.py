"""Sheet: the sampled frames with what the models see in them, and below the experiment that helped most."""

from __future__ import annotations

from realtime_cropzoom.checks.doctor.experiments import Experiment
from realtime_cropzoom.checks.doctor.measure import Measured
from realtime_cropzoom.checks.doctor.samples import Sampled
from realtime_cropzoom.checks.looking import Look, Looker
from realtime_cropzoom.plots.contact_sheet import Tile, contact_sheet
from realtime_cropzoom.types import UInt8

_COLUMNS = 6
_NAMES = {
    "contrast": "inverted",
    "light": "brightness stretched",
    "noise": "smoothed",
    "channels": "red and blue exchanged",
    "turn": "turned",
    "interlacing": "one half of the rows",
    "aspect": "other shape",
}


def draw_sheet(sampled: Sampled, measured: Measured, looker: Looker) -> UInt8:
    """Draw the samples, six beside each other, and then the changed frames of the experiment that helped most.

    Args:
        sampled: The samples.
        measured: What was measured on them.
        looker: The models.

    Returns:
        The picture, (H, W, 3) RGB.
    """
    skeleton, names = looker.models.pose.manifest.skeleton, looker.models.pose.keypoint_names
    tiles = [
        _tile(sample.image, look, f"frame {sample.number}: {_said(look)}", skeleton)
        for sample, look in zip(sampled.samples, measured.looks, strict=True)
    ]
    for k, experiment, changed, look in measured.helped:
        what = f"frame {sampled.samples[k].number}, {_name(experiment)}: found"
        tiles.append(_tile(changed.image, look, what, skeleton))
    return contact_sheet(tiles, _COLUMNS, names=names)


def _tile(image: UInt8, look: Look, caption: str, skeleton: tuple[tuple[int, int], ...]) -> Tile:
    found = look.found if look.is_found else None
    return Tile(image, caption, None if found is None else found.xy, skeleton=skeleton, marked=look.box)


def _said(look: Look) -> str:
    """Return in a few words what the models say about a frame."""
    if look.box is None:
        return "nothing"
    return "found" if look.is_found else f"not an animal ({look.doubt.value if look.doubt else 'no numbers'})"


def _name(experiment: Experiment) -> str:
    name = _NAMES.get(experiment.family)
    if name is None and experiment.family == "box":
        name = f"box x {experiment.box_factor:g}"
    name = name or f"picture x {experiment.factor:g}"
    return f"inverted, {name}" if experiment.inverted else name

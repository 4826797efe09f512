"""Model frame: shows one frame to a model, as a run would, to see whether it is understood as it was trained."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.files.formats import is_image
from realtime_cropzoom.files.paths import is_file, is_there, user_path
from realtime_cropzoom.inference.boxes import BoxRule, found_box, whole_image
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.manifest import SimCC
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.frame_reader import FrameReader
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Box, Keypoints, UInt8

_NUMBERED = re.compile(r"(.+):(\d{1,9})", re.DOTALL)
_CLEARLY_BETTER = 1.1
"""Ratio of the mean likelihoods from which the other colour order is clearly better."""
_LEAST = 0.05
"""Minimum difference of the mean likelihoods for it."""


@dataclass(frozen=True, slots=True)
class GivenFrame:
    """A frame of an image or a recording."""

    source: str
    index: int
    image: UInt8
    """(H, W, 3), RGB."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a model finds in a frame."""

    found: Keypoints
    """Keypoints (frame pixels)."""
    box: Box | None
    """The box that the model saw, or that it found itself; None if it saw the whole frame."""
    notes: tuple[str, ...] = ()
    """What a user should know, a sentence each."""


def read_frame(text: str) -> GivenFrame:
    """Read one frame.

    Args:
        text: An image or a recording; with ``:N`` at its end, frame N of the recording, else frame 0.

    Raises:
        SourceError: if it cannot be opened, or has no such frame.
        DataError: if an image cannot be read.
    """
    numbered = None if is_there(user_path(text)) else _NUMBERED.fullmatch(text)
    source, index = (text, 0) if numbered is None else (numbered[1], int(numbered[2]))
    path = user_path(source)
    if is_image(path) and is_file(path):
        return GivenFrame(source, 0, read_image(path))
    with FrameReader(source) as reader:
        for frame in reader.frames(index):
            return GivenFrame(source, index, np.asarray(frame.image))
    raise SourceError(f"{source} has no frame {index}; give a lower number")


def look(model: Model, image: UInt8, detector: Model | None, rule: BoxRule | None) -> Look:
    """Show a frame to a model.

    Args:
        model: The model.
        image: The frame, (H, W, 3) RGB.
        detector: Finds the box; None shows the whole frame.
        rule: How its keypoints become a box.
    """
    box, notes = None, []
    if detector is not None and rule is not None:
        box = rule.box(detector.predict_still(image, whole_image(image)))
        if box is None:
            box = _middle(image, model.expected_side.side)
            notes.append("the detector finds no animal in this frame: the box is the middle of the frame")
    found = model.predict_still(image, whole_image(image) if box is None else box)
    box = found_box(found) or box
    if found.spoilt:
        notes.append("the network gives numbers that are not finite")
    return Look(found, box, tuple(notes))


def other_order_note(model: Model, settings: Settings, image: UInt8, seen: Look) -> str:
    """Return a sentence if a model scores clearly better with the other order of colours; else "".

    Only classifications of columns and rows are asked, where something was assumed: their files may not say which order
    they were trained with.

    Args:
        model: The model.
        settings: What the user says of it.
        image: The frame, (H, W, 3) RGB.
        seen: What the model has found in it.
    """
    manifest, order = model.manifest, model.manifest.input.channels
    if not isinstance(manifest.decoder, SimCC) or order == "gray" or not manifest.assumed:
        return ""
    other = "bgr" if order == "rgb" else "rgb"
    swapped = Model(model.path, settings=replace(settings, changes=(*settings.changes, ("input.channels", other))))
    found = swapped.predict_still(image, whole_image(image) if seen.box is None else seen.box)
    mine, theirs = (float(np.mean(likelihood)) for likelihood in (seen.found.likelihood, found.likelihood))
    if theirs < mine * _CLEARLY_BETTER or theirs - mine < _LEAST:
        return f"colour order: {order.upper()} scores {mine:.2f} in the mean, {other.upper()} {theirs:.2f}"
    return (
        f"colour order: {other.upper()} scores {theirs:.2f} in the mean, {order.upper()} only {mine:.2f}: it was "
        f"probably trained with {other.upper()}. Write it so: cropzoom models import … --set input.channels={other}"
    )


def _middle(image: UInt8, side: int) -> Box:
    height, width = image.shape[:2]
    return Box((width - side) // 2, (height - side) // 2, side, side)

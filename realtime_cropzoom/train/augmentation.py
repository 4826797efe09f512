"""Augmentation: draws random views of the labelled frames for the network.

The geometry of a view is one affine map from the full-resolution frame to the model input, applied in one
resampling (OpenCV, bilinear on uint8, as live crops are resized). ``occlusion`` and ``photometric`` then change
the pixels.

There are three kinds of view. *Natural*: the frame, rotated, scaled and shifted a little, because light and
perspective have a direction. *Turned*: the frame, rotated by any angle and sometimes mirrored. *Pasted*: the
animal is separated from the background of its session (as the ratio of the two, which keeps its shadow) and
placed elsewhere on that background, or on one of another session, rotated. Frames of an animal that stays at one
wall so give views of an animal anywhere in the arena. Some views show no animal at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.normalise import IMAGENET, values_of
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.empty import KINDS, empty_picture
from realtime_cropzoom.train.occlusion import occlude
from realtime_cropzoom.train.photometric import Photometric
from realtime_cropzoom.types import Bool, Box, Float32, Float64, Keypoints, UInt8

_RATIO_OFFSET = 16
"""Grey levels added to frame and background before their ratio is computed, which is not defined for black."""
_USUAL_SCALE = (0.82, 1.22)
"""Range of the size of the animal, relative to the frame, in natural views and in some of the others."""
_USUAL_SCALE_SHARE = 0.4
"""Share of the other views with that range."""
_REPEAT_EDGE_SHARE = 0.3
"""Share of turned views in which the floor goes on beyond the edge of the frame, instead of black."""
_OTHER_FLOOR_SHARE = 0.3
"""Share of pasted views on the background of another session."""
_SIMILAR_LIGHT = 1.6
"""Maximum ratio of the mean gray of two backgrounds that exchange animals."""


@dataclass(frozen=True, slots=True)
class ViewRule:
    """Parameters of the views."""

    size: tuple[int, int]
    """(W, H) of the model input (pixels)."""
    crop_size: int | None
    """Side of the box around the animal (frame pixels); None shows the whole frame."""
    roams: bool
    """Whether a view may move the animal anywhere in the frame, for a detector. Else it stays near its place."""
    jitter: float
    """Standard deviation of the centre of the box (frame pixels), like the error of a detector."""
    natural_share: float
    """Share of natural views."""
    paste_share: float
    """Share of pasted views among the others, if the background is known."""
    flip: bool
    """Whether half of the views that are not natural are mirrored."""
    mirror: tuple[int, ...]
    """Index of the keypoint that takes the place of each keypoint in a mirrored view."""
    scale_range: tuple[float, float] = _USUAL_SCALE
    """Smallest and largest size of the animal in turned and pasted views, relative to its size in the frame."""
    empty_share: float = 0.0
    """Share of views without an animal."""
    occlude: bool = True
    """Whether cables and patches hide parts of the animal in some views."""


class Drawn(NamedTuple):
    """A view."""

    pixels: UInt8
    """(H, W, 3) RGB."""
    xy: Float32
    """(K, 2) keypoints in model space; NaN for a keypoint without a label or outside the view."""
    absent: Bool
    """(K,) whether the keypoint is known to be outside the view: its heatmap should be flat."""


def labelled_box(xy: Float32, crop_size: int) -> Box:
    """Return the box (frame pixels) around (K, 2) labels. Raises DataError if no keypoint is labelled."""
    box = BoxRule(crop_size=crop_size).box(Keypoints(xy, np.ones(len(xy), np.float32)))
    if box is None:
        raise DataError("got a frame without any labelled keypoint, expected at least one; a box needs it")
    return box


def frame_to_model(box: Box, size: tuple[int, int]) -> Float64:
    """Return the (3, 3) map from frame pixels to the pixels of the box after ``cv2.resize``.

    ``cv2.resize`` aligns the corners of the pictures, which shifts pixels by a fraction. The convention for
    keypoints (``View.to_input``) has no such shift. Pixels therefore use this map, and labels use ``to_input``.

    Args:
        box: The box (frame pixels).
        size: (W, H) of the model input (pixels).
    """
    scale = np.array([size[0] / box.w, size[1] / box.h])
    shift = (0.5 - np.array([box.x, box.y])) * scale - 0.5
    return np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]], [0, 0, 1]])


class Views:
    """Draws random views of labelled frames."""

    def __init__(
        self,
        frames: Sequence[LabelledFrame],
        rule: ViewRule,
        rng: np.random.Generator,
        photometric: Photometric | None = None,
    ) -> None:
        """Prepare the views.

        Args:
            frames: The frames.
            rule: Parameters of the views.
            rng: Random numbers.
            photometric: Changes of light, blur and noise; None for none.
        """
        self._frames = frames
        self._rule = rule
        self._rng = rng
        self._photometric = photometric
        self._floors = {
            id(f.background): (f.background, f.background.mean()) for f in frames if f.background is not None
        }

    def draw(self, index: int) -> Drawn:
        """Return a view of frame ``index``. A frame without a label shows no animal."""
        frame, share = self._frames[index], self._rule.empty_share
        empty = not frame.is_labelled or (share > 0 and self._rng.random() < share)
        pixels, inside, xy, absent = self._empty(frame) if empty else self._with_animal(frame)
        if self._rule.occlude:
            occlude(pixels, xy, self._rng)
        return Drawn(self._photometric(pixels, inside) if self._photometric else pixels, xy, absent)

    def _with_animal(self, frame: LabelledFrame) -> tuple[UInt8, UInt8, Float32, Bool]:
        """Return pixels, the mask of the frame, keypoints in model space, and which of them are outside the view."""
        rng, rule = self._rng, self._rule
        natural = rng.random() < rule.natural_share
        pasted = not natural and frame.background is not None and rng.random() < rule.paste_share
        turn, mirrored = self._turn(frame, natural, pasted)
        xy = transform(turn, frame.xy[list(rule.mirror)] if mirrored else frame.xy)
        box = self._box(frame, xy, float(np.sqrt(abs(np.linalg.det(turn[:2, :2])))))
        view = frame_to_model(box, rule.size)
        if pasted and frame.background is not None:
            inside = _inside(frame.image, view, rule.size)
            pixels = _paste(frame.image, frame.background, self._floor(frame.background), view, turn, rule.size)
            pixels = np.asarray(cv2.bitwise_and(pixels, pixels, mask=inside), np.uint8)
        else:
            repeat = not natural and rng.random() < _REPEAT_EDGE_SHARE
            pixels, inside = _seen(frame.image, view @ turn, rule.size, repeat=repeat)
        xy_model = View.of(box, rule.size).to_input(xy)
        outside = ~((xy_model >= 0).all(axis=1) & (xy_model <= np.array(rule.size) - 1).all(axis=1))
        absent = np.asarray(outside & np.isfinite(xy_model).all(axis=1), np.bool_)
        xy_model[outside] = np.nan
        return pixels, inside, xy_model, absent

    def _empty(self, frame: LabelledFrame) -> tuple[UInt8, UInt8, Float32, Bool]:
        """Return the same for a view of a picture without an animal."""
        rng, rule = self._rng, self._rule
        image = empty_picture(frame, int(rng.integers(KINDS)), rng)
        height, width = image.shape[:2]
        scale = np.exp(rng.uniform(*np.log(rule.scale_range)))
        angle = rng.normal(0, 0.2) if rng.random() < 0.5 else rng.uniform(-np.pi, np.pi)
        if rule.crop_size is None:
            box, place = whole_image(image), np.array([width / 2, height / 2]) + rng.normal(0, 0.1 * width, 2)
        else:
            box = Box(-(rule.crop_size // 2), -(rule.crop_size // 2), rule.crop_size, rule.crop_size)
            place = rng.uniform((0, 0), (width, height))
        turn = np.eye(3)
        turn[:2, :2] = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
        turn[:2, 2] = (box.x + box.w / 2, box.y + box.h / 2) - turn[:2, :2] @ place
        pixels, inside = _seen(image, frame_to_model(box, rule.size) @ turn, rule.size, repeat=rng.random() < 0.5)
        count = len(frame.xy)
        return pixels, inside, np.full((count, 2), np.nan, np.float32), np.ones(count, bool)

    def _turn(self, frame: LabelledFrame, natural: bool, pasted: bool) -> tuple[Float64, bool]:
        """Return the (3, 3) map that moves the animal in the frame, and whether it mirrors."""
        rng, rule = self._rng, self._rule
        height, width = frame.image.shape[:2]
        centre = np.nanmean(frame.xy, axis=0).astype(np.float64)
        angle = rng.normal(0, 0.2) if natural else rng.uniform(-np.pi, np.pi)
        usual = natural or rng.random() < _USUAL_SCALE_SHARE
        scale = np.exp(rng.uniform(*np.log(_USUAL_SCALE if usual else rule.scale_range)))
        mirrored = not natural and rule.flip and rng.random() < 0.5
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
        if mirrored:
            turn[:, 0] *= -1
        if pasted or (rule.roams and not natural):
            place = _place(rng, (frame.xy - centre) @ turn.T, (width, height))
        else:
            place = centre + rng.normal(0, 0.03 * width, 2)
        matrix = np.eye(3)
        matrix[:2, :2] = turn
        matrix[:2, 2] = place - turn @ centre
        return matrix, mirrored

    def _box(self, frame: LabelledFrame, xy: Float32, scale: float) -> Box:
        """Return the box of the view: the whole frame, or the labelled box with a random error."""
        if self._rule.crop_size is None:
            return whole_image(frame.image)
        box = labelled_box(xy, self._rule.crop_size)
        wide = (4.0 if self._rng.random() < 0.1 else 1.0) * max(1.0, scale)
        dx, dy = self._rng.normal(0, self._rule.jitter * wide, 2).round().astype(int)
        return Box(box.x + int(dx), box.y + int(dy), box.w, box.h)

    def _floor(self, own: UInt8) -> UInt8:
        """Return the background for a pasted view: its own, or another one in similar light."""
        if self._rng.random() >= _OTHER_FLOOR_SHARE:
            return own
        other, mean = list(self._floors.values())[self._rng.integers(len(self._floors))]
        ratio = (mean + 1) / (self._floors[id(own)][1] + 1)
        return other if other.shape == own.shape and 1 / _SIMILAR_LIGHT < ratio < _SIMILAR_LIGHT else own


def transform(matrix: Float64, xy: Float32) -> Float32:
    """Apply a (3, 3) affine map to (K, 2) keypoints."""
    return (xy @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)


def _place(rng: np.random.Generator, around: Float64, frame_size: tuple[int, int]) -> Float64:
    """Return a random place (frame pixels) for the centre of the animal, so that its keypoints stay in the frame."""
    low, high = -np.nanmin(around, axis=0), np.array(frame_size) - 1 - np.nanmax(around, axis=0)
    place: Float64 = rng.uniform(np.minimum(low, high), np.maximum(low, high))
    return place


def _seen(image: UInt8, matrix: Float64, size: tuple[int, int], *, repeat: bool) -> tuple[UInt8, UInt8]:
    """Return an image seen through a (3, 3) map, and where it is not black as off the frame."""
    if repeat:
        warped = cv2.warpAffine(image, matrix[:2], size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.uint8), np.full((size[1], size[0]), 255, np.uint8)
    return np.asarray(cv2.warpAffine(image, matrix[:2], size), np.uint8), _inside(image, matrix, size)


def _inside(image: UInt8, matrix: Float64, size: tuple[int, int]) -> UInt8:
    """Return the (H, W) mask of the pixels of a view that show the frame, 0 elsewhere."""
    corners = np.array([[0, 0], [image.shape[1], 0], [image.shape[1], image.shape[0]], [0, image.shape[0]]]) - 0.5
    seen = corners @ matrix[:2, :2].T + matrix[:2, 2]
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillConvexPoly(mask, np.clip(seen.round(), -(1 << 14), 1 << 14).astype(np.int32), 255)
    return mask


def _paste(image: UInt8, background: UInt8, floor: UInt8, view: Float64, turn: Float64, size: tuple[int, int]) -> UInt8:
    """Return ``floor`` seen through ``view``, multiplied with the animal's ratio seen through ``view @ turn``."""
    moved = (view @ turn)[:2]
    ratio = _levels(image, moved, size) / _levels(background, moved, size)
    pasted = _levels(floor, view[:2], size) * ratio - _RATIO_OFFSET
    clipped: UInt8 = np.clip(pasted.round(), 0, 255).astype(np.uint8)
    return clipped


def _levels(image: UInt8, matrix: Float64, size: tuple[int, int]) -> Float32:
    """Return the image warped by ``matrix`` (0 outside the frame), with ``_RATIO_OFFSET`` added."""
    warped: Float32 = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32) + np.float32(
        _RATIO_OFFSET
    )
    return warped


def normalised(pictures: Tensor) -> Tensor:
    """Return (N, 3, H, W) pictures with values 0 to 1 as model input, normalised with ImageNet's mean and deviation."""
    _, _, mean, std = (torch.from_numpy(value).to(pictures.device) for value in values_of(IMAGENET))
    return torch.addcmul(-(mean / std)[:, None, None], pictures, 1 / std[:, None, None])


def batch(views: Sequence[Drawn]) -> tuple[Tensor, Tensor, Tensor]:
    """Return views as (N, 3, H, W) pictures with values 0 to 1, (N, K, 2) keypoints, and (N, K) absences."""
    pixels, xy, absent = (torch.from_numpy(np.stack(values)) for values in zip(*views, strict=True))
    return pixels.permute(0, 3, 1, 2).float() / 255, xy, absent

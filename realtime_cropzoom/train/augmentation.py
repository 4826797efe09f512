"""Augmentation: draws random views of the labelled frames for the network.

The geometry of a view is one affine map from the full-resolution frame to the model input, applied in one
resampling (OpenCV, bilinear on uint8, as live crops are resized). kornia changes light, blur and noise of
whole batches.

There are three kinds of view. *Natural*: the frame, rotated, scaled and shifted a little, because light and
perspective have a direction. *Turned*: the frame, rotated by any angle and sometimes mirrored. *Pasted*: the
animal is separated from the background of its session (as the ratio of the two, which keeps its shadow) and
placed elsewhere on that background, rotated. Frames of an animal that stays at one wall so give views of an
animal anywhere in the arena.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from kornia import augmentation
from torch import Tensor

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.normalise import IMAGENET, values_of
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.types import Box, Float32, Float64, Keypoints, UInt8

_RATIO_OFFSET = 16
"""Grey levels added to frame and background before their ratio is computed, which is not defined for black."""
_FRAMES_PER_CHANGE = 8
"""Number of pictures that get the same two changes."""


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

    def __init__(self, frames: Sequence[LabelledFrame], rule: ViewRule, rng: np.random.Generator) -> None:
        """Draw views of ``frames`` with the parameters of ``rule`` and the random numbers of ``rng``."""
        self._frames = frames
        self._rule = rule
        self._rng = rng

    def draw(self, index: int) -> tuple[UInt8, Float32]:
        """Return a view of frame ``index``.

        Returns:
            The picture, (H, W, 3) uint8 RGB, and its keypoints, (K, 2) float32 in model space; NaN for a keypoint
            without a label or outside the view.
        """
        frame, rule = self._frames[index], self._rule
        natural = self._rng.random() < rule.natural_share
        pasted = not natural and frame.background is not None and self._rng.random() < rule.paste_share
        turn, mirrored = self._turn(frame, natural, pasted)
        xy = transform(turn, frame.xy[list(rule.mirror)] if mirrored else frame.xy)
        box = self._box(frame, xy)
        view = frame_to_model(box, rule.size)
        if pasted and frame.background is not None:
            pixels = _paste(frame.image, frame.background, view, turn, rule.size)
        else:
            pixels = np.asarray(cv2.warpAffine(frame.image, (view @ turn)[:2], rule.size), np.uint8)
        xy_model = View.of(box, rule.size).to_input(xy)
        inside = (xy_model >= 0).all(axis=1) & (xy_model <= np.array(rule.size) - 1).all(axis=1)
        xy_model[~inside] = np.nan
        return pixels, xy_model

    def _turn(self, frame: LabelledFrame, natural: bool, pasted: bool) -> tuple[Float64, bool]:
        """Return the (3, 3) map that moves the animal in the frame, and whether it mirrors."""
        rng, rule = self._rng, self._rule
        height, width = frame.image.shape[:2]
        centre = np.nanmean(frame.xy, axis=0).astype(np.float64)
        angle = rng.normal(0, 0.2) if natural else rng.uniform(-np.pi, np.pi)
        scale = np.exp(rng.uniform(-0.2, 0.2))
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

    def _box(self, frame: LabelledFrame, xy: Float32) -> Box:
        """Return the box of the view: the whole frame, or the labelled box with a random error."""
        if self._rule.crop_size is None:
            return whole_image(frame.image)
        box = labelled_box(xy, self._rule.crop_size)
        wide = 4.0 if self._rng.random() < 0.1 else 1.0
        dx, dy = self._rng.normal(0, self._rule.jitter * wide, 2).round().astype(int)
        return Box(box.x + int(dx), box.y + int(dy), box.w, box.h)


def transform(matrix: Float64, xy: Float32) -> Float32:
    """Apply a (3, 3) affine map to (K, 2) keypoints."""
    return (xy @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)


def _place(rng: np.random.Generator, around: Float64, frame_size: tuple[int, int]) -> Float64:
    """Return a random place (frame pixels) for the centre of the animal, so that its keypoints stay in the frame."""
    low, high = -np.nanmin(around, axis=0), np.array(frame_size) - 1 - np.nanmax(around, axis=0)
    place: Float64 = rng.uniform(np.minimum(low, high), np.maximum(low, high))
    return place


def _paste(image: UInt8, background: UInt8, view: Float64, turn: Float64, size: tuple[int, int]) -> UInt8:
    """Return the background seen through ``view``, multiplied with the animal's ratio seen through ``view @ turn``."""
    moved = (view @ turn)[:2]
    ratio = _levels(image, moved, size) / _levels(background, moved, size)
    pasted = _levels(background, view[:2], size) * ratio - _RATIO_OFFSET
    inside = cv2.warpAffine(np.full(image.shape[:2], 255, np.uint8), view[:2], size)
    pasted *= inside[:, :, None] > 0
    clipped: UInt8 = np.clip(pasted.round(), 0, 255).astype(np.uint8)
    return clipped


def _levels(image: UInt8, matrix: Float64, size: tuple[int, int]) -> Float32:
    """Return the image warped by ``matrix`` (0 outside the frame), with ``_RATIO_OFFSET`` added."""
    warped: Float32 = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32) + np.float32(
        _RATIO_OFFSET
    )
    return warped


class Photometric:
    """Changes light, blur and noise: two random changes for every few pictures."""

    def __init__(self) -> None:
        """Set up the changes. The global random generator of torch draws them."""
        self._augment = augmentation.AugmentationSequential(
            augmentation.RandomBrightness((0.75, 1.25), p=0.7),
            augmentation.RandomContrast((0.7, 1.3), p=0.7),
            augmentation.RandomGamma((0.7, 1.4), p=0.7),
            augmentation.RandomMotionBlur((3, 7), 180.0, 0.5, p=0.5),
            augmentation.RandomGaussianBlur((3, 3), (0.1, 1.2), p=0.5),
            augmentation.RandomGaussianNoise(0.0, 0.03, p=0.7),
            data_keys=["input"],
            random_apply=2,
        )

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return (N, 3, H, W) pictures with values 0 to 1, changed."""
        return torch.cat([self._augment(few) for few in torch.split(pictures, _FRAMES_PER_CHANGE)]).clamp(0, 1)


def normalised(pictures: Tensor) -> Tensor:
    """Return (N, 3, H, W) pictures with values 0 to 1 as model input, normalised with ImageNet's mean and deviation."""
    _, _, mean, std = (torch.from_numpy(value).to(pictures.device) for value in values_of(IMAGENET))
    return torch.addcmul(-(mean / std)[:, None, None], pictures, 1 / std[:, None, None])


def batch(views: Sequence[tuple[UInt8, Float32]]) -> tuple[Tensor, Tensor]:
    """Return views as (N, 3, H, W) pictures with values 0 to 1 and (N, K, 2) keypoints in model space."""
    pixels = torch.from_numpy(np.stack([pixels for pixels, _ in views]))
    xy = torch.from_numpy(np.stack([xy for _, xy in views]))
    return pixels.permute(0, 3, 1, 2).float() / 255, xy

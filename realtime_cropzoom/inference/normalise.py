"""Normalisation: turns a picture of the input's size into the values that a network takes. No I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.inference.kernels import look_up, look_up_gray
from realtime_cropzoom.inference.manifest import Input
from realtime_cropzoom.types import Float32, UInt8

IMAGENET = Input(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Input of networks whose backbone was trained on ImageNet: those of Lightning Pose and cropzoom, and others."""
GRAY = (0.2989, 0.587, 0.114)
"""Weights of R, G and B in a gray value, as torchvision and PIL have them."""


class Values(NamedTuple):
    """Values of a network's input as one multiplication and one addition for each channel."""

    scale: Float32
    """(3,) factor of the pixel."""
    shift: Float32
    """(3,) number added to it after that."""
    mean: Float32
    """(3,) mean of the pixels from 0 to 1."""
    std: Float32
    """(3,) standard deviation, likewise."""


@lru_cache(8)
def values_of(model_input: Input) -> Values:
    """Return the values of an RGB input."""
    mean, std = (np.full(3, numbers, np.float32) for numbers in (model_input.mean, model_input.std))
    scale = 1 / (np.float32(1 / model_input.scale) * std)
    return Values(np.asarray(scale, np.float32), np.asarray(-mean / std, np.float32), mean, std)


def normalise(picture: UInt8, model_input: Input, out: npt.NDArray[Any]) -> None:
    """Fill a network's input: (pixel · scale − mean) / std.

    Args:
        picture: (H, W, 3) uint8, RGB, of the size of the input.
        model_input: What the network takes.
        out: (C, H, W) or (H, W, C) as its layout says, float32 or uint8, overwritten with the result. uint8 takes the
            pixels as they are.
    """
    pixels = np.ascontiguousarray(picture)
    if out.dtype == np.uint8:
        np.copyto(out, _channels(pixels, model_input))
        return
    planes = out if model_input.layout == "nchw" else np.empty(_planes(out), np.float32)
    if model_input.channels == "gray":
        look_up_gray(pixels, _gray_tables(model_input), planes)
    else:
        order = 2 if model_input.channels == "bgr" else 0
        look_up(pixels, _tables(model_input), order, planes)
    if planes is not out:
        np.copyto(out, planes.transpose(1, 2, 0))


def _planes(out: npt.NDArray[Any]) -> tuple[int, int, int]:
    return out.shape[2], out.shape[0], out.shape[1]


def _channels(pixels: UInt8, model_input: Input) -> UInt8:
    """Return the channels that a uint8 input takes, in its layout."""
    if model_input.channels == "gray":
        gray = np.rint(pixels.astype(np.float32) @ np.array(GRAY, np.float32))
        pixels = gray.clip(0, 255).astype(np.uint8)[..., None]
    elif model_input.channels == "bgr":
        pixels = pixels[..., ::-1]
    return pixels.transpose(2, 0, 1) if model_input.layout == "nchw" else pixels


@lru_cache(8)
def _tables(model_input: Input) -> Float32:
    """Return the input value of each pixel value: (3, 256), a row for each channel in the order of the input."""
    mean, std = (np.broadcast_to(np.array(values), (3,))[:, None] for values in (model_input.mean, model_input.std))
    return np.asarray((np.arange(256) * model_input.scale - mean) / std, np.float32)


@lru_cache(8)
def _gray_tables(model_input: Input) -> Float32:
    """Return the share of R, G and B in the input value of each pixel value: (3, 256)."""
    shares = np.array(GRAY)[:, None] * np.arange(256) * model_input.scale / model_input.std[0]
    shares[0] -= model_input.mean[0] / model_input.std[0]
    return np.asarray(shares, np.float32)

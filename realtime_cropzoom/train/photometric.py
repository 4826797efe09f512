"""Photometric changes: light, contrast reversal, blur, noise and compression of the views."""

from __future__ import annotations

import cv2
import numpy as np

from realtime_cropzoom.types import Float32, UInt8

_NOISE_VALUES = 1 << 20
"""Number of random values that the noise of all pictures is cut from."""


class Photometric:
    """Changes the light, the sharpness and the noise of pictures, each picture in another way."""

    def __init__(self, rng: np.random.Generator, invert_share: float = 0.0) -> None:
        """Set up the changes.

        Args:
            rng: Random numbers.
            invert_share: Share of pictures with reversed contrast: a white animal on a dark floor from a dark one on
                a bright floor.
        """
        self._rng = rng
        self._invert_share = invert_share
        self._noise: Float32 = rng.standard_normal(_NOISE_VALUES, np.float32)

    def __call__(self, pixels: UInt8, inside: UInt8) -> UInt8:
        """Return a changed picture.

        Args:
            pixels: (H, W, 3) RGB.
            inside: (H, W), 0 where the view is off the frame. These pixels stay black, as in a live crop.
        """
        chance = self._rng.random
        changed = np.asarray(cv2.LUT(pixels, self._levels()), np.uint8)
        if chance() < 0.25:
            changed = self._with_gradient(changed)
        if chance() < 0.4:
            changed = self._blurred(changed)
        if chance() < 0.6:
            changed = self._noisy(changed)
        if chance() < 0.2:
            changed = self._compressed(changed)
        return np.asarray(cv2.bitwise_and(changed, changed, mask=inside), np.uint8)

    def _levels(self) -> UInt8:
        """Return the (1, 256, 3) table of new levels: gamma, contrast, brightness, tint, reversal."""
        rng = self._rng
        level = np.linspace(0, 1, 256)[:, None]
        if rng.random() < self._invert_share:
            level = 1 - level
        if rng.random() < 0.5:
            level = level ** np.exp(rng.uniform(-0.6, 0.6))
        if rng.random() < 0.7:
            level = 0.5 + (level - 0.5) * np.exp(rng.uniform(-0.6, 0.3))
        if rng.random() < 0.7:
            level = level * np.exp(rng.uniform(-0.4, 0.2)) + rng.uniform(-0.1, 0.1)
        tint = rng.normal(0, 0.06, 3) if rng.random() < 0.2 else np.zeros(3)
        table: UInt8 = (255 * np.clip(level * (1 + tint), 0, 1)).round().astype(np.uint8)
        return table[None]

    def _with_gradient(self, pixels: UInt8) -> UInt8:
        """Return the picture lit from one side."""
        height, width = pixels.shape[:2]
        across, along = self._rng.uniform(-0.35, 0.35, 2)
        light = 1 + across * np.linspace(-1, 1, width)[None, :] + along * np.linspace(-1, 1, height)[:, None]
        return _clipped(pixels * light[:, :, None].astype(np.float32))

    def _blurred(self, pixels: UInt8) -> UInt8:
        """Return the picture out of focus, or smeared along a line."""
        rng = self._rng
        if rng.random() < 0.5:
            return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.3)), np.uint8)
        length, angle = rng.uniform(2, 7), rng.uniform(0, np.pi)
        steps = np.linspace(-length / 2, length / 2, 15)
        kernel = np.zeros((9, 9), np.float32)
        np.add.at(kernel, ((4.5 + steps * np.sin(angle)).astype(int), (4.5 + steps * np.cos(angle)).astype(int)), 1)
        return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.uint8)

    def _noisy(self, pixels: UInt8) -> UInt8:
        """Return the picture with noise of the sensor, mostly gray."""
        rng = self._rng
        shape = (*pixels.shape[:2], 1 if rng.random() < 0.7 else 3)
        count = int(np.prod(shape))
        start = int(rng.integers(0, max(1, _NOISE_VALUES - count)))
        noise = np.resize(self._noise[start : start + count], shape) * np.float32(rng.uniform(1, 10))
        return _clipped(pixels + noise)

    def _compressed(self, pixels: UInt8) -> UInt8:
        """Return the picture with the blocks of a video codec, as JPEG makes them, too."""
        quality = int(self._rng.integers(12, 70))
        _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)


def _clipped(pixels: Float32) -> UInt8:
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)

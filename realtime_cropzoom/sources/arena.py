"""The synthetic arena: a mouse seen from above that was never filmed, with exact keypoints for every frame.

It is the demo, the test fixture, the latency instrument and a source of training frames. Frame ``i`` is a
pure function of the settings and ``i``: any frame can be asked for, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial

import cv2
import numpy as np

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources import Captured, SourceInfo
from realtime_cropzoom.sources.arena_motion import BODY_LENGTH, FLANK, Posture, Rect, Trajectory
from realtime_cropzoom.sources.arena_paint import Sprite, look_of, paint_arena, paint_body, paint_head
from realtime_cropzoom.types import Float64, UInt8

_BODY_PX = 118.0
"""Snout to tail base at 640x480, as in the open field recordings."""
_NOISE_ROOM = 64
"""The noise is one image, this much larger than the frame, laid at another offset in every frame."""
_SHADOW_STRENGTH = 0.34


@dataclass(frozen=True)
class ArenaSettings:
    """What can be chosen. Raises ConfigError where a value makes no sense."""

    width: int = 640
    """Frame width in pixels."""
    height: int = 480
    """Frame height in pixels."""
    fps: float = 30.0
    """Frames per second; the path does not depend on it."""
    seconds: float | None = 20.0
    """Length; None never ends."""
    seed: int = 0
    """Chooses the path and the look."""
    noise: float = 2.5
    """Standard deviation of the sensor noise, in gray levels."""
    blur: float = 0.7
    """Blur of the lens on the animal, standard deviation in pixels of a frame 480 high."""
    exposure_ms: float = 4.0
    """How long the shutter is open: what smears an animal that runs."""
    scale: float = 1.0
    """Size of the animal; 1 is 118 pixels from snout to tail base at 640x480."""
    coat: int | None = None
    """Gray level of the fur, 0..255; None: dark, chosen by the seed."""
    floor: int | None = None
    """Gray level of the floor, 0..255; None: bright, chosen by the seed."""

    def __post_init__(self) -> None:
        """Check every value against its limits."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"arena: {name}={value}, expected {low:g} to {high:g}: choose a value in between")


_LIMITS = {
    "width": (64, 8192),
    "height": (64, 8192),
    "fps": (0.1, 10_000),
    "seconds": (0.001, 1e9),
    "seed": (0, 2**63 - 1),
    "noise": (0, 20),
    "blur": (0, 5),
    "exposure_ms": (0, 100),
    "scale": (0.3, 1.7),
    "coat": (0, 255),
    "floor": (0, 255),
}
_KEYS = ("size", *(field.name for field in fields(ArenaSettings) if field.name not in ("width", "height")))


def parse_arena(spec: str) -> ArenaSettings:
    """Read ``synthetic:arena[,key=value...]``, for example ``synthetic:arena,size=640x480,fps=100,seed=3``.

    ``seconds=endless`` never ends. Raises ConfigError for an unknown key or a value that cannot be used.
    """
    name, *options = spec.split(",")
    if name != "synthetic:arena":
        raise ConfigError(f"source {spec!r}: expected synthetic:arena[,key=value...] with the keys {', '.join(_KEYS)}")
    values: dict[str, int | float | None] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or key not in _KEYS:
            raise ConfigError(
                f"source {spec!r}: {option!r}, expected key=value with one of the keys {', '.join(_KEYS)}"
            )
        try:
            values.update(_read(key, text))
        except ValueError:
            raise ConfigError(f"source {spec!r}: {key}={text}, expected {_form(key)}: write it so") from None
    return ArenaSettings(**values)  # type: ignore[arg-type]


def _read(key: str, text: str) -> dict[str, int | float | None]:
    if key == "size":
        width, height = text.split("x")
        return {"width": int(width), "height": int(height)}
    if key in ("seed", "coat", "floor"):
        return {key: int(text)}
    if key == "seconds" and text == "endless":
        return {key: None}
    return {key: float(text)}


def _form(key: str) -> str:
    if key == "size":
        return "WIDTHxHEIGHT in pixels, as 640x480"
    if key in ("seed", "coat", "floor"):
        return "a whole number"
    return "a number of seconds, or endless" if key == "seconds" else "a number"


class Arena:
    """The source, and the truth about it."""

    keypoint_names: tuple[str, ...] = ("snout", "leftear", "rightear", "tailbase")

    def __init__(self, settings: ArenaSettings | None = None) -> None:
        """Paint the empty arena and the animal; takes about a tenth of a second at 640x480."""
        self.settings = s = settings or ArenaSettings()
        count = None if s.seconds is None else round(s.seconds * s.fps)
        self.info = SourceInfo("arena", s.width, s.height, s.fps, count)
        unit = min(s.width / 640, s.height / 480)
        self._body_px = _BODY_PX * s.scale * unit
        self._blur_px = s.blur * unit
        margin_px = 24 * unit
        inset = (margin_px + 1) / self._body_px
        self._floor = Rect(inset, inset, (s.width - 1) / self._body_px - inset, (s.height - 1) / self._body_px - inset)
        self._trajectory = Trajectory(self._floor, s.seed)

        look = look_of(s.seed, s.coat, s.floor)
        self._skin = look.skin
        self._body = paint_body(self._body_px, look, s.seed)
        self._head = paint_head(self._body_px, look, s.seed)
        self._shadow_shift_px = [0.09 * self._body_px * (0.5 - light) for light in look.light_xy]
        # The noise is never negative, so that adding it is one saturating addition of bytes: its mean is
        # taken off the picture beforehand.
        self._dark = math.ceil(2.5 * s.noise)
        self._background = _darken(paint_arena(s.width, s.height, margin_px, look, s.seed), self._dark)
        self._noise = _noise_bank(s.width, s.height, s.noise, self._dark, s.seed)

    def truth(self, index: int) -> Float64:
        """(K, 2) in frame pixels, in the order of ``keypoint_names``; whole numbers are pixel centres."""
        return self._posture(index).keypoints() * self._body_px

    def render(self, index: int) -> UInt8:
        """(H, W, 3) RGB of one frame."""
        image = np.empty((self.settings.height, self.settings.width, 3), np.uint8)
        self._render_into(self._posture(index), index, image)
        return image

    def frames(self) -> Iterator[Captured]:
        """Yield the frames; each is drawn when it is copied."""
        s, index = self.settings, 0
        while self.info.frame_count is None or index < self.info.frame_count:
            pts_ns = round(index * 1e9 / s.fps)
            yield Captured(pts_ns, pts_ns, s.width, s.height, self._copier(index))
            index += 1

    def problems(self) -> list[str]:
        """Nothing can go wrong here."""
        return []

    def close(self) -> None:
        """Nothing is held open."""

    def _copier(self, index: int) -> Callable[[UInt8], None]:
        return partial(self._render_into, self._posture(index), index)

    def _posture(self, index: int) -> Posture:
        if index < 0:
            raise IndexError(f"frame {index}: frames are counted from 0")
        return self._trajectory.at(index / self.settings.fps)

    def _render_into(self, posture: Posture, index: int, out: UInt8) -> None:
        """Draw the animal on the piece of background it covers; all the rest is background plus noise."""
        # A multiplicative hash: neighbouring frames get unrelated offsets.
        mixed = (index + 1) * 0x9E3779B97F4A7C15 >> 20
        dy, dx = mixed % _NOISE_ROOM, mixed // _NOISE_ROOM % _NOISE_ROOM
        noise = self._noise[dy : dy + out.shape[0], dx : dx + out.shape[1]]
        tail = posture.tail_line(self._floor)
        x0, y0, x1, y1 = self._covered(posture, tail)
        cv2.add(self._background, noise, dst=out)
        patch = self._draw(posture, tail, x0, y0, self._background[y0:y1, x0:x1])
        out[y0:y1, x0:x1] = cv2.add(patch, noise[y0:y1, x0:x1])

    def _covered(self, posture: Posture, tail: Float64) -> tuple[int, int, int, int]:
        """Left, top, right, bottom (exclusive) of the pixels the animal and its shadow may touch."""
        end = posture.length / 2
        flanks = [posture.along(s * end, side) for s in (-0.7, 0.0, 0.7) for side in (-FLANK, FLANK)]
        points = np.vstack([tail, posture.keypoints(), flanks]) * self._body_px
        pad = 0.16 * self._body_px + 3
        low, high = points.min(axis=0) - pad, points.max(axis=0) + pad
        size = (self.settings.width, self.settings.height)
        x0, y0 = (max(0, math.floor(value)) for value in low)
        x1, y1 = (min(limit, math.ceil(value) + 1) for value, limit in zip(high, size, strict=True))
        return x0, y0, x1, y1

    def _draw(self, posture: Posture, tail: Float64, x0: int, y0: int, background: UInt8) -> UInt8:
        """The piece of background at (x0, y0) with the animal on it."""
        layer = np.zeros((*background.shape[:2], 4), np.uint8)
        self._draw_limbs(layer, posture, tail, x0, y0)
        _lay_over(layer, self._bent_body(posture, x0, y0, background.shape[1], background.shape[0]))
        _lay_over(layer, self._turned_head(posture, x0, y0, background.shape[1], background.shape[0]))
        layer = self._smear(layer, posture)
        return self._on_floor(layer, background)

    def _draw_limbs(self, layer: UInt8, posture: Posture, tail: Float64, x0: int, y0: int) -> None:
        """Tail and feet, which the trunk will cover in part."""
        skin = self._skin
        rest = np.linspace(1, 0, len(tail))[:, None]
        steps = np.gradient(tail, axis=0)
        normal = np.stack([-steps[:, 1], steps[:, 0]], axis=1) / (np.hypot(*steps.T)[:, None] + 1e-9)
        for width, shade in ((1.0, 0.62), (0.55, 0.86)):
            half = (0.006 + 0.020 * rest) * width
            self._fill(layer, np.vstack([tail + normal * half, (tail - normal * half)[::-1]]), skin * shade, x0, y0)
        end = posture.length / 2
        swing = 0.05 * min(1.0, posture.speed / 0.5)
        for s, aside, phase in ((-0.50, 0.175, 0.0), (0.55, 0.135, math.pi)):
            for side in (-1, 1):
                stride = swing * math.cos(posture.gait + phase + (math.pi / 2) * side)
                foot = [posture.along(s * end + stride + du, side * (aside + dv)) for du, dv in _FOOT]
                self._fill(layer, np.array(foot), skin * 0.85, x0, y0)

    def _fill(self, layer: UInt8, outline: Float64, colour: object, x0: int, y0: int) -> None:
        points = np.round((outline * self._body_px - (x0, y0)) * 256).astype(np.int32)
        cv2.fillPoly(layer, [points], (*np.asarray(colour).tolist(), 255), cv2.LINE_AA, 8)

    def _bent_body(self, posture: Posture, x0: int, y0: int, width: int, height: int) -> UInt8:
        """The trunk's sprite bent along the spine, an arc: in polar coordinates about its centre it is straight."""
        cell = 4
        columns, rows = -(-width // cell), -(-height // cell)
        y, x = np.mgrid[0:rows, 0:columns]
        x = ((x + 0.5) * cell - 0.5 + x0) / self._body_px - posture.x
        y = ((y + 0.5) * cell - 0.5 + y0) / self._body_px - posture.y
        cos, sin = math.cos(posture.heading), math.sin(posture.heading)
        forward, right = x * cos + y * sin, y * cos - x * sin
        bend = math.copysign(max(abs(posture.bend), 0.01), posture.bend)
        radius = posture.length / bend
        side = math.copysign(1.0, bend)
        s = radius * np.arctan2(forward * side, (radius - right) * side)
        aside = radius - side * np.hypot(forward, radius - right)
        stretch = posture.length / BODY_LENGTH
        breath = 1 + 0.012 * math.sin(posture.gait * 0.5 + 9.0 * posture.head)
        u = (s / stretch + BODY_LENGTH / 2) * self._body_px + self._body.origin[0]
        v = aside * math.sqrt(stretch) / breath * self._body_px + self._body.origin[1]
        size = (columns * cell, rows * cell)
        maps = [cv2.resize(m.astype(np.float32), size)[:height, :width] for m in (u, v)]
        return np.asarray(cv2.remap(self._body.image, maps[0], maps[1], cv2.INTER_LINEAR))

    def _turned_head(self, posture: Posture, x0: int, y0: int, width: int, height: int) -> UInt8:
        x, y = posture.on_head(0.0, 0.0)
        angle = posture.heading + posture.bend / 2 + posture.head
        cos, sin = math.cos(angle), math.sin(angle)
        u0, v0 = self._head.origin
        to_frame = np.array(
            [
                [cos, -sin, x * self._body_px - x0 - cos * u0 + sin * v0],
                [sin, cos, y * self._body_px - y0 - sin * u0 - cos * v0],
            ]
        )
        return np.asarray(cv2.warpAffine(self._head.image, to_frame, (width, height)))

    def _smear(self, layer: UInt8, posture: Posture) -> UInt8:
        """Lens blur, and the way the animal goes while the shutter is open, half of it before the frame's time."""
        way_px = posture.speed * self._body_px * self.settings.exposure_ms / 1000
        if way_px > 0.5:
            layer = cv2.filter2D(layer, -1, _line_kernel(way_px, posture.heading), borderType=cv2.BORDER_CONSTANT)
        if self._blur_px > 0:
            layer = cv2.GaussianBlur(layer, (0, 0), self._blur_px, borderType=cv2.BORDER_CONSTANT)
        return layer

    def _on_floor(self, layer: UInt8, background: UInt8) -> UInt8:
        """Background, shadow, animal."""
        height, width = background.shape[:2]
        alpha = layer[..., 3]
        small = cv2.resize(alpha, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), 0.035 * self._body_px / 4 + 0.3)
        shift = np.array(
            [
                [width / small.shape[1], 0, self._shadow_shift_px[0]],
                [0, height / small.shape[0], self._shadow_shift_px[1]],
            ]
        )
        shadow = cv2.warpAffine(small, shift, (width, height))
        through = cv2.multiply(
            255 - alpha, cv2.addWeighted(shadow, -_SHADOW_STRENGTH, shadow, 0.0, 255.0), scale=1 / 255
        )
        lit = cv2.multiply(background, cv2.cvtColor(through, cv2.COLOR_GRAY2RGB), scale=1 / 255)
        return np.asarray(cv2.add(lit, cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)))


_FOOT = (
    (-0.05, 0.0),
    (-0.045, 0.02),
    (0.0, 0.035),
    (0.035, 0.05),
    (0.03, 0.03),
    (0.05, 0.03),
    (0.035, 0.015),
    (0.0, -0.01),
)


def _lay_over(layer: UInt8, above: UInt8) -> None:
    """Lay one premultiplied image over another, in place."""
    through = cv2.merge([255 - above[..., 3]] * 4)
    cv2.add(cv2.multiply(layer, through, scale=1 / 255), above, dst=layer)


def _line_kernel(length_px: float, angle: float) -> Float64:
    """A centred line of that length and direction, for cv2.filter2D."""
    half = math.ceil(length_px / 2)
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for t in np.linspace(-length_px / 2, length_px / 2, 8 * half + 1):
        x, y = half + t * math.cos(angle), half + t * math.sin(angle)
        i, j = math.floor(x), math.floor(y)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = (1 - abs(x - i - dx)) * (1 - abs(y - j - dy))
            if weight > 0:
                kernel[j + dy, i + dx] += weight
    return kernel / kernel.sum()


def _darken(image: UInt8, by: int) -> UInt8:
    return np.asarray(cv2.subtract(image, np.full_like(image, by)))


def _noise_bank(width: int, height: int, sigma: float, mean: int, seed: int) -> UInt8:
    """Gray noise with a little colour, larger than the frame by _NOISE_ROOM."""
    draw = np.random.default_rng([seed, 6])
    shape = (height + _NOISE_ROOM, width + _NOISE_ROOM)
    gray = draw.standard_normal((*shape, 1), np.float32)
    colour = draw.standard_normal((*shape, 3), np.float32)
    return np.clip(mean + sigma * (0.9 * gray + 0.43 * colour), 0, 255).round().astype(np.uint8)

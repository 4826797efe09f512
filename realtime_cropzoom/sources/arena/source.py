"""Source of the synthetic arena: rendered animals seen from above, with exact keypoints for every frame.

It serves as demo, as test fixture, for measuring latencies and as a source of training frames. Frame ``i`` is a
pure function of the settings and ``i``, so that frames can be rendered in any order.

With ``jump_s`` the animal stands still and changes its place from one frame to the next, at known times:
``cropzoom latency`` measures with it. With ``animals`` there are several of the same look. Each goes its own way and
pays no heed to the others, so they meet, and walk over each other. Units and directions are as in ``posture``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial

import cv2
import numpy as np

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.arena.appearance import choose_appearance
from realtime_cropzoom.sources.arena.build import BUILDS
from realtime_cropzoom.sources.arena.cable import CABLES, Cable
from realtime_cropzoom.sources.arena.camera_angle import project, tilted_view
from realtime_cropzoom.sources.arena.drawing import AnimalBrush
from realtime_cropzoom.sources.arena.floor import paint_arena
from realtime_cropzoom.sources.arena.jumps import Jumps
from realtime_cropzoom.sources.arena.motion import Trajectory
from realtime_cropzoom.sources.arena.objects import strew_objects
from realtime_cropzoom.sources.arena.posture import Posture, Rect
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.types import Float64, UInt8

_BODY_PX = 118.0
"""Length (pixels) from snout to tail base at 640x480, as in the open field recordings."""
_MARGIN_PX = 24.0
"""Width (pixels) of the walls, from the edge of the frame to the floor, at 640x480."""
_JUMPER_LENGTH = 2.0
"""Room (body lengths) that a standing animal needs, including its tail."""
_OTHER_PATH = 7919
"""Step from the seed of an animal's path to that of the next one."""
_NOISE_MARGIN = 64
"""Width (pixels) by which the image of noise is larger than a frame. Each frame uses another part of it."""


@dataclass(frozen=True)
class ArenaSettings:
    """Settings of the arena.

    Raises:
        ConfigError: if a value is outside its limits.
    """

    width: int = 640
    """Frame width in pixels."""
    height: int = 480
    """Frame height in pixels."""
    fps: float = 30.0
    """Frames per second. The path does not depend on it."""
    seconds: float | None = 20.0
    """Duration (s); None for a source without an end."""
    seed: int = 0
    """Seed of the path and of the appearance."""
    noise: float = 2.5
    """Standard deviation of the sensor noise, in gray levels."""
    blur: float = 0.7
    """Blur of the lens on the animal: standard deviation in pixels of a frame with 480 rows."""
    exposure_ms: float = 4.0
    """Exposure time (ms), during which a running animal smears."""
    scale: float = 1.0
    """Size of the animal; 1 is 118 pixels from snout to tail base at 640x480."""
    coat: int | None = None
    """Gray level of the fur, 0 to 255; None for a dark one that the seed chooses."""
    floor: int | None = None
    """Gray level of the floor, 0 to 255; None for a bright one that the seed chooses."""
    build: str = "mouse"
    """Proportions of the animal: ``mouse`` or ``rat``."""
    animal: int = 1
    """1, or 0 for an empty arena."""
    animals: int = 1
    """Number of animals, all of the same look. The first one goes as it would alone."""
    bedding: float = 0.0
    """Contrast of shavings on the floor, 0 for a bare floor to 1."""
    objects: int = 0
    """Number of things on the floor that are no animal: blocks, balls, pellets, droppings."""
    cable: str = "none"
    """Cable from the head of the animal: ``none``, to the ``middle`` of the picture, or out of it over its ``edge``."""
    tilt: float = 0.0
    """Angle (degrees) between the camera and the vertical."""
    jump_s: float | None = None
    """Approximate interval (s) between the jumps of an animal that stands otherwise; None for an animal that walks."""
    jump_px: float = 60.0
    """Distance (frame pixels) of a jump."""
    boxes: int = 1
    """Number of boxes in the frame, each an arena with an animal of its own, see ``boxes``."""
    empty: int = 0
    """Number of boxes without an animal, the last ones."""

    def __post_init__(self) -> None:
        """Check every value against its limits."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"arena: {name}: got {value}, expected {low:g} to {high:g}")
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ConfigError(f"arena: {name}: got {getattr(self, name)}, expected {' or '.join(words)}")
        if self.animals > 1 and (self.jump_s is not None or not self.animal):
            raise ConfigError(f"arena: animals: got {self.animals}, expected 1 with jump_s or animal=0")


_LIMITS = {
    "width": (64, 8192),
    "height": (64, 8192),
    "fps": (0.1, 10_000),
    "seconds": (0.001, 1e9),
    "seed": (0, 2**63 - 1),
    "noise": (0, 20),
    "blur": (0, 5),
    "exposure_ms": (0, 100),
    "scale": (0.3, 2.5),
    "coat": (0, 255),
    "floor": (0, 255),
    "animal": (0, 1),
    "animals": (1, 16),
    "bedding": (0, 1),
    "objects": (0, 100),
    "tilt": (-45, 45),
    "jump_s": (0.01, 3600),
    "jump_px": (1, 8192),
    "boxes": (1, 64),
    "empty": (0, 64),
}
"""Minimum and maximum of each number."""
_WORDS = {"build": tuple(BUILDS), "cable": CABLES}
_WHOLE = ("seed", "coat", "floor", "animal", "animals", "objects", "boxes", "empty")
_KEYS = ("size", *(field.name for field in fields(ArenaSettings) if field.name not in ("width", "height")))


def parse_arena(spec: str) -> ArenaSettings:
    """Parse ``synthetic:arena[,key=value...]``, for example ``synthetic:arena,size=640x480,fps=100,seed=3``.

    ``seconds=endless`` gives a source without an end.

    Raises:
        ConfigError: if a key is unknown or a value cannot be used.
    """
    name, *options = spec.split(",")
    if name != "synthetic:arena":
        raise ConfigError(f"source {spec!r}: expected synthetic:arena[,key=value...] with the keys {', '.join(_KEYS)}")
    values: dict[str, int | float | str | None] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or key not in _KEYS:
            raise ConfigError(
                f"source {spec!r}: got {option!r}, expected key=value with one of the keys {', '.join(_KEYS)}"
            )
        try:
            values.update(_read(key, text))
        except ValueError:
            raise ConfigError(f"source {spec!r}: got {key}={text}, expected {_form(key)}") from None
    return ArenaSettings(**values)  # type: ignore[arg-type]


def _read(key: str, text: str) -> dict[str, int | float | str | None]:
    if key == "size":
        width, height = text.split("x")
        return {"width": int(width), "height": int(height)}
    if key in _WORDS:
        return {key: text}
    if key in _WHOLE:
        return {key: int(text)}
    if key == "seconds" and text == "endless":
        return {key: None}
    return {key: float(text)}


def _form(key: str) -> str:
    if key == "size":
        return "WIDTHxHEIGHT in pixels, as 640x480"
    if key in _WHOLE:
        return "a whole number"
    return "a number of seconds, or endless" if key == "seconds" else "a number"


class Rendered:
    """A source whose frames are rendered when they are read."""

    settings: ArenaSettings
    info: SourceInfo

    def render(self, index: int) -> UInt8:
        """Return one frame as an (H, W, 3) uint8 RGB array. Each source has its own."""
        raise NotImplementedError

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield the rendered frames. As with a camera, ``copy_to`` only copies."""
        s, index = self.settings, 0
        while self.info.frame_count is None or index < self.info.frame_count:
            pts_ns = round(index * 1e9 / s.fps)
            yield CapturedFrame(pts_ns, pts_ns, s.width, s.height, partial(np.copyto, src=self.render(index)))
            index += 1

    def problems(self) -> list[str]:
        """Return an empty list: this source has no faults."""
        return []

    def close(self) -> None:
        """Do nothing: the source keeps nothing open."""


class Arena(Rendered):
    """Source of rendered frames, with the true keypoints of each."""

    keypoint_names: tuple[str, ...] = ("snout", "leftear", "rightear", "tailbase")

    def __init__(self, settings: ArenaSettings | None = None) -> None:
        """Paint the empty arena and the animal. This takes about a tenth of a second at 640x480.

        Raises:
            ConfigError: if the floor has no room for the jumps, or the settings name several boxes.
        """
        self.settings = s = settings or ArenaSettings()
        if s.boxes != 1 or s.empty:
            raise ConfigError(
                f"arena: boxes: got {s.boxes} and {s.empty} empty, expected one arena with an animal here"
            )
        count = None if s.seconds is None else round(s.seconds * s.fps)
        self.info = SourceInfo("arena", s.width, s.height, s.fps, count)
        unit = min(s.width / 640, s.height / 480)
        self._body_px = _BODY_PX * s.scale * unit
        margin_px = _MARGIN_PX * unit
        inset = (margin_px + 1) / self._body_px
        self._floor = Rect(inset, inset, (s.width - 1) / self._body_px - inset, (s.height - 1) / self._body_px - inset)
        self._build = BUILDS[s.build]
        self._view = tilted_view(s.width, s.height, s.tilt) if s.tilt else None
        self._paths: list[Jumps | Trajectory] = (
            [self._jumps(s.jump_s)]
            if s.jump_s is not None
            else [Trajectory(self._floor, s.seed + _OTHER_PATH * n, self._build) for n in range(s.animals)]
        )
        appearance = choose_appearance(s.seed, s.coat, s.floor)
        cable = Cable.choose(s.cable, self._floor, s.seed)
        self._brush = AnimalBrush.paint(
            self._body_px, s.blur * unit, s.exposure_ms / 1000, self._build, appearance, cable, s.seed
        )
        # The noise is never negative, so that one saturating addition of bytes adds it. Its mean is subtracted from
        # the background beforehand.
        mean = math.ceil(2.5 * s.noise)
        background = paint_arena(s.width, s.height, margin_px, appearance, s.seed, s.bedding)
        strew_objects(background, s.objects, margin_px, s.seed)
        self._background = np.maximum(background, mean) - np.uint8(mean)
        self._noise = _noise_bank(s.width, s.height, s.noise, mean, s.seed)

    def truth(self, index: int) -> Float64:
        """Return the true keypoints of a frame as a (K, 2) float64 array in frame pixels.

        The order is that of ``keypoint_names``. Whole numbers are the centres of pixels. Without an animal all are NaN.
        Of several animals, it is the first one.
        """
        first: Float64 = self.truth_of_all(index)[0]
        return first

    def truth_of_all(self, index: int) -> Float64:
        """Return the true keypoints of all animals in a frame as an (N, K, 2) float64 array, as ``truth`` does."""
        if not self.settings.animal:
            return np.full((1, len(self.keypoint_names), 2), np.nan)
        flat = [posture.keypoints() * self._body_px for posture in self._postures(index)]
        return np.stack(flat if self._view is None else [project(self._view, one) for one in flat])

    def arrivals(self) -> list[int]:
        """Return the indices of the first frames that show the animal on the right after a jump.

        Raises:
            ConfigError: if the animal does not jump, or the source has no end.
        """
        s = self.settings
        path = self._paths[0]
        if not isinstance(path, Jumps) or s.seconds is None:
            raise ConfigError("arena: only an animal that jumps has arrivals; give jump_s and seconds")
        frames = (math.ceil(time_s * s.fps) for time_s in path.arrivals(s.seconds))
        return [frame for frame in frames if frame < round(s.seconds * s.fps)]

    def render(self, index: int) -> UInt8:
        """Return one frame as an (H, W, 3) uint8 RGB array."""
        image = np.empty((self.settings.height, self.settings.width, 3), np.uint8)
        self.render_into(index, image)
        return image

    def render_into(self, index: int, out: UInt8) -> None:
        """Write one frame into an (H, W, 3) uint8 RGB array."""
        self._render_into(self._postures(index), index, out)

    def _jumps(self, every_s: float) -> Jumps:
        distance = self.settings.jump_px / self._body_px
        room = self._floor.x1 - self._floor.x0 - _JUMPER_LENGTH
        if distance > room:
            raise ConfigError(
                f"arena: got jump_px={self.settings.jump_px:g}, "
                f"expected at most {room * self._body_px:.0f}: the floor has no more room"
            )
        return Jumps(self._floor, every_s, distance, self.settings.seed, self._build)

    def _postures(self, index: int) -> list[Posture]:
        if index < 0:
            raise IndexError(f"frame {index}: frames are counted from 0")
        return [path.at(index / self.settings.fps) for path in self._paths]

    def _render_into(self, postures: list[Posture], index: int, out: UInt8) -> None:
        """Draw background, noise and animals. Only the part of the background that one animal covers is composed."""
        # A multiplicative hash: neighbouring frames get unrelated offsets.
        mixed = (index + 1) * 0x9E3779B97F4A7C15 >> 20
        dy, dx = mixed % _NOISE_MARGIN, mixed // _NOISE_MARGIN % _NOISE_MARGIN
        noise = self._noise[dy : dy + out.shape[0], dx : dx + out.shape[1]]
        if self._view is not None or not self.settings.animal or len(postures) > 1:
            cv2.add(self._seen(postures), noise, dst=out)
            return
        cv2.add(self._background, noise, dst=out)
        (posture,) = postures
        patch, where = self._brush.draw(posture, posture.tail_line(self._floor), self._background)
        out[where] = cv2.add(patch, noise[where])

    def _seen(self, postures: list[Posture]) -> UInt8:
        """Return the whole frame without noise: the way of a tilted camera, of an empty arena and of several animals.

        An animal lies over those before it.
        """
        picture = self._background
        for posture in postures if self.settings.animal else ():
            patch, where = self._brush.draw(posture, posture.tail_line(self._floor), picture)
            picture = picture.copy() if picture is self._background else picture
            picture[where] = patch
        if self._view is None:
            return picture
        size = (picture.shape[1], picture.shape[0])
        return np.asarray(cv2.warpPerspective(picture, self._view, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _noise_bank(width: int, height: int, sigma: float, mean: int, seed: int) -> UInt8:
    """Return gray noise with a little colour, larger than a frame by ``_NOISE_MARGIN`` on each axis."""
    draw = np.random.default_rng([seed, 6])
    shape = (height + _NOISE_MARGIN, width + _NOISE_MARGIN)
    gray = draw.standard_normal((*shape, 1), np.float32)
    colour = draw.standard_normal((*shape, 3), np.float32)
    return np.clip(mean + sigma * (0.9 * gray + 0.43 * colour), 0, 255).round().astype(np.uint8)

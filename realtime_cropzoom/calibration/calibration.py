"""Calibration of a camera: converts frame pixels to centimetres on the floor of the arena, and back. No I/O.

It consists of a homography (or a scale) and, for a lens that distorts, a lens model. The experimenter chooses arena
space: the given points define its origin and axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from realtime_cropzoom.calibration.homography import (
    Homography,
    fit_homography,
    inverse,
    orient,
    project,
    project_all,
    to_homography,
)
from realtime_cropzoom.calibration.lens import Lens
from realtime_cropzoom.errors import ConfigError, error_text
from realtime_cropzoom.types import Float64
from realtime_cropzoom.yaml_file import parse_yaml, read_mapping

UNIT = "cm"
_MAX_SIDE = 100_000
"""Maximum width and height of frames (pixels) in a calibration file."""
_PX_PER_CM = (1e-3, 1e6)
"""Minimum and maximum scale (pixels per cm): from 10 m per pixel to 0.01 µm per pixel."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Maps pixels of one camera's frames to cm, and back.

    Raises:
        ConfigError: if the map cannot be inverted within the frame, or its scale is not plausible.
    """

    width: int
    """Width of its frames (pixels)."""
    height: int
    """Height of its frames (pixels)."""
    homography: Homography
    """Undistorted frame pixels → cm."""
    lens: Lens | None = None
    residual_cm: float | None = None
    """Root mean square error of the given points (cm); None if there were no more points than needed."""
    unit: str = UNIT
    _back: Homography = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the inverse map and check that it returns to the same pixels."""
        if self.lens is not None and not self.lens.is_invertible(self.width, self.height):
            raise ConfigError("the lens folds the frame over at its edges; take more chessboards, near the edges too")
        x, y = np.meshgrid([0.0, (self.width - 1) / 2, self.width - 1], [0.0, (self.height - 1) / 2, self.height - 1])
        xy = np.stack([x, y], axis=-1).reshape(-1, 2)
        back = inverse(self.homography)
        arena = self.to_arena(xy)
        seen = np.isfinite(arena).all(axis=1)
        if not seen.any():
            raise ConfigError("no pixel of the frame is on the floor; check the points and their order")
        self._check_scale(xy[seen], arena[seen])
        # The inverse must be on the same side of the horizon as the floor.
        object.__setattr__(self, "_back", orient(back, *arena[seen][0].tolist()))
        if not np.abs(self.to_frame(arena[seen]) - xy[seen]).max() < 1e-3:
            raise ConfigError("the calibration cannot be inverted; check the points")

    def _check_scale(self, xy: Float64, arena: Float64) -> None:
        """Raise ConfigError if the pixels per cm are outside of ``_PX_PER_CM``."""
        px, cm = (np.linalg.norm(np.diff(points, axis=0), axis=1) for points in (xy, arena))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scale = float(np.median(px[px > 0] / cm[px > 0])) if (px > 0).any() else 1.0
        least, most = _PX_PER_CM
        if not least <= scale <= most:
            raise ConfigError(f"1 cm is {scale:.3g} pixels; expected {least:g} to {most:g}; check sizes and units")

    def to_arena(self, xy: Any) -> Float64:
        """Convert frame pixels to cm.

        Args:
            xy: (…, 2) points in frame pixels.

        Returns:
            (…, 2) float64, cm. NaN for points that are NaN or beyond the horizon.
        """
        points = np.asarray(xy, np.float64)
        x, y = points[..., 0], points[..., 1]
        if self.lens is not None:
            x, y = self.lens.undistort(x, y)
        return np.stack(project_all(self.homography, x, y), axis=-1)

    def to_frame(self, xy: Any) -> Float64:
        """Convert cm to frame pixels: the inverse of ``to_arena``.

        Args:
            xy: (…, 2) points in cm.

        Returns:
            (…, 2) float64, frame pixels. NaN for points that are NaN or beyond the horizon.
        """
        points = np.asarray(xy, np.float64)
        x, y = project_all(self._back, points[..., 0], points[..., 1])
        if self.lens is not None:
            x, y = self.lens.distort(x, y)
        return np.stack([x, y], axis=-1)

    def point_to_arena(self, x: float, y: float) -> tuple[float, float]:
        """Convert one point (frame pixels) to cm, without arrays. The result is that of ``to_arena``, bit for bit."""
        if self.lens is not None:
            x, y = self.lens.undistort(x, y)
        return project(self.homography, x, y)

    def check_frame(self, width: int, height: int, where: str) -> None:
        """Check that frames have the size that the calibration was made for.

        Args:
            width: Width of the frames (pixels).
            height: Height of the frames (pixels).
            where: Name of the calibration, for the error.

        Raises:
            ConfigError: if the size differs.
        """
        if (width, height) != (self.width, self.height):
            raise ConfigError(
                f"{where} is for frames of {self.width}x{self.height}, but these have {width}x{height}; "
                "calibrate with frames as the run tracks them"
            )

    def px_per_cm(self) -> float:
        """Return the pixels per cm in the middle of the frame."""
        middle = self.to_arena((self.width / 2, self.height / 2))
        around = self.to_frame(middle + 0.1 * np.array([[1, 0], [0, 1], [0, 0]]))
        return float(np.linalg.norm(around[:2] - around[2], axis=1).mean() * 10)


Pairs = Sequence[tuple[tuple[float, float], tuple[float, float]]]
"""Pairs of points: (x, y) in frame pixels, and the same point (x, y) in cm."""


def from_points(points: Pairs, size: tuple[int, int], lens: Lens | None = None) -> Calibration:
    """Return the calibration that fits known points best (least squares in cm).

    Args:
        points: Four or more pairs of points.
        size: Width and height of the frames (pixels).
        lens: Lens of the camera; None if it does not distort.

    Raises:
        ConfigError: if there are fewer than four points, they lie on a line, or the map cannot be inverted.
    """
    if len(points) < 4:
        raise ConfigError(f"got {len(points)} points, expected at least four, no three of them on one line")
    frame, arena = (np.array([pair[side] for pair in points], np.float64) for side in (0, 1))
    if lens is not None:
        frame = np.stack(lens.undistort(frame[:, 0], frame[:, 1]), axis=-1)
    h = fit_homography(frame, arena)
    off = np.stack(project_all(h, frame[:, 0], frame[:, 1]), axis=-1) - arena
    residual_cm = math.sqrt(float((off * off).sum(axis=1).mean())) if len(points) > 4 else None
    return Calibration(*size, h, lens, residual_cm)


def from_rectangle(
    corners: Sequence[tuple[float, float]],
    width_cm: float,
    height_cm: float,
    size: tuple[int, int],
    lens: Lens | None = None,
) -> Calibration:
    """Return the calibration from a rectangle on the floor: its first corner is the origin, its second lies along x.

    Args:
        corners: The four corners in frame pixels, in order around the rectangle.
        width_cm: Distance from the first to the second corner (cm).
        height_cm: Distance from the second to the third corner (cm).
        size: Width and height of the frames (pixels).
        lens: Lens of the camera; None if it does not distort.

    Raises:
        ConfigError: if the corners cannot belong to a rectangle, a length is not above 0, or the map cannot be
            inverted.
    """
    if len(corners) != 4:
        raise ConfigError(f"got {len(corners)} corners, expected four, in order around the rectangle")
    if not (width_cm > 0 and height_cm > 0):
        raise ConfigError(f"the rectangle is {width_cm:g} x {height_cm:g} cm; expected two lengths above 0")
    if not _convex(corners):
        raise ConfigError("the lines between the corners cross; give the corners in order around the rectangle")
    known = [(0.0, 0.0), (width_cm, 0.0), (width_cm, height_cm), (0.0, height_cm)]
    return from_points(list(zip(corners, known, strict=True)), size, lens)


def from_scale(
    px_per_cm: float, size: tuple[int, int], lens: Lens | None = None, origin: tuple[float, float] = (0.0, 0.0)
) -> Calibration:
    """Return the calibration of a camera that looks straight down.

    Args:
        px_per_cm: Scale (pixels per cm).
        size: Width and height of the frames (pixels).
        lens: Lens of the camera; None if it does not distort.
        origin: Origin of arena space (frame pixels).

    Raises:
        ConfigError: if the scale is not plausible, or the lens cannot be inverted within the frame.
    """
    if not _PX_PER_CM[0] <= px_per_cm <= _PX_PER_CM[1]:
        raise ConfigError(
            f"got {px_per_cm:g} pixels per cm, expected a number from {_PX_PER_CM[0]:g} to {_PX_PER_CM[1]:g}"
        )
    x, y = origin if lens is None else lens.undistort(*origin)
    cm = 1 / px_per_cm
    return Calibration(*size, (cm, 0.0, -x * cm, 0.0, cm, -y * cm, 0.0, 0.0, 1.0), lens)


def _convex(corners: Sequence[tuple[float, float]]) -> bool:
    turns = []
    for k in range(4):
        (ax, ay), (bx, by), (cx, cy) = (corners[(k + n) % 4] for n in range(3))
        turns.append((bx - ax) * (cy - by) - (by - ay) * (cx - bx))
    return all(turn > 0 for turn in turns) or all(turn < 0 for turn in turns)


class _LensFields(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    distortion: tuple[float, float, float, float, float]
    residual_px: float | None = None


class _FileFields(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    frame_size: tuple[int, int]
    unit: str = ""
    homography: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]] | None = None
    residual_cm: float | None = None
    lens: _LensFields | None = None


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file that ``cropzoom calibrate`` wrote.

    Raises:
        ConfigError: if the file cannot be read, or holds no valid calibration.
    """
    return _calibration(_read(path), str(path))


def parse_calibration(text: str, where: str) -> Calibration:
    """Return the calibration that ``calibration_yaml`` wrote as a text.

    Args:
        text: The text.
        where: Where the text is, for errors.

    Raises:
        ConfigError: if the text holds no valid calibration.
    """
    return _calibration(_check(parse_yaml(text, unique_keys=True), where), where)


def _calibration(fields: _FileFields, where: str) -> Calibration:
    if fields.homography is None:
        raise ConfigError(
            f"{where} has a lens but no homography; continue with 'cropzoom calibrate rectangle … --lens {where}'"
        )
    if fields.unit != UNIT:
        raise ConfigError(f"{where}: unit is {fields.unit!r}; expected {UNIT}")
    try:
        return Calibration(*fields.frame_size, to_homography(fields.homography), _lens(fields), fields.residual_cm)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error_text(error)}") from None


def read_lens(path: Path) -> tuple[Lens, tuple[int, int]]:
    """Read the lens of a calibration file.

    Returns:
        The lens, and the width and height of its frames (pixels).

    Raises:
        ConfigError: if the file cannot be read, or holds no valid lens.
    """
    fields = _read(path)
    lens = _lens(fields)
    if lens is None:
        raise ConfigError(f"{path} has no lens; make one with 'cropzoom calibrate lens'")
    if not lens.is_invertible(*fields.frame_size):
        raise ConfigError(f"{path}: the lens folds the frame over at its edges; make it with 'cropzoom calibrate lens'")
    return lens, fields.frame_size


def calibration_yaml(calibration: Calibration) -> str:
    """Return the text of a calibration file. ``read_calibration`` reads the same numbers from it."""
    h = calibration.homography
    return _yaml(
        {
            "unit": calibration.unit,
            "frame_size": [calibration.width, calibration.height],
            "homography": [list(h[row : row + 3]) for row in (0, 3, 6)],
            "residual_cm": calibration.residual_cm,
            "lens": None if calibration.lens is None else _lens_fields(calibration.lens),
        }
    )


def lens_yaml(lens: Lens, size: tuple[int, int]) -> str:
    """Return the text of a file with a lens only, for ``read_lens``; ``size`` is (width, height) in pixels."""
    return _yaml({"frame_size": list(size), "lens": _lens_fields(lens)})


def _read(path: Path) -> _FileFields:
    return _check(read_mapping(path), str(path))


def _check(content: Any, where: str) -> _FileFields:
    try:
        fields = msgspec.convert(content, _FileFields)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where} is not a calibration: {error}; make one with 'cropzoom calibrate'") from None
    numbers = [v for row in fields.homography or () for v in row] + [fields.residual_cm or 0.0]
    if not all(map(math.isfinite, numbers)) or not all(1 <= side <= _MAX_SIDE for side in fields.frame_size):
        raise ConfigError(
            f"{where} is not a calibration: its numbers are not valid; make one with 'cropzoom calibrate'"
        )
    return fields


def _lens(fields: _FileFields) -> Lens | None:
    return None if fields.lens is None else Lens(**msgspec.structs.asdict(fields.lens))


def _lens_fields(lens: Lens) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(lens)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items() if v is not None}


def _yaml(content: dict[str, Any]) -> str:
    given = {name: value for name, value in content.items() if value is not None}
    return yaml.safe_dump(given, sort_keys=False, default_flow_style=None)

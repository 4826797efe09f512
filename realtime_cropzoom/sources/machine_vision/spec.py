"""Common setup of machine-vision cameras: parses their names, and sets the region and the number of buffers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from realtime_cropzoom.errors import ConfigError, advise
from realtime_cropzoom.sources.base import SourceOptions

_CLOSE = 0.005
"""Maximum relative difference between requested and actual value that is not reported: cameras round to steps."""

_BUFFERED_S, _LEAST_BUFFERS, _MOST_BYTES = 0.5, 16, 256 * 2**20


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera, as named by the user."""

    name: str | None
    """Serial number, id or address; None for the first camera found."""
    line: str | None = None
    """Trigger line, as the camera names it; None for the camera's first line."""


def parse_camera(rest: str, scheme: str) -> CameraSpec:
    """Parse the part after ``genicam:`` or ``basler:``, such as ``Basler-21234567,line=Line1``.

    Args:
        rest: That part.
        scheme: ``genicam`` or ``basler``, for error messages.

    Raises:
        ConfigError: if an entry after the name is not ``line=…``.
    """
    name, *chosen = rest.split(",")
    line = None
    for entry in chosen:
        key, _, value = entry.partition("=")
        if key.strip() != "line" or not value.strip():
            raise ConfigError(
                f"{scheme}:{rest}: {entry.strip()!r} is not understood; expected {scheme}:NAME, or with its trigger "
                f"line, {scheme}:NAME,line=Line1"
            )
        line = value.strip()
    return CameraSpec(name.strip() or None, line)


def run_name(*parts: str) -> str:
    """Return a name for the files of a run, joined from ``parts`` such as model and serial number."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts)).strip("-.") or "camera"


def differs(what: str, asked: float, got: float, unit: str) -> list[str]:
    """Return a message if the camera uses another value than requested; empty if it uses that one.

    Args:
        what: Name of the setting.
        asked: Requested value.
        got: Value that the camera reports.
        unit: Unit of both.
    """
    if abs(asked - got) <= _CLOSE * abs(asked):
        return []
    return [f"asked for {what} {asked:.6g} {unit}, got {got:.6g} {unit}"]


def buffers(fps: float | None, frame_bytes: int) -> int:
    """Return the number of frame buffers: half a second of frames, during which Python may be busy elsewhere.

    Args:
        fps: Frames per second; None if unknown.
        frame_bytes: Size (bytes) of a frame.
    """
    wanted = max(_LEAST_BUFFERS, round((fps or 0) * _BUFFERED_S))
    return max(4, min(wanted, _MOST_BYTES // max(frame_bytes, 1)))


class Region(Protocol):
    """Camera whose integer features select the part of the sensor that is read out."""

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return minimum, maximum and step of a feature; None if the camera lacks it."""
        ...

    def set_integer(self, feature: str, value: int) -> None:
        """Set a feature. Raises SourceError or an error of the camera's library if that fails."""
        ...


def place_region(camera: Region, options: SourceOptions) -> list[str]:
    """Set the part of the sensor that is read out, if the options request one.

    A size without a position gives a region in the middle of the sensor.

    Args:
        camera: The camera.
        options: The options; ``size`` and ``roi`` are used.

    Returns:
        Messages for the user; empty if nothing was requested or all was set as requested.

    Raises:
        ConfigError: if ``size`` and ``roi`` request two different sizes.
    """
    if options.size is not None and options.roi is not None and options.size != options.roi[2:]:
        raise ConfigError(f"camera_size {options.size} and roi {options.roi} request two sizes; give only one")
    size = options.roi[2:] if options.roi is not None else options.size
    if size is None:
        return []
    # A region that is off to one side leaves no room for a larger one: offsets back to 0 first.
    for axis in "XY":
        if camera.bounds(f"Offset{axis}") is not None:
            camera.set_integer(f"Offset{axis}", 0)
    whole = tuple(b[1] if (b := camera.bounds(f)) else 0 for f in ("Width", "Height"))
    got_size = tuple(_place(camera, f, asked) for f, asked in zip(("Width", "Height"), size, strict=True))
    corner = (None, None) if options.roi is None else options.roi[:2]
    got_corner = tuple(_place(camera, f, asked) for f, asked in zip(("OffsetX", "OffsetY"), corner, strict=True))
    notes = []
    if options.roi is not None and options.roi != (*got_corner, *got_size):
        notes.append(f"asked for roi {options.roi}, got {(*got_corner, *got_size)}")
    elif options.roi is None and got_size != size:
        notes.append(f"asked for {size[0]}x{size[1]}, got {got_size[0]}x{got_size[1]}")
    if options.roi is None and got_size != whole:
        notes.append(
            f"{got_size[0]}x{got_size[1]} is cut from the middle of {whole[0]}x{whole[1]}"
            + advise("; --roi selects another part")
        )
    return notes


def _place(camera: Region, feature: str, asked: int | None) -> int:
    """Set and return the nearest possible value at or below ``asked``; that in the middle if ``asked`` is None."""
    bounds = camera.bounds(feature)
    if bounds is None:
        return 0
    least, most, step = bounds
    wanted = (least + most) // 2 if asked is None else min(max(asked, least), most)
    value = least + (wanted - least) // max(step, 1) * max(step, 1)
    camera.set_integer(feature, value)
    return value

"""Sets machine-vision cameras up: the same steps for each library, and what the user is told."""

from __future__ import annotations

from typing import Protocol

from realtime_cropzoom.errors import ConfigError, SourceError, advise
from realtime_cropzoom.sources.base import SourceInfo, SourceOptions
from realtime_cropzoom.sources.machine_vision.pixel_formats import PixelFormat, choose_format

_CLOSE = 0.005
"""Maximum relative difference between requested and actual value that is not reported: cameras round to steps."""

_BUFFERED_S, _LEAST_BUFFERS, _MOST_BYTES = 0.5, 16, 256 * 2**20


class SensorRegion(Protocol):
    """Camera whose integer features select the part of the sensor that is read out."""

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return minimum, maximum and step of a feature; None if the camera lacks it."""
        ...

    def set_integer(self, feature: str, value: int) -> None:
        """Set a feature. Raises SourceError or an error of the camera's library if that fails."""
        ...


class SettableCamera(SensorRegion, Protocol):
    """Camera that takes settings.

    Features have the names of the standard (GenICam SFNC). Where libraries or generations of cameras differ, the
    method says what is set, and the library's adapter finds how. A method that fails raises SourceError or an error of
    the camera's library.
    """

    @property
    def title(self) -> str:
        """Model and serial number, for messages."""
        ...

    def integer(self, feature: str) -> int:
        """Return the value of an integer feature."""
        ...

    def choice(self, feature: str) -> tuple[str, list[str]]:
        """Return the current entry of an enumeration and the entries available; none if the camera lacks it."""
        ...

    def choose(self, feature: str, entry: str) -> None:
        """Set an enumeration to ``entry``. Nothing happens if the camera lacks it or has that entry already."""
        ...

    def set_exposure_us(self, exposure_us: float) -> float | None:
        """Fix the exposure time (µs) within its limits; return the one the camera reports, None if it has none."""
        ...

    def set_gain(self, gain: float) -> tuple[float, str] | None:
        """Fix the gain within its limits; return the one the camera reports and its unit, None if it has none."""
        ...

    def set_rate(self, fps: float) -> bool:
        """Set the frames per second within their limits; return False if the camera has no setting for them."""
        ...

    def rate(self) -> float | None:
        """Return the frames per second to expect; None if the camera does not say."""
        ...

    def trigger_off(self) -> None:
        """Let frames come without pulses."""
        ...

    def trigger_on(self, line: str) -> None:
        """Make each frame wait for a rising edge on ``line``, which is one of the entries of ``TriggerSource``."""
        ...


def set_up(
    camera: SettableCamera, line: str | None, options: SourceOptions, name: str
) -> tuple[PixelFormat, SourceInfo]:
    """Apply the options to a camera.

    Args:
        camera: The camera. Features without an option keep their values, except acquisition mode and trigger.
        line: Trigger line; the camera's first one if None. It is used if ``options.trigger`` is set.
        options: The options.
        name: Name for the files of the run.

    Returns:
        Its pixel format, and its properties with notes on what differs from the options.

    Raises:
        SourceError: if the camera lacks a feature, or its library reports an error; some libraries raise their own.
        ConfigError: if two sizes are requested.
    """
    current, offered = camera.choice("PixelFormat")
    pixel_format = choose_format(options.pixel_format, current, offered, camera.title)
    camera.choose("PixelFormat", pixel_format.name)
    notes = [pixel_format.note] if pixel_format.note else []
    notes += place_region(camera, options)
    notes += _set_exposure_and_gain(camera, options)
    _choose_if_offered(camera, "AcquisitionMode", "Continuous")
    camera.trigger_off()  # another program may have left it on: no frame would come
    if options.trigger:
        fps = options.fps
        notes.append(f"each frame waits for a pulse on {_trigger_on(camera, line)}")
    else:
        fps, differences = _set_rate(camera, options.fps)
        notes += differences
    width, height = camera.integer("Width"), camera.integer("Height")
    info = SourceInfo(name, width, height, fps, None, live=True, notes=tuple(notes), asked_fps=options.fps)
    return pixel_format, info


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


def place_region(camera: SensorRegion, options: SourceOptions) -> list[str]:
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


def _place(camera: SensorRegion, feature: str, asked: int | None) -> int:
    """Set and return the nearest possible value at or below ``asked``; that in the middle if ``asked`` is None."""
    bounds = camera.bounds(feature)
    if bounds is None:
        return 0
    least, most, step = bounds
    wanted = (least + most) // 2 if asked is None else min(max(asked, least), most)
    value = least + (wanted - least) // max(step, 1) * max(step, 1)
    camera.set_integer(feature, value)
    return value


def _set_exposure_and_gain(camera: SettableCamera, options: SourceOptions) -> list[str]:
    notes = []
    if options.exposure_ms is not None:
        exposure_us = camera.set_exposure_us(options.exposure_ms * 1e3)
        if exposure_us is None:
            raise SourceError(f"{camera.title} has no setting ExposureTime; leave it out")
        notes += differs("exposure", options.exposure_ms, exposure_us / 1e3, "ms")
    if options.gain is not None:
        gain = camera.set_gain(options.gain)
        if gain is None:
            raise SourceError(f"{camera.title} has no setting Gain; leave it out")
        notes += differs("gain", options.gain, *gain)
    return notes


def _set_rate(camera: SettableCamera, asked: float | None) -> tuple[float | None, list[str]]:
    """Set the frames per second, unless ``asked`` is None; return the expected ones, and messages for the user."""
    has_setting = asked is None or camera.set_rate(asked)
    got = camera.rate()
    if asked is None:
        return got, []
    if not has_setting:
        return got, [f"asked for {asked:g} fps, but the camera has no setting for it"]
    return got, [] if got is None else differs("frame rate", asked, got, "fps")


def _trigger_on(camera: SettableCamera, line: str | None) -> str:
    """Make each frame wait for a pulse on ``line``, the camera's first one if None; return the name of the line."""
    _choose_if_offered(camera, "TriggerSelector", "FrameStart")
    _, sources = camera.choice("TriggerSource")
    line = line or next((source for source in sources if source.startswith("Line")), None)
    if line is None or line not in sources:
        asked, there = f" {line}" if line else "", ", ".join(sources) or "none"
        raise SourceError(f"{camera.title} has no trigger line{asked}; it has {there}")
    camera.trigger_on(line)
    return line


def _choose_if_offered(camera: SettableCamera, feature: str, entry: str) -> None:
    if entry in camera.choice(feature)[1]:
        camera.choose(feature, entry)

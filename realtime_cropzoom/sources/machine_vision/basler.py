"""Basler cameras as sources, through pypylon (extra ``basler``): ``basler:`` or ``basler:SERIAL[,line=Line1]``."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError, install_advice
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo, SourceOptions
from realtime_cropzoom.sources.machine_vision.frame_loss import FrameLossCounter
from realtime_cropzoom.sources.machine_vision.pixel_formats import choose_format
from realtime_cropzoom.sources.machine_vision.read_timeout import ReadTimeout
from realtime_cropzoom.sources.machine_vision.spec import (
    CameraSpec,
    buffers,
    differs,
    parse_camera,
    place_region,
    run_name,
)
from realtime_cropzoom.types import UInt8

_RATES = ("ResultingFrameRate", "ResultingFrameRateAbs", "AcquisitionFrameRate", "AcquisitionFrameRateAbs")
"""Nodes with the frame rate, best first. Their names depend on the age of the camera."""
INSTALL = f"Basler cameras need pypylon: {install_advice('pypylon')}"
_POLL_MS = 100
"""Timeout (ms) of the wait for a frame. The stop is noticed after at most that time."""
_NO_ID = 2**64 - 1
"""Block id of cameras that do not count their frames."""


class CameraNodes:
    """Nodes of a camera: reads, sets and executes its features. Errors of pylon are passed on to the caller."""

    def __init__(self, node_map: Any, title: str) -> None:
        from pypylon import genicam

        self.title = title
        self._map, self._genicam = node_map, genicam

    def has(self, name: str) -> bool:
        """Return whether a node exists and is readable at present."""
        node = self._map.GetNode(name)
        return node is not None and self._genicam.IsReadable(node)

    def integer(self, name: str) -> int:
        """Return the value of an integer node."""
        return int(self._map.GetNode(name).GetValue())

    def set_integer(self, feature: str, value: int) -> None:
        """Set an integer node. ``value`` must be within its bounds and on its step."""
        self._map.GetNode(feature).SetValue(value)

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return minimum, maximum and step of an integer node; None if the camera lacks it."""
        if not self.has(feature):
            return None
        node = self._map.GetNode(feature)
        return node.GetMin(), node.GetMax(), node.GetInc()

    def choice(self, name: str) -> tuple[str, list[str]]:
        """Return the current entry of an enumeration node and the entries available at present."""
        node = self._map.GetNode(name)
        there = [s for s in node.GetSymbolics() if self._genicam.IsAvailable(node.GetEntryByName(s))]
        return node.GetValue(), there

    def choose(self, name: str, entry: str) -> None:
        """Set an enumeration node to ``entry``."""
        self._map.GetNode(name).SetValue(entry)

    def execute(self, name: str) -> None:
        """Execute a command node."""
        self._map.GetNode(name).Execute()

    def set_number(self, names: tuple[str, ...], value: float, auto: str) -> float:
        """Switch off automatic control and set a number, clipped to its limits.

        Args:
            names: Nodes to look for; the first one that exists is set.
            value: Value in the unit of the node.
            auto: Node that switches automatic control, if the camera has it.

        Returns:
            The value that the camera reports afterwards.

        Raises:
            SourceError: if the camera has none of the nodes.
        """
        name = next((n for n in names if self.has(n)), None)
        if name is None:
            raise SourceError(f"{self.title} has no setting {names[0]}; leave it out")
        if self.has(auto):
            self.choose(auto, "Off")
        node = self._map.GetNode(name)
        within = min(max(value, node.GetMin()), node.GetMax())
        node.SetValue(round(within) if isinstance(node.GetMin(), int) else within)
        return float(node.GetValue())

    def set_rate(self, fps: float | None) -> float | None:
        """Set the frames per second, unless ``fps`` is None; return the expected rate, None if it is unknown."""
        if fps is not None:
            if self.has("AcquisitionFrameRateEnable"):
                self._map.GetNode("AcquisitionFrameRateEnable").SetValue(True)
            self.set_number(("AcquisitionFrameRate", "AcquisitionFrameRateAbs"), fps, auto="AcquisitionFrameRateAuto")
        return next((float(self._map.GetNode(n).GetValue()) for n in _RATES if self.has(n)), None)

    def trigger_on(self, line: str | None) -> str:
        """Make each frame wait for a rising edge on a trigger line.

        Args:
            line: Name of the line; the camera's first one if None.

        Returns:
            The name of the line.

        Raises:
            SourceError: if the camera has no such line.
        """
        self.choose("TriggerSelector", "FrameStart")
        self.choose("TriggerMode", "On")
        _, sources = self.choice("TriggerSource")
        line = line or next((source for source in sources if source.startswith("Line")), None)
        if line not in sources:
            raise SourceError(f"{self.title} has no trigger line {line}; it has {', '.join(sources) or 'none'}")
        self.choose("TriggerSource", line)
        if "RisingEdge" in self.choice("TriggerActivation")[1]:
            self.choose("TriggerActivation", "RisingEdge")
        return line

    def tick_frequency(self) -> int:
        """Return the ticks per second of the camera's timestamps. Those of USB cameras are in ns."""
        return self.integer("GevTimestampTickFrequency") if self.has("GevTimestampTickFrequency") else 1_000_000_000


def open_basler(rest: str, options: SourceOptions) -> BaslerCamera:
    """Open a Basler camera.

    Args:
        rest: Serial number, user-defined name or address, with ``,line=…`` for a trigger line. If empty, the first
            camera is opened.
        options: Options for opening it. Frames end once ``options.stopped`` returns True.

    Raises:
        SourceError: if pypylon is missing or the camera cannot be opened.
        ConfigError: if ``rest`` is malformed or two sizes are requested.
    """
    return BaslerCamera(parse_camera(rest, "basler"), options)


def list_cameras() -> list[dict[str, str]]:
    """Return the cameras that pylon finds.

    Raises:
        SourceError: if pypylon is missing or reports an error.
    """
    pylon = _pypylon()
    with _in_words("cameras cannot be listed"):
        found = pylon.TlFactory.GetInstance().EnumerateDevices()
    return [
        {
            "id": f"basler:{device.GetSerialNumber()}",
            "vendor": device.GetVendorName(),
            "model": device.GetModelName(),
            "serial": device.GetSerialNumber(),
            "interface": device.GetDeviceClass(),
        }
        for device in found
    ]


class BaslerCamera:
    """An open camera. Incomplete frames are counted and dropped."""

    def __init__(self, spec: CameraSpec, options: SourceOptions) -> None:
        self._stopped = options.stopped
        self._timeout = ReadTimeout(options.read_timeout_s, triggered=options.trigger)
        self._pylon = _pypylon()
        self._losses = FrameLossCounter()
        self._cause = ""
        with _in_words(f"basler:{spec.name or ''} cannot be opened"):
            self._camera = self._find(spec.name)
            try:
                self._camera.Open()
                self.nodes = CameraNodes(self._camera.GetNodeMap(), self._camera.GetDeviceInfo().GetFriendlyName())
                """Features of the camera."""
                self.info = self._set_up(spec, options)
            except BaseException:
                self._camera.DestroyDevice()
                raise

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames until the run ends.

        Raises:
            SourceError: if no frame comes within ``read_timeout_s`` or the camera is gone.
        """
        with _in_words(f"{self.info.name} broke off"):
            # Deliver every frame in order, from a queue that covers short pauses; later stages decide what to skip.
            self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
        self._timeout.restart()
        while not self._stopped():
            with _in_words(f"{self.info.name} broke off"):
                result = self._camera.RetrieveResult(_POLL_MS, self._pylon.TimeoutHandling_Return)
                captured = self._complete_frame(result) if result.IsValid() else None
            if captured is None:
                result.Release()
                self._check_silence()
                continue
            try:
                self._timeout.restart()
                yield captured
            finally:
                result.Release()

    def problems(self) -> list[str]:
        """Return messages about lost frames, with the reason that pylon gave."""
        return [*self._losses.problems(self.info.name), *([f"{self.info.name}: {self._cause}"] if self._cause else [])]

    def execute(self, command: str) -> None:
        """Execute a command of the camera, such as ``TriggerSoftware``. Raises SourceError if it fails."""
        with _in_words(self.info.name):
            self.nodes.execute(command)

    def close(self) -> None:
        """Stop and release the camera. It may be called twice."""
        with _in_words(self.info.name):
            if self._camera.IsPylonDeviceAttached():
                self._camera.DestroyDevice()  # stops grabbing and closes, even if the camera is gone

    def _find(self, name: str | None) -> Any:
        factory = self._pylon.TlFactory.GetInstance()
        devices = factory.EnumerateDevices()
        for device in devices:
            if name is None or name in _names(device):
                return self._pylon.InstantCamera(factory.CreateDevice(device))
        there = ", ".join(f"{d.GetModelName()} {d.GetSerialNumber()}" for d in devices) or "none"
        raise SourceError(f"Basler camera {name or ''} not found; connected: {there}")

    def _set_up(self, spec: CameraSpec, options: SourceOptions) -> SourceInfo:
        """Apply the options to the camera and return its properties, with notes on what differs."""
        nodes = self.nodes
        current, offered = nodes.choice("PixelFormat")
        self._format = choose_format(options.pixel_format, current, offered, nodes.title)
        nodes.choose("PixelFormat", self._format.name)
        notes = [self._format.note] if self._format.note else []
        notes += place_region(nodes, options)
        if options.exposure_ms is not None:
            got = nodes.set_number(("ExposureTime", "ExposureTimeAbs"), options.exposure_ms * 1e3, auto="ExposureAuto")
            notes += differs("exposure", options.exposure_ms, got / 1e3, "ms")
        if options.gain is not None:
            got = nodes.set_number(("Gain", "GainRaw"), options.gain, auto="GainAuto")
            notes += differs("gain", options.gain, got, "dB" if nodes.has("Gain") else "(raw units)")
        fps = nodes.set_rate(None if options.trigger else options.fps)
        if options.trigger:
            notes.append(f"each frame waits for a pulse on {nodes.trigger_on(spec.line)}")
            fps = options.fps
        elif options.fps is not None and fps is not None:
            notes += differs("frame rate", options.fps, fps, "fps")
        width, height = nodes.integer("Width"), nodes.integer("Height")
        self._camera.MaxNumBuffer.SetValue(buffers(fps, self._format.image_bytes(width, height)))
        self._ticks_a_second = nodes.tick_frequency()
        about = self._camera.GetDeviceInfo()
        name = run_name(about.GetModelName(), about.GetSerialNumber())
        return SourceInfo(name, width, height, fps, None, live=True, notes=tuple(notes), asked_fps=options.fps)

    def _complete_frame(self, result: Any) -> CapturedFrame | None:
        """Return the grabbed frame; None if parts of it are missing."""
        received_ns = now_ns()
        if not result.GrabSucceeded():
            self._losses.fail()
            self._cause = " ".join(str(result.GetErrorDescription()).split())
            return None
        width, height = result.GetWidth(), result.GetHeight()
        device_ns = result.GetTimeStamp() * 1_000_000_000 // self._ticks_a_second or None
        block_id = result.GetBlockID()
        pts_ns, lost = self._losses.take(None if block_id == _NO_ID else block_id, device_ns, received_ns)
        return CapturedFrame(pts_ns, device_ns, width, height, partial(self._copy, result), lost_before=lost)

    def _copy(self, result: Any, out: UInt8) -> None:
        self._format.to_rgb(np.frombuffer(result.GetImageMemoryView(), np.uint8), out)

    def _check_silence(self) -> None:
        """Raise SourceError if the camera is gone, or has sent no complete frame for too long."""
        if self._camera.IsCameraDeviceRemoved():
            raise SourceError(f"{self.info.name} was unplugged")
        self._timeout.check(self.info.name, self._losses.failing, f" ({self._cause})")


def _names(device: Any) -> set[str]:
    names = {device.GetSerialNumber(), device.GetUserDefinedName(), device.GetFriendlyName(), device.GetFullName()}
    return names | ({device.GetIpAddress()} if device.IsIpAddressAvailable() else set())


def _pypylon() -> Any:
    try:
        # Its extension modules warn during import, which crashes Python if warnings are errors.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pypylon import pylon
    except ImportError as error:
        raise SourceError(INSTALL) from error
    return pylon


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Convert errors of pylon to a SourceError of one line, without the location in pylon's own sources."""
    from pypylon import genicam

    try:
        yield
    except genicam.GenericException as error:
        text = re.sub(r"\s*:? \w+ thrown \(.*", "", " ".join(str(error).split()))
        raise SourceError(f"{what}: {text}") from error

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
from realtime_cropzoom.sources.base import CapturedFrame, SourceOptions
from realtime_cropzoom.sources.machine_vision.camera_setup import buffers, set_up
from realtime_cropzoom.sources.machine_vision.feature_nodes import FeatureNodes
from realtime_cropzoom.sources.machine_vision.frame_loss import FrameLossCounter
from realtime_cropzoom.sources.machine_vision.read_timeout import ReadTimeout
from realtime_cropzoom.sources.machine_vision.spec import CameraSpec, parse_camera, run_name
from realtime_cropzoom.types import UInt8

INSTALL = f"Basler cameras need pypylon: {install_advice('pypylon')}"
_POLL_MS = 100
"""Timeout (ms) of the wait for a frame. The stop is noticed after at most that time.

On Linux pylon ends the wait by SIGALRM, and sets a handler of its own before the first wait. A program that sets
another handler after that makes the wait endless.
"""
_NO_ID = 2**64 - 1
"""Block id of cameras that do not count their frames."""


class BaslerNodes(FeatureNodes):
    """Nodes of a camera: reads, sets and executes its features. Errors of pylon are passed on to the caller."""

    def __init__(self, node_map: Any, title: str) -> None:
        from pypylon import genicam

        super().__init__(title)
        self._map, self._genicam = node_map, genicam

    def has(self, feature: str) -> bool:
        """Return whether a node exists and is readable at present."""
        node = self._map.GetNode(feature)
        return node is not None and self._genicam.IsReadable(node)

    def value(self, feature: str) -> Any:
        """Return the value of a node."""
        return self._map.GetNode(feature).GetValue()

    def set_value(self, feature: str, value: Any) -> None:
        """Set a node. A number must be within its limits and on its step, and an integer for an integer node."""
        self._map.GetNode(feature).SetValue(value)

    def limits(self, feature: str) -> tuple[Any, Any]:
        """Return minimum and maximum of a number: integers for an integer node."""
        node = self._map.GetNode(feature)
        return node.GetMin(), node.GetMax()

    def step(self, feature: str) -> int:
        """Return the step of an integer node."""
        return int(self._map.GetNode(feature).GetInc())

    def entries(self, feature: str) -> list[str]:
        """Return the entries of an enumeration node that are available at present."""
        node = self._map.GetNode(feature)
        return [name for name in node.GetSymbolics() if self._genicam.IsAvailable(node.GetEntryByName(name))]

    def execute(self, command: str) -> None:
        """Execute a command node."""
        self._map.GetNode(command).Execute()

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
                about = self._camera.GetDeviceInfo()
                self.nodes = BaslerNodes(self._camera.GetNodeMap(), about.GetFriendlyName())
                """Features of the camera."""
                name = run_name(about.GetModelName(), about.GetSerialNumber())
                self._format, self.info = set_up(self.nodes, spec.line, options, name)
                frame_bytes = self._format.image_bytes(self.info.width, self.info.height)
                self._camera.MaxNumBuffer.SetValue(buffers(self.info.fps, frame_bytes))
                self._ticks_a_second = self.nodes.tick_frequency()
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

"""Cameras through the GenTL producer of their vendor, by harvesters (extra ``genicam``): ``gentl:NAME[,line=Line1]``.

A producer is a library of the camera's vendor, with the ending ``.cti``. It serves the cameras of a vendor on any
system; on Windows it is the usual way to a GenICam camera. The installer of the vendor names its folder in the variable
``GENICAM_GENTL64_PATH``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.clock import now_ns, now_s
from realtime_cropzoom.errors import SourceError, error_text, install_advice
from realtime_cropzoom.sources.base import CapturedFrame, SourceOptions
from realtime_cropzoom.sources.machine_vision.camera_setup import buffers, set_up
from realtime_cropzoom.sources.machine_vision.frame_loss import FrameLossCounter
from realtime_cropzoom.sources.machine_vision.gentl_nodes import GentlNodes, in_words
from realtime_cropzoom.sources.machine_vision.read_timeout import ReadTimeout
from realtime_cropzoom.sources.machine_vision.spec import CameraSpec, parse_camera, run_name
from realtime_cropzoom.types import UInt8

FOLDERS = "GENICAM_GENTL64_PATH"
"""Variable of the environment with the folders of producers. The GenTL standard gives its name."""
_POLL_S = 0.1
"""Timeout (s) of the wait for a frame. The stop is noticed after at most that time."""
_LOOK_AGAIN_S = 0.0005
"""Time (s) between two looks for a frame. If the binding waits by itself, it holds the interpreter's lock, so that the
pose of the frame before waits, too."""
_AT_ONCE_S = 1e-9


def open_gentl(rest: str, options: SourceOptions) -> GentlCamera:
    """Open a camera through its vendor's producer.

    Args:
        rest: Serial number, name or id, with ``,line=…`` for a trigger line. If empty, the first camera is opened.
        options: Options for opening it. Frames end once ``options.stopped`` returns True.

    Raises:
        SourceError: if harvesters or a producer is missing, or the camera cannot be opened.
        ConfigError: if ``rest`` is malformed or two sizes are requested.
    """
    return GentlCamera(parse_camera(rest, "gentl"), options)


def list_cameras() -> list[dict[str, str]]:
    """Return the cameras that the producers of this machine find.

    Raises:
        SourceError: if harvesters or a producer is missing, or a producer reports an error.
    """
    harvester = _harvester()
    try:
        with in_words("cameras cannot be listed"):
            return [
                {
                    "id": f"gentl:{_about(device, 'serial_number') or _about(device, 'id_')}",
                    "vendor": _about(device, "vendor"),
                    "model": _about(device, "model"),
                    "serial": _about(device, "serial_number"),
                    "interface": _about(device, "tl_type"),
                }
                for device in harvester.device_info_list
            ]
    finally:
        harvester.reset()


def producers() -> list[Path]:
    """Return the producers of this machine: the ``.cti`` files in the folders of ``GENICAM_GENTL64_PATH``."""
    folders = [Path(folder) for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]
    return [path for folder in folders for path in sorted(folder.glob("*.cti"))]


class GentlCamera:
    """An open camera. Incomplete frames are counted and dropped."""

    def __init__(self, spec: CameraSpec, options: SourceOptions) -> None:
        self._stopped = options.stopped
        self._timeout = ReadTimeout(options.read_timeout_s, triggered=options.trigger)
        self._losses = FrameLossCounter()
        self._harvester = _harvester()
        self._acquirer: Any = None
        try:
            with in_words(f"gentl:{spec.name or ''} cannot be opened"):
                device = self._find(spec.name)
                title = " ".join(filter(None, (_about(device, "model"), _about(device, "serial_number"))))
                self._acquirer = self._harvester.create(self._harvester.device_info_list.index(device))
                self._acquirer.timeout_period_on_update_event_data_call = 0
                self._acquirer.add_callback(self._acquirer.Events.INCOMPLETE_BUFFER, _when_incomplete(self._losses))
                self.nodes = GentlNodes(self._acquirer.remote_device.node_map, title)
                """Features of the camera."""
                self._format, self.info = set_up(self.nodes, spec.line, options, run_name(*title.split()))
                wanted = buffers(self.info.fps, self._format.image_bytes(self.info.width, self.info.height))
                self._acquirer.num_buffers = max(wanted, self._acquirer.min_num_buffers)
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames until the run ends.

        Raises:
            SourceError: if no frame comes within ``read_timeout_s`` or the camera is gone.
        """
        with in_words(f"{self.info.name} broke off"):
            self._acquirer.start()
        self._timeout.restart()
        while not self._stopped():
            with in_words(f"{self.info.name} broke off"):
                buffer = self._wait_for_buffer()
                captured = None if buffer is None else self._complete_frame(buffer)
            try:
                if captured is not None:
                    self._timeout.restart()
                    yield captured
            finally:
                if buffer is not None:
                    with suppress(SourceError), in_words("giving back a buffer"):  # it is gone with a closed camera
                        buffer.queue()
            if captured is None:
                self._check_silence()

    def problems(self) -> list[str]:
        """Return messages about lost frames; empty if there were none."""
        return self._losses.problems(self.info.name)

    def execute(self, command: str) -> None:
        """Execute a command of the camera, such as ``TriggerSoftware``. Raises SourceError if it fails."""
        with in_words(self.info.name):
            self.nodes.execute(command)

    def close(self) -> None:
        """Stop and release the camera. It may be called twice."""
        with suppress(SourceError), in_words("closing"):  # a camera that is gone refuses
            if self._acquirer is not None:
                self._acquirer.destroy()
        self._acquirer = None
        self._harvester.reset()

    def _wait_for_buffer(self) -> Any:
        """Return the next buffer with a complete frame; None if none comes within ``_POLL_S``."""
        until_s = now_s() + _POLL_S
        while now_s() < until_s:
            buffer = self._acquirer.try_fetch(timeout=_AT_ONCE_S)
            if buffer is not None:
                return buffer
            time.sleep(_LOOK_AGAIN_S)
        return None

    def _find(self, name: str | None) -> Any:
        devices = self._harvester.device_info_list
        for device in devices:
            if name is None or name in _names(device):
                return device
        there = ", ".join(f"{_about(d, 'model')} {_about(d, 'serial_number')}".strip() for d in devices) or "none"
        raise SourceError(f"camera gentl:{name or ''} not found; connected: {there}")

    def _complete_frame(self, buffer: Any) -> CapturedFrame | None:
        """Return the frame in a buffer; None if it holds less than an image."""
        received_ns, raw = now_ns(), buffer.module
        width, height = raw.width, raw.height
        data: UInt8 = np.frombuffer(raw.raw_buffer, np.uint8)[_value(raw, "image_offset") or 0 :]
        if len(data) < self._format.image_bytes(width, height):
            self._losses.fail()
            return None
        device_ns = _value(raw, "timestamp_ns") or None
        pts_ns, lost = self._losses.take(_value(raw, "frame_id"), device_ns, received_ns)
        return CapturedFrame(pts_ns, device_ns, width, height, partial(self._format.to_rgb, data), lost_before=lost)

    def _check_silence(self) -> None:
        """Raise SourceError if the camera is gone, or has sent no complete frame for too long."""
        if self._timeout.check(self.info.name, self._losses.failing, ""):
            with in_words(f"{self.info.name} no longer answers"):
                self.nodes.integer("Width")


def _when_incomplete(losses: FrameLossCounter) -> Any:
    """Return what harvesters calls for each frame that arrived incomplete, and that it has thrown away."""
    from harvesters.core import Callback

    class Incomplete(Callback):  # type: ignore[misc]
        def emit(self, context: object = None) -> None:
            losses.fail()

    return Incomplete()


def _harvester() -> Any:
    """Return a Harvester with all producers of this machine. Raises SourceError."""
    try:
        from harvesters.core import Harvester
    except ImportError as error:
        raise SourceError(f"GenTL cameras need harvesters: {install_advice('harvesters')}") from error
    found = producers()
    if not found:
        raise SourceError(
            f"there is no GenTL producer: no .cti file in the folders of {FOLDERS} "
            f"({os.environ.get(FOLDERS) or 'not set'}). Install the software of the camera's vendor, then open a new "
            "terminal"
        )
    harvester = Harvester()
    try:
        with in_words("the GenTL producers cannot be loaded"):
            for path in found:
                _add(harvester, path)
            harvester.update()
    except BaseException:
        harvester.reset()
        raise
    return harvester


def _add(harvester: Any, producer: Path) -> None:
    try:
        harvester.add_file(str(producer), check_existence=True, check_validity=True)
    except OSError as error:
        raise SourceError(
            f"{producer} cannot be loaded ({error_text(error)}); install that producer again, or take its folder out "
            f"of {FOLDERS}"
        ) from error


def _names(device: Any) -> set[str]:
    serial = _about(device, "serial_number")
    names = {serial, f"{_about(device, 'vendor')}-{serial}", f"{_about(device, 'model')}-{serial}"}
    return names | {_about(device, "id_"), _about(device, "user_defined_name"), _about(device, "display_name")}


def _about(device: Any, name: str) -> str:
    """Return what a producer says of a camera; "" if it does not say it."""
    found = _value(device, name)
    return "" if found is None else str(found)


def _value(thing: Any, name: str) -> Any:
    """Return an attribute that a producer may not have; None without it."""
    from genicam import gentl

    try:
        return getattr(thing, name)
    except (AttributeError, gentl.GenericException):
        return None

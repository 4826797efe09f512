"""GenICam cameras (GigE Vision, USB3 Vision) as sources, through Aravis: ``genicam:`` or ``genicam:NAME[,line=…]``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceOptions
from realtime_cropzoom.sources.machine_vision.aravis import buffer_data, devices, library
from realtime_cropzoom.sources.machine_vision.aravis_camera import open_camera
from realtime_cropzoom.sources.machine_vision.camera_setup import buffers, set_up
from realtime_cropzoom.sources.machine_vision.frame_loss import FrameLossCounter
from realtime_cropzoom.sources.machine_vision.read_timeout import ReadTimeout
from realtime_cropzoom.sources.machine_vision.spec import CameraSpec, parse_camera, run_name
from realtime_cropzoom.types import UInt8

_POLL_US = 100_000
"""Timeout (µs) of the wait for a frame. The stop is noticed after at most that time."""
_SUCCESS = 0


def open_genicam(rest: str, options: SourceOptions) -> Source:
    """Open a GenICam camera: through Aravis, or on Windows through the GenTL producer of its vendor.

    Args:
        rest: Id, vendor and serial number, or address, with ``,line=…`` for a trigger line. If empty, the first
            camera is opened.
        options: Options for opening it. Opening and frames end once ``options.stopped`` returns True.

    Raises:
        SourceError: if Aravis is missing or the camera cannot be opened.
        ConfigError: if ``rest`` is malformed or two sizes are requested.
    """
    if sys.platform == "win32":
        from realtime_cropzoom.sources.machine_vision.gentl import open_gentl

        return open_gentl(rest, options)
    return GenicamCamera(parse_camera(rest, "genicam"), options)


def list_cameras() -> list[dict[str, str]]:
    """Return the cameras on the network and on USB. This takes about a second.

    Raises:
        SourceError: if Aravis is missing.
    """
    return [
        {
            "id": f"genicam:{found['id']}",
            "vendor": found["vendor"],
            "model": found["model"],
            "serial": found["serial_nbr"],
            "interface": f"{found['protocol']} {found['address']}".strip(),
        }
        for found in devices()
    ]


class GenicamCamera:
    """An open camera. Incomplete frames are counted and dropped."""

    def __init__(self, spec: CameraSpec, options: SourceOptions) -> None:
        self._stopped = options.stopped
        self._timeout = ReadTimeout(options.read_timeout_s, triggered=options.trigger)
        self._arv = library()
        self._losses = FrameLossCounter()
        try:
            self._camera = open_camera(spec.name, options.open_timeout_s, options.stopped)
        except SourceError as error:
            raise SourceError(
                f"genicam:{spec.name or ''} cannot be opened ({error}); 'cropzoom cameras' lists the connected ones"
            ) from error
        try:
            camera = self._camera
            self._format, self.info = set_up(camera, spec.line, options, run_name(camera.title))
            self._stream = camera.create_stream(partial(buffers, self.info.fps))
        except BaseException:
            self._camera.close()
            raise

    def frames(self) -> Iterator[CapturedFrame]:
        """Yield frames until the run ends.

        Raises:
            SourceError: if no frame comes within ``read_timeout_s`` or the camera is gone.
        """
        self._camera.call("start_acquisition")
        self._timeout.restart()
        while not self._stopped():
            buffer = self._arv("arv_stream_timeout_pop_buffer", self._stream, _POLL_US)
            if buffer is None:
                self._check_silence()
                continue
            try:
                captured = self._complete_frame(buffer)
                if captured is not None:
                    self._timeout.restart()
                    yield captured
            finally:
                self._arv("arv_stream_push_buffer", self._stream, buffer)
            if captured is None:
                self._check_silence()

    def problems(self) -> list[str]:
        """Return messages about lost frames; empty if there were none."""
        return self._losses.problems(self.info.name)

    def execute(self, command: str) -> None:
        """Execute a command of the camera, such as ``TriggerSoftware``. Raises SourceError if it fails."""
        self._camera.call("execute_command", command.encode())

    def close(self) -> None:
        """Stop and release the camera."""
        self._camera.close()

    def _complete_frame(self, buffer: int) -> CapturedFrame | None:
        """Return the frame in a buffer; None if parts of it are missing."""
        arv, received_ns = self._arv, now_ns()
        if arv("arv_buffer_get_status", buffer) != _SUCCESS:
            self._losses.fail()
            return None
        width, height = arv("arv_buffer_get_image_width", buffer), arv("arv_buffer_get_image_height", buffer)
        data = buffer_data(arv, buffer)
        if len(data) < self._format.image_bytes(width, height):
            self._losses.fail()
            return None
        device_ns = arv("arv_buffer_get_timestamp", buffer) or None
        pts_ns, lost = self._losses.take(arv("arv_buffer_get_frame_id", buffer), device_ns, received_ns)
        return CapturedFrame(pts_ns, device_ns, width, height, partial(self._copy, data), lost_before=lost)

    def _copy(self, data: UInt8, out: UInt8) -> None:
        self._format.to_rgb(data, out)

    def _check_silence(self) -> None:
        """Raise SourceError if the camera is gone, or has sent no complete frame for too long."""
        if not self._camera.in_control:
            raise SourceError(f"{self.info.name} no longer answers")
        advice = "; see docs/how-to/genicam.md on packets"
        if self._timeout.check(self.info.name, self._losses.failing, advice):
            self._camera.integer("Width")  # raises if the camera is gone

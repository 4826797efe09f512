"""One camera through Aravis: opened, set up, and let go of, without ever waiting long for one that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from ctypes import byref, c_double, c_int64
from threading import Thread
from typing import Any

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.machine_vision.aravis import library

_AUTO_OFF = 0
_POLL_S = 0.1
_RELEASED_WITHIN_S = 0.25


class Camera:
    """A camera under our control. ``call("set_gain", 3.0)`` is ``arv_camera_set_gain``."""

    def __init__(self, name: str | None) -> None:
        """Open a camera by its id, vendor and serial number or address; None is the first. Raises SourceError."""
        self._arv = library()
        self._camera = self._arv("arv_camera_new", None if name is None else name.encode())
        self._stream: int | None = None
        parts = (self.call("get_model_name"), self.call("get_device_serial_number"))
        self.title = "-".join((part or b"").decode(errors="replace") for part in parts)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the camera. Raises SourceError."""
        return self._arv(f"arv_camera_{name}", self._camera, *arguments)

    @property
    def in_control(self) -> bool:
        """Whether the camera still answers; of a USB camera only its reads can tell."""
        if not self._arv("arv_camera_is_gv_device", self._camera):
            return True
        return bool(self._arv("arv_gv_device_is_controller", self._arv("arv_camera_get_device", self._camera)))

    def has(self, feature: str) -> bool:
        """Return whether the camera has a feature, now."""
        return bool(self.call("is_feature_available", feature.encode()))

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return least, most and step of a feature; None where the camera lacks it."""
        if not self.has(feature):
            return None
        least, most = c_int64(), c_int64()
        self.call("get_integer_bounds", feature.encode(), byref(least), byref(most))
        return least.value, most.value, self.call("get_integer_increment", feature.encode())

    def get_integer(self, feature: str) -> int:
        """Read a feature. Raises SourceError."""
        return int(self.call("get_integer", feature.encode()))

    def set_integer(self, feature: str, value: int) -> None:
        """Set a feature. Raises SourceError."""
        self.call("set_integer", feature.encode(), value)

    def set_float(self, what: str, value: float) -> float:
        """Set ``exposure_time`` (µs) or ``gain`` (dB) by hand, within its limits; return what it is then."""
        if not self.call(f"is_{what}_available"):
            raise SourceError(f"{self.title} has no setting for {what}; leave it out")
        if self.call(f"is_{what.removesuffix('_time')}_auto_available"):
            self.call(f"set_{what}_auto", _AUTO_OFF)
        least, most = c_double(), c_double()
        self.call(f"get_{what}_bounds", byref(least), byref(most))
        self.call(f"set_{what}", min(max(value, least.value), most.value))
        return float(self.call(f"get_{what}"))

    def pixel_formats(self) -> tuple[str, list[str]]:
        """Return the format that is set, and all there are."""
        current = self.call("get_pixel_format_as_string") or b""
        offered = self._arv.strings("arv_camera_dup_available_pixel_formats_as_strings", self._camera)
        return current.decode(errors="replace"), offered

    def trigger_on(self, line: str | None) -> str:
        """Let each frame wait for a rising edge on a line, by default the camera's first; return which it is."""
        sources = self._arv.strings("arv_camera_dup_available_trigger_sources", self._camera)
        line = line or next((source for source in sources if source.startswith("Line")), None)
        if line not in sources:
            raise SourceError(f"{self.title} has no trigger line {line}; it has {', '.join(sources) or 'none'}")
        self.call("set_trigger", line.encode())
        return line

    def create_stream(self, buffers: Callable[[int], int]) -> int:
        """Make ready for frames, with as many buffers as ``buffers`` says for their size in bytes."""
        payload = self.call("get_payload")
        self._stream = self.call("create_stream", None, None)
        for _ in range(buffers(payload)):
            self._arv("arv_stream_push_buffer", self._stream, self._arv("arv_buffer_new_allocate", payload))
        return self._stream

    def close(self) -> None:
        """Stop the camera and let go of it; may be called twice.

        A camera that is gone is asked again and again before Aravis gives it up, for ten seconds;
        nobody waits for that, least of all the camera that has come back meanwhile.
        """
        if self._camera is not None:
            releasing = Thread(target=self._release, name="aravis-release", daemon=True)
            releasing.start()
            releasing.join(_RELEASED_WITHIN_S)
            self._stream = self._camera = None

    def _release(self) -> None:
        stream, camera = self._stream, self._camera
        with suppress(SourceError):
            if self.in_control:
                self._arv("arv_camera_stop_acquisition", camera)
        for held in (stream, camera):
            if held is not None:
                self._arv("g_object_unref", held)


def open_camera(name: str | None, timeout_s: float, stopped: Callable[[], bool]) -> Camera:
    """Open a camera, or give up after ``timeout_s`` or once ``stopped``. Raises SourceError.

    A camera that does not answer holds up whoever opens it for seconds, so a thread of its own does.
    """
    done: Future[Camera] = Future()

    def work() -> None:
        camera = problem = None
        try:
            camera = Camera(name)
        except BaseException as error:
            problem = error
        if not done.set_running_or_notify_cancel():  # nobody waits for it any more
            if camera is not None:
                camera.close()
        elif camera is not None:
            done.set_result(camera)
        else:
            done.set_exception(problem)

    Thread(target=work, name="aravis-open", daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return done.result(timeout=_POLL_S)
        except TimeoutError:
            if (stopped() or time.monotonic() > deadline) and done.cancel():
                raise SourceError(
                    "the run has ended" if stopped() else f"it has not answered for {timeout_s:g} s"
                ) from None

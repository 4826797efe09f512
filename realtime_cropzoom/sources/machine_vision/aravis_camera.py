"""Camera through Aravis: opens, configures and releases it without a long wait if the camera is gone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from ctypes import byref, c_double, c_int64
from threading import Thread
from typing import Any

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.machine_vision.aravis import library

_AUTO_OFF = 0
_POLL_S = 0.1
_RELEASE_WAIT_S = 0.25
"""Maximum time (s) to wait for the release of a camera, which continues in its thread."""


class AravisCamera:
    """An open Aravis camera. ``call("set_gain", 3.0)`` calls ``arv_camera_set_gain``."""

    def __init__(self, name: str | None) -> None:
        """Open a camera by its id, vendor and serial number, or address; None opens the first one.

        Raises:
            SourceError: if Aravis cannot open it.
        """
        self._arv = library()
        self._camera = self._arv("arv_camera_new", None if name is None else name.encode())
        self._stream: int | None = None
        parts = (self.call("get_model_name"), self.call("get_device_serial_number"))
        self.title = "-".join((part or b"").decode(errors="replace") for part in parts)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call the function ``arv_camera_<name>`` for this camera.

        Args:
            name: Name of the function without ``arv_camera_``.
            arguments: Its arguments after the camera.

        Raises:
            SourceError: if Aravis reports an error.
        """
        return self._arv(f"arv_camera_{name}", self._camera, *arguments)

    @property
    def in_control(self) -> bool:
        """Whether a network camera still answers. Always True for a USB camera: only reading it can tell."""
        if not self._arv("arv_camera_is_gv_device", self._camera):
            return True
        return bool(self._arv("arv_gv_device_is_controller", self._arv("arv_camera_get_device", self._camera)))

    def has(self, feature: str) -> bool:
        """Return whether a feature is available at present."""
        return bool(self.call("is_feature_available", feature.encode()))

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return minimum, maximum and step of an integer feature; None if the camera lacks it."""
        if not self.has(feature):
            return None
        least, most = c_int64(), c_int64()
        self.call("get_integer_bounds", feature.encode(), byref(least), byref(most))
        return least.value, most.value, self.call("get_integer_increment", feature.encode())

    def integer(self, feature: str) -> int:
        """Return the value of an integer feature. Raises SourceError if Aravis reports an error."""
        return int(self.call("get_integer", feature.encode()))

    def set_integer(self, feature: str, value: int) -> None:
        """Set an integer feature. Raises SourceError if Aravis reports an error."""
        self.call("set_integer", feature.encode(), value)

    def choice(self, feature: str) -> tuple[str, list[str]]:
        """Return the current entry of an enumeration and the entries available; none if the camera lacks it."""
        if not self.has(feature):
            return "", []
        current = self.call("get_string", feature.encode()) or b""
        function = "arv_camera_dup_available_enumerations_as_strings"
        return current.decode(errors="replace"), self._arv.strings(function, self._camera, feature.encode())

    def choose(self, feature: str, entry: str) -> None:
        """Set an enumeration to ``entry``, if the camera has it and another entry is set."""
        if self.has(feature) and self.call("get_string", feature.encode()) != entry.encode():
            self.call("set_string", feature.encode(), entry.encode())

    # Aravis knows by which features the cameras of each vendor set exposure, gain, rate and trigger.

    def set_exposure_us(self, exposure_us: float) -> float | None:
        """Fix the exposure time (µs) within its limits; return the one the camera reports, None if it has none."""
        return self._set_number("exposure_time", exposure_us)

    def set_gain(self, gain: float) -> tuple[float, str] | None:
        """Fix the gain within its limits; return the one the camera reports and its unit, None if it has none."""
        got = self._set_number("gain", gain)
        return None if got is None else (got, "dB")

    def set_rate(self, fps: float) -> bool:
        """Set the frames per second within their limits; return False if the camera has no setting for them."""
        if not self.call("is_frame_rate_available"):
            return False
        self.call("set_frame_rate", fps)
        return True

    def rate(self) -> float | None:
        """Return the frames per second to expect; None if the camera does not say."""
        return float(self.call("get_frame_rate")) or None if self.call("is_frame_rate_available") else None

    def trigger_off(self) -> None:
        """Let frames come without pulses."""
        with suppress(SourceError):  # a camera without triggers
            self.call("clear_triggers")

    def trigger_on(self, line: str) -> None:
        """Make each frame wait for a rising edge on ``line``. Raises SourceError if Aravis reports an error."""
        self.call("set_trigger", line.encode())

    def _set_number(self, what: str, value: float) -> float | None:
        """Switch off automatic control of ``exposure_time`` or ``gain`` and set it, clipped to its limits."""
        if not self.call(f"is_{what}_available"):
            return None
        if self.call(f"is_{what.removesuffix('_time')}_auto_available"):
            self.call(f"set_{what}_auto", _AUTO_OFF)
        least, most = c_double(), c_double()
        self.call(f"get_{what}_bounds", byref(least), byref(most))
        self.call(f"set_{what}", min(max(value, least.value), most.value))
        return float(self.call(f"get_{what}"))

    def create_stream(self, buffers: Callable[[int], int]) -> int:
        """Create a stream for frames. ``buffers`` returns the number of buffers for a frame size in bytes."""
        payload = self.call("get_payload")
        self._stream = self.call("create_stream", None, None)
        for _ in range(buffers(payload)):
            self._arv("arv_stream_push_buffer", self._stream, self._arv("arv_buffer_new_allocate", payload))
        return self._stream

    def close(self) -> None:
        """Stop and release the camera. It may be called twice.

        Aravis queries a lost camera for ten seconds before it gives up. A thread of its own does that, so
        that a camera that has come back meanwhile can be opened at once.
        """
        if self._camera is not None:
            releasing = Thread(target=self._release, name="cropzoom-aravis-release", daemon=True)
            releasing.start()
            releasing.join(_RELEASE_WAIT_S)
            self._stream = self._camera = None

    def _release(self) -> None:
        stream, camera = self._stream, self._camera
        with suppress(SourceError):
            if self.in_control:
                self._arv("arv_camera_stop_acquisition", camera)
        for held in (stream, camera):
            if held is not None:
                self._arv("g_object_unref", held)


def open_camera(name: str | None, timeout_s: float, stopped: Callable[[], bool]) -> AravisCamera:
    """Open a camera in a thread of its own, because a camera that does not answer blocks for seconds.

    Args:
        name: Id, vendor and serial number, or address; None for the first camera.
        timeout_s: Maximum time (s) to wait.
        stopped: Returns whether the run has ended; opening is given up then.

    Raises:
        SourceError: if the camera cannot be opened in time or the run has ended.
    """
    done: Future[AravisCamera] = Future()

    def work() -> None:
        camera = problem = None
        try:
            camera = AravisCamera(name)
        except BaseException as error:
            problem = error
        if not done.set_running_or_notify_cancel():  # the caller has given up
            if camera is not None:
                camera.close()
        elif camera is not None:
            done.set_result(camera)
        else:
            done.set_exception(problem)

    Thread(target=work, name="cropzoom-aravis-open", daemon=True).start()
    deadline = now_s() + timeout_s
    while True:
        try:
            return done.result(timeout=_POLL_S)
        except TimeoutError:
            if (stopped() or now_s() > deadline) and done.cancel():
                raise SourceError(
                    "the run has ended" if stopped() else f"it has not answered for {timeout_s:g} s"
                ) from None

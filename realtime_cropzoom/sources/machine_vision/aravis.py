"""Aravis' C interface, as far as a camera source needs it, called through ctypes.

``gi.repository`` is not used: those bindings belong to the system's own Python, are compiled for its
version, and must be built to be used in a virtual environment. The C library is one system package, its
interface is stable within 0.8, and ctypes lets other threads run while it waits.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any

import numpy as np

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.types import UInt8

logger = logging.getLogger(__name__)

INSTALL = "GenICam cameras need the system library Aravis 0.8: apt install libaravis-0.8-0 (macOS: brew install aravis)"
_LIBRARIES = ("libaravis-0.8.so.0", "libaravis-0.8.0.dylib", "/opt/homebrew/lib/libaravis-0.8.0.dylib")

_PLAIN = {
    "access-denied": "another program controls it",
    "busy": "another program uses it",
    "permission": "no permission",
    "timeout": "it does not answer in time; check its cable and its power supply",
    "timed out": "it does not answer in time; check its cable and its power supply",
    "can't connect": "nothing answers at that address",
    "no such device": "it is no longer connected; check its cable and its power supply",
}
"""{part of an Aravis error text: its meaning in plain words}."""

_UINT_OUT, _DOUBLE_OUT, _INT64_OUT = POINTER(c_uint), POINTER(c_double), POINTER(c_int64)

_MAY_FAIL: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_camera_new": (c_void_p, (c_char_p,)),
    "arv_camera_get_vendor_name": (c_char_p, (c_void_p,)),
    "arv_camera_get_model_name": (c_char_p, (c_void_p,)),
    "arv_camera_get_device_serial_number": (c_char_p, (c_void_p,)),
    "arv_camera_is_feature_available": (c_int, (c_void_p, c_char_p)),
    "arv_camera_get_integer": (c_int64, (c_void_p, c_char_p)),
    "arv_camera_set_integer": (None, (c_void_p, c_char_p, c_int64)),
    "arv_camera_get_integer_bounds": (None, (c_void_p, c_char_p, _INT64_OUT, _INT64_OUT)),
    "arv_camera_get_integer_increment": (c_int64, (c_void_p, c_char_p)),
    "arv_camera_get_string": (c_char_p, (c_void_p, c_char_p)),
    "arv_camera_set_string": (None, (c_void_p, c_char_p, c_char_p)),
    "arv_camera_dup_available_enumerations_as_strings": (c_void_p, (c_void_p, c_char_p, _UINT_OUT)),
    "arv_camera_is_exposure_time_available": (c_int, (c_void_p,)),
    "arv_camera_is_exposure_auto_available": (c_int, (c_void_p,)),
    "arv_camera_set_exposure_time_auto": (None, (c_void_p, c_int)),
    "arv_camera_set_exposure_time": (None, (c_void_p, c_double)),
    "arv_camera_get_exposure_time": (c_double, (c_void_p,)),
    "arv_camera_get_exposure_time_bounds": (None, (c_void_p, _DOUBLE_OUT, _DOUBLE_OUT)),
    "arv_camera_is_gain_available": (c_int, (c_void_p,)),
    "arv_camera_is_gain_auto_available": (c_int, (c_void_p,)),
    "arv_camera_set_gain_auto": (None, (c_void_p, c_int)),
    "arv_camera_set_gain": (None, (c_void_p, c_double)),
    "arv_camera_get_gain": (c_double, (c_void_p,)),
    "arv_camera_get_gain_bounds": (None, (c_void_p, _DOUBLE_OUT, _DOUBLE_OUT)),
    "arv_camera_is_frame_rate_available": (c_int, (c_void_p,)),
    "arv_camera_set_frame_rate": (None, (c_void_p, c_double)),
    "arv_camera_get_frame_rate": (c_double, (c_void_p,)),
    "arv_camera_set_trigger": (None, (c_void_p, c_char_p)),
    "arv_camera_clear_triggers": (None, (c_void_p,)),
    "arv_camera_get_payload": (c_uint, (c_void_p,)),
    "arv_camera_create_stream": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "arv_camera_start_acquisition": (None, (c_void_p,)),
    "arv_camera_stop_acquisition": (None, (c_void_p,)),
    "arv_camera_execute_command": (None, (c_void_p, c_char_p)),
}
"""{function: (result type, argument types)} of the functions that take a ``GError **`` as an additional argument."""

_CANNOT_FAIL: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_update_device_list": (None, ()),
    "arv_get_n_devices": (c_uint, ()),
    **{
        f"arv_get_device_{k}": (c_char_p, (c_uint,))
        for k in ("id", "vendor", "model", "serial_nbr", "address", "protocol")
    },
    "arv_camera_get_device": (c_void_p, (c_void_p,)),
    "arv_camera_is_gv_device": (c_int, (c_void_p,)),
    "arv_gv_device_is_controller": (c_int, (c_void_p,)),
    "arv_buffer_new_allocate": (c_void_p, (c_size_t,)),
    "arv_buffer_get_status": (c_int, (c_void_p,)),
    "arv_buffer_get_data": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "arv_buffer_get_frame_id": (c_uint64, (c_void_p,)),
    "arv_buffer_get_timestamp": (c_uint64, (c_void_p,)),
    "arv_buffer_get_image_width": (c_int, (c_void_p,)),
    "arv_buffer_get_image_height": (c_int, (c_void_p,)),
    "arv_stream_push_buffer": (None, (c_void_p, c_void_p)),
    "arv_stream_timeout_pop_buffer": (c_void_p, (c_void_p, c_uint64)),
    "g_object_unref": (None, (c_void_p,)),
    "g_error_free": (None, (c_void_p,)),
    "g_free": (None, (c_void_p,)),
}


class _Error(ctypes.Structure):
    """GError."""

    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


class AravisLibrary:
    """Calls functions of Aravis by their name."""

    def __init__(self) -> None:
        self._c = _load()
        for name, (result, arguments) in _MAY_FAIL.items():
            self._declare(name, result, (*arguments, POINTER(POINTER(_Error))))
        for name, (result, arguments) in _CANNOT_FAIL.items():
            self._declare(name, result, arguments)

    def _declare(self, name: str, result: Any, arguments: tuple[Any, ...]) -> None:
        try:
            function = getattr(self._c, name)
        except AttributeError as error:
            raise SourceError(f"this Aravis has no {name}; expected version 0.8.8 or newer") from error
        function.restype, function.argtypes = result, arguments

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Call a function.

        Args:
            name: Name of the C function.
            arguments: Its arguments, without the ``GError **``.

        Returns:
            The result of the C function.

        Raises:
            SourceError: if Aravis reports an error; it holds the text of Aravis or its meaning.
        """
        if name in _CANNOT_FAIL:
            return getattr(self._c, name)(*arguments)
        error = POINTER(_Error)()
        result = getattr(self._c, name)(*arguments, byref(error))
        if error:
            message = error.contents.message or b"an unknown error"
            self._c.g_error_free(error)
            raise SourceError(explain_message(" ".join(message.decode(errors="replace").split())))
        return result

    def strings(self, name: str, *arguments: Any) -> list[str]:
        """Call a function that returns an array of names. The caller owns only the array, which is freed here."""
        count = c_uint(0)
        array = self(name, *arguments, byref(count))
        if not array:
            return []
        names = ctypes.cast(array, POINTER(c_char_p))[: count.value]
        self("g_free", array)
        return [each.decode(errors="replace") for each in names if each is not None]


@cache
def library() -> AravisLibrary:
    """Load Aravis once.

    Raises:
        SourceError: if the library is missing or too old; it says what to install.
    """
    return AravisLibrary()


def _load() -> ctypes.CDLL:
    for name in (*_LIBRARIES, ctypes.util.find_library("aravis-0.8")):
        try:
            if name is not None:
                return ctypes.CDLL(name)
        except OSError:
            continue
    raise SourceError(INSTALL)


def devices() -> Iterator[dict[str, str]]:
    """Search for cameras, for about a second, and yield the id, vendor, model, serial number and address of each."""
    arv = library()
    arv("arv_update_device_list")
    for index in range(arv("arv_get_n_devices")):
        about = {
            k: arv(f"arv_get_device_{k}", index) for k in ("id", "vendor", "model", "serial_nbr", "address", "protocol")
        }
        yield {key: (value or b"").decode(errors="replace") for key, value in about.items()}


def buffer_data(arv: AravisLibrary, buffer: int) -> UInt8:
    """Return the bytes of a buffer as a flat uint8 array without a copy, valid until the buffer is pushed back."""
    size = c_size_t(0)
    address = arv("arv_buffer_get_data", buffer, byref(size))
    if not address or not size.value:
        return np.empty(0, np.uint8)
    return np.ctypeslib.as_array(ctypes.cast(address, POINTER(ctypes.c_uint8)), (size.value,))


def explain_message(text: str) -> str:
    """Return an Aravis error in plain words; an unknown one unchanged, as it may name a feature."""
    logger.debug("Aravis: %s", text)
    return next((plain for part, plain in _PLAIN.items() if part in text.lower()), text)

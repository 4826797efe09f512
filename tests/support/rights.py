"""Calls without the rights of root, who may read and write everything."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

Result = TypeVar("Result")
_VERSION = 0x20080522
"""Version 3 of the sets of capabilities of Linux."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "allowed", "inherited"))


def without_rights(call: Callable[[], Result]) -> Result:
    """Call a function as a user whom the modes of files bind, and return its result.

    On Linux a thread of root may give up its rights, which the threads that it starts then lack, too.
    """
    if os.geteuid() != 0:
        return call()
    if sys.platform != "linux":
        pytest.skip("rights are taken from root as Linux does it")
    done: list[Result | BaseException] = []

    def work() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.capset(ctypes.byref(_Header(_VERSION, 0)), (_Sets * 2)()) == 0, os.strerror(ctypes.get_errno())
        try:
            done.append(call())
        except BaseException as error:
            done.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (result,) = done
    if isinstance(result, BaseException):
        raise result
    return result

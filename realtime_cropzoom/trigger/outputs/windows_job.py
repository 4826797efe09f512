"""Job object of Windows: processes that end together, and at the latest with the program that has started them.

It is what process groups and the guardian are on POSIX systems. A process that is assigned to the job, and all that it
starts, end when the job is ended, or when its handle is closed, which Windows does for a program that was killed.
"""

from __future__ import annotations

import ctypes
import subprocess
from ctypes import wintypes
from typing import Any

_EXTENDED_LIMITS = 9
"""JobObjectExtendedLimitInformation."""
_KILL_ON_JOB_CLOSE = 0x2000


class _BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = [
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    ]


class _ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = [
        ("BasicLimitInformation", _BasicLimits),
        ("IoInfo", ctypes.c_ulonglong * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    ]


class Job:
    """A job object. Its processes end with ``end``, with ``close``, and with this program."""

    def __init__(self, kernel: Any = None) -> None:
        """Create it without processes.

        Args:
            kernel: Windows' kernel32; None loads it.

        Raises:
            OSError: if Windows refuses.
        """
        self._kernel = _kernel32() if kernel is None else kernel
        self._handle = self._kernel.CreateJobObjectW(None, None)
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
        done = self._handle and self._kernel.SetInformationJobObject(
            self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
        )
        if not done:
            raise OSError(None, "Windows makes no job object")

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Add a process. If Windows refuses, end it, and raise OSError."""
        if not self._kernel.AssignProcessToJobObject(self._handle, int(process._handle)):  # type: ignore[attr-defined]
            process.kill()
            process.wait()
            raise OSError(None, "Windows does not add the process to a job object")

    def end(self) -> None:
        """End all its processes at once."""
        self._kernel.TerminateJobObject(self._handle, 1)

    def close(self) -> None:
        """Release it, which ends its processes."""
        self._kernel.CloseHandle(self._handle)


def _kernel32() -> Any:
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.CreateJobObjectW.restype = wintypes.HANDLE
    kernel.CreateJobObjectW.argtypes = [ctypes.c_void_p, wintypes.LPCWSTR]
    kernel.SetInformationJobObject.argtypes = [wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD]
    kernel.AssignProcessToJobObject.argtypes = [wintypes.HANDLE, wintypes.HANDLE]
    kernel.TerminateJobObject.argtypes = [wintypes.HANDLE, wintypes.UINT]
    kernel.CloseHandle.argtypes = [wintypes.HANDLE]
    return kernel

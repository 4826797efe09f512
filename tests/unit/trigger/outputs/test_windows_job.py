"""The job object of Windows: what it is asked, with a stand-in for Windows. It has never run on Windows itself."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

import pytest

from realtime_cropzoom.trigger.outputs.windows_job import Job, _ExtendedLimits

HANDLE = 44


class Kernel:
    """kernel32 of Windows, with the processes of its job."""

    def __init__(self, *, refuses: str = "") -> None:
        self.calls: list[str] = []
        self.limit_flags = 0
        self._refuses = refuses

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == "SetInformationJobObject":
                handle, kind, limits, size = arguments
                assert (handle, kind, size) == (HANDLE, 9, ctypes.sizeof(_ExtendedLimits))
                self.limit_flags = limits._obj.BasicLimitInformation.LimitFlags
            return 0 if name == self._refuses else HANDLE

        return call


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="sizes of 64 bits")
def test_the_limits_have_the_size_that_windows_expects() -> None:
    assert ctypes.sizeof(_ExtendedLimits) == 144


def test_its_processes_end_with_the_program() -> None:
    kernel = Kernel()
    job = Job(kernel)
    assert kernel.limit_flags == 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    job.end()
    job.close()
    assert kernel.calls[2:] == ["TerminateJobObject", "CloseHandle"]


@pytest.mark.parametrize("call", ["CreateJobObjectW", "SetInformationJobObject"])
def test_a_job_that_windows_refuses_is_an_error(call: str) -> None:
    with pytest.raises(OSError, match="Windows makes no job object"):
        Job(Kernel(refuses=call))


def test_a_process_that_cannot_be_ended_later_is_ended_at_once() -> None:
    process: Any = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process._handle = 7
    with pytest.raises(OSError, match="does not add the process"):
        Job(Kernel(refuses="AssignProcessToJobObject")).add(process)
    assert process.returncode is not None

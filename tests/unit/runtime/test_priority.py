"""Priority: raised where it is allowed, else a line that says what to do; lowered for threads that can wait."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from realtime_cropzoom.runtime.priority import PRIORITY, lower_priority, missing_permission, raise_priority

WITHOUT_PERMISSION = """
import os, resource, threading
from realtime_cropzoom.runtime.priority import missing_permission, raise_priority
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
if os.getuid() == 0:
    os.setuid(65534)
raise_priority()
print(os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER, missing_permission())
"""


@pytest.mark.skipif(missing_permission() is not None, reason="this user may not use real-time priority")
def test_only_the_calling_thread_gets_it() -> None:
    seen: list[tuple[int, int]] = []

    def look() -> None:
        raise_priority()
        thread = threading.get_native_id()
        seen.append((os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(os.SCHED_FIFO, PRIORITY)]
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER


def test_without_permission_nothing_changes_and_the_reason_says_what_to_do() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PERMISSION], capture_output=True, text=True, check=True)
    unchanged, reason = done.stdout.split(" ", 1)
    assert unchanged == "True"
    assert "this user may not use it" in reason
    assert "/etc/security/limits.d/" in reason


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have the priority of their process")
def test_a_lowered_thread_hands_its_priority_to_the_threads_that_it_starts_alone() -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before, seen = nice(), []

    def look() -> None:
        lower_priority()
        lower_priority()
        seen.append(nice())
        child = threading.Thread(target=lambda: seen.append(nice()))
        child.start()
        child.join()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [max(10, before)] * 2
    assert nice() == before

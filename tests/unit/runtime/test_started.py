"""Start handshake: the wait ends with the report, an error, a stop, or the time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from realtime_cropzoom.errors import SinkError, SourceError
from realtime_cropzoom.runtime.started import Started


def in_a_thread(started: Started, work: Callable[[], None]) -> None:
    def run() -> None:
        with started.reporting():
            work()

    threading.Thread(target=run).start()


def fail() -> None:
    raise OSError("no device")


def test_the_wait_ends_when_the_thread_is_ready() -> None:
    started = Started()
    in_a_thread(started, started.ready)
    started.wait("it")


@pytest.mark.parametrize(
    ("work", "error", "says"), [(fail, OSError, "no device"), (lambda: None, SinkError, "ended before it was ready")]
)
def test_a_thread_that_ends_without_a_report_ends_the_wait(
    work: Callable[[], None], error: type[Exception], says: str
) -> None:
    started = Started()
    in_a_thread(started, work)
    with pytest.raises(error, match=says):
        started.wait("it")


def test_the_wait_has_a_limit_and_can_be_stopped() -> None:
    with pytest.raises(SinkError, match=r"the camera was not ready within 0 s"):
        Started().wait("the camera", 0)
    with pytest.raises(SinkError, match="stopped before the camera was ready"):
        Started().wait("the camera", stopped=lambda: True)


def test_an_error_after_the_report_is_no_error_of_the_start() -> None:
    started = Started()

    def work() -> None:
        with started.reporting():
            started.ready()
            fail()

    with pytest.raises(OSError, match="no device"):
        work()
    started.wait("it")


def test_the_error_of_a_start_that_takes_too_long_has_the_given_class_and_advice() -> None:
    with pytest.raises(SourceError, match=r"the source was not ready within 0 s; is the camera plugged in\?"):
        Started(SourceError, "is the camera plugged in?").wait("the source", 0)

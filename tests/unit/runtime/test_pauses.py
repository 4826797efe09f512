"""Pauses: a detection waits for the beginning of one, and never for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable

from support.pipelines import LONG_S, wait_for

from realtime_cropzoom.runtime.pauses import Pauses


def test_without_a_pause_the_wait_ends() -> None:
    pauses = Pauses()
    pauses.begin()  # an earlier one does not count: it may be nearly over
    assert not pauses.wait_for_next(0.01)


def wait_in_thread(pauses: Pauses, then: Callable[[], None]) -> list[bool]:
    begun: list[bool] = []
    waiter = threading.Thread(target=lambda: begun.append(pauses.wait_for_next(LONG_S)))
    waiter.start()
    wait_for(lambda: pauses._changed._waiters, "the thread to wait")  # type: ignore[attr-defined]
    then()
    waiter.join(LONG_S)
    return begun


def test_the_next_pause_ends_the_wait() -> None:
    pauses = Pauses()
    assert wait_in_thread(pauses, pauses.begin) == [True]


def test_the_end_is_a_pause_without_an_end() -> None:
    pauses = Pauses()
    assert wait_in_thread(pauses, pauses.close) == [True]
    assert pauses.wait_for_next(0.01)

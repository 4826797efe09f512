"""The thread of an output: what it writes, reports and logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.serial_boards import wait_for

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType
from realtime_cropzoom.trigger.outputs.base import Job, Output, WriteResult
from realtime_cropzoom.trigger.outputs.runner import OutputThread

Caplog = pytest.LogCaptureFixture


class Lamp(Output):
    """An output whose off fails for a while, and the levels it had."""

    holds_level, supports_pulse = True, False

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[ActionType] = []
        self.broken = False

    def open(self) -> None:
        pass

    def perform(self, job: Job) -> WriteResult:
        self.acts.append(job.act)
        return WriteResult(now_ns(), None, "broken" if self.broken else None)

    def close(self) -> None:
        pass


@pytest.fixture
def lamp() -> Iterator[tuple[Lamp, OutputThread, list[ActionResult]]]:
    done: list[ActionResult] = []
    lamp = Lamp()
    thread = OutputThread("lamp", lamp, done.append, late_after_ms=20_000)
    thread.start()
    thread.wait_open()
    yield lamp, thread, done
    assert thread.close()
    assert lamp.acts[-1] is ActionType.SAFE


def job(act: ActionType, ms: float = 0.0, rule: str = "a") -> Job:
    return Job(Action("lamp", act, ms), now_ns(), 1, 2, rule=rule)


def test_pulses_that_overlap_end_with_the_later_one(lamp: Any) -> None:
    output, thread, done = lamp
    for ms in (5, 60, 5):
        thread.submit(job(ActionType.PULSE, ms))
    wait_for(lambda: len(done) == 4)
    assert output.acts == [ActionType.ON, ActionType.ON, ActionType.ON, ActionType.OFF]
    assert done[3].written_ns - done[1].written_ns >= 60_000_000


def test_an_off_does_not_end_a_pulse(lamp: Any) -> None:
    output, thread, done = lamp
    thread.submit(job(ActionType.ON))
    thread.submit(job(ActionType.PULSE, 400, "b"))
    thread.submit(job(ActionType.OFF))
    wait_for(lambda: len(done) == 4)
    assert output.acts == [ActionType.ON, ActionType.ON, ActionType.OFF]
    assert [row.error for row in done] == [None, None, "on until its pulse ends", None]


def test_an_off_after_an_off_that_failed_is_sent(lamp: Any) -> None:
    output, thread, done = lamp
    output.broken = True
    thread.submit(job(ActionType.OFF))
    wait_for(lambda: len(done) == 1)
    output.broken = False
    thread.submit(job(ActionType.OFF))
    wait_for(lambda: len(done) >= 2)
    assert done[1].error is None
    assert done[1].written_ns is not None


def test_repeated_errors_are_logged_once_and_their_end(lamp: Any, caplog: Caplog) -> None:
    output, thread, done = lamp
    output.broken = True
    for _ in range(5):
        thread.submit(job(ActionType.ON))
    wait_for(lambda: len(done) == 5)
    output.broken = False
    thread.submit(job(ActionType.ON))
    wait_for(lambda: len(done) == 6)
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["output lamp: broken", "output lamp works again, after 5 errors"]
    assert thread.errors == 5


def test_a_late_job_does_not_count_as_a_broken_output(lamp: Any, caplog: Caplog) -> None:
    _, thread, done = lamp
    for _ in range(3):
        thread.submit(replace(job(ActionType.ON), fresh_until_ns=now_ns() - 1))
    wait_for(lambda: len(done) == 3)
    thread.submit(job(ActionType.ON))
    wait_for(lambda: len(done) == 4)
    (said,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.startswith("output lamp: late: its pose became too old")
    assert thread.errors == 3


def test_a_closed_output_takes_no_more(lamp: Any) -> None:
    output, thread, done = lamp
    assert thread.close()
    thread.submit(job(ActionType.PULSE, 10))
    assert done[-1].error == "the output is closed"
    assert output.acts == [ActionType.SAFE]

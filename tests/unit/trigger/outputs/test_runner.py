"""The thread of an output: what it writes, reports and logs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.serial_boards import wait_for

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.trigger.engine.events import Action, ActionResult, ActionType
from realtime_cropzoom.trigger.outputs.base import Job, Output, WouldWait, WriteResult
from realtime_cropzoom.trigger.outputs.output_state import Phase
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


class Board(Output):
    """Writes at once, and answers when the test says so."""

    holds_level = writes_at_once = True

    def __init__(self, *, answers: bool) -> None:
        super().__init__()
        self.answers, self.is_full, self.is_deaf = answers, False, False
        self.answered = threading.Event()
        self.writes: list[tuple[ActionType, str]] = []
        """Each job, with the thread that wrote it."""

    def open(self) -> None:
        pass

    def perform(self, job: Job) -> WriteResult:
        self.is_full = False
        return self.answer(self.write(job))

    def write(self, job: Job) -> WriteResult:
        if self.is_full:
            raise WouldWait
        self.writes.append((job.act, threading.current_thread().name))
        return WriteResult(now_ns())

    def answer(self, written: WriteResult) -> WriteResult:
        while self.is_deaf or (self.answers and not self.answered.wait(0.001)):
            if self.is_deaf or self.preempted():
                return written._replace(error="no answer")
        return written._replace(acknowledged_ns=now_ns())

    def close(self) -> None:
        pass


@pytest.fixture(params=[True, False], ids=["answers", "does not answer"])
def board(request: pytest.FixtureRequest) -> Iterator[tuple[Board, OutputThread, list[ActionResult]]]:
    done: list[ActionResult] = []
    board = Board(answers=request.param)
    thread = OutputThread("lamp", board, done.append, late_after_ms=20_000)
    thread.start()
    thread.wait_open()
    wait_for(lambda: not thread._turn.locked(), "the thread to wait for jobs")
    yield board, thread, done
    assert thread.close()
    assert board.writes[-1][0] is ActionType.SAFE


HERE = threading.main_thread().name
THERE = "cropzoom-output-lamp"


def test_an_output_that_writes_at_once_is_written_by_the_rule_loop(board: Any) -> None:
    output, thread, done = board
    assert thread.submit(job(ActionType.ON), settles=True)
    assert output.writes == [(ActionType.ON, HERE)]
    output.answered.set()
    thread.settle()
    wait_for(lambda: done)
    assert (done[0].error, done[0].written_ns is not None) == (None, True)


def test_a_job_behind_one_that_is_not_answered_waits_in_the_queue(board: Any) -> None:
    output, thread, done = board
    assert thread.submit(job(ActionType.ON, rule="a"), settles=True)
    assert thread.submit(job(ActionType.OFF, rule="b"), settles=True) is False, "a still holds"
    assert output.writes == [(ActionType.ON, HERE)]
    output.answered.set()
    thread.settle()
    wait_for(lambda: len(done) == 2)
    assert [row.error for row in done] == [None, "still on for a"]


def test_jobs_of_one_pose_do_not_wait_for_each_others_answers(board: Any) -> None:
    output, thread, done = board
    assert thread.submit(job(ActionType.ON, rule="a"), settles=True)
    assert thread.submit(job(ActionType.ON, rule="b"), settles=True)
    assert output.writes == [(ActionType.ON, HERE)] * 2
    output.answered.set()
    thread.settle()
    wait_for(lambda: len(done) == 2)
    assert [row.error for row in done] == [None, None]
    assert thread.phase is Phase.HOLDING


@pytest.mark.parametrize("board", [True], indirect=True)
def test_an_off_that_is_not_answered_is_tried_again(board: Any) -> None:
    output, thread, done = board
    output.answered.set()
    thread.submit(job(ActionType.ON))
    wait_for(lambda: done)
    output.is_deaf = True
    assert thread.submit(job(ActionType.OFF))
    wait_for(lambda: len(done) == 2)
    assert (done[1].action.act, done[1].error) == (ActionType.OFF, "no answer")
    output.is_deaf = False
    wait_for(lambda: len(done) == 3)
    assert (done[2].action.act, done[2].error) == (ActionType.OFF, None)


@pytest.mark.parametrize("board", [True], indirect=True)
def test_an_on_that_the_board_refuses_is_no_hold(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    output, thread, done = board

    def refuse(written: WriteResult) -> WriteResult:
        return written._replace(acknowledged_ns=now_ns(), error="refused: no watchdog")

    output.answered.set()
    monkeypatch.setattr(output, "answer", refuse)
    thread.submit(job(ActionType.ON))
    wait_for(lambda: done)
    monkeypatch.undo()
    assert (done[0].ended, done[0].error) == ((1,), "refused: no watchdog")


def test_what_would_have_to_wait_is_written_by_the_thread(board: Any) -> None:
    output, thread, done = board
    output.answered.set()
    output.is_full = True
    assert thread.submit(job(ActionType.ON)) is False
    wait_for(lambda: done)
    assert output.writes == [(ActionType.ON, THERE)]


def test_a_safe_overtakes_an_answer_that_does_not_come(board: Any) -> None:
    output, thread, done = board
    assert thread.submit(job(ActionType.ON))
    thread.submit(job(ActionType.SAFE))
    wait_for(lambda: output.writes[-1][0] is ActionType.SAFE, "the safe")
    output.answered.set()
    wait_for(lambda: len(done) == 2)
    assert [row.action.act for row in done] == [ActionType.ON, ActionType.SAFE]

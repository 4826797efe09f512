"""Workers: the first error of a run counts, restarts are limited, and a thread announces its end in any case."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from realtime_cropzoom.errors import CropzoomError, SourceError, StageError
from realtime_cropzoom.runtime.worker import RestartBudget, RunControl, Stage

SECOND_NS = 10**9


def no_work(_: int) -> None:
    pass


class Worker(Stage):
    """A stage that calls ``work_of`` with the number of the attempt."""

    def __init__(self, control: RunControl, work_of: Callable[[int], None], *, restart: bool = False) -> None:
        super().__init__("test", control, restart=restart)
        self.attempts, self.recovered, self.finished = 0, 0, 0
        self._work_of = work_of

    def work(self) -> None:
        self.attempts += 1
        self._work_of(self.attempts)

    def recover(self) -> None:
        self.recovered += 1

    def finish(self) -> None:
        self.finished += 1


def fail(kind: type[Exception], attempts: int = 10**6) -> Callable[[int], None]:
    def work(attempt: int) -> None:
        if attempt <= attempts:
            raise kind("two\nlines")

    return work


def run(worker: Worker) -> Worker:
    worker.start()
    worker.join()
    return worker


def test_the_first_error_of_a_run_is_kept() -> None:
    control = RunControl()
    first = SourceError("no camera")
    control.keep("capture", first)
    assert not control.stop.is_set()
    control.fail("pose", SourceError("a consequence"))
    assert control.error is first
    assert control.stop.is_set()


def test_an_error_of_another_kind_becomes_a_stage_error_in_one_line() -> None:
    control = RunControl()
    control.fail("pose", RuntimeError("two\nlines"))
    assert isinstance(control.error, StageError)
    assert str(control.error) == "the pose stage failed: RuntimeError: two lines"
    assert isinstance(control.error.__cause__, RuntimeError)


def test_a_sleep_ends_when_the_run_stops() -> None:
    control = RunControl()
    control.stop.set()
    control.sleep_until(2**62)


def test_a_stage_that_ends_announces_it_once() -> None:
    control = RunControl()
    worker = run(Worker(control, no_work))
    assert (worker.attempts, worker.finished) == (1, 1)
    assert control.error is None


@pytest.mark.parametrize("kind", [RuntimeError, SourceError])
def test_a_stage_that_fails_ends_the_run_and_announces_its_end(kind: type[Exception]) -> None:
    control = RunControl()
    worker = run(Worker(control, fail(kind)))
    assert (worker.attempts, worker.finished) == (1, 1)
    assert isinstance(control.error, CropzoomError)
    assert control.stop.is_set()


def test_a_stage_that_may_restart_works_again_after_an_error() -> None:
    control = RunControl()
    worker = run(Worker(control, fail(RuntimeError, attempts=2), restart=True))
    assert (worker.attempts, worker.recovered, worker.finished) == (3, 2, 1)
    assert (worker.restarts.count, worker.last_failure) == (2, "RuntimeError: two lines")
    assert control.error is None


def test_a_stage_that_fails_again_and_again_ends_the_run() -> None:
    control = RunControl()
    worker = run(Worker(control, fail(RuntimeError), restart=True))
    assert worker.attempts == 4
    assert isinstance(control.error, StageError)


def test_an_error_raised_on_purpose_would_come_again_so_it_ends_the_run() -> None:
    control = RunControl()
    worker = run(Worker(control, fail(SourceError), restart=True))
    assert worker.attempts == 1
    assert isinstance(control.error, SourceError)


def test_restarts_are_limited_per_minute() -> None:
    budget = RestartBudget(3)
    granted = [budget.grant(second * SECOND_NS) for second in (0, 1, 2, 3, 59, 60, 61, 62, 63)]
    assert granted == [True, True, True, False, False, True, True, True, False]
    assert budget.count == 6
    assert not RestartBudget(0).grant(0)

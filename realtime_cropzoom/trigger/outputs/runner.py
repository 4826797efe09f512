"""Thread of one output: executes what ``OutputState`` decides, and reports each job.

The rule loop never waits: ``submit`` puts a job into the queue of the state and returns. If the output writes at once
and its thread has nothing to do, ``submit`` writes itself, so that no thread must wake up before; the thread then waits
for the answer. The thread opens the output, writes all else, and ends at the safe level.
Every decision (which job is next, when a pulse ends, what is too late) is made by ``output_state``.
Rules run in another module, ``engine.rule_runner``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SinkError, pluralize
from realtime_cropzoom.trigger.engine.events import ActionResult, Outcome
from realtime_cropzoom.trigger.outputs.base import (
    BEATS_PER_WATCHDOG,
    Job,
    Output,
    ReceiverGone,
    TooLate,
    WouldWait,
    WriteResult,
)
from realtime_cropzoom.trigger.outputs.output_state import (
    LOOP_SILENT_NS,
    Beat,
    OutputState,
    OutputTiming,
    Phase,
    Report,
    Wait,
    Write,
)

_OPENING_POLL_S = 0.05
_HANGS_AFTER_NS = 1_000_000_000
"""Time (ns) for one step after which an output is said to hang."""
_NOT_WRONG = frozenset({Outcome.DONE, Outcome.OVERTAKEN, Outcome.STILL_ON, Outcome.DRY_RUN, Outcome.SILENT})

_Step = Write | Report | Beat

logger = logging.getLogger(__name__)


class OutputThread(threading.Thread):
    """Runs one output. One lock guards the state; the output itself belongs to the thread alone."""

    def __init__(
        self,
        name: str,
        output: Output,
        report: Callable[[ActionResult], None],
        *,
        late_after_ms: float = 100.0,
        loop_seen_ns: Callable[[], int] | None = None,
        silent_after_ns: int = LOOP_SILENT_NS,
        now: Callable[[], int] = now_ns,
    ) -> None:
        """Prepare the thread; ``start`` it to open the output.

        Args:
            name: Name of the output in the rules file.
            output: The output, not open yet.
            report: Function called for each job, in this thread or in the one that submits. It must not block.
            late_after_ms: Maximum time (ms) that a pulse or an on may wait.
            loop_seen_ns: Function that returns the last sign of life of the rule loop (ns); None: always now.
            silent_after_ns: Time (ns) without a sign of life after which a held output goes to its safe level.
            now: Clock (ns).
        """
        super().__init__(name=f"cropzoom-output-{name}", daemon=True)
        self.output_name = name
        self._output, self._report, self._now = output, report, now
        self._loop_seen_ns = loop_seen_ns or now
        beat_every_ns = None if output.beat_every_s is None else round(output.beat_every_s * 1e9)
        late_after_ns = round(late_after_ms * 1e6)
        timing = OutputTiming(output.holds_level, output.supports_pulse, late_after_ns, silent_after_ns, beat_every_ns)
        self._state = OutputState(name, timing)
        self._failures = _Failures(name)
        self._lock, self._wake = threading.Lock(), _Wake()
        self._turn = threading.Lock()
        """Held by whoever uses the output."""
        self._turn.acquire()  # until the thread has opened it
        self._begun: _Step | None = None
        """A step that ``submit`` has taken and the thread must do."""
        self._written: deque[_Written] = deque()
        """What ``submit`` has written, and the thread must report."""
        self._opened = threading.Event()
        self._open_error: Exception | None = None
        output.preempted = lambda: self._state.preempted
        output.check = self._check
        output.lost = self._lose
        self._busy_since_ns: int | None = None
        """Begin (ns) of the step that runs; None while it waits."""
        self._said_busy_ns: int | None = None
        """The same of the last step that was said to hang."""
        self._beats_failed = 0
        """Number of heartbeats in a row that the receiver has not answered."""

    @property
    def errors(self) -> int:
        """Number of jobs that failed or were too late."""
        return self._failures.count

    @property
    def phase(self) -> Phase:
        """What the output does."""
        with self._lock:
            return self._state.phase

    @property
    def level(self) -> str | None:
        """On, off or unknown; None if only the receiver knows."""
        return self._state.level(self._now())

    @property
    def failure(self) -> str | None:
        """The last error, until a job works again; None if there is none."""
        return self._failures.last

    @property
    def holds_level(self) -> bool:
        """Whether the output holds a level."""
        return self._output.holds_level

    def wait_open(self, timeout_s: float = 10.0, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the output is ready.

        Args:
            timeout_s: Maximum time (s) to wait.
            given_up: Function that returns True to stop waiting.

        Returns:
            False if ``given_up`` came first.

        Raises:
            SinkError: if the output cannot be opened, or not in time.
        """
        deadline_ns = now_ns() + round(timeout_s * 1e9)
        while not self._opened.wait(_OPENING_POLL_S):
            if given_up():
                return False
            if now_ns() >= deadline_ns:
                raise SinkError(f"output {self.output_name} was not ready within {timeout_s:g} s")
        if self._open_error is not None:
            raise SinkError(f"output {self.output_name}: {self._open_error}") from self._open_error
        return True

    def submit(self, job: Job, *, settles: bool = False) -> bool:
        """Put a job into the queue, and write it if that needs no waiting; returns at once.

        Args:
            job: The job.
            settles: Whether the caller calls ``settle`` soon. If the job was written, its thread sleeps until then.

        Returns:
            Whether a job was written.
        """
        with self._lock:
            dropped = self._state.submit(job)
        written = self._output.writes_at_once and self._write_here()
        if not (written and settles):
            self._wake.set()
        if dropped:
            self._report_all(dropped)
        return written

    def settle(self) -> None:
        """Let the thread finish what ``submit`` has written."""
        if self._written or self._begun is not None:
            self._wake.set()

    def _write_here(self) -> bool:
        """Write the next job in the calling thread, unless the output is in use or the job needs waiting."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            if self._begun is not None:
                return False
            with self._lock:
                step = self._state.next(self._now(), self._loop_seen_ns())
            if step is None or isinstance(step, Wait):
                return False
            result = None
            if isinstance(step, Write) and not step.quiet:
                result = self._perform(self._output.write, step.request)
            if not isinstance(step, Write) or result is None:
                self._begun = step
                return False
            with self._lock:
                reports = self._state.written(step, result, self._now())
            self._written.append(_Written(step.request, result, reports))
            return True
        finally:
            self._turn.release()

    def finish(self) -> None:
        """Go to the safe level and end, without waiting for it."""
        with self._lock:
            dropped = self._state.finish(self._now())
        self._wake.set()
        self._report_all(dropped)

    def set_silent_after(self, silent_after_ns: int) -> None:
        """Set the time (ns) without a sign of life from the rule loop after which a held output goes off."""
        with self._lock:
            self._state.set_silent_after(silent_after_ns)

    def watch(self) -> None:
        """Say once if the output hangs, because it cannot be switched off then. Call it now and then."""
        busy_ns = self._busy_since_ns
        if busy_ns is None or busy_ns == self._said_busy_ns or self._now() - busy_ns < _HANGS_AFTER_NS:
            return
        self._said_busy_ns = busy_ns
        logger.error(
            "output %s has hung for a second: it may be on, and cannot be switched off; look at the device",
            self.output_name,
        )

    def close(self, timeout_s: float = 1.5) -> bool:
        """Go to the safe level and end.

        Returns:
            False if the output hangs: its thread is left behind.
        """
        self.finish()
        if self.ident is not None:
            self.join(max(0.0, timeout_s))
        if self.is_alive():
            logger.error("output %s hangs; its thread is left behind", self.output_name)
            with self._lock:
                left = self._state.left()
            self._report_all([report for done in self._written for report in done.reports] + left)
        return not self.is_alive()

    def run(self) -> None:
        """Open the output, work until it is closed, and leave it at the safe level."""
        try:
            self._output.open()
        except Exception as error:  # of any library
            self._open_error = error
            self._output.close()
            with self._lock:
                self._state.abandon()
            return
        finally:
            self._opened.set()
        try:
            while (wait := self._work()) is not None:
                self._turn.release()
                self._wake.wait(wait.seconds)
                self._turn.acquire()
        finally:  # with the turn, so that ``submit`` writes nothing any more
            self._output.close()

    def _work(self) -> Wait | None:
        """Execute all steps that are due; return for how long to wait then, None at the end."""
        while True:
            self._busy_since_ns = self._now()
            while self._written:
                self._finish(self._written.popleft())
            step, self._begun = self._begun, None
            if step is None:
                with self._lock:
                    due = self._state.next(self._now(), self._loop_seen_ns())
                if due is None or isinstance(due, Wait):
                    self._busy_since_ns = None
                    return due
                step = due
            self._execute(step)

    def _execute(self, step: _Step) -> None:
        if isinstance(step, Write):
            result = self._perform(self._output.perform, step.request)
            assert result is not None  # perform waits
            with self._lock:
                reports = self._state.written(step, result, self._now())
            self._report_all(reports)
        elif isinstance(step, Report):
            self._report_all([step])
        elif isinstance(step, Beat):
            self._beat(step.job)

    def _check(self, job: Job) -> None:
        if (why := self._state.too_late(job, self._now())) is not None:
            raise TooLate(why)

    def _beat(self, job: Job) -> None:
        try:
            self._output.beat(job)
            self._beats_failed = 0
        except SinkError as error:
            self._beats_failed += 1
            if isinstance(error, ReceiverGone) or self._beats_failed >= BEATS_PER_WATCHDOG:
                self._beats_failed = 0
                self._lose(str(error))

    def _lose(self, reason: str) -> None:
        """Report that the receiver failed, if the output was on; from any thread."""
        with self._lock:
            reports = self._state.lose(reason, self._now())
        self._wake.set()
        self._report_all(reports)

    def _finish(self, done: _Written) -> None:
        """Wait for the answer to what ``submit`` has written, and report it."""
        reports = done.reports
        if self._output.answers and done.result.error is None:
            result = self._perform(lambda job: self._output.answer(done.result), done.request)
            if result is not None and reports[0].result.error is None:
                with self._lock:
                    answered = self._state.answered(reports[0], done.request, result, self._now())
                reports = [answered, *reports[1:]]
        self._report_all(reports)

    def _perform(self, perform: Callable[[Job], WriteResult], job: Job) -> WriteResult | None:
        """Return the result of a call of the output; None if it would have to wait."""
        try:
            result = perform(job)
            return result._replace(error=" ".join((result.error or "").split()) or None)
        except WouldWait:
            return None
        except TooLate as error:
            return WriteResult(None, None, str(error), Outcome.LATE)
        except Exception as error:  # of any library, or of a callable of the experimenter's own
            if not isinstance(error, SinkError):
                logger.debug("output %s failed", self.output_name, exc_info=error)
            text = str(error) if isinstance(error, SinkError) else f"{type(error).__name__}: {error}"
            return WriteResult(None, None, " ".join(text.split()))

    def _report_all(self, reports: Iterable[Report]) -> None:
        for job, result, ended in ((report.job, report.result, report.ended) for report in reports):
            outcome = result.outcome or (Outcome.DONE if result.error is None else Outcome.FAILED)
            if outcome is Outcome.SILENT:
                logger.error("output %s: the rule loop is silent; off", self.output_name)
            with self._lock:
                warning = self._failures.note(result, outcome)
            if warning is not None:
                logger.warning("%s", warning)
            self._report(_action_result(job, result, outcome, ended))


class _Written(NamedTuple):
    """A job that ``submit`` has written."""

    request: Job
    result: WriteResult
    reports: list[Report]
    """What to report if the answer is good."""


class _Wake:
    """Wakes a thread. An event would do, but its Python code would cost the rule loop time with each job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the thread, or let its next wait end at once."""
        with suppress(RuntimeError):  # it is set already
            self._lock.release()

    def wait(self, timeout_s: float) -> None:
        """Wait until it is set, at most this time (s)."""
        self._lock.acquire(timeout=timeout_s)


class _Failures:
    """Counts failed jobs and chooses what is logged: the first of failures in a row, and the end of them."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self.last: str | None = None
        """The last error, until a job works."""
        self._name = name
        self._failing = self._late = 0

    def note(self, result: WriteResult, outcome: Outcome) -> str | None:
        """Count a job; return a warning for the log, None if there is none."""
        failed = outcome not in _NOT_WRONG
        late = outcome is Outcome.LATE  # a job that is too old does not show whether the output works
        works = result.error is None and not result.idle
        self.count += failed
        self.last = result.error if failed else None if works else self.last
        failing, late_before = self._failing, self._late
        self._failing = 0 if works else failing + (failed and not late)
        self._late = 0 if works else late_before + late
        if failed and not (late_before if late else failing):
            return f"output {self._name}: {result.error}"
        return f"output {self._name} works again, after {pluralize(failing, 'error')}" if failing and works else None


def _action_result(job: Job, result: WriteResult, outcome: Outcome, ended: tuple[int, ...]) -> ActionResult:
    """Return the row of the log, in the publisher's clock."""
    offset_ns = job.offset_ns

    def publisher_ns(at_ns: int | None) -> int | None:
        return None if at_ns is None else at_ns + offset_ns

    times = (job.queued_ns + offset_ns, publisher_ns(result.written_ns), publisher_ns(result.acknowledged_ns))
    return ActionResult(job.number, job.frame, job.action, *times, result.error, outcome, ended)

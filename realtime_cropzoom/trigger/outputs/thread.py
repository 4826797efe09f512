"""One thread an output: takes jobs, times pulses, and always ends at the safe level.

Whoever submits a job never waits. What an output is to do lies in a queue that drops the newest
when it is full; SAFE empties it and goes first. A pulse or an on that waited too long is not given.

An output with levels is on while a rule holds it or a pulse runs: a second pulse during the first
makes it last until the later of both ends, an off ends only the holding of the rule that says it,
and SAFE ends everything.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.trigger.events import Act, Action, Done
from realtime_cropzoom.trigger.outputs.base import Job, Output, Written

_LIMIT = 256
_RETRY_NS = 100_000_000
"""An off that failed is tried again so much later, until it is through."""
_POLL_S = 0.25
_NO_RULE = ""
"""Who holds where it is no rule but the sync line: nothing is stimulated, so that it may outlive the rule loop."""
LOOP_SILENT_NS = 1_000_000_000
"""A held output goes to its safe level when the rule loop gave no sign of life for so long."""

logger = logging.getLogger(__name__)


class OutputThread(threading.Thread):
    """Runs one output. ``report`` is called for each job, in this thread or the submitting one; it must not block.

    ``loop_seen_ns`` says when the rule loop was last seen alive.
    """

    def __init__(
        self,
        name: str,
        output: Output,
        report: Callable[[Done], None],
        *,
        late_after_ms: float = 100.0,
        loop_seen_ns: Callable[[], int] = now_ns,
    ) -> None:
        super().__init__(name=f"cropzoom-output-{name}", daemon=True)
        self.output_name = name
        self.errors = 0
        """Jobs that did not go well."""
        self._output, self._report, self._loop_seen_ns = output, report, loop_seen_ns
        self._late_ns = round(late_after_ms * 1e6)
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._opened = threading.Event()
        self._open_error: Exception | None = None
        self._closing = False
        self._last_act: Act | None = None
        """What was asked for last; what is safe already need not be made so again at the end."""
        self._failing = 0
        self._holders: set[str] = set()
        self._off: tuple[int, Job] | None = None
        """When to switch off next, and for which job."""
        self._urgent = self._doing_safe = False
        output.hurry = lambda: self._urgent

    @property
    def levels(self) -> bool:
        """Whether it is on or off, and not one message a job."""
        return self._output.levels

    def wait_open(self, timeout_s: float = 10.0) -> None:
        """Wait until the output is ready. Raises SinkError where it cannot be opened."""
        if not self._opened.wait(timeout_s):
            raise SinkError(f"output {self.output_name} was not ready within {timeout_s:g} s")
        if self._open_error is not None:
            raise SinkError(f"output {self.output_name}: {self._open_error}") from self._open_error

    def submit(self, job: Job) -> None:
        """Take in a job, at once."""
        left_out: list[tuple[Job, str]] = []
        with self._changed:
            if job.act is Act.SAFE:
                left_out = [(old, OVERTAKEN) for old in self._queue if old.act is not Act.SAFE]
                self._queue = deque(old for old in self._queue if old.act is Act.SAFE)
                self._urgent |= not self._queue and not self._doing_safe  # what goes on already needs no hurry
            self._last_act = job.act
            if self._closing and job.act is not Act.SAFE:
                left_out.append((job, "the output is closed"))
            elif len(self._queue) >= _LIMIT:
                left_out.append((job, f"{_LIMIT} jobs wait already; this one was dropped"))
            else:
                self._queue.append(job)
            self._changed.notify()
        for dropped, why in left_out:
            self._tell(dropped, Written(None, None, why), wrong=why != OVERTAKEN)

    def finish(self) -> None:
        """Go to the safe level and end, without waiting for it."""
        if not self._closing and self._last_act is not Act.SAFE:
            self.submit(Job(Action(self.output_name, Act.SAFE), now_ns()))
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, timeout_s: float = 1.5) -> bool:
        """Go to the safe level and end; returns False where the output hangs and its thread is left behind."""
        self.finish()
        if self.ident is not None:
            self.join(max(0.0, timeout_s))
        if self.is_alive():
            logger.error("output %s hangs; its thread is left behind", self.output_name)
        return not self.is_alive()

    def run(self) -> None:
        """Open, work until closed, leave the safe level."""
        try:
            self._output.open()
        except Exception as error:  # of any library
            self._open_error = error
            self._output.close()
            with self._changed:  # nobody takes jobs any more
                self._closing = True
            return
        finally:
            self._opened.set()
        try:
            while (job := self._next()) is not None or not self._ended():
                if job is not None:
                    self._take(job)
                self._look_after()
        finally:
            self._output.close()

    def _ended(self) -> bool:
        with self._changed:
            return self._closing and not self._queue

    def _next(self) -> Job | None:
        """Return the next job, or None where something else is due first."""
        with self._changed:
            if not self._queue and not self._closing:
                due_s = (self._off[0] - now_ns()) / 1e9 if self._off else _POLL_S
                if due_s > 0:
                    self._changed.wait(min(due_s, _POLL_S))
            job = self._queue.popleft() if self._queue else None
            self._doing_safe = job is not None and job.act is Act.SAFE
            if self._doing_safe:
                self._urgent = False
            return job

    def _take(self, job: Job) -> None:
        waited_ns = now_ns() - job.queued_ns
        if job.act in (Act.PULSE, Act.ON) and waited_ns > self._late_ns:
            self._tell(job, Written(None, None, f"late: it had waited for {waited_ns / 1e6:.0f} ms"))
        elif self._output.levels:
            self._switch(job)
        else:
            self._tell(job, self._perform(job))

    def _switch(self, job: Job) -> None:
        """Do a job on an output that is on or off."""
        if job.act is Act.PULSE and not self._output.times_pulses:
            written = self._perform(_as(job, Act.ON))
            # Whatever came back, it may be on now, so that it must be switched off.
            until_ns = (written.written_ns or now_ns()) + round(job.ms * 1e6)
            if self._off is None or until_ns > self._off[0]:
                self._off = until_ns, job
            self._tell(job, written)
            return
        holder = job.rule if job.number >= 0 else _NO_RULE
        if job.act is Act.ON:
            self._holders.add(holder)
        elif job.act is Act.OFF:
            self._holders.discard(holder)
            if self._holders or self._pulsing:
                self._tell(job, Written(None, None, self._why_on()), wrong=False)
                return
        elif job.act is Act.SAFE:
            self._holders.clear()
            self._off = None
        written = self._perform(job)
        if job.act in (Act.OFF, Act.SAFE) and written.error:
            self._off = now_ns() + _RETRY_NS, job
        self._tell(job, written)

    @property
    def _pulsing(self) -> bool:
        """Whether a pulse runs that this thread has to end."""
        return self._off is not None and self._off[1].act is Act.PULSE

    def _why_on(self) -> str:
        holders = ", ".join(sorted(holder or "the sync line" for holder in self._holders))
        return f"still on for {holders}" if holders else "on until its pulse ends"

    def _look_after(self) -> None:
        """End pulses that are over, and a hold that nobody watches any more."""
        if self._off is not None and now_ns() >= self._off[0]:
            due_ns, job = self._off
            self._off = None
            if not self._holders:
                self._switch_off(job, due_ns)
        if self._holders - {_NO_RULE} and now_ns() - self._loop_seen_ns() > LOOP_SILENT_NS:
            logger.error("output %s: the rule loop is silent; off", self.output_name)
            self._switch(Job(Action(self.output_name, Act.SAFE), now_ns()))

    def _switch_off(self, job: Job, due_ns: int) -> None:
        off = replace(_as(job, Act.SAFE if job.act is Act.SAFE else Act.OFF), queued_ns=due_ns)
        written = self._perform(off)
        if written.error:
            self._off = now_ns() + _RETRY_NS, off
        if not written.error or job.act is Act.PULSE:  # of many attempts, the first and the last are told
            self._tell(off, written)

    def _perform(self, job: Job) -> Written:
        try:
            written = self._output.perform(job)
            return written._replace(error=" ".join(written.error.split()))
        except Exception as error:  # of any library, or of a callable of the experimenter's own
            if not isinstance(error, SinkError):
                logger.debug("output %s failed", self.output_name, exc_info=error)
            text = str(error) if isinstance(error, SinkError) else f"{type(error).__name__}: {error}"
            return Written(None, None, " ".join(text.split()))

    def _tell(self, job: Job, written: Written, *, wrong: bool = True) -> None:
        """Report a job; of errors in a row only the first is said, and the end of them."""
        failed = bool(written.error) and wrong and written.error != DRY_RUN
        with self._changed:  # whoever submits a job that is left out counts too
            before = self._failing
            self.errors += failed
            self._failing = before + 1 if failed else (0 if not written.error else before)
        if failed and before == 0:
            logger.warning("output %s: %s", self.output_name, written.error)
        elif before and not written.error:
            logger.warning("output %s works again, after %d errors", self.output_name, before)
        self._report(_done(job, written))


OVERTAKEN = "overtaken by safe"
"""What stands as the error of a job that was left out as it should be."""
DRY_RUN = "dry run"
"""What stands as the error of a job that was not meant to be written."""


def _as(job: Job, act: Act) -> Job:
    return replace(job, action=replace(job.action, act=act))


def _done(job: Job, written: Written) -> Done:
    """Return the row of the log, in the publisher's clock."""
    offset_ns = job.offset_ns

    def there(at_ns: int | None) -> int | None:
        return None if at_ns is None else at_ns + offset_ns

    return Done(
        job.number,
        job.frame,
        job.action,
        job.queued_ns + offset_ns,
        there(written.written_ns),
        there(written.acknowledged_ns),
        written.error,
    )

"""One thread an output: takes jobs, times pulses, and always ends at the safe level.

Whoever submits a job never waits. What an output is to do lies in a queue that drops the newest
when it is full; SAFE empties it and goes first. A pulse or an on that waited too long, or whose pose has become too
old, is not given: that is judged right before it is written.

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
from realtime_cropzoom.errors import SinkError, counted
from realtime_cropzoom.trigger.engine.events import Act, Action, ActionResult, Outcome
from realtime_cropzoom.trigger.outputs.base import Job, Output, TooLate, WriteResult

_LIMIT = 256
_RETRY_NS = 100_000_000
"""An off that failed is tried again so much later, until it is through."""
_POLL_S = 0.25
_OPENING_POLL_S = 0.05
_NO_RULE = ""
"""Who holds where it is no rule but the sync line: nothing is stimulated, so that it may outlive the rule loop."""
_HELD_UP_NS = 20_000_000
"""Writing takes its time; what takes longer after the pose was judged was held up."""
LOOP_SILENT_NS = 1_000_000_000
"""A held output goes to its safe level when the rule loop gave no sign of life for so long, or for less if so told."""
_NOT_WRONG = frozenset({Outcome.DONE, Outcome.OVERTAKEN, Outcome.STILL_ON, Outcome.DRY_RUN, Outcome.SILENT})

logger = logging.getLogger(__name__)


class OutputThread(threading.Thread):
    """Runs one output. ``report`` is called for each job, in this thread or the submitting one; it must not block.

    ``loop_seen_ns`` says when the rule loop was last seen alive. ``now`` is the clock.
    """

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
        super().__init__(name=f"cropzoom-output-{name}", daemon=True)
        self.output_name = name
        self.errors = 0
        """Jobs that did not go well."""
        self._output, self._report, self._now = output, report, now
        self._loop_seen_ns, self._silent_after_ns = loop_seen_ns or now, silent_after_ns
        self._late_ns = round(late_after_ms * 1e6)
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._opened = threading.Event()
        self._open_error: Exception | None = None
        self._closing = False
        self._last_act: Act | None = None
        """What was asked for last; what is safe already need not be made so again at the end."""
        self._failing = self._refused = 0
        self._holders: dict[str, Job] = {}
        """Rules that hold it on, each with its order."""
        self._off: tuple[int, Job] | None = None
        """When to switch off next, and for which job."""
        self._beat_ns = 0
        """When the receiver is to hear next that we are alive, while it is held on."""
        self._urgent = self._doing_safe = False
        output.hurry = lambda: self._urgent
        output.check = self._check

    @property
    def levels(self) -> bool:
        """Whether it is on or off, and not one message a job."""
        return self._output.levels

    def wait_open(self, timeout_s: float = 10.0, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the output is ready; returns False where it is ``given_up`` before.

        Raises SinkError where it cannot be opened.
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

    def submit(self, job: Job) -> None:
        """Take in a job, at once."""
        left_out: list[tuple[Job, WriteResult]] = []
        with self._changed:
            if job.act is Act.SAFE:
                overtaken = WriteResult(None, None, "overtaken by safe", Outcome.OVERTAKEN)
                left_out = [(old, overtaken) for old in self._queue if old.act is not Act.SAFE]
                self._queue = deque(old for old in self._queue if old.act is Act.SAFE)
                self._urgent |= not self._queue and not self._doing_safe  # what goes on already needs no hurry
            self._last_act = job.act
            if self._closing and job.act is not Act.SAFE:
                left_out.append((job, WriteResult(None, None, "the output is closed")))
            elif len(self._queue) >= _LIMIT:
                left_out.append((job, WriteResult(None, None, f"{_LIMIT} jobs wait already; this one was dropped")))
            else:
                self._queue.append(job)
            self._changed.notify()
        for dropped, written in left_out:
            self._tell(dropped, written)

    def finish(self) -> None:
        """Go to the safe level and end, without waiting for it."""
        if not self._closing and self._last_act is not Act.SAFE:
            self.submit(Job(Action(self.output_name, Act.SAFE), self._now()))
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
            if not self._queue and not self._closing and (wait_s := self._idle_s()) > 0:
                self._changed.wait(wait_s)
            job = self._queue.popleft() if self._queue else None
            self._doing_safe = job is not None and job.act is Act.SAFE
            if self._doing_safe:
                self._urgent = False
            return job

    def _idle_s(self) -> float:
        """How long there is nothing to do unless a job comes."""
        due_s = [_POLL_S]
        if self._off is not None:
            due_s.append((self._off[0] - self._now()) / 1e9)
        if self._holders:
            due_s.append(self._silent_after_ns / 4e9)
            if self._output.beat_every_s is not None:
                due_s.append((self._beat_ns - self._now()) / 1e9)
        return min(due_s)

    def _take(self, job: Job) -> None:
        if why := self._too_late(job):
            self._tell(job, WriteResult(None, None, why, Outcome.LATE))
            return
        if self._output.levels:
            written = self._switch(job)
        else:  # its receiver keeps the level
            self._note_holder(job)
            written = self._perform(job)
        if job.act in (Act.OFF, Act.SAFE) and written.error and written.outcome is not Outcome.STILL_ON:
            self._off = self._now() + _RETRY_NS, job
        self._tell(job, written)
        if written.outcome is Outcome.LATE:
            self._end_late(job, written)

    def _too_late(self, job: Job) -> str | None:
        """Return why a pulse or an on must not be written any more; None if it may. Nothing else is ever too late."""
        if job.act not in (Act.PULSE, Act.ON):
            return None
        now = self._now()
        if job.fresh_until_ns is not None and now > job.fresh_until_ns:
            return f"late: its pose became too old {(now - job.fresh_until_ns) / 1e6:.1f} ms ago"
        waited_ns = now - job.queued_ns
        return f"late: it had waited for {waited_ns / 1e6:.0f} ms" if waited_ns > self._late_ns else None

    def _check(self, job: Job) -> None:
        if why := self._too_late(job):
            raise TooLate(why)

    def _was_held_up(self, job: Job, written: WriteResult) -> str | None:
        """Say so where the process was held up just before it wrote: a debugger, a full memory, SIGSTOP."""
        if job.act not in (Act.PULSE, Act.ON) or None in (job.fresh_until_ns, written.written_ns):
            return None
        late_ns = (written.written_ns or 0) - (job.fresh_until_ns or 0)
        return f"written late: its pose was too old for {late_ns / 1e6:.0f} ms" if late_ns > _HELD_UP_NS else None

    def _note_holder(self, job: Job) -> None:
        holder = job.rule if job.number >= 0 else _NO_RULE
        if job.act is Act.ON:
            self._holders[holder] = job
            self._beat_ns = self._now() + self._beat_after_ns
        elif job.act is Act.OFF:
            self._holders.pop(holder, None)
        elif job.act is Act.SAFE:
            self._holders.clear()
            self._off = None

    @property
    def _beat_after_ns(self) -> int:
        return round((self._output.beat_every_s or 0.0) * 1e9)

    def _switch(self, job: Job) -> WriteResult:
        """Do a job on an output that is on or off."""
        if job.act is Act.PULSE and not self._output.times_pulses:
            written = self._perform(_as(job, Act.ON))
            # Whatever came back, it may be on now, so that it must be switched off.
            until_ns = (written.written_ns or self._now()) + round(job.ms * 1e6)
            if self._off is None or until_ns > self._off[0]:
                self._off = until_ns, job
            return written
        self._note_holder(job)
        if job.act is Act.OFF and (self._holders or self._pulsing):
            return WriteResult(None, None, self._why_on(), Outcome.STILL_ON)
        return self._perform(job)

    def _end_late(self, job: Job, written: WriteResult) -> None:
        """End at once what was written too late, unless another rule needs the output on."""
        self._holders.pop(job.rule, None)
        if self._off is not None and self._off[1] is job:
            self._off = None
        if written.written_ns is not None and not self._holders and not self._pulsing:
            self._make_safe()

    def _make_safe(self, outcome: Outcome | None = None) -> None:
        job = Job(Action(self.output_name, Act.SAFE), self._now())
        self._note_holder(job)
        written = self._perform(job)
        if written.error:
            self._off = self._now() + _RETRY_NS, job
        self._tell(job, written if written.error else written._replace(outcome=outcome))

    @property
    def _pulsing(self) -> bool:
        """Whether a pulse runs that this thread has to end."""
        return self._off is not None and self._off[1].act is Act.PULSE

    def _why_on(self) -> str:
        holders = ", ".join(sorted(holder or "the sync line" for holder in self._holders))
        return f"still on for {holders}" if holders else "on until its pulse ends"

    def _look_after(self) -> None:
        """End pulses that are over and a hold that nobody watches any more; say that we are alive."""
        if self._off is not None and self._now() >= self._off[0]:
            due_ns, job = self._off
            self._off = None
            if not self._holders:
                self._switch_off(job, due_ns)
        if not self._holders.keys() - {_NO_RULE}:
            return
        if self._now() - self._loop_seen_ns() > self._silent_after_ns:
            logger.error("output %s: the rule loop is silent; off", self.output_name)
            self._make_safe(Outcome.SILENT)
        elif self._output.beat_every_s is not None and self._now() >= self._beat_ns:
            self._beat()

    def _beat(self) -> None:
        self._beat_ns = self._now() + self._beat_after_ns
        try:
            self._output.beat(next(job for holder, job in self._holders.items() if holder != _NO_RULE))
        except SinkError as error:  # the receiver goes off by itself; what is next for it is tried and told
            logger.debug("output %s: %s", self.output_name, error)

    def _switch_off(self, job: Job, due_ns: int) -> None:
        off = replace(_as(job, Act.SAFE if job.act is Act.SAFE else Act.OFF), queued_ns=due_ns)
        written = self._perform(off)
        if written.error:
            self._off = self._now() + _RETRY_NS, off
        if not written.error or job.act is Act.PULSE:  # of many attempts, the first and the last are told
            self._tell(off, written)

    def _perform(self, job: Job) -> WriteResult:
        try:
            written = self._output.perform(job)
            if why := self._was_held_up(job, written):
                return written._replace(error=why, outcome=Outcome.LATE)
            return written._replace(error=" ".join((written.error or "").split()) or None)
        except TooLate as error:
            return WriteResult(None, None, str(error), Outcome.LATE)
        except Exception as error:  # of any library, or of a callable of the experimenter's own
            if not isinstance(error, SinkError):
                logger.debug("output %s failed", self.output_name, exc_info=error)
            text = str(error) if isinstance(error, SinkError) else f"{type(error).__name__}: {error}"
            return WriteResult(None, None, " ".join(text.split()))

    def _tell(self, job: Job, written: WriteResult) -> None:
        """Report a job; of errors in a row only the first is said, and the end of them."""
        outcome = written.outcome or (Outcome.FAILED if written.error else Outcome.DONE)
        failed = outcome not in _NOT_WRONG
        late = outcome is Outcome.LATE  # what is refused for its age says nothing of whether the output works
        works = not written.error and not written.idle
        with self._changed:  # whoever submits a job that is left out counts too
            self.errors += failed
            failing, refused = self._failing, self._refused
            self._failing = 0 if works else failing + (failed and not late)
            self._refused = 0 if works else refused + late
        if failed and not (refused if late else failing):
            logger.warning("output %s: %s", self.output_name, written.error)
        elif failing and works:
            logger.warning("output %s works again, after %s", self.output_name, counted(failing, "error"))
        self._report(_done(job, written, outcome))


def _as(job: Job, act: Act) -> Job:
    return replace(job, action=replace(job.action, act=act))


def _done(job: Job, written: WriteResult, outcome: Outcome) -> ActionResult:
    """Return the row of the log, in the publisher's clock."""
    offset_ns = job.offset_ns

    def there(at_ns: int | None) -> int | None:
        return None if at_ns is None else at_ns + offset_ns

    times = (job.queued_ns + offset_ns, there(written.written_ns), there(written.acknowledged_ns))
    return ActionResult(job.number, job.frame, job.action, *times, written.error, outcome)

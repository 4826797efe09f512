"""State machine of one output: which job comes next, when a pulse ends, and when the output must go off. No I/O.

It does no I/O and reads no clock. The thread of the output asks for the next step, executes it, and gives the result
back. The queue is limited; when it is full, the newest job is dropped, but an OFF takes the place of another job.

===================  ==========================================  ========  ==========================================
Phase                Event                                       Written   Next phase
===================  ==========================================  ========  ==========================================
all                  SAFE is submitted; it empties the queue               SAFING
SAFING               SAFE is received                            safe      IDLE; SAFING again if the write fails
IDLE HOLDING         ON                                          on        HOLDING
PULSING              ON                                          on        PULSING, then HOLDING
IDLE HOLDING         PULSE                                       on        PULSING
PULSING              PULSE                                       on        PULSING, until the later of both ends
PULSING              the pulse ends, no rule holds the output    off       IDLE; again after 0.1 s if the write fails
PULSING              the pulse ends, a rule holds the output               HOLDING
HOLDING PULSING      OFF, but another rule or a pulse needs it             the same (the outcome is STILL_ON)
HOLDING              OFF of the last rule that holds it          off       IDLE; again after 0.1 s if the write fails
HOLDING PULSING      the rule loop is silent                     safe      IDLE
HOLDING PULSING      the receiver is lost                                  SAFING, until a safe is received
HOLDING              a heartbeat is due                          alive     HOLDING
all                  the output is closed                        safe      SAFING, then CLOSED
CLOSED               any job but SAFE                                      CLOSED (refused)
===================  ==========================================  ========  ==========================================

An output that times its pulses itself is not PULSING for this object: a pulse is one write. An output without levels
sends each job as one message, and its receiver keeps the level; here it only is HOLDING, so that a silent rule loop
ends the hold.

A SAFE comes before all other jobs: after it was submitted, nothing is switched on unless a job that came later says so.
A PULSE or an ON that waited too long, or whose pose became too old, is not written; OFF and SAFE are never too late.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, replace

from realtime_cropzoom.trigger.engine.events import Action, ActionType, Outcome
from realtime_cropzoom.trigger.outputs.base import Job, WriteResult

MAX_QUEUED = 256
"""Maximum number of jobs in the queue."""
RETRY_NS = 100_000_000
"""Time (ns) after which an OFF or a SAFE that failed is written again, until it succeeds."""
LOOP_SILENT_NS = 1_000_000_000
"""Default time (ns) without a sign of life from the rule loop after which a held output goes to its safe level."""
_MAX_WRITE_NS = 20_000_000
"""Maximum time (ns) from the check of the pose to the write. A longer time means that the process was delayed."""
_POLL_S = 0.25
"""Maximum time (s) to wait for a job before the state is checked again."""
_SYNC_LINE = ""
"""Owner of what the sync line holds on. It stimulates nothing, so a silent rule loop does not end it."""


class Phase(enum.Enum):
    """What an output does."""

    IDLE = enum.auto()
    HOLDING = enum.auto()
    """A rule or the sync line holds it on."""
    PULSING = enum.auto()
    """It is on until the end of a pulse that is timed here, held by a rule or not."""
    SAFING = enum.auto()
    """A SAFE waits, is being written, or is written again because the write failed."""
    CLOSED = enum.auto()
    """It accepts no further jobs."""


@dataclass(frozen=True, slots=True)
class OutputTiming:
    """Kind of an output and its limits on time."""

    holds_level: bool
    """See ``Output``."""
    supports_pulse: bool
    """See ``Output``."""
    late_after_ns: int
    """Maximum time (ns) that a PULSE or an ON may wait."""
    silent_after_ns: int = LOOP_SILENT_NS
    beat_every_ns: int | None = None
    """Interval (ns) of the heartbeats to the receiver while the output is held on; None: none."""


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to do for some time, unless a job comes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Write:
    """Give a request to the output, and the result to ``OutputState.written``."""

    request: Job
    reported: Job
    """The job that the result is about."""
    outcome: Outcome | None = None
    """Outcome to report if the write succeeds; None for the outcome of the result."""
    quiet: bool = False
    """This write was tried before and failed: report it only if it succeeds."""
    ended: tuple[int, ...] = ()
    """Numbers of the decisions whose hold this write ends by itself."""


@dataclass(frozen=True, slots=True)
class Report:
    """Report a job."""

    job: Job
    result: WriteResult
    ended: tuple[int, ...] = ()
    """See ``ActionResult``."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Tell the receiver that the program is alive and that the order of ``job`` holds."""

    job: Job


@dataclass(frozen=True, slots=True)
class _Off:
    """A time at which the output must be switched off, and the job that is the reason."""

    due_ns: int
    job: Job


class _Turn(enum.Enum):
    """What is looked at next. Each turn does at most one thing, so that none keeps the queue waiting."""

    QUEUE = enum.auto()
    SWITCH_OFF = enum.auto()
    HOLD = enum.auto()


class OutputState:
    """Jobs, holders and times of one output. It has no lock; its owner has one."""

    def __init__(self, name: str, timing: OutputTiming) -> None:
        self._name, self._timing = name, timing
        self._queue: deque[Job] = deque()
        self._holders: dict[str, Job] = {}
        """Rules that hold the output on, each with its order."""
        self._pulse_end: _Off | None = None
        self._retry: _Off | None = None
        """OFF or SAFE that failed and is written again."""
        self._pulse_until_ns = 0
        """End (ns) of the last pulse that the receiver times."""
        self._lost: str | None = None
        """Why the receiver was lost during the write that runs."""
        self._beat_ns = 0
        """Time (ns) of the next heartbeat, while a rule holds the output on."""
        self._closing = False
        self._safe_was_last = False
        """Whether the last job submitted was a SAFE: then the end needs no other."""
        self._writing: Write | None = None
        self._at_once: Write | None = None
        """A write that must come before anything else."""
        self._preempted = self._waited = False
        self._turn = _Turn.QUEUE

    @property
    def phase(self) -> Phase:
        """What the output does, see the table of the module."""
        if self._is_safing():
            return Phase.SAFING
        if self._closing:
            return Phase.CLOSED
        if self._pulse_end is not None:
            return Phase.PULSING
        return Phase.HOLDING if self._holders else Phase.IDLE

    @property
    def preempted(self) -> bool:
        """Whether a SAFE waits for the write that runs: the output then stops waiting for an answer."""
        return self._preempted

    @property
    def ended(self) -> bool:
        """Whether the output is closed and nothing is left to write."""
        return self._closing and not self._queue and self._at_once is None

    def level(self, now_ns: int) -> str | None:
        """Return on, off, or unknown while switching off fails; None if only the receiver knows. It needs no lock."""
        if self._retry is not None:
            return "unknown"
        if self._holders or self._pulse_end is not None or now_ns < self._pulse_until_ns:
            return "on"
        return "off" if self._timing.holds_level else None

    def set_silent_after(self, silent_after_ns: int) -> None:
        """Set the time (ns) without a sign of life from the rule loop after which a hold ends."""
        self._timing = replace(self._timing, silent_after_ns=silent_after_ns)

    def submit(self, job: Job) -> list[Report]:
        """Put a job into the queue.

        Returns:
            The jobs that will not be done, with the reason: those that a SAFE overtakes, and this one if it was
            refused. Empty if there are none.
        """
        dropped: list[Report] = []
        if job.act is ActionType.SAFE:
            overtaken = WriteResult(None, None, "overtaken by safe", Outcome.OVERTAKEN)
            dropped = [Report(old, overtaken) for old in self._queue if old.act is not ActionType.SAFE]
            self._queue = deque(old for old in self._queue if old.act is ActionType.SAFE)
            writes_safe = self._writing is not None and self._writing.request.act is ActionType.SAFE
            self._preempted |= not self._queue and not writes_safe
        self._safe_was_last = job.act is ActionType.SAFE
        if self._closing and job.act is not ActionType.SAFE:
            return [*dropped, Report(job, WriteResult(None, None, "the output is closed"))]
        if len(self._queue) >= MAX_QUEUED:
            if job.act is not ActionType.OFF:
                text = f"{MAX_QUEUED} jobs wait already; this one was dropped"
                return [*dropped, Report(job, WriteResult(None, None, text))]
            dropped += self._make_room(job)
        self._queue.append(job)
        return dropped

    def _make_room(self, off: Job) -> list[Report]:
        """Drop a job for an OFF: the oldest that switches on, else an older OFF of the same rule, else none."""
        waiting = [job for job in self._queue if job.act in (ActionType.PULSE, ActionType.ON)]
        same = (job for job in self._queue if job.act is ActionType.OFF and _holder(job) == _holder(off))
        if (old := next(iter(waiting), None) or next(same, None)) is None:
            return []  # each of these OFFs is another rule's, so that their number is limited
        self._queue = deque(job for job in self._queue if job is not old)
        return [Report(old, WriteResult(None, None, f"{MAX_QUEUED} jobs wait already; dropped for an off"))]

    def finish(self, now_ns: int) -> list[Report]:
        """Put a last SAFE into the queue and accept no further jobs; return the jobs that will not be done."""
        dropped = []
        if not self._closing and not self._safe_was_last:
            dropped = self.submit(self._safe_job(now_ns))
        self._closing = True
        return dropped

    def left(self) -> list[Report]:
        """Return what to report of an output that hangs: the jobs that are not done. They stay in the queue."""
        hangs = WriteResult(None, None, "the output hangs; not done")
        writing = [] if self._writing is None or self._writing.quiet else [self._writing.reported]
        return [Report(job, hangs) for job in [*writing, *self._queue]]

    def abandon(self) -> None:
        """Take no jobs any more: the output could not be opened."""
        self._closing = True

    def next(self, now_ns: int, loop_seen_ns: int) -> Wait | Write | Report | Beat | None:
        """Return the next step.

        Args:
            now_ns: Now (ns of this machine's monotonic clock).
            loop_seen_ns: Last sign of life of the rule loop (ns of the same clock).

        Returns:
            What to do. A ``Write`` must be answered with ``written`` before the next call. None: the output has ended.
        """
        if self._at_once is not None:
            write, self._at_once = self._at_once, None
            return self._begin(write)
        if self._waited and not self._queue:
            self._turn = _Turn.SWITCH_OFF
        self._waited = False
        while self._turn is not _Turn.QUEUE and not self._safe_waits():
            if (step := self._due(now_ns, loop_seen_ns)) is not None:
                return self._begin(step) if isinstance(step, Write) else step
        self._turn = _Turn.QUEUE
        if self._queue:
            self._turn = _Turn.SWITCH_OFF
            return self._take(self._queue.popleft(), now_ns)
        if self._closing:
            return None
        self._waited = True
        return Wait(max(0.0, self._idle_s(now_ns)))

    def _due(self, now_ns: int, loop_seen_ns: int) -> Write | Beat | None:
        """Return what is due in this turn, if anything, and go on to the next turn."""
        if self._turn is _Turn.SWITCH_OFF:
            self._turn = _Turn.HOLD
            return self._switch_off(now_ns)
        self._turn = _Turn.QUEUE
        return self._keep_hold(now_ns, loop_seen_ns)

    def _begin(self, write: Write) -> Write:
        self._writing = write
        if write.request.act is ActionType.SAFE:
            self._preempted = False
        return write

    def _take(self, job: Job, now_ns: int) -> Write | Report:
        if (why := self.too_late(job, now_ns)) is not None:
            return Report(job, WriteResult(None, None, why, Outcome.LATE))
        if self._is_timed_here(job):
            return self._begin(Write(_as(job, ActionType.ON), job))
        if job.act is ActionType.OFF:
            self._holders.pop(_holder(job), None)
            if self._holders or self._pulse_end is not None:
                return Report(job, WriteResult(None, None, self._why_on(), Outcome.STILL_ON))
        elif job.act is ActionType.SAFE:
            self._forget()
        return self._begin(Write(job, job))

    def written(self, write: Write, result: WriteResult, now_ns: int) -> list[Report]:
        """Take the result of a write.

        Args:
            write: The write, as ``next`` returned it.
            result: What the output says of it.
            now_ns: Now (ns).

        Returns:
            What to report: one job, or none if the write was quiet and failed.
        """
        self._writing = None
        job, result, ended = write.reported, _judged(write.request, result), write.ended
        is_late = result.outcome is Outcome.LATE
        if write.request.act in (ActionType.OFF, ActionType.SAFE):
            self._switched_off(write.request, result, now_ns)
        elif is_late:
            self._end_late(write, result, now_ns)
        else:
            self._switched_on(job, result, now_ns)
            ended = (job.number,) if _stays_off(job, result) else ()
        if write.quiet and result.error is not None:
            return []
        if write.outcome is not None and result.error is None:
            result = result._replace(outcome=write.outcome)
        reason, self._lost = self._lost, None
        return [Report(job, result, ended), *(self.lose(reason, now_ns) if reason else ())]

    def answered(self, report: Report, request: Job, result: WriteResult, now_ns: int) -> Report:
        """Take the answer to a write whose result ``written`` has taken already, as if it had been answered.

        Args:
            report: What ``written`` returned.
            request: The job that was written.
            result: The same result, with the answer or the error.
            now_ns: Now (ns).

        Returns:
            What to report.
        """
        if result.error is not None and request.act in (ActionType.OFF, ActionType.SAFE):
            self._switched_off(request, result, now_ns)
        ended = (report.job.number,) if _stays_off(report.job, result) else report.ended
        outcome = report.result.outcome if result.error is None else result.outcome
        return Report(report.job, result._replace(outcome=outcome), ended)

    def lose(self, reason: str, now_ns: int) -> list[Report]:
        """Forget what is on, because the receiver failed or went safe by itself; write SAFE until it succeeds.

        Args:
            reason: What happened, in words.
            now_ns: Now (ns).

        Returns:
            What to report: that the output is on no longer. Nothing if it was off.
        """
        if self._writing is not None and self._writing.request.act in (ActionType.PULSE, ActionType.ON):
            self._lost = reason
        if not self._holders and self._pulse_end is None and now_ns >= self._pulse_until_ns:
            return []
        ended, job = self._held_by(), self._safe_job(now_ns)
        self._forget()
        self._retry = _Off(now_ns, job)
        return [Report(job, WriteResult(None, None, f"{reason} (it was on)", Outcome.LOST), ended)]

    def too_late(self, job: Job, now_ns: int) -> str | None:
        """Return why a PULSE or an ON must not be written any more; None if it may. Other jobs are never too late."""
        if job.act not in (ActionType.PULSE, ActionType.ON):
            return None
        if job.fresh_until_ns is not None and now_ns > job.fresh_until_ns:
            return f"late: its pose became too old {(now_ns - job.fresh_until_ns) / 1e6:.1f} ms ago"
        waited_ns = now_ns - job.queued_ns
        return f"late: it had waited for {waited_ns / 1e6:.0f} ms" if waited_ns > self._timing.late_after_ns else None

    def _switched_off(self, request: Job, result: WriteResult, now_ns: int) -> None:
        if result.error is not None:
            safe = self._retry is not None and self._retry.job.act is ActionType.SAFE  # it also ends pulses
            self._retry = _Off(now_ns + RETRY_NS, self._retry.job if self._retry is not None and safe else request)
        elif self._timing.holds_level:
            self._retry = None

    def _switched_on(self, job: Job, result: WriteResult, now_ns: int) -> None:
        """Note what is on now. A write that failed may have switched the output on all the same."""
        if job.act is ActionType.ON:
            self._holders[_holder(job)] = job
            self._beat_ns = (result.written_ns or now_ns) + (self._timing.beat_every_ns or 0)
        elif self._is_timed_here(job):
            until_ns = (result.written_ns or now_ns) + round(job.ms * 1e6)
            if self._pulse_end is None or until_ns > self._pulse_end.due_ns:
                self._pulse_end = _Off(until_ns, job)
        elif self._timing.holds_level and result.written_ns is not None:
            self._pulse_until_ns = max(self._pulse_until_ns, result.written_ns + round(job.ms * 1e6))

    def _end_late(self, write: Write, result: WriteResult, now_ns: int) -> None:
        """End what was written too late, unless something else needs the output on."""
        if result.written_ns is None:
            return
        self._holders.pop(_holder(write.reported), None)
        if not self._holders and self._pulse_end is None:
            self._at_once = self._make_safe(now_ns)

    def _switch_off(self, now_ns: int) -> Write | None:
        """Return the write that ends a pulse or tries again what failed; None if none is due, or a rule holds."""
        if self._pulse_end is not None and now_ns >= self._pulse_end.due_ns:
            off, self._pulse_end = self._pulse_end, None
        elif self._retry is not None and now_ns >= self._retry.due_ns:
            off, self._retry = self._retry, None
        else:
            return None
        if self._holders or self._pulse_end is not None:
            return None
        request = replace(
            _as(off.job, ActionType.SAFE if off.job.act is ActionType.SAFE else ActionType.OFF), queued_ns=off.due_ns
        )
        return Write(request, request, quiet=off.job.act is not ActionType.PULSE)

    def _keep_hold(self, now_ns: int, loop_seen_ns: int) -> Write | Beat | None:
        """Return what a hold needs: its end if the rule loop is silent, a heartbeat if one is due; else None."""
        if (order := self._order()) is None:
            return None
        if now_ns - loop_seen_ns > self._timing.silent_after_ns:
            return self._make_safe(now_ns, Outcome.SILENT)
        if self._timing.beat_every_ns is not None and now_ns >= self._beat_ns:
            self._beat_ns = now_ns + self._timing.beat_every_ns
            return Beat(order)
        return None

    def _order(self) -> Job | None:
        """Return the order of a rule that holds the output on; None if no rule does."""
        return next((job for holder, job in self._holders.items() if holder != _SYNC_LINE), None)

    def _make_safe(self, now_ns: int, outcome: Outcome | None = None) -> Write:
        ended, job = self._held_by(), self._safe_job(now_ns)
        self._forget()
        return Write(job, job, outcome, ended=ended)

    def _held_by(self) -> tuple[int, ...]:
        """Return the numbers of the decisions that hold the output on."""
        return tuple(job.number for job in self._holders.values() if job.number >= 0)

    def _forget(self) -> None:
        self._holders.clear()
        self._pulse_end = self._retry = None
        self._pulse_until_ns = 0

    def _safe_job(self, now_ns: int) -> Job:
        return Job(Action(self._name, ActionType.SAFE), now_ns)

    def _safe_waits(self) -> bool:
        return bool(self._queue) and self._queue[0].act is ActionType.SAFE

    def _is_safing(self) -> bool:
        writes = [write.request.act for write in (self._writing, self._at_once) if write is not None]
        failed = self._retry is not None and self._retry.job.act is ActionType.SAFE
        return self._safe_waits() or ActionType.SAFE in writes or failed

    def _is_timed_here(self, job: Job) -> bool:
        return job.act is ActionType.PULSE and self._timing.holds_level and not self._timing.supports_pulse

    def _why_on(self) -> str:
        holders = ", ".join(sorted(holder or "the sync line" for holder in self._holders))
        return f"still on for {holders}" if holders else "on until its pulse ends"

    def _idle_s(self, now_ns: int) -> float:
        """Return the time (s) until something is due, if no job comes."""
        due_s = [_POLL_S]
        due_s += [(off.due_ns - now_ns) / 1e9 for off in (self._pulse_end, self._retry) if off is not None]
        if self._holders:
            due_s.append(self._timing.silent_after_ns / 4e9)
            if self._timing.beat_every_ns is not None and self._order() is not None:
                due_s.append((self._beat_ns - now_ns) / 1e9)
        return min(due_s)


def _holder(job: Job) -> str:
    return job.rule if job.number >= 0 else _SYNC_LINE


def _stays_off(job: Job, result: WriteResult) -> bool:
    """Return whether an ON has failed for certain. One that was written and not answered may have worked."""
    answered = result.written_ns is None or result.acknowledged_ns is not None
    return job.act is ActionType.ON and result.error is not None and result.outcome is None and answered


def _as(job: Job, act: ActionType) -> Job:
    return replace(job, action=replace(job.action, act=act))


def _judged(request: Job, result: WriteResult) -> WriteResult:
    """Return the result; late if the process was delayed just before it wrote: by a debugger, swapping, SIGSTOP."""
    if (
        request.act not in (ActionType.PULSE, ActionType.ON)
        or request.fresh_until_ns is None
        or result.written_ns is None
    ):
        return result
    late_ns = result.written_ns - request.fresh_until_ns
    if late_ns <= _MAX_WRITE_NS:
        return result
    return result._replace(error=f"written late: its pose was too old for {late_ns / 1e6:.0f} ms", outcome=Outcome.LATE)

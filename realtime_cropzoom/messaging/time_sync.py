"""What an echo says of another machine's clock: how far it is from ours, and how sure that is.

An exchange gives four times: sent and back on our clock, received and answered on the other. Whatever the way
there and the way back took, the other clock was ahead by no less than ``answered - back`` and by no more than
``received - sent``: the offset is half-way between, uncertain by half of what the ways took together. Of several
exchanges the quickest is the most certain.

On the wire a request is one frame of up to 64 bytes, whatever they are; the answer is two frames, those bytes again
and JSON (``EchoReply``). A REQ socket does it; so does a DEALER.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from realtime_cropzoom.messaging.message import Ns

MARK_BYTES = 64
"""A request longer than this is not answered."""
DRIFT = 500e-6
"""How fast two clocks may part, at most: as fast as a system lets its clock be slewed while it is set right."""

_TCP = re.compile(r"^tcp://(?P<host>[^;]+):(?P<port>[\d*]+)$")


class EchoReply(msgspec.Struct, frozen=True):
    """The answer of the echo."""

    clock: str
    """Names the clock of both times, as in the hello."""
    received_ns: Ns
    """The request came."""
    answered_ns: Ns
    """The answer went."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer; ns."""

    sent_ns: int
    """Our clock."""
    received_ns: int
    """The other clock."""
    answered_ns: int
    """The other clock."""
    back_ns: int
    """Our clock."""

    @property
    def roundtrip_ns(self) -> int:
        """What both ways took together; negative where a clock has stepped, or somebody lies."""
        return (self.back_ns - self.sent_ns) - (self.answered_ns - self.received_ns)


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far another clock is ahead of ours."""

    offset_ns: int
    """The other clock less ours."""
    uncertainty_ns: int
    """The true offset was no farther from this one, when it was measured."""
    measured_ns: int
    """When, on our clock."""

    def uncertainty_at_ns(self, at_ns: int) -> int:
        """Return how uncertain the offset is at another time: clocks part, by ``DRIFT`` at most."""
        if self == SAME_CLOCK:
            return 0
        return self.uncertainty_ns + round(DRIFT * abs(at_ns - self.measured_ns))


SAME_CLOCK = ClockOffset(0, 0, 0)
"""Of who has the same clock as we: nothing to measure."""


def estimate(exchanges: Iterable[Exchange]) -> ClockOffset | None:
    """Return what the quickest exchange says; None where there is none that makes sense."""
    usable = [e for e in exchanges if e.roundtrip_ns >= 0 and e.answered_ns >= e.received_ns]
    if not usable:
        return None
    best = min(usable, key=lambda e: e.roundtrip_ns)
    twice = (best.received_ns - best.sent_ns) + (best.answered_ns - best.back_ns)
    return ClockOffset(twice // 2, best.roundtrip_ns // 2 + 1, best.back_ns)


def better(old: ClockOffset | None, new: ClockOffset) -> ClockOffset:
    """Return which of two measurements of a clock counts once the new one is there: the more certain one.

    Where both cannot be true, a clock has stepped meanwhile, as one does that stands still in a machine's sleep:
    then it is the new one.
    """
    if old is None:
        return new
    old_ns = old.uncertainty_at_ns(new.measured_ns)
    agree = abs(old.offset_ns - new.offset_ns) <= old_ns + new.uncertainty_ns
    return old if agree and old_ns < new.uncertainty_ns else new


def endpoint_beside(publish: str) -> str | None:
    """Return where the echo of a publisher at ``publish`` is: on the same host, at a port that the system chooses.

    None where nobody on another machine can be listening (ipc, inproc).
    """
    tcp = _TCP.match(publish)
    return None if tcp is None else f"tcp://{tcp['host']}:*"


def endpoint_seen_from(subscribed: str, echo: str | None) -> str | None:
    """Return where somebody who is connected to ``subscribed`` reaches the echo that a hello names.

    It is on the host that the poses come from, whatever that host calls itself: only the port is taken from the
    hello. None where that gives no endpoint.
    """
    here, there = _TCP.match(subscribed), _TCP.match(echo or "")
    if here is None or there is None or not there["port"].isdigit() or not 0 < int(there["port"]) < 65536:
        return None
    return f"tcp://{here['host']}:{int(there['port'])}"

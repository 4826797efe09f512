"""Time synchronisation: the offset of another machine's clock, and how sure it is.

``ClockSync`` measures it in a thread of its own, so that no reader waits for an exchange. The thread runs only if
the publisher has another clock than this machine. ``sinks.time_sync_server`` answers.

An exchange gives four times: sent and back on our clock, received and answered on the other. Whatever the way
there and the way back took, the other clock was ahead by no less than ``answered - back`` and by no more than
``received - sent``: the offset is half-way between, uncertain by half of what the ways took together. Of several
exchanges the quickest is the most certain.

On the wire a request is one frame of up to 64 bytes, whatever they are; the answer is two frames, those bytes again
and JSON (``EchoReply``). A REQ socket does it; so does a DEALER.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import zmq

from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.messaging.keys import ClientKeys
from realtime_cropzoom.messaging.message import HelloMessage, Ns
from realtime_cropzoom.messaging.security import use_client_keys

MARK_BYTES = 64
"""A request longer than this is not answered."""
DRIFT = 500e-6
"""How fast two clocks may part, at most: as fast as a system lets its clock be slewed while it is set right."""
_TCP = re.compile(r"^tcp://(?P<host>[^;]+):(?P<port>[\d*]+)$")
_EXCHANGES = 16
_EVERY_S = 2.0
"""So that what clocks may part meanwhile stays near a millisecond."""
_RETRY_S = 0.2
_PATIENCE_S = 0.5
_LARGEST_FRAME = 1024


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


_REPLY = msgspec.json.Decoder(EchoReply)


@dataclass(frozen=True, slots=True)
class _Target:
    clock: str
    endpoint: str


class ClockSync:
    """Learns from hellos whose clock counts, and knows how far it is from ours."""

    def __init__(self, subscribed: str, keys: ClientKeys | None = None) -> None:
        """``subscribed`` is the endpoint where the hellos come from, ``keys`` what lets us in there."""
        self._subscribed, self._keys = subscribed, keys
        self._target: _Target | None = None
        self._measured: tuple[_Target, ClockOffset] | None = None  # one assignment, so that they belong together
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def attend(self, hello: HelloMessage) -> None:
        """Measure the clock of ``hello`` from now on, if it is another one and has an echo."""
        endpoint = endpoint_seen_from(self._subscribed, hello.echo)
        if hello.clock in (None, clock_id()) or endpoint is None:
            self._target = None
            return
        target = _Target(str(hello.clock), endpoint)
        if target != self._target:
            self._target = target
            self._wake.set()
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._keep, name="cropzoom-clock", daemon=True)
            self._thread.start()

    def offset_to(self, clock: str | None) -> ClockOffset | None:
        """Return how far ``clock`` is ahead of ours; None while that is not known."""
        if clock == clock_id():
            return SAME_CLOCK
        measured = self._measured
        return measured[1] if clock is not None and measured and measured[0].clock == clock else None

    def close(self) -> None:
        """End the thread; may be called twice."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _keep(self) -> None:
        with zmq.Context() as context:
            while not self._stop.is_set():
                self._wake.clear()
                target = self._target
                offset = target and self._measure(context, target)
                if target and offset:
                    known = self._measured
                    old = known[1] if known and known[0].clock == target.clock else None
                    self._measured = target, better(old, offset)
                self._wake.wait(_EVERY_S if offset or not target else _RETRY_S)

    def _measure(self, context: zmq.Context[zmq.Socket[bytes]], target: _Target) -> ClockOffset | None:
        """Ask several times, until one question is not answered; None where nobody answers."""
        exchanges: list[Exchange] = []
        with contextlib.suppress(zmq.ZMQError), context.socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.IPV6, int("[" in target.endpoint))
            socket.set(zmq.MAXMSGSIZE, _LARGEST_FRAME)
            if self._keys is not None:
                use_client_keys(socket, self._keys)
            socket.connect(target.endpoint)
            while len(exchanges) < _EXCHANGES and (exchange := self._exchange(socket, target.clock)) is not None:
                exchanges.append(exchange)
        return estimate(exchanges)

    def _exchange(self, socket: zmq.Socket[bytes], clock: str) -> Exchange | None:
        """Ask once; None where no answer comes in time. Answers to what was asked before are passed over."""
        mark, deadline = secrets.token_bytes(8), time.monotonic() + _PATIENCE_S
        sent_ns = now_ns()
        socket.send(mark, zmq.NOBLOCK)
        while time.monotonic() < deadline and not self._stop.is_set():
            if not socket.poll(50):
                continue
            back_ns = now_ns()
            reply = _reply(socket.recv_multipart(zmq.NOBLOCK), mark)
            if reply is not None and reply.clock == clock:
                return Exchange(sent_ns, reply.received_ns, reply.answered_ns, back_ns)
        return None


def _reply(parts: list[bytes], mark: bytes) -> EchoReply | None:
    """The answer to ``mark``, or None where the frames are none."""
    if len(parts) != 2 or parts[0] != mark:
        return None
    try:
        return _REPLY.decode(parts[1])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

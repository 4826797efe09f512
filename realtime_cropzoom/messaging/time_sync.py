"""Time synchronisation: measures the offset of another machine's clock and its uncertainty.

``ClockSync`` measures the offset in its own thread, so that no reader waits for an exchange. The thread runs only if
the publisher has another clock than this machine. ``sinks.time_sync_server`` is the server.

An exchange gives four times: sent and back on our clock, received and answered on the other clock. However long each
way took, the other clock was ahead by at least ``answered - back`` and at most ``received - sent``. The offset is the
middle of this range, and its uncertainty is half of the time that both ways took together. Of several exchanges the
quickest is the most certain.

On the wire a request is one frame of up to 64 arbitrary bytes. The reply is two frames: the same bytes and JSON
(``EchoReply``). REQ and DEALER sockets can send requests.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import zmq

from realtime_cropzoom.clock import clock_id, now_ns, now_s
from realtime_cropzoom.messaging.endpoints import endpoint_seen_from
from realtime_cropzoom.messaging.keys import ClientKeys
from realtime_cropzoom.messaging.message import HelloMessage, Ns
from realtime_cropzoom.messaging.sockets import new_socket, use_client_keys

MARK_BYTES = 64
"""Maximum size of a request (bytes). The server does not answer a longer one."""
DRIFT = 500e-6
"""Maximum drift between two clocks (s per s): the rate at which a system may slew its clock to correct it."""
_EXCHANGES = 16
"""Number of exchanges of one measurement."""
_INTERVAL_S = 2.0
"""Time between measurements (s). Within it the clocks drift apart by at most about a millisecond."""
_RETRY_S = 0.2
"""Time (s) to the next measurement after one without a usable reply."""
_REPLY_TIMEOUT_S = 0.5
"""Timeout (s) of the wait for a reply."""
_MAX_FRAME_BYTES = 1024
"""Maximum size (bytes) of a reply. ZeroMQ disconnects a peer that sends a larger one."""


class EchoReply(msgspec.Struct, frozen=True):
    """The answer of the echo."""

    clock: str
    """Name of the clock of both times, as in the hello message of the publisher."""
    received_ns: Ns
    """Time at which the request arrived (ns)."""
    answered_ns: Ns
    """Time at which the reply was sent (ns)."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Times of one request and its reply (ns)."""

    sent_ns: int
    """Request sent, on our clock."""
    received_ns: int
    """Request received, on the other clock."""
    answered_ns: int
    """Reply sent, on the other clock."""
    back_ns: int
    """Reply received, on our clock."""

    @property
    def roundtrip_ns(self) -> int:
        """Time that both ways took together (ns); negative if a clock stepped or the reply is false."""
        return (self.back_ns - self.sent_ns) - (self.answered_ns - self.received_ns)


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Offset of another clock from ours, with its uncertainty."""

    offset_ns: int
    """The other clock minus ours (ns)."""
    uncertainty_ns: int
    """Maximum error of the offset at the time of the measurement (ns)."""
    measured_ns: int
    """Time of the measurement (ns, our clock)."""

    def uncertainty_at_ns(self, at_ns: int) -> int:
        """Return the uncertainty (ns) at another time (ns, our clock): it grows by ``DRIFT``, the maximum drift."""
        if self == SAME_CLOCK:
            return 0
        return self.uncertainty_ns + round(DRIFT * abs(at_ns - self.measured_ns))


SAME_CLOCK = ClockOffset(0, 0, 0)
"""Offset of a publisher with the same clock as ours: nothing to measure."""


def estimate(exchanges: Iterable[Exchange]) -> ClockOffset | None:
    """Return the offset of the quickest exchange; None if no exchange is plausible."""
    usable = [e for e in exchanges if e.roundtrip_ns >= 0 and e.answered_ns >= e.received_ns]
    if not usable:
        return None
    best = min(usable, key=lambda e: e.roundtrip_ns)
    twice = (best.received_ns - best.sent_ns) + (best.answered_ns - best.back_ns)
    return ClockOffset(twice // 2, best.roundtrip_ns // 2 + 1, best.back_ns)


def select_offset(old: ClockOffset | None, new: ClockOffset) -> ClockOffset:
    """Return the more certain of two measurements of a clock.

    If the two contradict each other, a clock has stepped meanwhile, for example because it stood still while its
    machine slept. Then the new measurement is used.

    Args:
        old: The last measurement; None if there is none.
        new: The measurement just made.
    """
    if old is None:
        return new
    old_ns = old.uncertainty_at_ns(new.measured_ns)
    agree = abs(old.offset_ns - new.offset_ns) <= old_ns + new.uncertainty_ns
    return old if agree and old_ns < new.uncertainty_ns else new


_REPLY = msgspec.json.Decoder(EchoReply)


@dataclass(frozen=True, slots=True)
class _Target:
    clock: str
    endpoint: str


class ClockSync:
    """Measures the offset of the clock that the last hello message names."""

    def __init__(self, subscribed: str, keys: ClientKeys | None = None) -> None:
        """Start nothing yet: ``follow`` starts the thread.

        Args:
            subscribed: Endpoint from which the hellos come.
            keys: Keys of this client; None if the run has no keys.
        """
        self._subscribed, self._keys = subscribed, keys
        self._target: _Target | None = None
        self._measured: tuple[_Target, ClockOffset] | None = None  # set in one assignment, so that both belong together
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, hello: HelloMessage) -> None:
        """Measure the clock of ``hello`` from now on, if it is not ours and the hello names a time server."""
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
        """Return the offset of ``clock`` from ours; None while it is unknown."""
        if clock == clock_id():
            return SAME_CLOCK
        measured = self._measured
        return measured[1] if clock is not None and measured and measured[0].clock == clock else None

    def close(self) -> None:
        """Stop the thread. May be called more than once."""
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
                    self._measured = target, select_offset(old, offset)
                self._wake.wait(_INTERVAL_S if offset or not target else _RETRY_S)

    def _measure(self, context: zmq.Context[zmq.Socket[bytes]], target: _Target) -> ClockOffset | None:
        """Exchange several times, until one request gets no reply; return None if no exchange is usable."""
        exchanges: list[Exchange] = []
        with contextlib.suppress(zmq.ZMQError), new_socket(context, zmq.DEALER, target.endpoint) as socket:
            socket.set(zmq.MAXMSGSIZE, _MAX_FRAME_BYTES)
            if self._keys is not None:
                use_client_keys(socket, self._keys)
            socket.connect(target.endpoint)
            while len(exchanges) < _EXCHANGES and (exchange := self._exchange(socket, target.clock)) is not None:
                exchanges.append(exchange)
        return estimate(exchanges)

    def _exchange(self, socket: zmq.Socket[bytes], clock: str) -> Exchange | None:
        """Exchange once; return None if no reply comes in time. Drops late replies to earlier requests."""
        mark, deadline = secrets.token_bytes(8), now_s() + _REPLY_TIMEOUT_S
        sent_ns = now_ns()
        socket.send(mark, zmq.NOBLOCK)
        while now_s() < deadline and not self._stop.is_set():
            if not socket.poll(50):
                continue
            back_ns = now_ns()
            reply = _reply(socket.recv_multipart(zmq.NOBLOCK), mark)
            if reply is not None and reply.clock == clock:
                return Exchange(sent_ns, reply.received_ns, reply.answered_ns, back_ns)
        return None


def _reply(parts: list[bytes], mark: bytes) -> EchoReply | None:
    """Return the reply to ``mark``, or None if the frames are not a reply to it."""
    if len(parts) != 2 or parts[0] != mark:
        return None
    try:
        return _REPLY.decode(parts[1])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

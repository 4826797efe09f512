"""Keeps the offset to a publisher's clock measured, in a thread of its own, so that nobody waits for it.

The thread is there only where the publisher has another clock than this machine.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import dataclass

import msgspec
import zmq

from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.messaging.keys import ClientKeys
from realtime_cropzoom.messaging.message import HelloMessage
from realtime_cropzoom.messaging.security import use_client_keys
from realtime_cropzoom.messaging.time_sync import (
    SAME_CLOCK,
    ClockOffset,
    EchoReply,
    Exchange,
    better,
    endpoint_seen_from,
    estimate,
)

_EXCHANGES = 16
_EVERY_S = 2.0
"""So that what clocks may part meanwhile stays near a millisecond."""
_RETRY_S = 0.2
_PATIENCE_S = 0.5
_LARGEST_FRAME = 1024
_REPLY = msgspec.json.Decoder(EchoReply)


@dataclass(frozen=True, slots=True)
class _Target:
    clock: str
    endpoint: str


class ClockKeeper:
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

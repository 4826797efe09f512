"""Feed of a trigger process: what its rules decide, who gave which order, and its state, for programs that look on.

It is a publishing socket beside the socket for orders, with the same protection. Each message has two parts: the topic
``trigger/NAME`` and JSON with a ``type``: ``trigger_state``, ``decision`` or ``order``.

The rule loop never waits for it: it adds to a queue, and only while somebody subscribes. The thread of the feed does
the rest. When a subscriber is slow, or too much happens at once, the oldest or newest messages are missing: the files
of the session are the record.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import zmq

from realtime_cropzoom.clock import now_ns, now_s, unix_offset_ns
from realtime_cropzoom.control.address import FEED
from realtime_cropzoom.errors import SinkError, explain
from realtime_cropzoom.messaging.keys import ServerKeys
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.sockets import take_subscriptions_only
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.trigger.engine.events import Decision, Verdict

_STATE_EVERY_S = 1.0
_POLL_MS = 50
"""Interval (ms) at which the queue is sent, and the state if it has changed, while somebody subscribes."""
_IDLE_POLL_MS = 200
"""The same while nobody does."""
_MAX_QUEUED = 1000
_HIGH_WATER_MARK = 200
"""Maximum number of messages that wait for one subscriber. It loses the newest."""
_LINGER_MS = 200
_IPC, _SOCKET = "ipc://", ".sock"
_encode = msgspec.json.Encoder().encode


def feed_endpoint(control: str) -> str:
    """Return the endpoint of the feed beside the endpoint of the orders; over TCP with a port of its own."""
    if control.startswith(_IPC):
        return f"{control.removesuffix(_SOCKET)}{FEED}{_SOCKET if control.endswith(_SOCKET) else ''}"
    return f"{control.rpartition(':')[0]}:*"


def decision_message(decision: Decision, name: str, to_unix_ns: int) -> dict[str, Any]:
    """Return a decision as the feed has it.

    Args:
        decision: The decision.
        name: Name of the trigger process.
        to_unix_ns: Unix time minus the clock of the decision (ns).
    """
    return {
        "type": "decision",
        "name": name,
        "number": decision.number,
        "rule": decision.rule,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "frame": decision.frame,
        "run": decision.run,
        "camera": decision.camera,
        "outputs": [[action.output, action.act.value] for action in decision.actions],
        "test": decision.verdict is Verdict.TEST,
        "time_ns": decision.now_ns,
        "unix_offset_ns": to_unix_ns,
    }


class Feed:
    """Thread that publishes. ``start`` it, and ``close`` it at the end."""

    def __init__(
        self,
        control: str,
        keys: ServerKeys | None,
        name: str,
        state: Callable[[], dict[str, Any]],
        changes: Callable[[], object],
    ) -> None:
        """Create the feed; it opens nothing yet.

        Args:
            control: Endpoint of the orders.
            keys: Keys of the orders; None at a Unix socket.
            name: Name of the trigger process.
            state: Function that returns the state.
            changes: Function that returns something that differs when the state must be sent at once.
        """
        self.endpoint = feed_endpoint(control)
        """The endpoint; once started, with the number of its port."""
        self._keys, self._name = keys, name
        self._topic = f"trigger/{name}".encode()
        self._state, self._changes = state, changes
        self._subscribed: set[bytes] = set()
        self._queue: deque[tuple[Decision, int] | dict[str, Any]] = deque(maxlen=_MAX_QUEUED)
        self._started, self._over = Started(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="cropzoom-trigger-feed", daemon=True)

    def start(self) -> None:
        """Start to publish.

        Raises:
            SinkError: if the endpoint cannot be bound.
        """
        self._thread.start()
        try:
            self._started.wait("the feed")
        except zmq.ZMQError as error:
            raise SinkError(
                f"cannot publish the feed at {self.endpoint}: {explain(error)}; give --control none"
            ) from error

    def add_decision(self, decision: Decision, to_unix_ns: int) -> None:
        """Add a decision; returns at once. ``to_unix_ns`` as in ``decision_message``."""
        if self._subscribed:
            self._queue.append((decision, to_unix_ns))

    def add_order(self, order: str, target: str | None, by: str, error: str | None) -> None:
        """Add an order that was given; returns at once.

        Args:
            order: Name of the order.
            target: What it was for; None if for nothing in particular.
            by: Who gave it.
            error: Why it was refused; None if it was not.
        """
        if self._subscribed:
            given = {"type": "order", "name": self._name, "order": order, "target": target, "by": by}
            times = {"time_ns": now_ns(), "unix_offset_ns": unix_offset_ns()}
            self._queue.append({**given, "ok": error is None, "error": error, **times})

    def close(self) -> None:
        """Send what is queued and the last state, and stop the thread. It may be called twice."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.endpoint.startswith(_IPC):
            Path(self.endpoint.removeprefix(_IPC)).unlink(missing_ok=True)

    def _run(self) -> None:
        with (
            self._started.reporting(),
            zmq.Context() as context,
            context.socket(zmq.XPUB) as socket,
            ConnectionGuard(context, Security(self._keys)) as guard,
        ):
            socket.set(zmq.LINGER, _LINGER_MS)
            socket.set(zmq.SNDHWM, _HIGH_WATER_MARK)
            socket.set(zmq.XPUB_VERBOSE, 1)  # each new subscriber gets the state at once
            take_subscriptions_only(socket)
            self.endpoint = guard.bind(socket, "feed", self.endpoint)
            guard.start()
            self._started.ready()
            self._publish(socket, guard)

    def _publish(self, socket: zmq.Socket[bytes], guard: ConnectionGuard) -> None:
        sent_s, before = 0.0, self._changes()
        while not self._over.is_set():
            is_new = False
            if socket.poll(_POLL_MS if self._subscribed else _IDLE_POLL_MS):
                is_new = self._take_subscription(socket, guard)
            if not self._subscribed:
                continue
            self._send_queued(socket)
            changes, at_s = self._changes(), now_s()
            if is_new or changes != before or at_s - sent_s >= _STATE_EVERY_S:
                sent_s, before = at_s, changes
                self._send(socket, {"type": "trigger_state", **self._state()})
        if self._subscribed:
            self._send_queued(socket)
            self._send(socket, {"type": "trigger_state", **self._state()})

    def _take_subscription(self, socket: zmq.Socket[bytes], guard: ConnectionGuard) -> bool:
        """Take one subscription or its end; return whether it is a new one."""
        frame = socket.recv(copy=False)
        guard.sent(frame)
        begins, topic = frame.bytes[:1] == b"\x01", frame.bytes[1:]
        if begins:
            self._subscribed.add(topic)
        else:
            self._subscribed.discard(topic)
        return begins

    def _send_queued(self, socket: zmq.Socket[bytes]) -> None:
        while self._queue:
            queued = self._queue.popleft()
            message = queued if isinstance(queued, dict) else decision_message(queued[0], self._name, queued[1])
            self._send(socket, message)

    def _send(self, socket: zmq.Socket[bytes], message: dict[str, Any]) -> None:
        with suppress(zmq.Again):
            socket.send_multipart([self._topic, _encode(message)], zmq.NOBLOCK)

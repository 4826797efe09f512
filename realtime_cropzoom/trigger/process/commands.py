"""Orders to the trigger process, from the keyboard or from other scripts.

A script sends an order from a REQ socket, as JSON, and gets an answer::

    {"order": "arm"}                        {"ok": true, "armed": ["snout_in_corner"], …}
    {"order": "disarm", "target": "RULE"}   {"ok": true, …}
    {"order": "test", "target": "OUTPUT"}   {"ok": false, "error": "there is no output laser; …"}

``{"order": "state"}`` changes nothing. An order reaches the rule loop through a queue, so that the loop never waits for
a sender. The answer comes when the loop has handled the order, and has the state after it. ``command_address``
describes where the socket is and who can reach it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import zmq

from realtime_cropzoom.errors import SinkError, explain
from realtime_cropzoom.messaging.connections import REQUESTS
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.sockets import new_socket, use_client_keys
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.trigger import AUTO
from realtime_cropzoom.trigger.engine.events import Order
from realtime_cropzoom.trigger.process.command_address import ControlAddress, Target, find_address

_POLL_MS = 100
logger = logging.getLogger(__name__)

_MAX_REQUEST_BYTES = 4096
_MAX_ANSWER_BYTES = 1 << 20
_MAX_QUEUED_REQUESTS = 16
"""Maximum number of requests that wait in the socket."""
_PAUSE_S = 0.001
"""Pause (s) between two answers. A script that asks in a loop must not slow down the rule loop."""
_MAX_WAITING = 64
"""Maximum number of orders that wait for the rule loop. Further ones are refused."""
_TAKE_TIMEOUT_S = 1.5
"""Timeout (s) for the rule loop to receive an order. It does so every 20 ms unless something delays it."""
_KEYS = {"a": Order.ARM, "d": Order.DISARM, "q": Order.STOP}
KEYS_EXPLAINED = "keys: a arms, d disarms, q ends"


class Receipt:
    """Tells the sender of an order that the rule loop has received it."""

    def __init__(self) -> None:
        self.taken = threading.Event()
        self.problem: str | None = None
        """Reason why the rules refused it; None if they did not."""


class QueuedCommand(NamedTuple):
    """An order that waits for the rule loop."""

    order: Order
    target: str | None
    by: str
    """Origin: key or control."""
    receipt: Receipt | None = None

    def done(self, problem: str | None = None) -> None:
        """Tell the sender that the rule loop has received the order; ``problem`` is the reason if it was refused."""
        if self.receipt is not None:
            self.receipt.problem = problem
            self.receipt.taken.set()


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    order: str
    target: str | None = None


class CommandQueue:
    """Orders that wait for the rule loop. When it is full, it refuses the newest."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedCommand] = deque()

    def put(self, asked: QueuedCommand) -> bool:
        """Add an order; returns False if too many wait."""
        if len(self._waiting) >= _MAX_WAITING:
            return False
        self._waiting.append(asked)
        return True

    def take(self) -> Iterator[QueuedCommand]:
        """Yield all orders that wait."""
        while self._waiting:
            yield self._waiting.popleft()


class CommandServer:
    """Thread that receives orders and answers them. ``start`` it, and ``close`` it at the end."""

    def __init__(
        self,
        address: ControlAddress,
        orders: CommandQueue,
        refuse: Callable[[Order, str | None], str | None],
        state: Callable[[], dict[str, Any]],
    ) -> None:
        """``refuse`` returns what is wrong with an order, or None; ``state`` is part of every answer."""
        self._address = address
        self._orders, self._refuse, self._state = orders, refuse, state
        self._started, self._over = Started(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="cropzoom-control", daemon=True)

    @property
    def endpoint(self) -> str:
        """The endpoint that is bound, once started; a port 0 or * has become a number."""
        return self._address.endpoint

    def start(self) -> None:
        """Start to answer.

        Raises:
            SinkError: if the endpoint cannot be bound.
        """
        self._thread.start()
        try:
            self._started.wait("the socket for orders")
        except zmq.ZMQError as error:
            raise SinkError(
                f"cannot take orders at {self.endpoint}: {explain(error)}; give another one with --control, or none"
            ) from error

    def close(self) -> None:
        """Stop the thread. It may be called twice."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._address.close()

    def _run(self) -> None:
        with (
            self._started.reporting(),
            zmq.Context() as context,
            context.socket(zmq.REP) as socket,
            ConnectionGuard(context, Security(self._address.keys)) as guard,
        ):
            socket.set(zmq.LINGER, 200)
            socket.set(zmq.MAXMSGSIZE, _MAX_REQUEST_BYTES)
            socket.set(zmq.RCVHWM, _MAX_QUEUED_REQUESTS)
            socket.set(zmq.SNDHWM, _MAX_QUEUED_REQUESTS)
            self._address.bound(guard.bind(socket, "control", self.endpoint, REQUESTS))
            guard.start()
            self._started.ready()
            while not self._over.is_set():
                if socket.poll(_POLL_MS):
                    socket.send(msgspec.json.encode(self._answer(socket.recv_multipart())))
                    self._over.wait(_PAUSE_S)

    def _answer(self, parts: list[bytes]) -> dict[str, Any]:
        problem = self._take(parts)
        return {"ok": True, **self._state()} if problem is None else {"ok": False, "error": problem}

    def _take(self, parts: list[bytes]) -> str | None:
        try:
            request = msgspec.json.decode(parts[-1], type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 'expected JSON such as {"order": "arm"}'
        if request.order == "state":
            return None
        try:
            order = Order(request.order)
        except ValueError:
            return f"there is no order {request.order}; expected one of {', '.join(Order)}, state"
        if problem := self._refuse(order, request.target):
            return problem
        receipt = Receipt()
        if not self._orders.put(QueuedCommand(order, request.target, "control", receipt)):
            return "too many orders wait"
        return self._wait_for(receipt)

    def _wait_for(self, receipt: Receipt) -> str | None:
        """Wait until the rule loop has received an order; return what is wrong with it, or None."""
        until_s = time.monotonic() + _TAKE_TIMEOUT_S
        while not receipt.taken.wait(0.05):
            if self._over.is_set():
                return "the trigger process ends; the order was not taken"
            if time.monotonic() >= until_s:
                return f"the rule loop has not taken the order for {_TAKE_TIMEOUT_S:g} s; the order still waits"
        return receipt.problem


def give_order(
    order: str, target: str | None = None, *, control: str = AUTO, keys: str | Path | None = None
) -> dict[str, Any]:
    """Give an order to the trigger process of this user, as ``cropzoom trigger --send`` does.

    Args:
        order: arm, disarm, test, stop or state.
        target: Rule to arm or disarm, None for all; for a test the output.
        control: Name of the process if several run, or its endpoint.
        keys: Key file of this client, if the endpoint is a TCP endpoint.

    Returns:
        The answer: ``ok``, and the state or the ``error``.

    Raises:
        ConfigError: if ``control`` or ``keys`` are wrong.
        SinkError: if no process answers.
    """
    return send(find_address(control, keys=None if keys is None else Path(keys)), order, target)


def send(to: str | Target, order: str, target: str | None = None, *, timeout_s: float = 2.0) -> dict[str, Any]:
    """Give an order to the trigger process at an address; return its answer.

    Args:
        to: Address of the process.
        order: See ``give_order``.
        target: See ``give_order``.
        timeout_s: Maximum time (s) to wait for the answer.

    Raises:
        SinkError: if no process answers.
    """
    to = Target(to) if isinstance(to, str) else to
    with zmq.Context() as context, new_socket(context, zmq.REQ, to.endpoint) as socket:
        socket.set(zmq.MAXMSGSIZE, _MAX_ANSWER_BYTES)
        if to.keys is not None:
            use_client_keys(socket, to.keys)
        try:
            socket.connect(to.endpoint)
        except zmq.ZMQError as error:
            raise SinkError(f"cannot connect to {to.endpoint}: {explain(error)}") from error
        socket.send(msgspec.json.encode(_Request(order, target)))
        if not socket.poll(round(timeout_s * 1000)):
            raise SinkError(
                f"no trigger process answers at {to.endpoint}; is 'cropzoom trigger' running, with this --control?"
            )
        answer: dict[str, Any] = msgspec.json.decode(socket.recv())
        return answer


@contextmanager
def keyboard(orders: CommandQueue) -> Iterator[bool]:
    """Turn keys into orders inside the ``with`` block; yields whether there is a keyboard."""
    if os.name != "posix" or sys.stdin is None or sys.stdin.closed or not _is_ours(sys.stdin.fileno()):
        yield False
        return
    import termios
    import tty

    descriptor, over = sys.stdin.fileno(), threading.Event()
    before = termios.tcgetattr(descriptor)
    thread = threading.Thread(target=_read_keys, args=(descriptor, orders, over), name="cropzoom-keyboard", daemon=True)
    tty.setcbreak(descriptor)
    thread.start()
    try:
        yield True
    finally:
        over.set()
        thread.join()
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_ours(descriptor: int) -> bool:
    """Return whether it is a terminal with this process in the foreground. The system stops background readers."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return os.isatty(descriptor)  # a terminal other than that of this process


def _read_keys(descriptor: int, orders: CommandQueue, over: threading.Event) -> None:
    import select

    while not over.is_set():
        if not select.select([descriptor], [], [], 0.1)[0]:
            continue
        try:
            keys = os.read(descriptor, 64).decode(errors="ignore")
        except OSError:  # the terminal is gone
            return
        if not keys:
            return
        for key in keys:
            if key in _KEYS and not orders.put(QueuedCommand(_KEYS[key], None, "key")):
                logger.warning("key %s is ignored: %d orders wait already", key, _MAX_WAITING)

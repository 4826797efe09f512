"""Orders to the rule loop, from the keyboard or from the control socket.

They reach the rule loop through a queue, so that the loop never waits for a sender. The answer comes when the loop has
handled the order, and has the state after it.
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
from typing import Any, NamedTuple

from realtime_cropzoom.control.protocol import STATE, TRIGGER, OrderError, Origin, Request, unknown_order
from realtime_cropzoom.trigger.engine.events import Order

logger = logging.getLogger(__name__)

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
    """Who gave it: key, or the origin of a request."""
    receipt: Receipt | None = None

    def done(self, problem: str | None = None) -> None:
        """Tell the sender that the rule loop has received the order; ``problem`` is the reason if it was refused."""
        if self.receipt is not None:
            self.receipt.problem = problem
            self.receipt.taken.set()


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


class OrderDesk:
    """Hands orders of the control socket to the rule loop, answers with its state. ``close`` it before the socket."""

    def __init__(
        self,
        orders: CommandQueue,
        refuse: Callable[[Order, str | None], str | None],
        state: Callable[[], dict[str, Any]],
    ) -> None:
        """``refuse`` returns what is wrong with an order, or None; ``state`` is part of every answer."""
        self._orders, self._refuse, self._state = orders, refuse, state
        self._over = threading.Event()

    def obey(self, request: Request, origin: Origin) -> dict[str, Any]:
        """Return the state after an order; called by the control thread.

        Args:
            request: The order.
            origin: Who gave it.

        Raises:
            OrderError: if it is refused.
        """
        if request.order != STATE and (problem := self._take(request, origin)) is not None:
            raise OrderError(problem)
        return self._state()

    def close(self) -> None:
        """Let no sender wait any more."""
        self._over.set()

    def _take(self, request: Request, origin: Origin) -> str | None:
        try:
            order = Order(request.order)
        except ValueError:
            raise unknown_order(request, TRIGGER) from None
        if problem := self._refuse(order, request.target):
            return problem
        receipt = Receipt()
        if not self._orders.put(QueuedCommand(order, request.target, str(origin), receipt)):
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

"""Queue of orders for the rule loop, and the keys that give some. The loop never waits for who gives an order."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from realtime_cropzoom.trigger.engine.events import Order
from realtime_cropzoom.trigger.process.rules_desk import Proposal

logger = logging.getLogger(__name__)

_MAX_WAITING = 64
"""Maximum number of orders that wait for the rule loop. Further ones are refused."""
KEY = "key"
"""Origin of an order that was given by a key."""
_KEYS = {"a": Order.ARM, "d": Order.DISARM, "q": Order.STOP}
KEYS_EXPLAINED = "keys: a arms, d disarms, q ends"


class Receipt:
    """Tells the sender of an order that the rule loop has received it."""

    def __init__(self) -> None:
        self.taken = threading.Event()
        self.problem: str | None = None
        """Reason why the rules refused it; None if they did not."""


@dataclass(frozen=True, slots=True)
class QueuedOrder:
    """An order that waits for the rule loop."""

    by: str
    """Who gave it: key, or the origin of a request."""
    receipt: Receipt | None
    """None if nobody waits for the answer."""

    def done(self, problem: str | None = None) -> None:
        """Tell the sender that the rule loop has received the order; ``problem`` is the reason if it was refused."""
        if self.receipt is not None:
            self.receipt.problem = problem
            self.receipt.taken.set()


@dataclass(frozen=True, slots=True)
class QueuedCommand(QueuedOrder):
    """A command that waits for the rule loop."""

    order: Order
    target: str | None = None


@dataclass(frozen=True, slots=True)
class QueuedRules(QueuedOrder):
    """New rules that wait for the rule loop."""

    proposal: Proposal


class CommandQueue:
    """Orders that wait for the rule loop. When it is full, it refuses the newest."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedOrder] = deque()

    def put(self, asked: QueuedOrder) -> bool:
        """Add an order; returns False if too many wait."""
        if len(self._waiting) >= _MAX_WAITING:
            return False
        self._waiting.append(asked)
        return True

    def take(self) -> Iterator[QueuedOrder]:
        """Yield all orders that wait."""
        while self._waiting:
            yield self._waiting.popleft()


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
            if key in _KEYS and not orders.put(QueuedCommand(KEY, None, _KEYS[key])):
                logger.warning("key %s is ignored: %d orders wait already", key, _MAX_WAITING)

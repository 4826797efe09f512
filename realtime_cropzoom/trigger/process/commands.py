"""Queue of orders for the rule loop, and the keys that give some. The loop never waits for who gives an order."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from realtime_cropzoom.clock import now_s
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


_Read = Callable[[float], str]
"""Function that waits for keys, at most the time (s) it is given, and returns them; EOFError at their end."""
_KEYS_WAIT_S = 0.1
_CONSOLE_POLL_S = 0.02
_TWO_CHARACTERS = ("\x00", "\xe0")
"""First of the two characters that a console of Windows gives for an arrow or a function key."""


@contextmanager
def keyboard(orders: CommandQueue) -> Iterator[bool]:
    """Turn keys into orders inside the ``with`` block; yields whether there is a keyboard."""
    with _opened_keyboard() as read:
        if read is None:
            yield False
            return
        over = threading.Event()
        thread = threading.Thread(target=_read_keys, args=(read, orders, over), name="cropzoom-keyboard", daemon=True)
        thread.start()
        try:
            yield True
        finally:
            over.set()
            thread.join()


@contextmanager
def _opened_keyboard() -> Iterator[_Read | None]:
    """Let the terminal give single keys inside the ``with`` block; yields what reads them, None without a terminal."""
    stdin = sys.stdin
    if stdin is None or stdin.closed:
        yield None
    elif sys.platform == "win32":
        yield _read_console if stdin.isatty() else None
    elif not _is_ours(stdin.fileno()):
        yield None
    else:
        import termios
        import tty

        descriptor = stdin.fileno()
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        try:
            yield partial(_read_terminal, descriptor)
        finally:
            with suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_ours(descriptor: int) -> bool:
    """Return whether it is a terminal with this process in the foreground. The system stops background readers."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return os.isatty(descriptor)  # a terminal other than that of this process


def _read_terminal(descriptor: int, wait_s: float) -> str:
    import select

    if not select.select([descriptor], [], [], wait_s)[0]:
        return ""
    keys = os.read(descriptor, 64)
    if not keys:
        raise EOFError
    return keys.decode(errors="ignore")


def _read_console(wait_s: float) -> str:
    """Read the console of Windows. An arrow or a function key is two characters there; the second may be a letter."""
    import msvcrt

    until_s, keys = now_s() + wait_s, ""
    while not keys and now_s() < until_s:
        time.sleep(_CONSOLE_POLL_S)
        while msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
            key: str = msvcrt.getwch()  # type: ignore[attr-defined,unused-ignore]
            keys += "" if key in _TWO_CHARACTERS and msvcrt.getwch() else key  # type: ignore[attr-defined,unused-ignore]
    return keys


def _read_keys(read: _Read, orders: CommandQueue, over: threading.Event) -> None:
    while not over.is_set():
        try:
            keys = read(_KEYS_WAIT_S)
        except (OSError, EOFError):  # the terminal is gone
            return
        for key in keys:
            if key in _KEYS and not orders.put(QueuedCommand(KEY, None, _KEYS[key])):
                logger.warning("key %s is ignored: %d orders wait already", key, _MAX_WAITING)

"""Signals that end a process: each ends a command in order, with exit code 128 + the number of the signal.

By default about twenty signals and all real-time signals end a process at once. A laser would stay on, and a recording
would stay open. There are two ways to end in order:

* ``stop_on_signals`` calls a function. Commands that track or switch outputs use it: their loops notice the stop.
* ``interrupts`` raises ``Terminated`` in the main thread, as Ctrl-C does. All other commands use it.

SIGKILL and faults of the program itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL) cannot be handled.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

_NAMES = (
    *("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGABRT", "SIGBREAK", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM"),
    *("SIGPROF", "SIGPIPE", "SIGXCPU", "SIGXFSZ", "SIGIO", "SIGPOLL", "SIGPWR", "SIGSTKFLT", "SIGEMT", "SIGTRAP"),
    *("SIGSYS",),
)
"""Signals that end a process by default, of all systems. Each system has some of them."""
_ALWAYS = {"SIGINT", "SIGTERM"}
"""Signals that are handled even if ignored at the start: a shell script starts background jobs with Ctrl-C ignored."""

before_ending: list[Callable[[], object]] = []
"""Functions called first when a signal ends the process, so that the terminal stops waiting for its reader."""

_AGAIN_AFTER_S = 0.02
"""Delay before a signal is raised again. The finaliser that swallowed it has ended by then."""

_Handler = Callable[[int, types.FrameType | None], Any]


class _Held:
    """Signals that arrived during ``signals_held_back``, and its nesting depth."""

    def __init__(self) -> None:
        self.depth = 0
        self.signals: list[int] = []


_held = _Held()


class Terminated(KeyboardInterrupt):
    """Raised if a signal ends a command, as KeyboardInterrupt is for Ctrl-C."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number
        """Number of the signal."""


def ending_signals() -> tuple[int, ...]:
    """Return the numbers of the signals of this system that end a process and can be handled."""
    named = (getattr(signal, name, None) for name in _NAMES)
    first, last = getattr(signal, "SIGRTMIN", None), getattr(signal, "SIGRTMAX", None)
    real_time = range(first, last + 1) if first is not None and last is not None else ()
    return tuple(dict.fromkeys([*(int(number) for number in named if number is not None), *map(int, real_time)]))


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGHUP`` or ``SIGRTMIN+3``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if hasattr(signal, "SIGRTMIN") else f"signal {number}"


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Delay signals until the block ends: an interrupted import of compiled code fails with an obscure error."""
    # The mask covers this thread only; a thread that a library started may still receive a signal.
    _held.depth += 1
    block = getattr(signal, "pthread_sigmask", None)  # Windows has none
    before = block(signal.SIG_BLOCK, ending_signals()) if block is not None else ()
    try:
        yield
    finally:
        _held.depth -= 1
        if block is not None:
            block(signal.SIG_SETMASK, before)
        if _held.depth == 0 and _held.signals:
            number = _held.signals[0]
            _held.signals.clear()
            signal.raise_signal(number)


def stop_on_signals(stop: Callable[[str], object]) -> list[int]:
    """Call ``stop`` on each signal that ends a process. Must be called in the main thread.

    A signal that was ignored at the start, such as SIGHUP under ``nohup``, stays ignored.

    Args:
        stop: Receives the reason, such as ``stopped by SIGINT``.

    Returns:
        The numbers of the signals that arrived; the list grows with each. The exit code is 128 + the first.
    """
    received: list[int] = []

    def stopped(number: int, _: types.FrameType | None) -> None:
        received.append(number)
        _call_all()
        stop(f"stopped by {signal_name(number)}")

    _handle(stopped)
    return received


def ignore_suspension() -> None:
    """Ignore Ctrl-Z and the other signals that suspend a program: it could not switch outputs off."""
    for name in ("SIGTSTP", "SIGTTIN", "SIGTTOU"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Raise ``Terminated`` in the main thread on a signal that ends a process. In any other thread this does nothing.

    A closing terminal sends two signals. After the first, only Ctrl-C raises again, so that an orderly end is not
    interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised = False

    def raise_it(number: int, _: types.FrameType | None) -> None:
        nonlocal raised
        if _held.depth:
            _held.signals.append(number)
        elif number == signal.SIGINT or not raised:
            raised = True
            _call_all()
            raise Terminated(number)

    def raise_again(swallowed: sys.UnraisableHookArgs) -> None:
        """Raise again: Python only prints an exception that a handler raises in a finaliser or an import callback."""
        nonlocal raised
        if not isinstance(swallowed.exc_value, Terminated):
            show(swallowed)
            return
        raised = False
        threading.Timer(_AGAIN_AFTER_S, _signal_main_thread, [swallowed.exc_value.number]).start()

    before = _handle(raise_it)
    show, sys.unraisablehook = sys.unraisablehook, raise_again
    try:
        yield
    finally:
        sys.unraisablehook = show
        for number, handler in before.items():
            if signal.getsignal(number) is not signal.SIG_IGN:  # else ``ignore_further_signals`` was called
                signal.signal(number, handler)


def _signal_main_thread(number: int) -> None:
    """Send a signal to the main thread, where it interrupts a wait."""
    thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and thread is not None:
        signal.pthread_kill(thread, number)
    else:
        signal.raise_signal(number)


def ignore_further_signals() -> None:
    """Ignore all signals while a process ends because of a signal. A closing terminal sends two."""
    for number in ending_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)


def _call_all() -> None:
    for call in before_ending:
        call()


def _handle(handler: _Handler) -> dict[int, Any]:
    """Install a handler for all signals that end a process, and return the handlers before it by signal.

    Signals that are ignored or have a handler of other code keep it, except SIGINT and SIGTERM.
    """
    before: dict[int, Any] = {}
    for number in ending_signals():
        current = signal.getsignal(number)
        always = signal_name(number) in _ALWAYS
        if always or current is signal.SIG_DFL or getattr(current, "__module__", None) == __name__:
            with contextlib.suppress(OSError, ValueError):  # reserved by this system
                before[number] = signal.signal(number, handler)
    return before

"""Simulated trigger board: a pseudo-terminal that answers as the sketch does.

::

    python -m realtime_cropzoom.trigger.outputs.simulated_board

prints the port to write into the rules file, and then every change of a channel. It is for trials: a pulse ends when
the operating system runs this process, not to the microsecond.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable

from realtime_cropzoom.clock import now_ns, now_s
from realtime_cropzoom.trigger.outputs.serial_protocol import MAX_LINE, MAX_US, NAME, VERSION, Lines

_MAX_NUMBER = 4294967289
"""Maximum number that the sketch reads without an overflow."""
_ARGUMENTS = {"?": 0, "H": 1, "W": 2, "P": 3, "N": 2, "F": 2, "S": 2}


class Board:
    """Behaviour of the sketch. It needs no clock: each call has the time (µs)."""

    def __init__(self, channels: int, changed: Callable[[int, bool, int], None]) -> None:
        """Create a board of ``channels`` channels. It calls ``changed(channel, on, at_us)`` when a channel changes."""
        self._changed = changed
        self._held = [False] * channels
        self._until_us: list[int | None] = [None] * channels
        self._shown = [False] * channels
        self._watchdog_us = 0
        """Time of the watchdog (µs); 0 while nothing can be switched on."""
        self._last_us = 0

    @property
    def due_us(self) -> int | None:
        """Time (µs) at which something happens without a line; None if nothing will."""
        times = [until for until in self._until_us if until is not None]
        if self._watchdog_us:
            times.append(self._last_us + self._watchdog_us + 1)
        return min(times, default=None)

    def pass_time(self, at_us: int) -> str:
        """End pulses and check the watchdog; return the line to send by itself, empty if there is none."""
        for channel, until in enumerate(self._until_us):
            if until is not None and at_us >= until:
                self._until_us[channel] = None
                self._show(channel, at_us)
        if self._watchdog_us and at_us - self._last_us > self._watchdog_us:
            self._make_all_safe(at_us)
            self._watchdog_us = 0
            return "X watchdog\n"
        return ""

    def answer(self, line: bytes, at_us: int) -> str:
        """Execute a line and return the answer."""
        what, *words = line.decode("ascii", "replace").split(" ")
        numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= 10]
        if len(line) > MAX_LINE:
            return "E 0 long\n"
        if max(numbers, default=0) > _MAX_NUMBER:
            numbers = []
        if len(numbers) != len(words) or _ARGUMENTS.get(what) != len(numbers):
            return f"E {numbers[0] if numbers and len(numbers) == len(words) else 0} what\n"
        if what == "?":
            return f"I {NAME} {VERSION} {len(self._held)}\n"
        refusal = self._obey(what, numbers[1:], at_us)
        if refusal:
            return f"E {numbers[0]} {refusal}\n"
        self._last_us = at_us
        return f"A {numbers[0]} {at_us % 2**32}\n"

    def _obey(self, what: str, numbers: list[int], at_us: int) -> str | None:
        if what == "W":
            self._watchdog_us = numbers[0] * 1000
            if not self._watchdog_us:
                self._make_all_safe(at_us)
            return None
        if what == "P" and not 0 < numbers[1] <= MAX_US:
            return "what"
        if what != "H" and not 1 <= numbers[0] <= len(self._held):
            return "channel"
        if what in "HPN" and not self._watchdog_us:
            return "no watchdog"
        if what != "H":
            self._switch(what, numbers[0] - 1, numbers[-1], at_us)
        return None

    def _switch(self, what: str, channel: int, us: int, at_us: int) -> None:
        if what == "P":
            self._until_us[channel] = max(self._until_us[channel] or 0, at_us + us)
        else:
            self._held[channel] = what == "N"
        if what == "S":
            self._until_us[channel] = None
        self._show(channel, at_us)

    def _make_all_safe(self, at_us: int) -> None:
        for channel in range(len(self._held)):
            self._switch("S", channel, 0, at_us)

    def _show(self, channel: int, at_us: int) -> None:
        on = self._held[channel] or self._until_us[channel] is not None
        if on != self._shown[channel]:
            self._shown[channel] = on
            self._changed(channel + 1, on, at_us)


def serve(terminal: int, board: Board, is_over: Callable[[], bool] = lambda: False) -> None:
    """Answer lines from a pseudo-terminal, until interrupted or ``is_over`` returns True."""
    lines = Lines()
    while not is_over():
        due_us = board.due_us
        wait_s = 0.5 if due_us is None else max(0.0, due_us / 1e6 - now_s())
        if select.select([terminal], [], [], min(wait_s, 0.5))[0]:
            for line in lines.feed(os.read(terminal, 4096)):
                _say(terminal, board.answer(line, _now_us()))
        _say(terminal, board.pass_time(_now_us()))


def _say(terminal: int, text: str) -> None:
    if text:
        os.write(terminal, text.encode("ascii"))


def _now_us() -> int:
    return now_ns() // 1000


def _reader_is_gone() -> bool:
    """Return whether nothing reads the output any more: the program that started the board was killed."""
    output = select.poll()
    output.register(sys.stdout, 0)  # a closed pipe is reported without being asked for
    return bool(output.poll(0))


def _show(channel: int, on: bool, at_us: int) -> None:
    sys.stdout.write(f"{at_us / 1e6:.6f} channel {channel} {'on' if on else 'off'}\n")
    sys.stdout.flush()


def main() -> int:
    """Open a pseudo-terminal, print its name, and answer as the board until the reader of the output is gone."""
    import tty

    terminal, port = os.openpty()
    tty.setraw(port)
    sys.stdout.write(f"{os.ttyname(port)}\n")
    sys.stdout.flush()
    if sys.stdout.isatty():
        sys.stdout.write(
            "is the port of this simulated board: write it into the rules. Channels are shown here; Ctrl-C ends it\n"
        )
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(terminal, Board(4, _show), _reader_is_gone)
    return 0


if __name__ == "__main__":
    sys.exit(main())

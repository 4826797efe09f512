"""Orders on their way to the rule loop: how many wait, and which keys of Windows give one."""

from __future__ import annotations

import io
import sys
import time
from types import ModuleType

import pytest

from realtime_cropzoom.trigger.engine.events import Order
from realtime_cropzoom.trigger.process.commands import KEY, CommandQueue, QueuedCommand, keyboard


def test_a_full_queue_refuses_the_newest_order() -> None:
    orders = CommandQueue()
    put = [orders.put(QueuedCommand(KEY, None, Order.ARM)) for _ in range(66)]
    assert put == [True] * 64 + [False] * 2
    assert len(list(orders.take())) == 64
    assert list(orders.take()) == []


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A console of Windows: the module with the keys that are typed."""
    fake_msvcrt: ModuleType = pytest.importorskip(
        "support.fake_msvcrt", reason="the stand-in for Windows is for POSIX systems"
    )
    fake_msvcrt.stand_in(monkeypatch)
    monkeypatch.setattr(sys, "stdin", Console())
    return fake_msvcrt


class Console(io.StringIO):
    def isatty(self) -> bool:
        return True


def given_at(console: ModuleType, typed: str) -> list[Order]:
    orders = CommandQueue()
    console.typed.extend(typed)
    with keyboard(orders) as there:
        assert there
        deadline = time.monotonic() + 10
        while console.typed and time.monotonic() < deadline:
            time.sleep(0.01)
    return [asked.order for asked in orders.take() if isinstance(asked, QueuedCommand)]


def test_keys_of_a_windows_console_give_orders(console: ModuleType) -> None:
    assert given_at(console, "axd") == [Order.ARM, Order.DISARM]


def test_a_function_key_of_windows_never_arms(console: ModuleType) -> None:
    """Ctrl-F4 is a NUL and an a, Ctrl-F7 a NUL and a d; an arrow is an à without its letter."""
    assert given_at(console, "\x00a\xe0Hq\x00dd") == [Order.STOP, Order.DISARM]


def test_without_a_console_there_is_no_keyboard_on_windows(
    console: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with keyboard(CommandQueue()) as there:
        assert not there

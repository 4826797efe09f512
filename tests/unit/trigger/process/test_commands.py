"""Orders on their way to the rule loop: how many wait."""

from __future__ import annotations

from realtime_cropzoom.trigger.engine.events import Order
from realtime_cropzoom.trigger.process.commands import KEY, CommandQueue, QueuedCommand


def test_a_full_queue_refuses_the_newest_order() -> None:
    orders = CommandQueue()
    put = [orders.put(QueuedCommand(KEY, None, Order.ARM)) for _ in range(66)]
    assert put == [True] * 64 + [False] * 2
    assert len(list(orders.take())) == 64
    assert list(orders.take()) == []

"""Orders on their way to the rule loop: what waits, what is refused, and what the sender gets to know."""

from __future__ import annotations

import threading

import pytest

from realtime_cropzoom.control.protocol import OrderError, Origin, Request
from realtime_cropzoom.trigger.engine.events import Order
from realtime_cropzoom.trigger.process.commands import CommandQueue, OrderDesk, QueuedCommand

WHO = Origin("page", "anna", 4711)


def desk(orders: CommandQueue) -> OrderDesk:
    return OrderDesk(orders, lambda order, target: None if target is None else "no such rule", lambda: {"armed": []})


def obeyed_while_the_loop(orders: CommandQueue, problem: str | None) -> list[QueuedCommand]:
    """Give the order to arm while a rule loop takes what waits; return what it took."""
    taken: list[QueuedCommand] = []

    def take() -> None:
        while not taken:
            for asked in orders.take():
                taken.append(asked)
                asked.done(problem)

    loop = threading.Thread(target=take)
    loop.start()
    try:
        assert desk(orders).obey(Request("arm"), WHO) == {"armed": []}
    finally:
        loop.join()
    return taken


def test_the_answer_comes_when_the_loop_has_handled_the_order() -> None:
    (asked,) = obeyed_while_the_loop(CommandQueue(), None)
    assert (asked.order, asked.by) == ("arm", "page (anna, process 4711)")


def test_what_the_rules_refuse_is_the_answer() -> None:
    with pytest.raises(OrderError, match="limit reached"):
        obeyed_while_the_loop(CommandQueue(), "limit reached")


def test_state_and_what_does_not_exist_do_not_reach_the_loop() -> None:
    orders = CommandQueue()
    assert desk(orders).obey(Request("state"), WHO) == {"armed": []}
    with pytest.raises(OrderError, match="there is no order 'dance'; expected one of state, arm, "):
        desk(orders).obey(Request("dance"), WHO)
    with pytest.raises(OrderError, match="no such rule"):
        desk(orders).obey(Request("arm", "nobody"), WHO)
    assert list(orders.take()) == []


def test_a_full_queue_refuses_the_newest_order() -> None:
    orders = CommandQueue()
    put = [orders.put(QueuedCommand(order, None, "key")) for order in _many()]
    assert put == [True] * 64 + [False] * 2
    with pytest.raises(OrderError, match="too many orders wait"):
        desk(orders).obey(Request("arm"), WHO)
    assert len(list(orders.take())) == 64


def _many() -> list[Order]:
    return [Order.ARM] * 66


def test_at_the_end_no_sender_waits() -> None:
    waits = desk(CommandQueue())
    waits.close()
    with pytest.raises(OrderError, match="the trigger process ends"):
        waits.obey(Request("arm"), WHO)

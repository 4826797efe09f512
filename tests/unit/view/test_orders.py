"""Orders of a page reach the program that they name, and no other; each gets an answer."""

from __future__ import annotations

import pytest
from support.orders import taking

from realtime_cropzoom.control.address import take_address
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.orders import give
from realtime_cropzoom.view.protocol import Answer, Order, Trigger

pytestmark = pytest.mark.usefixtures("runtime")


def test_an_order_reaches_its_program_which_learns_who_gave_it() -> None:
    hub = Hub()
    with taking(take_address("rules", "rules")) as taker:
        answer = give(Order(3, "rules", "arm", "corner"), hub)
        ((request, origin),) = taker.all
    assert answer == Answer(3, True, None, {"name": "rules", "kind": "trigger", "armed": []})
    assert (request.order, request.target, origin.program) == ("arm", "corner", "page")
    assert not hub.events


def test_a_refused_order_is_an_answer_and_an_event() -> None:
    hub = Hub()
    with taking(take_address("rules", "rules")):
        answer = give(Order(4, "rules", "dance"), hub)
    assert not answer.ok
    assert answer.error is not None
    assert answer.error.startswith("there is no order 'dance'")
    (event,) = hub.events
    assert (event.what, event.text) == ("order_refused", f"dance to rules: {answer.error}")


def test_a_refusal_that_the_feed_of_the_trigger_tells_is_not_told_twice() -> None:
    hub = Hub()
    hub.set_trigger(Trigger("rules", "connected"))
    with taking(take_address("rules", "rules")):
        assert not give(Order(4, "rules", "dance"), hub).ok
    assert not hub.events
    assert not give(Order(5, "rules", "dance"), hub).ok  # it has ended meanwhile, so that its feed tells nothing
    assert [event.what for event in hub.events] == ["order_refused"]


@pytest.mark.parametrize("to", ["other", "tcp://127.0.0.1:5660", "ipc:///tmp/x", "../rules", "", "x" * 500])
def test_a_page_names_a_program_that_runs_and_never_an_address(to: str) -> None:
    with taking(take_address("rules", "rules")) as taker:
        answer = give(Order(5, to, "arm"), Hub())
        assert taker.given() == []
    assert not answer.ok
    assert "takes orders" in (answer.error or "")
    assert len(answer.error or "") < 150


def test_with_look_only_nothing_is_ordered() -> None:
    with taking(take_address("rules", "rules")) as taker:
        answer = give(Order(6, "rules", "arm"), Hub(orders=False))
        assert taker.given() == []
    assert answer.error == "this page only looks: its server takes no orders"

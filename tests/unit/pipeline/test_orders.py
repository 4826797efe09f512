"""Orders to a run: what each may say, and what it does."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_cropzoom.control.protocol import ORDERS, OrderError, Origin, Request
from realtime_cropzoom.pipeline.orders import RunOrders, Settable

WHO = Origin("page", "anna", 4711)
BY = "page (anna, process 4711)"


class Actions:
    """What orders did in a run."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.done.append((name, *arguments))

    def recording(self) -> dict[str, Any] | None:
        return None

    def publishing(self) -> bool:
        return True

    def settable(self) -> dict[str, Settable]:
        return {
            "crop_size": Settable([200, 200], 32, 640, "px"),
            "min_likelihood": Settable(0.5, 0, 1),
        }


def a_run() -> tuple[RunOrders, Actions, list[str]]:
    stopped: list[str] = []
    orders, actions = RunOrders(lambda: {"camera": "cam0"}, stopped.append), Actions()
    orders.ready(actions)
    return orders, actions, stopped


@pytest.mark.parametrize(
    ("request_", "done"),
    [
        (Request("record", value={"name": "base line-2"}), ("record", "base line-2", BY)),
        (Request("record", value="baseline"), ("record", "baseline", BY)),
        (Request("record"), ("record", None, BY)),
        (Request("record", value={"name": None}), ("record", None, BY)),
        (Request("stop_recording"), ("stop_recording", BY)),
        (Request("marker", value=" light on "), ("marker", "light on", BY)),
        (Request("pause"), ("pause", BY)),
        (Request("resume"), ("resume", BY)),
        (Request("detect"), ("detect", BY)),
        (Request("set", "crop_size", [240, 180]), ("set", "crop_size", [240, 180], BY)),
        (Request("set", "min_likelihood", 0.25), ("set", "min_likelihood", 0.25, BY)),
        (Request("set", "min_likelihood", [0.25]), ("set", "min_likelihood", 0.25, BY)),
    ],
)
def test_an_order_is_done(request_: Request, done: tuple[Any, ...]) -> None:
    orders, actions, _ = a_run()
    state = orders.obey(request_, WHO)
    assert actions.done == [done]
    assert (state["kind"], state["camera"], state["publishing"]) == ("run", "cam0", True)
    assert state["settable"]["crop_size"] == {"value": [200, 200], "least": 32, "most": 640, "unit": "px"}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request("dance"), "there is no order 'dance'; expected one of state, record"),
        (Request("record", value={"name": "../up"}), "record: got '../up', expected a name of letters"),
        (Request("record", value={"name": "dot."}), "record: got 'dot.'"),
        (Request("record", value={"file": "x"}), "record: got {'file': 'x'}"),
        (Request("record", value=3), "record: got 3"),
        (Request("marker"), "marker: got None, expected a text"),
        (Request("marker", value="  "), "marker: got '  ', expected a text"),
        (Request("marker", value=["a"]), "marker: got"),
        (Request("marker", value="two\nlines"), "marker: expected one line"),
        (Request("marker", value="x" * 201), "marker: expected one line"),
        (Request("set", "model", 1), "set: got 'model', expected one of crop_size, min_likelihood"),
        (Request("set", "crop_size", 240), "crop_size: got 240, expected 2 numbers from 32 to 640 px"),
        (Request("set", "crop_size", [240, 9]), "crop_size: got"),
        (Request("set", "min_likelihood", 1.5), "min_likelihood: got 1.5, expected a number from 0 to 1$"),
        (Request("set", "min_likelihood", float("nan")), "min_likelihood: got nan"),
        (Request("set", "min_likelihood", True), "min_likelihood: got True"),
        (Request("set", "min_likelihood", "0.5"), "min_likelihood: got '0.5'"),
    ],
)
def test_an_order_that_does_not_fit_is_refused_and_changes_nothing(request_: Request, says: str) -> None:
    orders, actions, stopped = a_run()
    with pytest.raises(OrderError, match=says) as refused:
        orders.obey(request_, WHO)
    assert "\n" not in str(refused.value)
    assert (actions.done, stopped) == ([], [])


def test_an_order_to_stop_says_who_gave_it() -> None:
    orders, actions, stopped = a_run()
    orders.obey(Request("stop"), WHO)
    assert stopped == [f"stopped by {BY}"]
    assert actions.done == [("stop_asked", BY)]


def test_a_run_that_begins_takes_state_and_stop_only() -> None:
    stopped: list[str] = []
    orders = RunOrders(lambda: {"camera": "cam0"}, stopped.append)
    assert orders.obey(Request("state"), WHO)["camera"] == "cam0"
    with pytest.raises(OrderError, match="has not begun yet"):
        orders.obey(Request("marker", value="light on"), WHO)
    orders.obey(Request("stop"), WHO)
    assert len(stopped) == 1


def test_every_order_of_a_run_is_known() -> None:
    orders, _, _ = a_run()
    values: dict[str, Request] = {"marker": Request("marker", value="x"), "set": Request("set", "min_likelihood", 1)}
    for order in ORDERS["run"]:
        orders.obey(values.get(order, Request(order)), WHO)

"""Orders to a run: what each may say, and what it does."""

from __future__ import annotations

import os
import pwd
import threading
from pathlib import Path
from typing import Any

import pytest
from support.pipelines import LONG_S, Film, cropzoom_threads, make_settings

from realtime_cropzoom.control.address import running_processes
from realtime_cropzoom.control.client import give_order
from realtime_cropzoom.control.protocol import ORDERS, OrderError, Origin, Request
from realtime_cropzoom.errors import ConfigError, CropzoomError
from realtime_cropzoom.pipeline.orders import RunOrders, Settable
from realtime_cropzoom.pipeline.pipeline import Pipeline

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
        (Request("record", value={"name": "aux"}), "record: aux is the name of a device on Windows; give another"),
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


class Gate:
    """A film that waits at its first frame until the test has asked what it wants to know."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def before(self, frame: int) -> None:
        if frame:
            assert self._open.wait(LONG_S)

    def open(self) -> None:
        self._open.set()


@pytest.mark.skipif(os.name != "posix", reason="without Unix sockets names have a number of the process")
def test_a_run_takes_orders_and_names_its_socket(tmp_path: Path, runtime: Path) -> None:
    settings, gate = make_settings(tmp_path, control="auto", camera="top"), Gate()
    threads = cropzoom_threads()
    with Pipeline(settings, lambda: Film(20, before=gate.before)) as pipeline:
        assert pipeline.hello().control == "run-top"
        assert "taking orders as run-top ('cropzoom ctl')" in pipeline.notes
        with Pipeline(settings, lambda: Film(20)) as second:
            assert second.hello().control == "run-top-2"
            with pytest.raises(ConfigError, match="run-top takes orders already"):
                Pipeline(make_settings(tmp_path, control="run-top"), Film).start()
        state = give_order("state")
        assert pipeline.folder is not None
        assert (state["kind"], state["name"], state["camera"]) == ("run", "run-top", "top")
        assert state["folder"] == str(pipeline.folder.absolute())
        assert give_order("stop", by="me")["run"] == pipeline.hello().run
        gate.open()
        summary = pipeline.join()
    user = pwd.getpwuid(os.getuid()).pw_name
    assert summary["reason"] == f"stopped by me ({user}, process {os.getpid()})"
    assert cropzoom_threads() == threads
    assert not running_processes(runtime / "cropzoom")


@pytest.mark.skipif(os.name != "posix", reason="modes of folders are of POSIX systems")
def test_a_run_goes_on_without_orders_unless_their_address_is_given(
    tmp_path: Path, runtime: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (runtime / "cropzoom").write_text("no folder")
    with Pipeline(make_settings(tmp_path, control="auto"), lambda: Film(5)) as pipeline:
        assert pipeline.hello().control is None
        assert pipeline.wait(LONG_S)
    (warning,) = [record.message for record in caplog.records if record.name.endswith("orders")]
    assert "is a link or a file, but expected a folder" in warning
    assert warning.endswith("; the run takes no orders")
    assert "\n" not in warning
    with pytest.raises(ConfigError, match="expected a folder"):
        Pipeline(make_settings(tmp_path, control="left"), Film).start()
    with pytest.raises(ConfigError, match="a web page or another user could give orders"):
        Pipeline(make_settings(tmp_path, control="tcp://127.0.0.1:5690"), Film).start()
    assert len(list((tmp_path / "sessions").iterdir())) == 1


def test_a_run_that_cannot_start_leaves_no_socket(tmp_path: Path, runtime: Path) -> None:
    with pytest.raises(CropzoomError):
        Pipeline(make_settings(tmp_path, control="auto", pose=tmp_path / "none"), Film).start()
    assert not running_processes(runtime / "cropzoom")

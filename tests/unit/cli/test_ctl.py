"""``cropzoom ctl``: the words of orders, the list of what runs, and what it says if an order does not fit."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.orders import Taker, taking
from support.pipelines import free_port

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.control import AUTO
from realtime_cropzoom.control.address import control_folder, take_address
from realtime_cropzoom.control.protocol import RUN, Origin, Request
from realtime_cropzoom.messaging.keys import make_client_keys, make_server_keys

pytestmark = pytest.mark.skipif(os.name != "posix", reason="without Unix sockets names have a number of the process")
STATE_OF_RUN = {
    "camera": "cam0",
    "state": "tracking",
    "stream": "live",
    "fps": 30.0,
    "publish": "tcp://127.0.0.1:5660",
    "publishing": False,
    "recording": {"name": "baseline", "file": "baseline.mp4"},
    "counts": {"captured": 1234},
    "settable": {
        "crop_size": {"value": [240, 240], "least": 32, "most": 640, "unit": "px"},
        "min_likelihood": {"value": 0.25, "least": 0, "most": 1, "unit": ""},
    },
}
STATE_OF_TRIGGER = {"endpoint": "tcp://127.0.0.1:5660", "armed": ["came"], "holding": ["lamp"], "fired": 3, "poses": 1}


class Program(Taker):
    """Obeys orders, and has a state as a run or a trigger process has."""

    def obey(self, request: Request, origin: Origin) -> dict[str, Any]:
        return {**super().obey(request, origin), **(STATE_OF_RUN if self.kind == RUN else STATE_OF_TRIGGER)}


@pytest.fixture
def run(runtime: Path) -> Iterator[Taker]:
    with taking(take_address(AUTO, "run-cam0"), taker=Program(RUN)) as taker:
        yield taker


@pytest.fixture
def trigger(runtime: Path) -> Iterator[Taker]:
    with taking(take_address(AUTO, "rules"), taker=Program("trigger")) as taker:
        yield taker


@pytest.mark.parametrize(
    ("words", "order", "target", "value"),
    [
        (["record"], "record", None, {"name": None}),
        (["record", "baseline"], "record", None, {"name": "baseline"}),
        (["record", "base", "line"], "record", None, {"name": "base line"}),
        (["stop-recording"], "stop_recording", None, None),
        (["marker", "light on"], "marker", None, "light on"),
        (["marker", "light", "on"], "marker", None, "light on"),
        (["pause"], "pause", None, None),
        (["resume"], "resume", None, None),
        (["detect"], "detect", None, None),
        (["set", "crop-size", "240", "180"], "set", "crop_size", [240, 180]),
        (["set", "crop_size", "240x180"], "set", "crop_size", [240, 180]),
        (["set", "min_likelihood", "0.25"], "set", "min_likelihood", 0.25),
        (["set", "offset", "-5"], "set", "offset", -5),
        (["stop"], "stop", None, None),
    ],
)
def test_words_become_an_order_to_the_run(
    run: Taker, words: list[str], order: str, target: str | None, value: object
) -> None:
    assert main(["ctl", *words]) == 0
    ((request, origin),) = run.all
    assert request == Request(order, target, value, "ctl")
    assert str(origin) == f"ctl ({pwd.getpwuid(os.getuid()).pw_name}, process {os.getpid()})"


def test_words_become_an_order_to_the_rules(trigger: Taker, run: Taker, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text("zones: {left: {rectangle_px: [0, 0, 9, 9]}}\n")
    given = {
        ("arm",): ("arm", None, None),
        ("disarm", "came"): ("disarm", "came", None),
        ("test", "laser"): ("test", "laser", None),
        ("rules", str(file), "--check"): ("rules", None, {"yaml": file.read_text(), "dry": True, "keep_armed": False}),
        ("zones", str(file), "--save", "--keep-armed"): (
            "zones",
            None,
            {"zones": {"left": {"rectangle_px": [0, 0, 9, 9]}}, "save": True, "dry": False, "keep_armed": True},
        ),
        ("stop", "--to", "rules"): ("stop", None, None),
    }
    for words in given:
        assert main(["ctl", *words]) == 0
    assert [(r.order, r.target, r.value) for r, _ in trigger.all] == list(given.values())
    assert run.all == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["dance"], "ORDER: got 'dance', expected one of arm, "),
        (["recrd"], "Did you mean 'record'?"),
        (["marker"], 'marker: expected a text, as in: cropzoom ctl marker "light on"'),
        (["marker", " "], "marker: expected a text"),
        (["pause", "now"], "pause: got 'now', expected no further word"),
        (["set", "crop_size"], "set crop_size: expected a value too"),
        (["set", "crop_size", "big"], "set crop_size: got 'big', expected a number"),
        (["test"], "test: expected the output"),
        (["rules"], "rules: expected a file"),
        (["rules", "nowhere.yaml"], "nowhere.yaml': No such file"),
        (["arm"], "no trigger of this user takes orders; there are run-cam0; start one with 'cropzoom trigger"),
        (["stop", "--to", "left"], "no program called left takes orders; there are run-cam0"),
        (["stop", "--to", "tcp://127.0.0.1:9"], "tcp://127.0.0.1:9 takes orders only with a key"),
        (["stop", "--to", "inproc://x"], "got inproc://x, expected the name of a program"),
    ],
)
def test_what_does_not_fit_is_one_line(
    run: Taker, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(["ctl", *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert run.given() == []


def test_a_refusal_is_the_error(run: Taker, trigger: Taker, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl", "arm", "--to", "run-cam0"]) == 2
    assert "cropzoom: there is no order 'arm'; expected one of state, record" in capsys.readouterr().err
    assert main(["ctl", "stop"]) == 2
    assert "2 programs take this order: rules, run-cam0; choose one with --to NAME" in capsys.readouterr().err


def test_the_list_of_what_runs(run: Taker, trigger: Taker, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "rules     trigger  tcp://127.0.0.1:5660  armed: came, holding: lamp, fired 3, 1 pose",
        "run-cam0  run      cam0                  "
        "tracking, live, 30 frames/s, 1234 frames, publishing paused, recording baseline",
    ]
    assert main(["ctl", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(state["name"], state["kind"]) for state in listed] == [("rules", "trigger"), ("run-cam0", "run")]
    assert main(["ctl", "set"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "setting, present value, limits:",
        "crop_size 240 240   (32 to 640 px)",
        "min_likelihood 0.25   (0 to 1)",
    ]
    assert main(["ctl", "state", "--to", "rules"]) == 0
    assert "armed: came\nendpoint: tcp://127.0.0.1:5660\nholding: lamp\n" in capsys.readouterr().out
    assert run.given() == trigger.given() == []


def test_what_new_rules_change_is_one_line(runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Changing(Program):
        def obey(self, request: Request, origin: Origin) -> dict[str, Any]:
            changes = {"kept": ["came"], "moved": [], "changed": ["there", "then"]}
            return {**super().obey(request, origin), "changes": changes, "dry": request.value["dry"]}

    file = tmp_path / "new.yaml"
    file.write_text("rules: {}")
    with taking(take_address(AUTO, "rules"), taker=Changing("trigger")):
        assert main(["ctl", "rules", str(file), "--to", "rules"]) == 0
        assert main(["ctl", "rules", str(file), "--to", "rules", "--check"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "in use from now on; kept: came; changed: there, then"
    assert said[2] == "only checked, they are right; kept: came; changed: there, then"


def test_the_list_of_nothing(runtime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl"]) == 0
    assert "nothing of this user runs; start 'cropzoom run SOURCE'" in capsys.readouterr().out
    assert main(["ctl", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_a_program_that_does_not_answer_is_listed(
    runtime: Path, run: Taker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr("realtime_cropzoom.control.client._LOOK_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(control_folder() / "hung.sock"))
        hung.listen()
        assert main(["ctl"]) == 0
        hangs, goes_on = capsys.readouterr().out.splitlines()
        assert hangs.startswith("hung      ?")
        assert "no program answers orders" in hangs
        assert goes_on.startswith("run-cam0  run")
        assert main(["ctl", "marker", "x"]) == 0


def test_an_order_to_another_machine_needs_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_server_keys(tmp_path / "keys")
    secret, endpoint = make_client_keys(tmp_path / "keys", "bench"), f"tcp://127.0.0.1:{free_port()}"
    with taking(take_address(endpoint, "rules", tmp_path / "keys"), taker=Program("trigger")) as taker:
        assert main(["ctl", "arm", "--to", endpoint, "--keys", str(secret)]) == 0
        assert [str(origin) for _, origin in taker.all] == ["ctl (key bench)"]
    assert capsys.readouterr().out.startswith(f"{endpoint}  trigger  tcp://127.0.0.1:5660  armed: came")

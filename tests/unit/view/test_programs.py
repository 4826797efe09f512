"""Runs and triggers of this user are found by themselves, asked once, and left when they are gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from realtime_cropzoom.control.address import take_address
from realtime_cropzoom.control.protocol import Origin, Request
from realtime_cropzoom.control.server import ControlServer
from realtime_cropzoom.messaging.keys import ClientKeys
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.programs import ProgramLooker

pytestmark = pytest.mark.usefixtures("runtime")


class Notes(Hub):
    """A hub that notes what it should follow, and opens nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.now: set[str] = set()
        self.runs: dict[str, str | None] = {}

    def follow(self, endpoint: str) -> bool:
        self.now.add(endpoint)
        return True

    def note_run(self, name: str, endpoint: str | None) -> None:
        self.runs[name] = endpoint

    def unfollow(self, endpoint: str) -> None:
        self.now.remove(endpoint)

    def follow_trigger(self, name: str, feed: str, keys: ClientKeys | None) -> None:
        self.now.add(f"{name} {feed}")

    def leave_trigger(self, name: str) -> None:
        self.now = {one for one in self.now if not one.startswith(f"{name} ")}


@contextmanager
def program(name: str, **state: Any) -> Iterator[list[Request]]:
    """Run a program that says ``state``; yields what it was asked."""
    asked: list[Request] = []

    def answer(request: Request, _: Origin) -> dict[str, Any]:
        asked.append(request)
        return state

    server = ControlServer(take_address(name, name), answer)
    server.start()
    try:
        yield asked
    finally:
        server.close()


def test_runs_and_triggers_are_followed_while_they_are_there_and_asked_once() -> None:
    hub = Notes()
    looker = ProgramLooker(hub)
    looker.look()
    assert hub.now == set()
    with (
        program("run-cam0", kind="run", publish="tcp://0.0.0.0:7001") as run,
        program("rules", kind="trigger", feed="ipc:///f", endpoint="tcp://127.0.0.1:5660") as trigger,
    ):
        for _ in range(3):
            looker.look()
        assert hub.now == {"tcp://127.0.0.1:7001", "rules ipc:///f"}
        assert len(run) == len(trigger) == 1
        assert hub.runs["run-cam0"] == "tcp://127.0.0.1:7001"
    looker.look()
    assert hub.now == set()
    assert hub.runs["run-cam0"] is None


def test_a_program_that_started_again_under_its_name_is_another() -> None:
    hub = Notes()
    looker = ProgramLooker(hub)
    for port in (7001, 7002):
        with program("run-cam0", kind="run", publish=f"tcp://127.0.0.1:{port}"):
            looker.look()
    assert f"tcp://127.0.0.1:{port}" in hub.now


def test_a_program_that_begins_is_asked_until_it_has_an_endpoint() -> None:
    hub, state = Notes(), {"publish": "tcp://127.0.0.1:*"}
    looker = ProgramLooker(hub)
    server = ControlServer(take_address("run-cam0", "run"), lambda request, origin: {"kind": "run", **state})
    server.start()
    try:
        looker.look()
        assert hub.now == set()
        state["publish"] = "tcp://127.0.0.1:7003"
        looker.look()
        assert hub.now == {"tcp://127.0.0.1:7003"}
    finally:
        server.close()


def test_with_endpoints_given_only_their_triggers_are_followed() -> None:
    hub = Notes()
    looker = ProgramLooker(hub, ["tcp://localhost:5660"])
    with (
        program("run-cam0", kind="run", publish="tcp://127.0.0.1:7001"),
        program("ours", kind="trigger", feed="ipc:///a", endpoint="tcp://127.0.0.1:5660"),
        program("other", kind="trigger", feed="ipc:///b", endpoint="tcp://127.0.0.1:5661"),
    ):
        looker.look()
    assert hub.now == {"ours ipc:///a"}
    assert hub.runs == {"run-cam0": "tcp://127.0.0.1:7001"}


def test_a_folder_that_others_can_reach_is_not_looked_into(runtime: Path) -> None:
    (runtime / "cropzoom").mkdir(mode=0o777)
    (runtime / "cropzoom").chmod(0o777)
    hub = Notes()
    ProgramLooker(hub).look()
    assert hub.now == set()


def test_the_thread_ends() -> None:
    looker = ProgramLooker(Notes())
    looker.start()
    looker.stop()
    looker.join()
    looker.join()

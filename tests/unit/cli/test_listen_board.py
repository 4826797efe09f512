"""``cropzoom listen``: what it shows when nothing comes any more."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from msgspec import structs
from support.publisher import pose

from realtime_cropzoom.cli import listen_board
from realtime_cropzoom.cli.listen_board import Listener, listen
from realtime_cropzoom.client.message_tracker import SILENT
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.messaging.message import EventMessage, Message


class KilledRun(Subscriber):
    """Subscriber of a run that sends one pose and is then killed. The user ends it with Ctrl-C."""

    def __init__(self, *_: object, **__: Any) -> None:
        super().__init__()
        self._messages: list[Message | None] = [pose(7), *[None] * 5]

    @property
    def stream(self) -> str:
        """The state: live while the pose arrives, then silent."""
        return "live" if len(self._messages) == 5 else SILENT

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message."""
        if not self._messages:
            raise KeyboardInterrupt
        return self._messages.pop(0)


MARKER = EventMessage(1, "run", "cam0", 3, "marker", "light on", "ctl (anna, process 7)", 41, 0, 0)


class MarkedRun(KilledRun):
    """Subscriber of a run that sends one pose and events."""

    def __init__(self, *_: object, **__: Any) -> None:
        super().__init__()
        stalled = structs.replace(MARKER, kind="publishing_paused", text="", by="", frame=None)
        self._messages = [pose(7), MARKER, stalled]


def test_a_marker_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_board, "Subscriber", MarkedRun)
    out = io.StringIO()
    listen("tcp://127.0.0.1:5660", camera=None, follow=False, as_json=False, out=out)
    lines = out.getvalue().splitlines()
    assert "cam0 at frame 41: marker light on, by ctl (anna, process 7)" in lines
    assert "cam0: publishing paused" in lines


def test_after_a_kill_one_line_says_that_nothing_comes_and_what_happens_next(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(1)
    monkeypatch.setattr(listen_board, "now_ns", lambda: next(seconds) * 4_000_000_000)
    monkeypatch.setattr(listen_board, "Subscriber", KilledRun)
    out = io.StringIO()
    listen("tcp://127.0.0.1:5660", camera=None, follow=False, as_json=False, out=out)
    shown, silence, last = out.getvalue().splitlines()
    assert shown.startswith("cam0  frame 7  ")
    assert silence == (
        "nothing comes from tcp://127.0.0.1:5660 since frame 7 of cam0: the run was killed, or its machine is not "
        "reached. Waiting for the next run. Ctrl-C ends."
    )
    assert "age" not in silence
    assert last.startswith("1 poses received")


class RunWithRegions(KilledRun):
    """Subscriber of a run with two boxes, one of them empty."""

    def __init__(self, *_: object, **__: Any) -> None:
        super().__init__()
        there, empty = structs.replace(pose(7), region="box1"), structs.replace(pose(7), region="box2")
        self._messages = [there, structs.replace(empty, state="searching", keypoints={"snout": (None, None, None)})]

    @property
    def stream(self) -> str:
        """The state."""
        return "live"


def test_each_region_is_shown_with_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_board, "Subscriber", RunWithRegions)
    monkeypatch.setattr(listen_board, "_LINE_NS", 0)
    out = io.StringIO()
    listen("tcp://127.0.0.1:5660", camera=None, follow=False, as_json=False, out=out)
    first, second = out.getvalue().splitlines()[:2]
    assert first.startswith("cam0/box1  frame 7  tracking")
    assert "cam0  frame 7  tracking 1 of 2" in second
    assert "box1 tracking  box2 searching" in second

    listener = Listener("tcp://127.0.0.1:5660")
    run = RunWithRegions()
    with run as subscriber:
        for message in run._messages:
            listener.handle(message, subscriber)
        shown = listener.lines(subscriber, 100)
    assert [line.split()[:2] for line in shown[1:]] == [["box1", "tracking"], ["box2", "searching"]]
    assert "x     1.0  y     2.0" in shown[1]

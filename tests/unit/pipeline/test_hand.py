"""What orders do in a run: they are obeyed between frames, logged, and change nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.ordered_runs import OrderedRun
from support.pipelines import Film, check_complete, make_settings, run_to_end

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.messaging.message import EndMessage, EventMessage, Message, PoseMessage, StatusMessage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="without Unix sockets there is no name to give orders to")


@contextmanager
def hearing(endpoint: str) -> Iterator[list[Message]]:
    """Collect all messages of a run."""
    heard: list[Message] = []

    def listen() -> None:
        with Subscriber(endpoint) as subscriber:
            ready.set()
            for message in subscriber.messages():
                heard.append(message)
                if isinstance(message, EndMessage):
                    return

    ready = threading.Event()
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert ready.wait(10)
    yield heard
    listener.join(10)
    assert not listener.is_alive()


def test_a_marker_is_a_row_and_a_message_at_the_frame_of_its_time(tmp_path: Path, runtime: Path) -> None:
    endpoint = f"ipc://{runtime}/poses"
    with hearing(endpoint) as heard:
        run = OrderedRun(tmp_path, {60: [("marker", None, 'light on, "2"')]}, publish=endpoint)
    (row,) = run.events("marker")
    assert (row["text"], row["frame"]) == ('light on, "2"', "59")
    assert int(row["captured_ns"]) == run.files.timing["captured_ns"].loc[59]
    events = [message for message in heard if isinstance(message, EventMessage)]
    told = [(event.number, event.kind, event.text, event.by, event.frame) for event in events]
    assert told == [(int(r["number"]), r["kind"], r["text"], r["by"], int(r["frame"])) for r in run.events()]
    assert run.files.summary["problems"] == []


def test_a_pause_is_silence_without_a_gap(tmp_path: Path, runtime: Path) -> None:
    """No pose of the pause is sent, the numbers go on after it, and the files have all frames."""
    endpoint = f"ipc://{runtime}/poses"
    orders = {60: [("pause",), ("pause",)], 180: [("resume",), ("resume",)]}
    with hearing(endpoint) as heard:
        run = OrderedRun(tmp_path, orders, frames=240, publish=endpoint)
    poses = [message for message in heard if isinstance(message, PoseMessage)]
    timing = run.files.timing
    silent = timing.index[timing["seq"].isna() & (timing["outcome"] == "processed")]
    assert set(range(70, 175)) <= set(silent) <= set(range(50, 185))
    assert list(np.diff(silent)) == [1] * (len(silent) - 1)
    assert not set(silent) & {pose.frame for pose in poses}
    assert timing["seq"].dropna().tolist() == list(range(240 - len(silent)))
    assert timing["published_ns"].loc[silent].isna().all()
    assert np.diff([pose.seq for pose in poses]).tolist() == [1] * (len(poses) - 1), "nothing is missed"
    assert run.files.pose.loc[silent].notna().all(axis=None)
    assert [event["kind"] for event in run.events("publishing_paused", "publishing_resumed")] == [
        *("publishing_paused", "publishing_resumed"),
    ]
    statuses = [message.publishing for message in heard if isinstance(message, StatusMessage)]
    assert False in statuses
    assert statuses[-1]
    assert [answer["publishing"] for answer in run.answers] == [False, False, True, True]
    assert run.files.summary["counts"]["unsent"] == 0


def test_a_run_that_publishes_nothing_cannot_pause(tmp_path: Path, runtime: Path) -> None:
    run = OrderedRun(tmp_path, {5: [("pause",), ("resume",)]}, frames=10)
    assert [answer["ok"] for answer in run.answers] == [False, True]
    assert run.answers[0]["error"].startswith("pause: this run publishes nothing")


def test_the_detector_looks_at_the_next_frame_when_it_is_told_to(tmp_path: Path, runtime: Path) -> None:
    """It would look once in 100 s. A box that poses give is replaced, too."""
    for box_from in ("detection", "pose"):
        run = OrderedRun(
            tmp_path / box_from, {60: [("detect",)]}, detector_max_fps=0.01, box_from=box_from, box_check_s=0
        )
        found = run.files.bbox.query("box_origin == 'detection'")["box_frame"].dropna().astype(int)
        found = found[found < 110]  # at the end of the film it may look once more
        assert len(set(found)) == 2, f"one at the start, and one by the order: {sorted(set(found))}"
        assert 59 <= max(found) < 75
        (event,) = run.events("detect_now")
        assert event["frame"] == "59"


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"pace": "fast"}, "detect: with pace fast each run over a recording is the same"),
        ({"detector": "none"}, "detect: this run has no detector"),
    ],
)
def test_a_run_that_cannot_look_says_so(tmp_path: Path, runtime: Path, chosen: dict[str, Any], says: str) -> None:
    run = OrderedRun(tmp_path, {5: [("detect",), ("state",)]}, frames=10, **chosen)
    assert run.answers[0]["error"].startswith(says)
    assert run.events("detect_now") == []
    assert ("crop_size" in run.answers[1]["settable"]) is False


def test_an_ordered_stop_is_an_event(tmp_path: Path, runtime: Path) -> None:
    run = OrderedRun(tmp_path, {20: [("stop",)]})
    (event,) = run.events("stop_asked")
    assert event["by"].startswith("test (")
    assert run.files.summary["reason"] == f"stopped by {event['by']}"


def test_a_run_tells_when_its_animal_is_lost_and_found(tmp_path: Path) -> None:
    """In frame time, so that a replay tells the same."""
    film = Film(400, 100, hidden=range(150, 270))
    settings = make_settings(tmp_path, pace="fast", min_likelihood=0.5, pose_min_likelihood=0.5, lost_after_ms=300)
    files = check_complete(run_to_end(settings, film).folder)
    header, *rows = files.rows("_events")
    events = [dict(zip(header, row, strict=True)) for row in rows]
    states = files.bbox["state"]
    assert [(event["kind"], event["by"]) for event in events] == [("found", "pose")]
    film = Film(600, 100, hidden=range(150, 350))
    files = check_complete(run_to_end(make_settings(tmp_path / "again", **settings_of(settings)), film).folder)
    states = files.bbox["state"]
    header, *rows = files.rows("_events")
    events = [dict(zip(header, row, strict=True)) for row in rows]
    lost, back = states.index[states == "lost"].min(), states.loc[350:].index[states.loc[350:] == "tracking"].min()
    assert [(e["kind"], int(e["frame"])) for e in events] == [("found", 0), ("lost", lost), ("found", back)]


def settings_of(settings: object) -> dict[str, object]:
    """What both runs of the test above have in common."""
    names = ("pace", "min_likelihood", "pose_min_likelihood", "lost_after_ms")
    return {name: getattr(settings, name) for name in names}

"""The feed of a trigger process becomes its state and events, whatever else arrives there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.pipelines import wait_for
from support.publisher import hello

from realtime_cropzoom.view.camera_view import CameraView
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.trigger_feed import TriggerFollower

AT = {"time_ns": 2_000_000_000, "unix_offset_ns": 1_000_000_000}
STATE = {
    **{"type": "trigger_state", "name": "rules", "armed": ["corner"], "dry_run": True, "poses": 7, "new": 1},
    "rules": [{"name": "corner", "zones": ["a"], "outputs": ["laser"], "armed": True, "holding": False}],
    "zones": {"a": {"circle": [1, 2, 3]}},
}


def test_a_decision_belongs_to_the_camera_that_the_trigger_listens_to() -> None:
    hub = Hub()
    for name, endpoint in (("cam0", "tcp://127.0.0.1:1"), ("cam0 (other)", "tcp://127.0.0.1:2")):
        hub.keep(CameraView(name, endpoint, hello()))
    follower = TriggerFollower("rules", "inproc://nowhere", None, hub)
    decision = {"type": "decision", "rule": "corner", "verdict": "fired", "camera": "cam0", **AT}
    for message in (decision, {**STATE, "endpoint": "tcp://localhost:2"}, decision):
        follower.take(json.dumps(message).encode())
    assert [event.camera for event in hub.events if event.what == "fired"] == [None, "cam0 (other)"]


def take(*messages: dict[str, Any] | bytes) -> Hub:
    hub = Hub()
    follower = TriggerFollower("rules", "inproc://nowhere", None, hub)
    for message in messages:
        follower.take(message if isinstance(message, bytes) else json.dumps(message).encode())
    return hub


def test_the_state_is_kept_as_it_is() -> None:
    state = take(STATE).triggers["rules"]
    assert (state.link, state.armed, state.dry_run, state.poses) == ("connected", ["corner"], True, 7)
    assert state.zones == {"a": {"circle": [1, 2, 3]}}


def test_decisions_and_orders_are_events_at_their_time() -> None:
    decision = {
        **{"type": "decision", "rule": "corner", "verdict": "fired", "reason": "", "frame": 8, "camera": "cam0"},
        **{"outputs": [["laser", "pulse"]], "test": False, **AT},
    }
    order = {"type": "order", "order": "arm", "target": None, "by": "page (anna)", "ok": False, "error": "no", **AT}
    fired, refused = take(decision, order).events
    assert (fired.what, fired.text, fired.frame, fired.t_unix_ms) == ("fired", "corner laser pulse", 8, 3000)
    assert (refused.what, refused.text, refused.by, refused.trigger) == (
        *("order", "arm: refused, no", "page (anna)", "rules"),
    )


@pytest.mark.parametrize(
    "message",
    [b"", b"\xff", b"[]", b"{}", b'{"type":"decision"}', b'{"type":"trigger_state","armed":5}', b'{"type":1}'],
)
def test_anything_else_is_left_out(message: bytes) -> None:
    hub = take(message)
    assert not hub.triggers
    assert not hub.events


def test_a_trigger_that_ends_is_gone(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as feed:
        feed.set(zmq.LINGER, 0)
        port = feed.bind_to_random_port("tcp://127.0.0.1")
        hub = Hub()
        hub.follow_trigger("rules", f"tcp://127.0.0.1:{port}", None)

        def is_there() -> bool:
            feed.send_multipart([b"trigger/rules", json.dumps(STATE).encode()])
            return "rules" in hub.triggers

        wait_for(is_there, "the state")
        hub.leave_trigger("rules")
        assert hub.triggers["rules"].link == "gone"
        assert [event.what for event in hub.events] == ["trigger_started", "trigger_gone"]
        hub.close()

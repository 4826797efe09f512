"""What Prometheus reads is what the page shows, in base units."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from support.publisher import animals, hello, pose

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.messaging.message import Counts, StatusMessage
from realtime_cropzoom.view.camera_view import CameraView
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.metrics import metrics_text
from realtime_cropzoom.view.protocol import Trigger


def status(**more: Any) -> StatusMessage:
    counts = Counts(100, 90, 7, 3, 5)
    return StatusMessage(1, "r", "cam0", "coasting", "live", counts, 2, 60.5, 9.5, {}, 0, 0, **more)


def read(hub: Hub) -> dict[tuple[str, ...], float]:
    """Return {(name, values of its labels, in the order of the labels' names): value}."""
    found = {}
    for family in text_string_to_metric_families(metrics_text(hub).decode()):
        assert family.documentation
        for sample in family.samples:
            found[(sample.name, *(value for _, value in sorted(sample.labels.items())))] = sample.value
    return found


def a_hub(**more: Any) -> Hub:
    hub = Hub()
    camera = CameraView("cam0", "tcp://here:1", hello())
    hub.keep(camera)
    camera.take_frame(pose(0), 2.5, now_ns())
    camera.take_frame(pose(3), 1500.0, now_ns())
    camera.take_status(status(**more), now_ns())
    return hub


def test_frames_by_outcome_and_messages_by_cause() -> None:
    values = read(a_hub(lost=4, stale=6, too_old=1, unrecorded=8))
    outcomes = {"processed": 90, "skipped": 7, "failed": 3, "lost": 4, "stale": 6}
    for outcome, count in outcomes.items():
        assert values["cropzoom_frames_total", "cam0", outcome] == count
    assert values["cropzoom_messages_missing_total", "cam0", "unsent"] == 5
    assert values["cropzoom_messages_missing_total", "cam0", "missed"] == 2
    assert values["cropzoom_frames_unrecorded_total", "cam0"] == 8


def test_latency_is_a_histogram_in_seconds() -> None:
    values = read(a_hub())
    assert values["cropzoom_pose_latency_seconds_bucket", "cam0", "0.002"] == 0
    assert values["cropzoom_pose_latency_seconds_bucket", "cam0", "0.003"] == 1
    assert values["cropzoom_pose_latency_seconds_bucket", "cam0", "1.0"] == 1
    assert values["cropzoom_pose_latency_seconds_bucket", "cam0", "+Inf"] == 2
    assert values["cropzoom_pose_latency_seconds_count", "cam0"] == 2
    assert values["cropzoom_pose_latency_seconds_sum", "cam0"] == 1.5025


def test_states_and_disk() -> None:
    values = read(a_hub(recording="a.mp4", disk_free_bytes=7200, disk_bytes_per_s=2.0))
    assert values["cropzoom_stream_up", "cam0"] == 1
    assert values["cropzoom_recording", "cam0"] == 1
    assert values["cropzoom_fps", "cam0"] == 60.5
    assert values["cropzoom_disk_free_bytes", "cam0"] == 7200
    assert values["cropzoom_disk_full_in_seconds", "cam0"] == 3600
    states = {state: values["cropzoom_state", "cam0", state] for state in ("searching", "tracking", "coasting", "lost")}
    assert states == {"searching": 0, "tracking": 0, "coasting": 1, "lost": 0}


def test_each_of_several_animals_has_its_state_and_one_alone_has_none() -> None:
    hub = Hub()
    camera = CameraView("cam0", "tcp://here:1", msgspec.structs.replace(hello(), animals=2))
    hub.keep(camera)
    first, second = animals(0).animals
    unsure = msgspec.structs.replace(second, state="lost", uncertain=True)
    camera.take_frame(msgspec.structs.replace(animals(0), animals=[first, unsure]), 2.5, now_ns())
    values = read(hub)
    found = {animal: values["cropzoom_animal_state", animal, "cam0", "tracking"] for animal in ("1", "2")}
    assert found == {"1": 1, "2": 0}
    assert values["cropzoom_animal_state", "2", "cam0", "lost"] == 1
    assert [values["cropzoom_animal_uncertain", animal, "cam0"] for animal in ("1", "2")] == [0, 1]
    assert not any("animal" in name for name, *_ in read(a_hub()))


def test_what_is_not_known_is_left_out() -> None:
    values = read(a_hub())
    assert not any(name.startswith("cropzoom_disk") for name, *_ in values)
    assert read(Hub()) == {("cropzoom_pages",): 0.0}


def test_a_stream_that_is_not_live_is_down() -> None:
    hub = a_hub()
    hub.cameras["cam0"].stream = "stalled"
    assert read(hub)["cropzoom_stream_up", "cam0"] == 0


def test_a_rule_of_a_trigger_that_is_gone_is_not_armed() -> None:
    hub = Hub()
    state = Trigger("rules", "connected", armed=["corner"], rules=[{"name": "corner"}, {"name": "fast"}], fired=3)
    hub.set_trigger(state)
    values = read(hub)
    assert values["cropzoom_trigger_armed", "corner", "rules"] == 1
    assert values["cropzoom_trigger_armed", "fast", "rules"] == 0
    assert values["cropzoom_trigger_fired_total", "rules"] == 3
    hub.set_trigger(msgspec.structs.replace(state, link="gone"))
    values = read(hub)
    assert values["cropzoom_trigger_up", "rules"] == values["cropzoom_trigger_armed", "corner", "rules"] == 0

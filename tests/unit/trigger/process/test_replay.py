"""A replay decides what was decided: from the inputs byte for byte, from a session's files frame for frame."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.offline_fixtures import full_disk
from support.pipelines import finish, start_process
from support.pose_streams import rules

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.messaging.message import AnimalsMessage, EndMessage, EventMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    Command,
    Decision,
    Event,
    Order,
    PoseEvent,
    StreamEvent,
    Tick,
    Verdict,
)
from realtime_cropzoom.trigger.process.decision_log import decisions_text
from realtime_cropzoom.trigger.process.input_log import InputLog, read_inputs
from realtime_cropzoom.trigger.process.message_events import event_from_message
from realtime_cropzoom.trigger.process.replay import replay, replay_inputs, session_events
from realtime_cropzoom.trigger.rules.rules import Rules

pytestmark = pytest.mark.slow

ARENA_RULES = """
crossed: {when: {entered: left_half, keypoint: snout}, fire: marks, pulse_ms: 10}
left_side: {when: {inside: left_half, keypoint: snout, margin_px: 10}, fire: laser, hold: true, probability: 0.5}
running: {when: {speed_px_per_s: tailbase, above: 150, hysteresis: 30}, fire: laser, pulse_ms: 5}
turned: {when: {turning_deg_per_s: [tailbase, snout], above: 90}, for_ms: 30, fire: [laser, marks], pulse_ms: 5}
"""


def patient_rules() -> Rules:
    """No limit that depends on how busy the machine is."""
    return rules(ARENA_RULES, max_age_ms=2e4, hold_max_age_ms=2e4, stream_lost_after_ms=2e4, bridge_ms=1000)


def live_loop(endpoint: str, engine: Engine, log: InputLog) -> list[Decision]:
    """As a trigger process does it: messages, and ticks at the engine's deadlines."""
    decisions: list[Decision] = []

    def take(event: Event) -> None:
        log.add(event)
        decisions.extend(engine.take(event))

    with Subscriber(endpoint) as subscriber:
        take(Command(now_ns(), Order.ARM, "start"))
        while True:
            due_ns = engine.deadline_ns
            message = subscriber.receive(1.0 if due_ns is None else max(0.0, (due_ns - now_ns()) / 1e9))
            if isinstance(message, EventMessage | AnimalsMessage):  # as the trigger process does
                continue
            take(Tick(now_ns()) if message is None else event_from_message(message, now_ns()))
            if isinstance(message, EndMessage):
                assert subscriber.missed == 0
                return decisions


@pytest.fixture(scope="module", params=["arena", "recording"])
def live_session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[Decision]]:
    """A session folder, the inputs, and what was decided live beside it."""
    out = tmp_path_factory.mktemp(request.param)
    source, rate = "synthetic:arena,size=640x480,fps=60,seconds=4,seed=3", {}
    if request.param == "recording":
        source = str(request.getfixturevalue("shared_data") / "openfield/videos/m3v1mp4.mp4")
        rate = {"frames": 150}
    pipeline = Pipeline(
        load_settings(
            {
                "source": source,
                "out": out,
                "publish": "tcp://127.0.0.1:*",
                "publish_latest": "none",
                **rate,
            }
        )
    )
    engine, log = Engine(patient_rules(), 5), InputLog(out, "x", patient_rules(), 5)
    pipeline.start()
    decisions = live_loop(pipeline.endpoints[0], engine, log)
    pipeline.join()
    log.close()
    assert pipeline.folder is not None
    return pipeline.folder, log.path, decisions


Session = tuple[Path, Path, list[Decision]]


def test_a_live_session_is_decided_again_from_its_inputs(live_session: Session) -> None:
    _, inputs, decisions = live_session
    assert {"fired", "safe"} <= {str(d.verdict) for d in decisions}
    assert decisions_text(replay_inputs(inputs)) == decisions_text(decisions)


def test_the_end_of_the_stream_comes_after_the_last_pose(live_session: Session) -> None:
    """The source ends while poses are still computed: outputs must not go safe, and fire again on the last ones."""
    _, inputs, _ = live_session
    streams = [event.stream for event in read_inputs(inputs).events if isinstance(event, PoseEvent | StreamEvent)]
    assert streams[-1] == "ended"
    assert set(streams[:-1]) == {"live"}


def test_a_live_session_is_decided_again_from_the_files_of_the_run(live_session: Session) -> None:
    """The first poses may have been published before anybody listened."""
    folder, inputs, decisions = live_session
    first = next(event.frame for event in read_inputs(inputs).events if isinstance(event, PoseEvent))
    events = (event for event in session_events(folder) if not (isinstance(event, PoseEvent) and event.frame < first))
    again = list(replay(Engine(patient_rules(), 5), events))
    assert [what(d) for d in again] == [what(d) for d in decisions]


def what(decision: Decision) -> tuple[object, ...]:
    """All but the times at which it was received."""
    d = decision
    return (d.number, d.verdict, d.rule, d.reason, d.actions, d.run, d.camera, d.frame, d.seq, d.captured_ns)


def test_rules_can_be_tried_out_on_predictions_of_lightning_pose(litpose: Path) -> None:
    path = litpose / "pose_0/video_preds/m3v1mp4.csv"
    decisions = list(replay(Engine(patient_rules(), 5), session_events(path, fps=30.0)))
    assert decisions[-1].verdict is Verdict.SAFE
    assert any(d.verdict is Verdict.FIRED for d in decisions)
    with pytest.raises(DataError, match="--fps"):
        list(session_events(path))


def test_a_full_disk_is_a_line(live_session: Session, tmp_path: Path) -> None:
    folder, _, _ = live_session
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(patient_rules().model_dump(by_alias=True, exclude_unset=True, mode="json")))
    done = finish(start_process("trigger", path, "--replay", folder, "--log", tmp_path / "log", code=full_disk(10)))
    assert done.returncode == 2
    assert done.stderr.startswith(f"cropzoom: cannot write {tmp_path}/log/rules_decisions.csv: ")
    assert done.stderr.count("\n") == 1

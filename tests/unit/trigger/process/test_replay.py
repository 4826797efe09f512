"""A replay decides what was decided: from the inputs byte for byte, from a session's files frame for frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml
from support.dark_animals import write_dark_animals
from support.offline_fixtures import full_disk
from support.pipelines import finish, start_process
from support.pose_streams import rules

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.messaging.message import EndMessage, EventMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    Command,
    Decision,
    Event,
    FrameEvent,
    Order,
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


ANIMALS_RULES = """
one: {when: {inside: left_half, keypoint: snout}, fire: marks, hold: true, animal: 1}
any: {when: {inside: left_half, keypoint: snout}, for_ms: 100, fire: laser, hold: true, animal: any}
all: {when: {inside: left_half, keypoint: snout}, fire: laser, pulse_ms: 5, animal: all, probability: 0.5}
moves: {when: {speed_px_per_s: tailbase, above: 20}, fire: laser, pulse_ms: 5, animal: any, uncertain: allow}
meet: {when: {distance_between_animals_px: [snout, tailbase], below: 90}, fire: marks, hold: true, animal: any}
"""
REGIONS_RULES = """
left: {when: {entered: left_half, keypoint: snout}, fire: marks, pulse_ms: 10, region: left}
left_moves: {when: {speed_px_per_s: tailbase, above: 20}, fire: laser, hold: true, region: left}
right: {when: {outside: left_half, keypoint: snout}, fire: laser, hold: true, region: right}
right_moves: {when: {speed_px_per_s: tailbase, above: 20}, fire: marks, pulse_ms: 5, region: right}
"""
RULES = {"arena": ARENA_RULES, "recording": ARENA_RULES, "animals": ANIMALS_RULES, "regions": REGIONS_RULES}
HALVES = {"left": {"rectangle_px": [0, 0, 160, 240]}, "right": {"rectangle_px": [160, 0, 160, 240]}}


def patient_rules(kind: str = "arena") -> Rules:
    """No limit that depends on how busy the machine is."""
    zones = {"left_half": {"rectangle_px": [0, 0, 160, 240]}} if kind in ("animals", "regions") else None
    patient = {"max_age_ms": 2e4, "hold_max_age_ms": 2e4, "stream_lost_after_ms": 2e4, "bridge_ms": 1000}
    return rules(RULES[kind], **patient, **({} if zones is None else {"zones": zones}))


def settings_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    """Return the settings of a run; small pictures, so that a busy machine keeps up."""
    small = {"crop_size": 120, "max_age_ms": 600_000}
    if kind == "recording":
        return {"source": str(request.getfixturevalue("shared_data") / "openfield/videos/m3v1mp4.mp4"), "frames": 150}
    if kind == "animals":
        pytest.importorskip("scipy", reason="several animals need scipy, of the extra animals")
        detector = write_dark_animals(folder / "dark_animals.onnx", 24)
        source = "synthetic:arena,animals=2,size=320x240,seconds=4,seed=8"
        return {"source": source, "animals": 2, "detector": str(detector), "pose": "shipped", **small}
    if kind == "regions":
        return {"source": "synthetic:arena,boxes=2,size=320x240,seconds=4,seed=8", "regions": HALVES, **small}
    return {"source": "synthetic:arena,size=640x480,fps=60,seconds=4,seed=3"}


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
            if isinstance(message, EventMessage):  # as the trigger process does
                continue
            take(Tick(now_ns()) if message is None else event_from_message(message, now_ns()))
            if isinstance(message, EndMessage):
                assert subscriber.missed == 0
                return decisions


class Session(NamedTuple):
    """A session folder, the inputs, and what was decided live beside it."""

    folder: Path
    inputs: Path
    decisions: list[Decision]
    rules: Rules


@pytest.fixture(scope="module", params=["arena", "recording", "animals", "regions"])
def live_session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    out, built = tmp_path_factory.mktemp(request.param), patient_rules(request.param)
    pipeline = Pipeline(
        load_settings(
            {
                "out": out,
                "publish": "tcp://127.0.0.1:*",
                "publish_latest": "none",
                **settings_of(request.param, request, out),
            }
        )
    )
    engine, log = Engine(built, 5), InputLog(out, "x", built, 5)
    pipeline.start()
    decisions = live_loop(pipeline.endpoints[0], engine, log)
    pipeline.join()
    log.close()
    assert pipeline.folder is not None
    return Session(pipeline.folder, log.path, decisions, built)


def test_a_live_session_is_decided_again_from_its_inputs(live_session: Session) -> None:
    inputs, decisions = live_session.inputs, live_session.decisions
    assert {"fired", "safe"} <= {str(d.verdict) for d in decisions}
    assert decisions_text(replay_inputs(inputs)) == decisions_text(decisions)


def test_the_end_of_the_stream_comes_after_the_last_pose(live_session: Session) -> None:
    """The source ends while poses are still computed: outputs must not go safe, and fire again on the last ones."""
    events = read_inputs(live_session.inputs).events
    streams = [event.stream for event in events if isinstance(event, FrameEvent | StreamEvent)]
    assert streams[-1] == "ended"
    assert set(streams[:-1]) == {"live"}


def test_a_live_session_is_decided_again_from_the_files_of_the_run(live_session: Session) -> None:
    """The first poses may have been published before anybody listened."""
    heard = [event for event in read_inputs(live_session.inputs).events if isinstance(event, FrameEvent)]
    events = list(session_events(live_session.folder))
    frames = [event for event in events if isinstance(event, FrameEvent)]
    early = len(frames) - len(heard)
    assert [told(event) for event in frames[early:]] == [told(event) for event in heard]
    begin = {id(event) for event in frames[:early]}
    again = list(replay(Engine(live_session.rules, 5), (event for event in events if id(event) not in begin)))
    assert [what(d) for d in again] == [what(d) for d in live_session.decisions]


def told(event: FrameEvent) -> FrameEvent:
    """All but the time at which it was received."""
    return msgspec.structs.replace(event, at_ns=0, uncertainty_ns=0, asked_ns=())


def what(decision: Decision) -> tuple[object, ...]:
    """All but the times at which it was received."""
    d = decision
    return (d.number, d.verdict, d.rule, d.reason, d.actions, d.run, d.camera, d.frame, d.seq, d.captured_ns, d.region)


def test_rules_can_be_tried_out_on_predictions_of_lightning_pose(litpose: Path) -> None:
    path = litpose / "pose_0/video_preds/m3v1mp4.csv"
    decisions = list(replay(Engine(patient_rules(), 5), session_events(path, fps=30.0)))
    assert decisions[-1].verdict is Verdict.SAFE
    assert any(d.verdict is Verdict.FIRED for d in decisions)
    with pytest.raises(DataError, match="--fps"):
        list(session_events(path))


def test_a_full_disk_is_a_line(live_session: Session, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(live_session.rules.model_dump(by_alias=True, exclude_unset=True, mode="json")))
    done = finish(
        start_process("trigger", path, "--replay", live_session.folder, "--log", tmp_path / "log", code=full_disk(10))
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"cropzoom: cannot write {tmp_path}/log/rules_decisions.csv: ")
    assert done.stderr.count("\n") == 1

"""The input log: its events give the same decisions again, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pose_streams import MS, START_NS, end, hello, one_rule, order, pose, received, rules, status, tick

from realtime_cropzoom.calibration.calibration import from_scale
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.trigger.engine.engine import Engine
from realtime_cropzoom.trigger.engine.events import (
    Command,
    Event,
    Order,
    Verdict,
)
from realtime_cropzoom.trigger.engine.factory import build_smoother
from realtime_cropzoom.trigger.process.decision_log import decisions_text
from realtime_cropzoom.trigger.process.input_log import InputLog, read_inputs
from realtime_cropzoom.trigger.process.replay import replay_inputs

ARENA_RULES = """
crossed: {when: {entered: left_half, keypoint: snout}, fire: marks, pulse_ms: 10}
left_side: {when: {inside: left_half, keypoint: snout, margin_px: 10}, fire: laser, hold: true, probability: 0.5}
running: {when: {speed_px_per_s: tailbase, above: 150, hysteresis: 30}, fire: laser, pulse_ms: 5}
turned: {when: {turning_deg_per_s: [tailbase, snout], above: 90}, for_ms: 30, fire: [laser, marks], pulse_ms: 5}
"""


def all_kinds_of_events() -> list[Event]:
    nan, inf = float("nan"), float("inf")
    odd = {"snout": (nan, 5.0, 0.9), "tailbase": (inf, -0.0, nan), "schwänzchen": (1e308, None, None)}
    poses = [received(pose(i, i * 10, {"snout": (400.1 - 4 * i, 0.1 + i, 0.7)}, segment=i // 30)) for i in range(60)]
    return [
        hello(["snout", "tailbase"]),
        order("arm"),
        *poses[:20],
        status("stalled", 205),
        *poses[20:40],
        tick(401),
        received(pose(40, 402, odd)),
        *poses[41:],
        order("disarm", 600, "crossed"),
        order("arm", 601, 'strange "name"\n'),
        end(602),
        Command(START_NS + 603 * MS, Order.STOP, "run", reason="the run has ended: finished"),
    ]


@pytest.mark.parametrize("calibrated", [False, True])
def test_inputs_give_the_same_decisions_byte_for_byte(tmp_path: Path, calibrated: bool) -> None:
    calibration = from_scale(10.0, (640, 480)) if calibrated else None
    built = (
        one_rule("{distance_cm: [snout, [3, 3]], below: 38}", calibration="x.yaml")
        if calibrated
        else rules(ARENA_RULES)
    )
    engine = Engine(built, 7, calibration, build_smoother(built))
    log = InputLog(tmp_path, "x", built, 7, calibration)
    decisions = []
    for event in all_kinds_of_events():
        log.add(event)
        decisions += engine.take(event)
    log.close()
    assert Verdict.FIRED in {d.verdict for d in decisions}
    assert decisions[-1].reason == "the run has ended: finished"
    assert decisions_text(replay_inputs(log.path)) == decisions_text(decisions)

    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-30])  # as kill -9 may leave it
    again = list(replay_inputs(log.path))
    assert again == decisions[: len(again)]
    assert len(again) >= len(decisions) - 2


def test_a_file_that_is_not_an_input_log_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"", b"[]\n", b"{}\n", b'{"format": "other"}\n', b"\xff\xfe\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a log of trigger inputs") as raised:
            read_inputs(path)
        assert "\n" not in str(raised.value)
    log = InputLog(tmp_path, "y", one_rule("{state: tracking}"), 1)
    log.close()
    log.path.write_bytes(log.path.read_bytes() + b'{"type": "tick"}\n')
    with pytest.raises(DataError, match="line 2"):
        list(replay_inputs(log.path))
    with pytest.raises(DataError, match="cannot read"):
        read_inputs(tmp_path / "missing")

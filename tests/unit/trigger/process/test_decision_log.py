"""The log of decisions: it comes back as it was, up to its last complete line."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pose_streams import Bench, one_rule, order, rules

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.trigger.process.decision_log import DecisionLog, decisions_text, read_decisions

ARENA_RULES = """
crossed: {when: {entered: left_half, keypoint: snout}, fire: marks, pulse_ms: 10}
left_side: {when: {inside: left_half, keypoint: snout, margin_px: 10}, fire: laser, hold: true, probability: 0.5}
running: {when: {speed_px_per_s: tailbase, above: 150, hysteresis: 30}, fire: laser, pulse_ms: 5}
turned: {when: {turning_deg_per_s: [tailbase, snout], above: 90}, for_ms: 30, fire: [laser, marks], pulse_ms: 5}
"""


def test_decisions_come_back_from_their_file(tmp_path: Path) -> None:
    bench = Bench(rules(ARENA_RULES), armed=False)
    bench.take(order("arm"), order("test", target="laser"), order("test", target='no"such,\none'))
    bench.see_all([400, 300, None, 300, 300, 330], tailbase=(100.0, 100.0, 0.9))
    bench.wait(1000)
    log = DecisionLog(tmp_path, "x")
    for decision in bench.decisions:
        log.add(decision)
    log.close()
    assert log.problems() == []
    assert log.path.read_text() == decisions_text(bench.decisions)
    one_line = [d if 'no"such' not in d.reason else None for d in bench.decisions]
    for found, expected in zip(read_decisions(log.path), one_line, strict=True):
        assert expected is None or found == expected


def test_a_log_that_was_cut_off_is_good_up_to_its_last_whole_line(tmp_path: Path) -> None:
    bench = Bench(one_rule("{entered: left_half, keypoint: snout}"))
    bench.see_all([400, 300] * 3)
    text = decisions_text(bench.decisions)
    path = tmp_path / "x_decisions.csv"
    path.write_text(text[:-20])
    assert read_decisions(path) == bench.decisions[:-1]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a log of decisions"):
        read_decisions(path)

"""What new rules change: which rules keep their state, which have moved, and what cannot change while they run."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from realtime_cropzoom.trigger.rules.rules import Rules, parse_rules
from realtime_cropzoom.trigger.rules.rules_change import check_replaceable, compare_rules
from realtime_cropzoom.trigger.rules.validation_errors import RulesError

FILE = """
zones:
  corner: {rectangle_px: [0, 0, 200, 200]}
  feeder: {circle_px: [320, 240, 60]}
  nest: {polygon_px: [[0, 0], [9, 0], [9, 9]]}
outputs:
  laser: {serial: x}
  lamp: {serial: y}
rules:
  in_corner: {when: {inside: corner, keypoint: snout}, fire: laser, hold: true}
  fast: {when: {speed_px_per_s: snout, above: 5}, fire: laser, pulse_ms: 5}
  looks:
    when:
      all:
        - {not: {outside: nest, keypoint: tail}}
        - {angle_deg: {from: tail, to: snout, target: feeder}, below: 9}
    fire: lamp
    pulse_ms: 5
"""

LOST = {"when": {"state": "lost"}, "states": ["lost"], "fire": "lamp", "hold": True}


def changed(**places: Any) -> Rules:
    """The file, with values by their place, such as ``zones__corner``; None removes it."""
    content = yaml.safe_load(FILE)
    for place, value in places.items():
        *path, last = place.split("__")
        at = content
        for key in path:
            at = at[key]
        at[last] = value
        if value is None:
            del at[last]
    return parse_rules(content)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({}, "no change"),
        ({"armed": True}, "no change"),  # it is for the start
        ({"zones__corner": {"rectangle_px": [0.0, 0, 200, 200]}}, "no change"),
        ({"zones__other": {"circle_px": [1, 1, 1]}}, "no change"),  # no rule names it
        ({"zones__corner": {"rectangle_px": [0, 0, 100, 200]}}, "moved in_corner"),
        ({"zones__corner": {"circle_px": [0, 0, 100]}}, "moved in_corner"),
        ({"zones__feeder": {"circle_px": [320, 240, 61]}}, "moved looks"),  # the target of an angle
        ({"zones__nest": {"circle_px": [1, 1, 1]}}, "moved looks"),  # within not, within all
        ({"rules__fast__pulse_ms": 6}, "changed fast"),
        ({"rules__fast__max_age_ms": 50}, "no change"),  # that of the file
        ({"rules__fast": None, "rules__slow": LOST}, "added slow; removed fast"),
        ({"max_age_ms": 51}, "changed in_corner, fast, looks"),
        ({"hold_max_age_ms": 200}, "changed in_corner"),  # the others hold nothing
        ({"limits": {"max_fired": 9}, "test_pulse_ms": 3}, "settings limits, test_pulse_ms"),
        ({"zones__corner": {"circle_px": [0, 0, 100]}, "rules__in_corner__refractory_ms": 9}, "changed in_corner"),
    ],
)  # fmt: skip
def test_a_rule_changes_if_anything_that_it_uses_does(places: dict[str, Any], expected: str) -> None:
    change = compare_rules(changed(), changed(**places))
    assert str(change) == expected
    assert {*change.kept, *change.moved, *change.changed, *change.added} == set(changed(**places).rules)


def test_a_keypoint_that_becomes_a_zone_changes_the_rule() -> None:
    towards = {"angle_deg": {"from": "tail", "to": "snout", "target": "ear"}, "below": 9}
    old = changed(rules__looks__when=towards)
    new = changed(rules__looks__when=towards, zones__ear={"circle_px": [1, 1, 1]})
    assert str(compare_rules(old, new)) == "changed looks"


@pytest.mark.parametrize(
    "places",
    [
        {"outputs__laser": {"serial": "z"}},
        {"outputs__more": {"serial": "z"}},
        {"endpoint": "tcp://127.0.0.1:1"},
        {"camera": "cam1"},
        {"calibration": "a.yaml"},
        {"filter": "kalman"},
        {"seed": 4},
        {"sync": {"output": "lamp"}},
    ],
)
def test_devices_and_the_stream_cannot_change_while_rules_run(places: dict[str, Any]) -> None:
    check_replaceable(changed(), changed())
    with pytest.raises(RulesError) as refused:
        check_replaceable(changed(), changed(**places))
    ((place, text),) = refused.value.problems
    assert place == (next(iter(places)).split("__")[0],)
    assert text == "cannot change while the rules run; end 'cropzoom trigger' and start it with the new file"

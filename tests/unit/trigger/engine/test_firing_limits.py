"""Limits on firing: refractory time, counts, on-time, spans and the random draw."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_cropzoom.trigger.engine.firing_limits import FiringLimits, RateBudget

MS = 1_000_000
MINUTE_NS = 60_000_000_000


def limits(**changes: Any) -> FiringLimits:
    given: dict[str, Any] = {
        "probability": 1.0,
        "refractory_ns": 0,
        "max_per_minute": None,
        "minutes": None,
        "budget": RateBudget("rule", None, None),
    }
    return FiringLimits("1:r", **(given | changes))


def unlimited() -> RateBudget:
    return RateBudget("session", None, None)


def test_without_limits_a_rule_may_always_fire() -> None:
    assert limits().refusal(0, 0, unlimited(), 10 * MS) is None


def test_the_refractory_time_ends_exactly() -> None:
    rule = limits(refractory_ns=30 * MS)
    rule.passed(0)
    assert rule.refusal(30 * MS - 1, 0, unlimited(), None) == "refractory"
    assert rule.refusal(30 * MS, 0, unlimited(), None) is None


def test_the_minute_of_a_rate_slides() -> None:
    rule = limits(max_per_minute=2)
    rule.passed(0)
    rule.passed(MINUTE_NS // 2)
    assert rule.refusal(MINUTE_NS - 1, 0, unlimited(), None) == "max_per_minute 2 reached"
    assert rule.refusal(MINUTE_NS, 0, unlimited(), None) is None


@pytest.mark.parametrize(
    ("on_ms", "pulse_ms", "refused"),
    [
        (90, 10, False),
        (90, 11, True),
        (99, None, False),
        (100, None, True),
    ],
)
def test_a_pulse_needs_its_whole_time_and_a_hold_any_time(on_ms: int, pulse_ms: int | None, refused: bool) -> None:
    budget = RateBudget("session", None, 0.1)
    budget.on_ns = on_ms * MS
    text = budget.time_used_up(None if pulse_ms is None else pulse_ms * MS)
    assert text == ("max_on_s 0.1 of the session is used up" if refused else None)


def test_spans_count_from_arming_and_end_before_their_last_minute() -> None:
    rule = limits(minutes=[(1.0, 2.0)])
    armed_ns = 5 * MINUTE_NS
    assert not rule.in_span(armed_ns, armed_ns)
    assert rule.in_span(armed_ns + MINUTE_NS, armed_ns)
    assert rule.span_end_ns(armed_ns + MINUTE_NS, armed_ns) == armed_ns + 2 * MINUTE_NS
    assert not rule.in_span(armed_ns + 2 * MINUTE_NS, armed_ns)
    assert rule.span_end_ns(armed_ns, armed_ns) is None


def test_equal_seeds_draw_equal_numbers() -> None:
    draws = [[rule.draw() for _ in range(100)] for rule in (limits(probability=0.5), limits(probability=0.5))]
    assert draws[0] == draws[1]
    assert 20 < sum(draws[0]) < 80

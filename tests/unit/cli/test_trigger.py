"""``cropzoom trigger``: the lines of decisions fit a terminal."""

from __future__ import annotations

from realtime_cropzoom.cli.trigger import _decision_text
from realtime_cropzoom.trigger.engine.events import Action, ActionType, Decision, Verdict


def test_a_decision_fits_80_columns_with_its_reason_below() -> None:
    pulse = Action("laser", ActionType.PULSE, 10.0)
    reason = "snout entered corner (249.6, 44.4)"
    decision = Decision(1, Verdict.FIRED, "snout_in_corner", reason, (pulse,), 0, frame=2410, age_ms=5.5)
    assert _decision_text(decision, 80).splitlines() == [
        "fired    snout_in_corner  laser pulse  frame 2410  age 5.5 ms",
        f"         {reason}",
    ]
    assert len(_decision_text(decision, 1000).splitlines()) == 1

"""Lag watch: a machine that does not keep up is reported while it runs, and at the end in the same words."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support.pipelines import Film, at_least, hold_models, make_settings, run_to_end

from realtime_cropzoom.pipeline.lag import LagWatch
from realtime_cropzoom.pipeline.report import TOO_SLOW, report

S = 1_000_000_000


def test_lag_is_reported_once_a_minute_while_it_lasts() -> None:
    watch = LagWatch()
    said = [watch.check(second * S, 30 * second, 20 * second, 277.0) for second in range(130)]
    assert [second for second, text in enumerate(said) if text] == [3, 63, 123]
    assert said[3] == f"poses fall behind: 60 of the last 90 frames were skipped, and poses are 277 ms old; {TOO_SLOW}"


@pytest.mark.parametrize("skipped", [0, 4], ids=["none", "a hiccup"])
def test_a_machine_that_keeps_up_gets_no_warning(skipped: int) -> None:
    watch = LagWatch()
    assert [watch.check(second * S, 30 * second, skipped * (second > 5), 5.0) for second in range(20)] == [None] * 20


def test_no_frames_are_no_lag() -> None:
    watch = LagWatch()
    assert [watch.check(second * S, 0, 0, 0.0) for second in range(20)] == [None] * 20


def test_a_run_that_falls_behind_warns_and_its_report_does_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hold_models(monkeypatch, pose=at_least(0.1))
    with caplog.at_level(logging.WARNING):
        summary = run_to_end(make_settings(tmp_path, max_lag=2), Film(210, fps=60.0)).summary
    assert summary["counts"]["skipped"] > 100
    assert any(text.startswith("poses fall behind: ") and text.endswith(TOO_SLOW) for text in caplog.messages)
    (line,) = (line for line in report(summary).splitlines() if line.startswith("WARNING: "))
    assert f"{summary['counts']['skipped']} of 210 frames were skipped, and poses were " in line
    assert line.endswith(TOO_SLOW)

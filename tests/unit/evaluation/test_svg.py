"""The charts of the report: any numbers give a picture that a browser can draw."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.evaluation.measures import calibrate
from realtime_cropzoom.evaluation.svg import (
    ErrorRow,
    calibration_chart,
    error_chart,
    nice_ticks,
    pck_chart,
    state_strip,
)

_ERRORS = st.one_of(
    st.lists(st.floats(0, 5000), min_size=2, max_size=2).map(sorted), st.just([float("nan"), float("nan")])
)
"""Median and 95 % limit."""
_BODY = st.one_of(st.floats(1, 3000), st.just(float("nan")))
_NAME = st.text(st.characters(min_codepoint=32, exclude_categories=["C"]), min_size=1, max_size=40)


def _texts(svg: str) -> list[str]:
    """Check that a chart is well-formed and has no number that no browser knows; return its texts."""
    tree = ElementTree.fromstring(svg)
    for element in tree.iter():
        numbers = " ".join(value for name, value in element.attrib.items() if name not in ("aria-label", "stroke"))
        assert not re.search(r"\b(nan|inf)\b", numbers), element.attrib
    return [element.text or "" for element in tree.iter("text")]


@given(st.lists(st.tuples(_NAME, _ERRORS), min_size=1, max_size=6), _BODY)
def test_any_errors_can_be_drawn(rows: list[tuple[str, list[float]]], body_px: float) -> None:
    drawn = [ErrorRow(name, "#123456", *errors) for name, errors in rows]
    texts = _texts(error_chart(drawn, body_px))
    for row in drawn:
        assert row.name in texts or f"{row.name[:17]}…" in texts


def test_a_line_that_is_too_long_ends_at_the_scale_with_its_number() -> None:
    rows = [ErrorRow("nose", "#000", 1.0, 900.0), ErrorRow("tail", "#000", 1.0, 3.0)]
    texts = _texts(error_chart(rows, 100.0))
    assert "900" in texts
    assert "3" not in texts


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.floats(0.1, 1000), _BODY)
def test_any_curve_can_be_drawn(shares: list[float], within_px: float, body_px: float) -> None:
    distances = np.linspace(0, 2 * within_px, len(shares)).tolist()
    assert "100 %" in _texts(pck_chart(distances, sorted(shares), within_px, body_px))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 20)), max_size=40))
def test_the_bars_of_the_calibration_say_how_many_keypoints_they_hold(found: list[tuple[float, float]]) -> None:
    likelihood, errors = np.array(found, np.float64).reshape(-1, 2).T
    counted = re.findall(r"(\d+) of (\d+)", "\n".join(_texts(calibration_chart(calibrate(likelihood, errors, 5), 10))))
    assert sum(int(of) for _, of in counted) == len(found)
    assert sum(int(right) for right, _ in counted) == (errors <= 5).sum()


@given(st.lists(st.sampled_from(["tracking", "coasting", "lost", "searching", ""]), max_size=1500))
def test_any_session_has_a_strip_with_a_legend_of_its_states(states: list[str]) -> None:
    assert set(_texts(state_strip(states))) == {state or "no pose" for state in states}


@pytest.mark.parametrize("most", [0.3, 1.0, 7.2, 12.0, 99.0, 4000.0])
def test_a_scale_reaches_the_largest_value_in_a_few_round_steps(most: float) -> None:
    ticks = nice_ticks(most)
    assert ticks[0] == 0
    assert most <= ticks[-1] <= 1.6 * most + 1e-9
    assert 4 <= len(ticks) <= 7

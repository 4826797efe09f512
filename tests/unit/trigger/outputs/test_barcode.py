"""Barcodes: codes come back from their edges, also from edges that are wrong or missing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.trigger.outputs.barcode import BITS, UNITS, Code, Edge, code_value, decode, edges, levels

VALUES = st.integers(0, 2**BITS - 1)


def line(values: list[int], unit: float, gap: float, off: Callable[[], float] = lambda: 0.0) -> list[Edge]:
    """What a recording sees of codes one after the other, each edge off by ``off()`` units."""
    return [
        Edge(((UNITS + gap) * i + edge.time + off()) * unit, edge.high)
        for i, value in enumerate(values)
        for edge in edges(value)
    ]


@given(st.lists(VALUES, max_size=4), st.floats(1e-3, 1e3), st.floats(3, 50))
def test_codes_come_back_with_their_times(values: Any, unit: Any, gap: Any) -> None:
    codes = decode(line(values, unit, gap), unit)
    assert [code.value for code in codes] == values
    assert [code.time for code in codes] == pytest.approx([(UNITS + gap) * unit * i for i in range(len(values))])


@given(VALUES, st.randoms(use_true_random=False))
def test_edges_may_be_off_by_a_quarter_of_a_unit(value: Any, random: Any) -> None:
    (code,) = decode(line([value], 1.0, 3.0, lambda: random.uniform(-0.24, 0.24)), 1.0)
    assert code.value == value


@given(st.lists(VALUES, min_size=2, max_size=2), st.integers(1, 40))
def test_a_code_that_is_cut_is_passed_over_and_the_next_one_read(values: Any, cut: Any) -> None:
    changes = line(values, 1.0, 9.0)
    second = 9.0 + UNITS
    codes = decode(changes[cut:], 1.0)
    assert [code for code in codes if code.time >= second] == [Code(second, values[1])]
    assert len(codes) == 1 or cut >= len(edges(values[0]))


@given(VALUES, st.data())
def test_a_code_that_lost_its_end_is_not_read(value: int, data: st.DataObject) -> None:
    changes = edges(value)
    kept = data.draw(st.integers(0, len(changes) - 2))
    assert decode(changes[:kept], 1.0) == []


@given(st.lists(st.tuples(st.floats(0, 1e4), st.booleans()), max_size=80))
def test_noise_raises_nothing(noise: Any) -> None:
    decode([Edge(*edge) for edge in sorted(noise)], 1.0)


@given(VALUES)
def test_the_start_of_a_code_is_unique(value: Any) -> None:
    shown = "".join("01"[level] for level in levels(value))
    assert len(shown) == UNITS
    assert shown.startswith("111100")
    assert "111" not in shown[6:]


def test_values_do_not_repeat_and_differ_in_many_bits() -> None:
    values = [code_value(123, count) for count in range(10_000)]
    assert len(set(values)) == len(values)
    assert min((a ^ b).bit_count() for a, b in pairwise(values)) >= 8

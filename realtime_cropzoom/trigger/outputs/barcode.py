"""Barcode: a 32-bit number as a sequence of levels, and back. No I/O.

All durations are in units. A code begins with four units high and two units low; no other part of a code is high for so
long. 32 bits of two units each follow, the highest bit first: high low is 1, low high is 0. Then the line is low until
the next code.

::

    ‾‾‾‾__ ‾_ _‾ ‾_ …        start, then 1 0 1 …

Every bit has an edge in its middle, so that neither clock must be exact. Each edge may be wrong by up to a quarter of a
unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

BITS = 32
_START = (True, True, True, True, False, False)
UNITS = len(_START) + 2 * BITS
"""Duration of a code (units)."""
_STEP = 0x9E3779B1


class Edge(NamedTuple):
    """A change of the line."""

    time: float
    """Time of the change, in any unit of time."""
    high: bool
    """Level after the change."""


class Code(NamedTuple):
    """A decoded code."""

    time: float
    """Time of its first rising edge."""
    value: int
    """In [0, 2³²)."""


def code_value(seed: int, count: int) -> int:
    """Return the value of the ``count``-th code. Values repeat after 2³² codes, and neighbours differ in many bits."""
    return (seed + count * _STEP) % (1 << BITS)


def levels(value: int) -> list[bool]:
    """Return the level in each of the ``UNITS`` units of a code."""
    bits = [bool(value >> bit & 1) for bit in reversed(range(BITS))]
    return [*_START, *(level for bit in bits for level in (bit, not bit))]


def edges(value: int) -> list[Edge]:
    """Return the changes of a code between low levels; times are in units since its beginning."""
    shown = [False, *levels(value), False]
    return [Edge(float(unit), high) for unit, (before, high) in enumerate(pairwise(shown)) if high != before]


def decode(changes: Sequence[Edge], unit: float) -> list[Code]:
    """Return the codes in the changes of a line, in order of time.

    Args:
        changes: Changes of the line, in order of time. A change to the level that the line already has is allowed.
        unit: Duration of a unit, in the unit of time of ``changes``.

    Returns:
        The complete codes; everything else is ignored.
    """
    clean = [edge for i, edge in enumerate(changes) if i == 0 or edge.high != changes[i - 1].high]
    codes = []
    for i, edge in enumerate(clean):
        if edge.high and (value := _read(clean[i:], unit)) is not None:
            codes.append(Code(edge.time, value))
    return codes


def _read(clean: Sequence[Edge], unit: float) -> int | None:
    """Return the value of the code that begins with the first edge; None if there is none."""
    shown: list[bool] = []
    for edge, after in pairwise(clean):
        shown += [edge.high] * round((after.time - edge.time) / unit)
        if len(shown) >= UNITS or not _may_begin(shown):
            break
    if clean:
        shown += [clean[-1].high] * 2  # the last low of a recording has no edge behind it
    shown = shown[:UNITS]
    if len(shown) < UNITS or tuple(shown[: len(_START)]) != _START:
        return None
    value = 0
    for first, second in zip(shown[len(_START) :: 2], shown[len(_START) + 1 :: 2], strict=True):
        if first == second:
            return None
        value = value << 1 | first
    return value


def _may_begin(shown: list[bool]) -> bool:
    return tuple(shown[: len(_START)]) == _START[: len(shown)]

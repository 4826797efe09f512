"""Charts of the report, as SVG inside the page.

They are written by hand: three simple charts need no library, which a user may not have installed, and SVG stays sharp
in print.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from realtime_cropzoom.evaluation.findings import part_of_body
from realtime_cropzoom.evaluation.measures import CalibrationBin
from realtime_cropzoom.evaluation.page import escaped

_INK, _GRID, _MAIN, _SOFT = "#222", "#ddd", "#0072b2", "#9fc8e3"
_STATES = {"tracking": "#1b7f4b", "coasting": "#e69f00", "lost": "#b3261e", "searching": "#7a7a7a"}
_NO_STATE = "#ddd"
_TEXT = 12
"""Font size (px)."""
_WIDTH = 560
_SMALLEST_SCALE = 1e-3
"""Length (pixels) below which a scale shows nothing that matters."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """A line of the chart of errors."""

    name: str
    colour: str
    median_px: float
    p95_px: float
    """NaN in both if no keypoint has a position; then nothing is drawn."""


def error_chart(rows: Sequence[ErrorRow], body_px: float) -> str:
    """Return a chart with the median error of each keypoint as a bar, and a line up to its 95 % limit.

    A line that is longer than the scale ends there, with its number.

    Args:
        rows: The keypoints.
        body_px: Length of the animal, for the second scale; NaN leaves it out.
    """
    left, top, step = 130, 44, 26
    ticks = nice_ticks(_longest_line(rows, body_px))
    height = top + step * len(rows) + 22

    def x(px: float) -> float:
        return left + (_WIDTH - left - 40) * px / ticks[-1]

    parts = []
    for tick in ticks:
        parts.append(_line(x(tick), top - 6, x(tick), height - 18, _GRID))
        parts.append(_text(x(tick), top - 27, f"{tick:g} px", "middle"))
        parts.append(_text(x(tick), top - 12, part_of_body(tick, body_px), "middle"))
    for i, row in enumerate(rows):
        y = top + step * i + step / 2
        parts.append(_text(left - 8, y + 4, _short(row.name), "end"))
        if not math.isfinite(row.median_px):
            continue
        parts.append(_rect(left, y - 7, x(row.median_px) - left, 14, row.colour))
        end = min(row.p95_px, ticks[-1])
        parts += [_line(left, y, x(end), y, _INK), _line(x(end), y - 5, x(end), y + 5, _INK)]
        if end < row.p95_px:
            parts.append(_text(x(end) + 4, y + 4, f"{row.p95_px:.0f}", "start"))
    return _svg(height, parts, "Error of each keypoint: the bar is the median, the line ends where 95 % are smaller")


def _longest_line(rows: Sequence[ErrorRow], body_px: float) -> float:
    """Return the length of the scale: a few frames that are all wrong must not make the bars invisible."""
    medians = [row.median_px for row in rows if math.isfinite(row.median_px)]
    longest = max([row.p95_px for row in rows if math.isfinite(row.p95_px)], default=1.0)
    return min(longest, max(5 * max(medians, default=1.0), 0.2 * body_px if body_px > 0 else 0.0))


def pck_chart(distances: Sequence[float], shares: Sequence[float], within_px: float, body_px: float) -> str:
    """Return the PCK curve: the share of keypoints (0 to 1) within each distance (pixels) of their label.

    Args:
        distances: Increasing distances.
        shares: The shares.
        within_px: The distance that is marked.
        body_px: Length of the animal, for the second scale; NaN leaves it out.
    """
    left, top, width, height = 60, 16, _WIDTH - 80, 190
    ticks = nice_ticks(distances[-1])

    def point(px: float, share: float) -> tuple[float, float]:
        return left + width * px / ticks[-1], top + height * (1 - share)

    parts = _share_lines(left, width, top, height)
    for tick in ticks:
        x, y = point(tick, 0)
        parts += [_text(x, y + 16, f"{tick:g} px", "middle"), _text(x, y + 31, part_of_body(tick, body_px), "middle")]
    x, _ = point(within_px, 0)
    if within_px <= ticks[-1]:
        parts.append(f'<path d="M{x:.1f} {top}V{top + height}" stroke="{_INK}" stroke-dasharray="3 3"/>')
    steps = " ".join("{:.1f},{:.1f}".format(*point(px, s)) for px, s in zip(distances, shares, strict=True))
    parts.append(f'<polyline points="{steps}" fill="none" stroke="{_MAIN}" stroke-width="2.5"/>')
    return _svg(top + height + 40, parts, "Share of keypoints within a distance of their label")


def calibration_chart(bins: Sequence[CalibrationBin], few: int) -> str:
    """Return a chart of how many keypoints of each range of likelihood are right, beside what the likelihood says.

    Args:
        bins: The ranges.
        few: Number of keypoints below which a bar is drawn pale.
    """
    left, top, width, height = 60, 16, _WIDTH - 80, 170
    parts, step = _share_lines(left, width, top, height), width / len(bins)
    for i, each in enumerate(bins):
        x, base = left + i * step, top + height
        parts.append(_text(x + step / 2, base + 16, f"{each.low:g} to {each.high:g}", "middle"))
        counted = f"{each.right} of {each.count}" if each.count else "none"
        parts.append(_text(x + step / 2, base + 31, counted, "middle"))
        if each.count:
            tall = height * each.share
            parts.append(_rect(x + step * 0.2, base - tall, step * 0.6, tall, _MAIN if each.count >= few else _SOFT))
            y = base - height * each.mean_likelihood
            parts.append(
                f'<path d="M{x + step * 0.1:.1f} {y:.1f}h{step * 0.8:.1f}" stroke="#d55e00" stroke-width="3"/>'
            )
    return _svg(top + height + 40, parts, "Share of right keypoints for each range of likelihood")


def state_strip(states: Sequence[str]) -> str:
    """Return a strip of the states of a session over time, with a legend; each step shows its most frequent state."""
    steps = min(len(states), _WIDTH)
    edges = [len(states) * i // steps for i in range(steps + 1)] if steps else [0]
    parts, wide = [], _WIDTH / max(steps, 1)
    for i, (begin, end) in enumerate(pairwise(edges)):
        state = Counter(states[begin:end]).most_common(1)[0][0]
        parts.append(_rect(i * wide, 0, wide + 0.5, 26, _STATES.get(state, _NO_STATE)))
    shown = [state for state in (*_STATES, "") if state in states]
    for i, state in enumerate(shown):
        x = i * _WIDTH / 5
        parts += [_rect(x, 36, 12, 12, _STATES.get(state, _NO_STATE)), _text(x + 17, 46, state or "no pose", "start")]
    return _svg(52, parts, "States of the session over time")


def nice_ticks(most: float, about: int = 5) -> list[float]:
    """Return round numbers from 0 to at least ``most``, about as many as wanted."""
    most = most if math.isfinite(most) and most > _SMALLEST_SCALE else 1.0
    rough = most / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [step * i for i in range(math.ceil(round(most / step, 6)) + 1)]


def _share_lines(left: float, width: float, top: float, height: float) -> list[str]:
    parts = []
    for percent in (0, 25, 50, 75, 100):
        y = top + height * (1 - percent / 100)
        parts += [_line(left, y, left + width, y, _GRID), _text(left - 8, y + 4, f"{percent} %", "end")]
    return parts


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(text)}</text>' if text else ""


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}"/>'


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escaped(title)}" font-size="{_TEXT}" '
        f'fill="{_INK}">{"".join(parts)}</svg>'
    )

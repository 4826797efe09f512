"""The picture of the results: latency against frame rate, and the time of a frame against its size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.results import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GRAY, _LIGHT = "#0b62a4", "#c65102", "#777777", "#cccccc"
_LOOPS = {"ours_ms": ("cropzoom run", _BLUE), "plain_ms": ("plain loop", _ORANGE), "bare_ms": ("bare model", _GRAY)}
_QUANTILES = {"p50": "-o", "p99": "--^"}
_STEPS = {"bare_ms": ("both bare models", _GRAY), "added_ms": ("added", _BLUE), "decode_ms": ("decoding", _LIGHT)}
_TICKS_MS = (1, 2, 3, 5, 10, 20, 50)


def draw(parts: list[Part], path: Path) -> None:
    """Write the picture of those of the two measurements that are among ``parts``; without one, write nothing."""
    panels = (("latency", "over_ms", _draw_rates), ("sizes", "added_ms", _draw_sizes))
    drawn = [(rows, panel) for name, holding, panel in panels if (rows := _numbers(parts, name, holding))]
    if not drawn:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(drawn), 4.6), layout="constrained")
    for axes, (rows, panel) in zip(np.ravel(figure.subplots(1, len(drawn))), drawn, strict=True):
        panel(axes, rows)
    figure.savefig(path, dpi=110)


def _numbers(parts: list[Part], name: str, holding: str) -> list[dict[str, Any]]:
    return [row.numbers for part in parts if part.name == name for row in part.rows if holding in row.numbers]


def _draw_rates(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw the median of the runs at each rate: two quantiles of three programs."""
    by_rate = {row["fps"]: row for row in rows}
    for key, (label, color) in _LOOPS.items():
        for q, style in _QUANTILES.items():
            values = [np.median([one[q] for one in row[key]]) for row in by_rate.values()]
            axes.plot(list(by_rate), values, style, color=color, label=f"{label}, {q}", markersize=4, linewidth=1.3)
    axes.set(xlabel="frames per second", ylabel="hand-over → received (ms)", yscale="log", title="Latency against rate")
    axes.set_yticks(_TICKS_MS, [str(ms) for ms in _TICKS_MS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False)


def _draw_sizes(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Stack what the time of a frame is made of, for each size."""
    names, bottom = ["{}×{}".format(*row["size"]) for row in rows], np.zeros(len(rows))
    for key, (label, color) in _STEPS.items():
        values = np.array([row[key] for row in rows])
        axes.bar(names, values, bottom=bottom, color=color, label=label, width=0.6)
        bottom += values
    axes.set(xlabel="frame size", ylabel="time of a frame (ms)", title="Time of a frame, one at a time")
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize=8, frameon=False)

"""Traces: a figure of x, y and likelihood of each keypoint over time, with the states behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.inference.pose_quality import percent
from realtime_cropzoom.plots.image_files import write_figure
from realtime_cropzoom.plots.overlay import figure_label, figure_palette
from realtime_cropzoom.sessions.table import SessionTables
from realtime_cropzoom.types import Float64

Bools = npt.NDArray[np.bool_]
_PANELS = ("x (px)", "y (px), downwards", "likelihood")
_COLUMNS = 1000
"""Number of parts of a long trace. A reader cannot distinguish more."""
_STATE_COLOURS = {"searching": "#d4d4d4", "tracking": "#edf6ee", "coasting": "#fde5b4", "lost": "#f6c0b8"}
_UNKNOWN = "#e4e0ee"
_MINUTES_FROM_S = 180.0


def write_traces(path: Path, tables: SessionTables) -> None:
    """Write the traces of a session as a figure. Raises DataError without frames, SinkError if it cannot be written."""
    write_figure(path, draw_traces(tables))


def draw_traces(tables: SessionTables) -> Figure:
    """Return the figure: three panels over one time axis. Raises DataError if the session has no frames."""
    if not len(tables.poses):
        raise DataError(f"{tables.path} has no frames; there is nothing to draw")
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    times, unit = _time_axis(tables)
    colours = figure_palette(len(tables.keypoint_names))
    for k, (panel, name) in enumerate(zip(panels, _PANELS, strict=True)):
        _shade_states(panel, tables, times)
        for trace, colour in zip(tables.poses[:, :, k].T, colours, strict=True):
            _plot(panel, times, trace, colour)
        panel.set_ylabel(name)
        panel.margins(x=0)
        panel.spines[["top", "right"]].set_visible(False)
    panels[1].invert_yaxis()  # y grows downwards, as in the frame
    panels[2].set(ylim=(-0.04, 1.04), xlabel=unit)
    if np.isnan(tables.poses[:, :, 2]).all():
        panels[2].text(0.5, 0.5, "the model gives no likelihood", ha="center", transform=panels[2].transAxes)
    panels[0].set_title(_title(tables), loc="left")
    _add_legends(figure, tables, colours)
    return figure


def envelope(times: Float64, values: Float64, columns: int = _COLUMNS) -> pd.DataFrame:
    """Reduce a trace to ``columns`` parts without losing a spike.

    Args:
        times: Times of the values.
        values: The trace; NaN for missing values.
        columns: Number of parts.

    Returns:
        Minimum, median and maximum of each part as ``low``, ``middle`` and ``high``, indexed by its first time. A part
        without values is NaN.
    """
    part = np.arange(len(values)) * columns // len(values)
    thin = pd.Series(values).groupby(part).agg(["min", "median", "max"]).set_axis(["low", "middle", "high"], axis=1)
    return thin.set_index(times[np.searchsorted(part, thin.index)])


def _plot(panel: Any, times: Float64, trace: Float64, colour: Any) -> None:
    """Plot a trace as a line. A long one is a line of medians, and a band from minimum to maximum."""
    if len(trace) > 3 * _COLUMNS:
        thin = envelope(times, trace)
        panel.fill_between(thin.index, thin["low"], thin["high"], color=colour, alpha=0.2, linewidth=0, zorder=1.5)
        times, trace = thin.index.to_numpy(), thin["middle"].to_numpy()
    panel.plot(times, trace, color=colour, linewidth=0.9)
    lone = lone_values(trace)
    if lone.any():  # a line would not show them
        panel.plot(times[lone], trace[lone], color=colour, linestyle="", marker=".", markersize=3)


def lone_values(trace: Float64) -> Bools:
    """Return which values have no value before and after them."""
    known: Bools = np.concatenate([[False], np.isfinite(trace), [False]])
    lone: Bools = known[1:-1] & ~known[:-2] & ~known[2:]
    return lone


def _time_axis(tables: SessionTables) -> tuple[Float64, str]:
    seconds = tables.seconds
    known = np.isfinite(seconds)
    if not known.any():
        return np.arange(len(seconds), dtype=np.float64), "frame"
    seconds = np.interp(np.arange(len(seconds)), np.flatnonzero(known), seconds[known])
    return (seconds / 60, "time (min)") if seconds[-1] > _MINUTES_FROM_S else (seconds, "time (s)")


def _shade_states(panel: Any, tables: SessionTables, times: Float64) -> None:
    """Shade the states behind the traces. A state lasts until the first frame of the next one."""
    bars: dict[str, list[tuple[float, float]]] = {}
    for state, first, after in tables.state_spans():
        end = times[min(after, len(times) - 1)]
        bars.setdefault(state, []).append((times[first], end - times[first]))
    for state, spans in bars.items():
        shade = {"facecolor": _STATE_COLOURS.get(state, _UNKNOWN), "linewidth": 0, "zorder": 0}
        panel.broken_barh(spans, (0, 1), transform=panel.get_xaxis_transform(), **shade)
    skipped = np.flatnonzero(_skipped(tables))
    if len(skipped):  # a skipped frame has no state
        ends = times[np.minimum(skipped + 1, len(times) - 1)]
        spans = list(zip(times[skipped], ends - times[skipped], strict=True))
        panel.broken_barh(
            spans, (0, 1), transform=panel.get_xaxis_transform(), facecolor="white", linewidth=0, zorder=0.5
        )


def _skipped(tables: SessionTables) -> Bools:
    skipped: Bools = np.array(
        tables.frames["outcome"].eq("skipped").fillna(False), np.bool_
    )  # offline, outcomes are missing
    return skipped


def _title(tables: SessionTables) -> str:
    skipped = _skipped(tables)
    posed: Bools = np.any(np.isfinite(tables.poses[:, :, 0]), axis=1)
    with_pose = posed[~skipped]
    share = percent(float(with_pose.mean())) if len(with_pose) else "none"
    left_out, of = (f", {skipped.sum()} of them skipped", " of the others") if skipped.any() else ("", "")
    return f"{tables.path.stem}   {len(skipped)} frames{left_out}   {share}{of} with a pose"


def _add_legends(figure: Figure, tables: SessionTables, colours: list[Any]) -> None:
    named = zip(map(figure_label, tables.keypoint_names), colours, strict=True)
    lines = [Line2D([], [], color=colour, label=label, linewidth=2) for label, colour in named]
    seen = dict.fromkeys(state for state, _, _ in tables.state_spans())
    patches = [Patch(color=_STATE_COLOURS.get(state, _UNKNOWN), label=state) for state in seen]
    style: dict[str, Any] = {"frameon": False, "alignment": "left"}
    figure.legend(handles=lines, title="keypoint", loc="outside right upper", **style)
    if _skipped(tables).any():
        patches.append(Patch(facecolor="white", edgecolor="#b0b0b0", label="skipped"))
    if patches:
        figure.legend(handles=patches, title="state", loc="outside right lower", **style)

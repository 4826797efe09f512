"""Comparison of two sessions as a figure: the deviation of each keypoint over time, and its distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import SymmetricalLogLocator

from realtime_cropzoom.files.atomic import write_all
from realtime_cropzoom.plots.image_files import encode_figure
from realtime_cropzoom.plots.overlay import figure_label, figure_palette
from realtime_cropzoom.plots.traces import envelope
from realtime_cropzoom.sessions.compare import Comparison

_LINE_POINTS = 3000


def write_comparison(png: Path, comparison: Comparison) -> Path:
    """Write the figure and the table next to it; return the path of the table. Raises SinkError."""
    csv = png.with_suffix(".csv")
    write_all({csv: comparison.table().to_csv(index=False), png: encode_figure(png, draw_comparison(comparison))})
    return csv


def draw_comparison(comparison: Comparison) -> Figure:
    """Return the figure: deviation (px) over time, and its cumulative distribution."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    over_time, share = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    seconds = comparison.seconds
    timed = bool(np.isfinite(seconds).all())
    times = seconds if timed else comparison.frames.astype(np.float64)
    colours = figure_palette(len(comparison.keypoint_names))
    labels = map(figure_label, comparison.keypoint_names)
    for label, trace, colour in zip(labels, comparison.deviation_px.T, colours, strict=True):
        if len(trace) > _LINE_POINTS:
            thin = envelope(times, trace)
            over_time.plot(thin.index, thin["high"], color=colour, linewidth=0.9, label=label)
        else:
            over_time.plot(times, trace, color=colour, linewidth=0.9, marker=".", markersize=2, label=label)
        known = np.sort(trace[np.isfinite(trace)])
        share.plot(100 * (np.arange(len(known)) + 1) / max(len(known), 1), known, color=colour, linewidth=1.2)
    over_time.set_yscale("symlog", linthresh=0.1)  # most deviations are small, and the few large ones matter most
    over_time.yaxis.set_major_locator(SymmetricalLogLocator(linthresh=0.1, base=10, subs=[1, 2, 5]))
    over_time.yaxis.set_major_formatter("{x:g}")
    over_time.set(xlabel="time (s)" if timed else "frame", ylabel="deviation (px)", ylim=(0, None))
    share.set(xlabel="frames (%) with at most this deviation", xlim=(0, 100))
    over_time.set_title(f"{comparison.paths[1].name} against {comparison.paths[0].name}", loc="left")
    deviations = comparison.deviation_px[np.isfinite(comparison.deviation_px)]
    if len(deviations) and not deviations.any():  # else the picture looks empty
        over_time.text(0.5, 0.5, "no deviation: each is 0", transform=over_time.transAxes, ha="center", fontsize=13)
    for panel in (over_time, share):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    return figure

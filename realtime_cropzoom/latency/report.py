"""Report of a latency measurement: text, JSON, figure, and a paragraph for the methods section of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from realtime_cropzoom import __version__
from realtime_cropzoom.latency.trials import ACKNOWLEDGED, STAGES, Trials
from realtime_cropzoom.plots.image_files import write_figure

_MIN_ANSWERED = 0.5
"""Minimum share of answered trials. A condition below it is reported as a problem."""
_COLOURS = ("#0072b2", "#d55e00", "#56b4e9", "#e69f00")
_BINS = 60


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Result of a measurement, for printing."""

    text: str
    problems: tuple[str, ...]
    """One sentence per condition in which most trials had no answer, so that its figures say little."""


def describe_unanswered(conditions: Mapping[str, Trials]) -> tuple[str, ...]:
    """Return one sentence per condition in which fewer than half of the trials were answered."""
    return tuple(
        f"{name}: {len(trials.latency_ms)} of {trials.started} trials were answered. The models may not find the "
        "arena's mouse: leave --detector and --pose out to measure with the shipped models"
        for name, trials in conditions.items()
        if len(trials.latency_ms) < _MIN_ANSWERED * trials.started or not trials.started
    )


def to_dict(conditions: Mapping[str, Trials]) -> dict[str, Any]:
    """Return {condition: counts and percentiles in ms}."""
    return {
        name: {
            "trials": trials.started,
            "answered": len(trials.latency_ms),
            "missed": trials.missed,
            "extra": trials.extra,
            "latency_ms": {column: trials.percentiles(column) for column in ("total", *STAGES, ACKNOWLEDGED)},
        }
        for name, trials in conditions.items()
    }


def format_table(conditions: Mapping[str, Trials]) -> str:
    """Return a table of the percentiles, and one of the medians by stage (ms)."""
    head = f"{'':<28}{'trials':>8}{'missed':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}   ms"
    lines = [head]
    for name, trials in conditions.items():
        p = trials.percentiles()
        figures = "".join(f"{p[key]:>9.2f}" if p else f"{'-':>9}" for key in ("p50", "p95", "p99", "max"))
        lines.append(f"{name:<28}{trials.started:>8}{trials.missed:>8}{figures}")
    lines += ["", f"{'by stage, p50':<28}" + "".join(f"{stage:>9}" for stage in (*STAGES, "answer"))]
    for name, trials in conditions.items():
        medians = [trials.percentiles(column).get("p50") for column in (*STAGES, ACKNOWLEDGED)]
        lines.append(f"{name:<28}" + "".join(f"{'-':>9}" if m is None else f"{m:>9.2f}" for m in medians))
    return "\n".join(lines)


def methods_paragraph(
    conditions: Mapping[str, Trials], machine: Mapping[str, Any], fps: float, size: tuple[int, int]
) -> str:
    """Return a paragraph that says what was measured, how, and on which machine.

    Args:
        conditions: {condition: trials}; the first one is quoted.
        machine: Result of ``describe_machine``.
        fps: Frame rate.
        size: Width, height of the frames (px).
    """
    quiet = next(iter(conditions.values()), None)
    p = quiet.percentiles() if quiet else {}
    figures = (
        f"{p['p50']:.1f} ms in the median (p95 {p['p95']:.1f}, p99 {p['p99']:.1f}, max {p['max']:.1f})" if p else "-"
    )
    models = "; ".join(f"{role} {m['sha256'][:12]} on {m['provider']}" for role, m in machine["models"].items())
    return (
        f"Closed-loop latency was measured with realtime-cropzoom {__version__} on frames of {size[0]}x{size[1]} at "
        f"{fps:g} frames/s, from the moment at which the first frame that showed the animal in the target zone was "
        f"handed to the software until the command to the output device was written. It was {figures}, while the "
        f"animal stayed within the cropped region; the other conditions are in the table. Processor: {machine['cpu']}, "
        f"{machine['cores']} cores; {machine['system']}; Python {machine['python']}; models: {models or 'unknown'}."
    )


def write_histograms(path: Path, conditions: Mapping[str, Trials], title: str) -> None:
    """Write the distributions as a figure, one below another over one axis. Raises SinkError if that fails."""
    figure = Figure(figsize=(9, 1.2 + 1.6 * len(conditions)), layout="constrained")
    panels = figure.subplots(len(conditions), 1, sharex=True, squeeze=False)[:, 0]
    totals = [trials.latency_ms["total"].to_numpy(np.float64) for trials in conditions.values()]
    longest = max((float(t.max()) for t in totals if len(t)), default=1.0)
    edges = np.linspace(0.0, 1.03 * longest, _BINS + 1).tolist()
    for panel, (name, trials), values, colour in zip(panels, conditions.items(), totals, _COLOURS, strict=False):
        panel.hist(values, bins=edges, color=colour)
        for key, p in trials.percentiles().items():
            panel.axvline(p, color="#333333", linewidth=1, linestyle=":" if key != "p50" else "-")
        panel.set_title(_caption(name, trials), loc="left", fontsize=10)
        panel.set_ylabel("trials")
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("frame handed over → trigger output written (ms); lines: p50, p95, p99, max")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    write_figure(path, figure)


def _caption(name: str, trials: Trials) -> str:
    p = trials.percentiles()
    figures = f"p50 {p['p50']:.1f} ms, p95 {p['p95']:.1f}, p99 {p['p99']:.1f}, max {p['max']:.1f}" if p else "no answer"
    return f"{name}: {figures} ({len(trials.latency_ms)} trials, {trials.missed} missed)"

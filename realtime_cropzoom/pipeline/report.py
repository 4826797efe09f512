"""Report: a run as text: a line of progress while it runs, and a report at the end.

It words what ``summary`` computes. The messages to subscribers are in ``status``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realtime_cropzoom.errors import pluralize
from realtime_cropzoom.inference.pose_quality import misfit_lines, nothing_found, quality_lines, skipped_line
from realtime_cropzoom.messaging.message import StatusMessage
from realtime_cropzoom.sessions.pose_rows import animal_names
from realtime_cropzoom.types import StreamState

_ROWS = (
    ("wait", "handed over → taken"),
    ("crop", "→ model input ready"),
    ("infer", "→ heatmaps"),
    ("decode", "→ pose in frame pixels"),
    ("total", "handed over → pose"),
    ("published", "handed over → published"),
    ("received", "handed over → received"),
    ("detect", "one detection"),
    ("box age", "box age"),
)
"""Rows of the table of latencies: name in the summary, label."""
_WIDE = 65
"""Width (columns) of the whole table."""
_SINCE_HANDED_OVER = ("wait", "total", "published", "received")
"""Latencies that mean nothing in lockstep (``pace: fast``), because frames wait for the models."""
TOO_SLOW = (
    "take a smaller pose model, more threads for it (pose_threads), or a GPU; of a recording, "
    "'cropzoom run --pace fast' takes every frame"
)
"""Advice for a machine that does not keep up."""
_SKIPPED_LIMIT = 0.05
"""Share of skipped frames above which a run says that the machine does not keep up."""

_MAX_DRIFT_ERROR = 0.2
"""Maximum error of a drift, relative to the drift, at which it is reported. A short run does not measure it better."""
_WITHOUT_CLOCK = "lavfi:"
"""Begin of a source whose frames FFmpeg makes, without a camera and its clock."""


def share_skipped(captured: int, skipped: int) -> float:
    """Return the share of skipped frames; 0 if it is too small to report."""
    share = skipped / captured if captured else 0.0
    return share if share > _SKIPPED_LIMIT else 0.0


def progress_line(
    status: StatusMessage,
    frame_count: int | None,
    columns: int = 80,
    *,
    lockstep: bool = False,
    scheduled: bool = False,
) -> str:
    """Return the progress of a run in one line, the most important part first.

    Args:
        status: The last status message.
        frame_count: Number of frames that the run will have; None if unknown.
        columns: Maximum width (columns). Parts that do not fit are left out.
        lockstep: Whether the run is in lockstep. The age of a pose means nothing then, and is left out.
        scheduled: Whether the boxes come from an earlier run. No detector makes boxes then, and their rate is left out.
    """
    total = f"/{frame_count}" if frame_count else ""
    latency = status.latency_ms["total"].p50 if "total" in status.latency_ms else None
    # While no frames arrive, the state is that of the last frame.
    state = status.state
    if status.regions:
        tracked = sum(region == "tracking" for region in status.regions.values())
        state = f"tracking {tracked} of {len(status.regions)}"
    doing = state if status.stream == StreamState.LIVE else status.stream
    return fit(
        [
            f"frame {status.counts.captured}{total}",
            doing,
            f"{status.fps:.0f} fps",
            f"skipped {status.counts.skipped}",
            "" if lockstep else f"pose after {latency or 0:.1f} ms",
            "" if scheduled else f"{status.detector_fps:.0f} boxes/s",
        ],
        columns,
    )


def expected_frame_count(*counts: int | None) -> int | None:
    """Return the smallest of the known numbers of frames; None if none is known."""
    return min((count for count in counts if count is not None), default=None)


def fit(parts: Sequence[str], columns: int) -> str:
    """Return as many of ``parts`` as fit into a line of ``columns``. The first one is cut if it is too long."""
    line = parts[0][: columns - 1]
    for part in parts[1:]:
        if part and len(line) + 2 + len(part) >= columns:
            break
        line += f"  {part}" if part else ""
    return line


def report(summary: dict[str, Any], received: dict[str, Any] | None = None, columns: int = _WIDE) -> str:
    """Return the report of a run.

    Args:
        summary: Content of its ``summary.json``.
        received: Counts and latencies of a subscriber process; None without one.
        columns: Maximum width (columns) of the table, at least 40.
    """
    counts = summary["counts"]
    lines = [
        f"{counts['captured']} frames in {summary['seconds']:.1f} s ({summary['fps'] or 0:.1f} fps): "
        f"{counts['processed']} processed, {counts['skipped']} skipped, {counts['failed']} failed, "
        f"{counts['unsent']} unsent",
    ]
    if share_skipped(counts["captured"], counts["skipped"]):
        lines.append(_too_slow(summary))
    if summary["detector"] is not None:
        lines.append(_detector_line(summary["detector"], several=bool(summary.get("regions"))))
    if summary.get("animal") is not None:
        skipped = share_skipped(counts["captured"], counts["skipped"]) > 0
        lines += quality_lines(
            summary["animal"],
            shipped=uses_shipped_models(summary["models"]),
            skipped=skipped,
            boxes_as_trained=summary["boxes_as_trained"],
            animals=max(1, len(summary.get("regions") or ())),
        )
    if summary.get("regions"):
        lines.append(_region_line(summary["regions"]))
    for recording in summary["recordings"]:
        dropped = sum(recording["dropped"].values())
        lines.append(f"{recording['file']} ({recording['codec']}): {recording['frames']} frames, {dropped} dropped")
    if summary["lost"]:
        lines.append(f"{summary['lost']} frames were lost on the way from the camera")
    if summary["stale"]:
        lines.append(
            f"{summary['stale']} frames were old when they came, as after a start or a break, and were left out; "
            "none of them is lost"
        )
    if summary["too_old"]:
        lines.append(f"{summary['too_old']} poses were too old to be sent; they are in the files")
    if summary["refused"]:
        lines.append(f"{summary['refused']} connections were refused: {_rejected_keys_text(summary['refused_keys'])}")
    if summary["cut_off"]:
        lines.append(f"{summary['cut_off']} connections were cut off: they sent too much, or were too many")
    if (drift := _drift_line(summary)) is not None:
        lines.append(drift)
    latencies = dict(summary["latency_ms"])
    if received is not None:
        latencies["received"] = received["latency_ms"]
        lines.append(
            f"a subscriber process received {received['received']} poses, {received['missed']} missed; "
            f"it had connected at frame {received['first_frame']}"
        )
    latencies["box age"] = summary["box_age_ms"]
    if summary["pace"] == "fast":
        latencies = {name: row for name, row in latencies.items() if name not in _SINCE_HANDED_OVER}
    measured = {name for name, row in latencies.items() if any(figure is not None for figure in row.values())}
    if measured:  # empty if no frame had a pose
        lines += ["", *_table({label: latencies[name] for name, label in _ROWS if name in measured}, columns)]
    lines += ["", f"files in {summary['folder']}"]
    return "\n".join(lines)


def _detector_line(detector: dict[str, int], *, several: bool) -> str:
    """Return how often the detector looked, and found an animal. With several, each of them counts for itself."""
    looks, found = detector["detections"], detector["detections"] - detector["unusable"]
    if several:
        return f"the detector looked for an animal {pluralize(looks, 'time')}, and found it {pluralize(found, 'time')}"
    return f"the detector looked at {pluralize(looks, 'frame')}, and found the animal in {found} of them"


def _region_line(regions: dict[str, Any]) -> str:
    """Return in how many frames the animal of each region, or each of several animals, was found."""
    found = {name: (summary or {}).get("found") for name, summary in regions.items()}
    by = "by animal: " if tuple(regions) == animal_names(len(regions)) else "by region: "
    return by + ", ".join(f"{name} {'never' if not share else f'{100 * share:.0f} %'}" for name, share in found.items())


def _too_slow(summary: dict[str, Any]) -> str:
    counts, total = summary["counts"], summary["latency_ms"].get("total", {}).get("p50")
    age = "" if total is None else f", and poses were {total:.0f} ms old (median)"
    return (
        f"WARNING: {counts['skipped']} of {counts['captured']} frames were skipped{age}: this machine does not keep up "
        f"with {summary['fps'] or 0:.0f} frames a second; {TOO_SLOW}"
    )


def nothing_found_line(summary: dict[str, Any]) -> str | None:
    """Return why a run that found no animal ends with exit code 3; None if it found one."""
    animal, counts = summary.get("animal"), summary["counts"]
    if animal is None or not nothing_found(animal):
        return None
    if share_skipped(counts["captured"], counts["skipped"]):
        return skipped_line(animal)
    return misfit_lines(animal, shipped=uses_shipped_models(summary["models"]))[0]


def uses_shipped_models(models: dict[str, Any]) -> bool:
    """Return whether one of the models comes with the package."""
    return any(model["shipped"] for model in models.values())


def _rejected_keys_text(refused: dict[str, int]) -> str:
    if not refused:
        return "they had no key, or one for another run"
    return f"{sum(refused.values())} with keys that are no client's ({', '.join(refused)})"


def _drift_line(summary: dict[str, Any]) -> str | None:
    """Return how fast the camera's clock runs; None if the run does not say it clearly, or there is no such clock."""
    drift, fps = summary["clock_drift"], summary["fps"]
    if drift is None or str(summary["source"]).startswith(_WITHOUT_CLOCK):
        return None
    interval_us = 1e6 / fps if fps else 0.0
    if drift["ppm_error"] >= _MAX_DRIFT_ERROR * abs(drift["ppm"]) or drift["jitter_us"] > interval_us:
        return None
    gains = "gains" if drift["ppm"] > 0 else "loses"
    return (
        f"the camera's clock {gains} {abs(drift['ppm']) * 3600e-6:.2g} s an hour against the clock of this machine "
        f"({abs(drift['ppm']):.1f} ± {drift['ppm_error']:.1f} ppm); the delay of its frames varies by "
        f"{drift['jitter_us'] / 1e3:.2f} ms"
    )


def _table(rows: dict[str, dict[str, float | None]], columns: int) -> list[str]:
    """Return a table of percentiles (ms), one row each; a narrow one has fewer columns."""
    names = ("p50", "p95", "p99", "max") if columns >= _WIDE else ("p50", "max")
    width = min(28, columns - 1 - 9 * len(names))
    lines = [f"{'ms':<{width}}" + "".join(f"{name:>9}" for name in names)]
    for label, percentiles in rows.items():
        cells = [percentiles.get(name) for name in names]
        lines.append(
            f"{label[:width]:<{width}}" + "".join(f"{'-' if v is None else format(v, '.2f'):>9}" for v in cells)
        )
    return lines

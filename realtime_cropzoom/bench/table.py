"""Results of ``cropzoom bench``: as text, as a row to paste into the table of the documentation, and as JSON."""

from __future__ import annotations

import math
import platform
from datetime import UTC, datetime
from typing import Any

import numpy as np

from realtime_cropzoom import __version__
from realtime_cropzoom.bench.live import LiveRun
from realtime_cropzoom.bench.measure import Result
from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.runtime.machine import board_name, cpu_model, memory_gib, system_name
from realtime_cropzoom.runtime.tuning import usable_cores
from realtime_cropzoom.types import Float64

COLUMNS = (
    *("machine", "processor", "cores", "system", "Python", "ONNX Runtime", "models, frames"),
    *("detector, ms", "pose model, ms", "decoding, fps", "live, fps", "pose age, ms: median, p95", "dropped frames"),
    *("date", "version"),
)
"""Columns of the row."""
UNKNOWN = "–"


def heading() -> list[str]:
    """Return the two lines of a Markdown table that stand above its rows."""
    return [_row(COLUMNS), "|" + "---|" * len(COLUMNS)]


def row(result: Result) -> str:
    """Return one row of a Markdown table; what was not measured is a dash."""
    about, figures = _machine(), to_dict(result)
    live = figures["live"] or {}
    age = live.get("pose_age_ms") or {}
    return _row(
        (
            *(about["machine"] or UNKNOWN, about["cpu"], about["cores"], about["system"], about["python"]),
            *(f"{figures['onnxruntime']}, {_device(result)}", _models(result)),
            *(_figure((figures["networks_ms"].get(role) or {}).get("p50"), 2) for role in ("detector", "pose")),
            *(_figure(figures["decoded_fps"], 0), f"{live['fps']:.1f} of {live['asked_fps']:g}" if live else UNKNOWN),
            f"{age['p50']:.1f}, {age['p95']:.1f}" if age else UNKNOWN,
            f"{live['dropped']} of {live['frames']}" if live else UNKNOWN,
            *(f"{datetime.now(UTC):%Y-%m-%d}", __version__),
        )
    )


def text(result: Result) -> str:
    """Return the results as a table for the terminal, one line each."""
    about = _machine()
    memory = "" if about["memory_gib"] is None else f", {about['memory_gib']} GiB"
    named = f"{about['machine']}: " if about["machine"] else ""
    lines = [
        f"machine     {named}{about['cpu']}, {about['cores']} cores{memory}; {about['system']}",
        f"software    Python {about['python']}, ONNX Runtime {result.runtime} on {_device(result)}, "
        f"cropzoom {__version__}",
        f"measured    models and frames: {_models(result)}",
        f"others      {_others(result)}",
        "",
        f"{'':<40}{'median':>9}{'p95':>9}{'p99':>9}   ms",
        *_network_lines(result),
        *_live_lines(result),
    ]
    if result.decoded_fps is not None:
        lines.append(f"{'decoding a video':<40}{result.decoded_fps:>9.0f} frames/s")
    if result.memory_mib is not None:
        lines.append(f"{'memory of the process':<40}{result.memory_mib:>9.0f} MiB")
    return "\n".join(lines)


def to_dict(result: Result) -> dict[str, Any]:
    """Return all results as values for JSON."""
    doubts = result.doubts()
    return {
        "version": __version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **_machine(),
        "onnxruntime": result.runtime,
        "models": {
            role: {
                "path": str(model.file.onnx),
                "shipped": model.is_shipped,
                "sha256": model.sha256,
                "device": model.session.device,
            }
            for role, model in result.models.items()
        },
        "frames": "arena" if result.plan.video is None else str(result.plan.video),
        "size": list(result.size),
        "seconds": result.plan.seconds,
        "others_before": result.others_before,
        "others_during": result.others_during,
        "networks_ms": {role: percentiles(times) for role, times in result.networks_ms.items()},
        "decoded_fps": None if result.decoded_fps is None else round(result.decoded_fps, 1),
        "live": None if result.live is None else _live(result, result.live),
        "memory_mib": result.memory_mib,
        "stopped": result.stopped,
        "counts": not doubts,
        "doubts": doubts,
    }


def percentiles(ms: Float64) -> dict[str, float] | None:
    """Return p50, p95, p99 and max (ms), and the number of values ``n``; None without values."""
    if not len(ms):
        return None
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(ms, [50, 95, 99]))
    return {"p50": p50, "p95": p95, "p99": p99, "max": round(float(ms.max()), 3), "n": len(ms)}


def _machine() -> dict[str, Any]:
    return {
        "machine": board_name(),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gib": memory_gib(),
        "system": system_name(),
        "python": platform.python_version(),
    }


def _live(result: Result, live: LiveRun) -> dict[str, Any]:
    rate = live.poses_per_s
    return {
        "asked_fps": result.plan.fps,
        "fps": 0.0 if math.isnan(rate) else round(rate, 2),
        "frames": live.summary["counts"]["captured"],
        "dropped": live.lost,
        "with_box": live.poses,
        "pose_age_ms": percentiles(live.latency_ms),
        "box_age_ms": live.summary["box_age_ms"],
        "detections_per_s": round(live.detections_per_s, 2) if live.summary["detector"] else None,
    }


def _network_lines(result: Result) -> list[str]:
    names: dict[Role, str] = {"detector": "detector alone, one thread", "pose": "pose model alone, one thread"}
    return [_line(names[role], times) for role, times in result.networks_ms.items()]


def _live_lines(result: Result) -> list[str]:
    live = result.live
    if live is None:
        return []
    figures = _live(result, live)
    return [
        _line("live: frame handed over → pose received", live.latency_ms),
        f"{'live: poses received':<40}{figures['fps']:>9.1f} of {result.plan.fps:g} each second",
        f"{'live: dropped frames':<40}{live.lost:>9} of {figures['frames']}",
    ]


def _line(name: str, ms: Float64) -> str:
    p = percentiles(ms)
    return f"{name:<40}" + ("        –" if p is None else "".join(f"{p[q]:>9.2f}" for q in ("p50", "p95", "p99")))


def _others(result: Result) -> str:
    if result.others_before is None:
        return "unknown what other programs compute: this system does not tell"
    during = "" if result.others_during is None else f", {result.others_during:.2f} during it"
    return f"other programs kept {result.others_before:.2f} cores busy before the measurement{during}"


def _device(result: Result) -> str:
    return ", ".join(dict.fromkeys(model.session.device for model in result.models.values()))


def _models(result: Result) -> str:
    shipped = all(model.is_shipped for model in result.models.values())
    frames = "arena" if result.plan.video is None else "a video"
    return f"{'shipped' if shipped else 'own'}, {frames} {result.size[0]}×{result.size[1]}"


def _figure(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _row(cells: tuple[Any, ...]) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"

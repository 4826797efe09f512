"""Results: the rows of a measurement, and the files for them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("realtime-cropzoom", "onnxruntime", "numpy", "opencv-python-headless", "av", "pyzmq", "msgspec", "torch")


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    value: str
    """The measured value with its unit, as text."""
    aim: str = ""
    """The aim; empty if the row has none."""
    met: bool | None = None
    """Whether the aim is met; None without an aim or a value."""
    n: str = ""
    """Number of measured values."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """The values for programs, with what explains them."""

    def line(self) -> str:
        """Return the row as one line of text."""
        verdict = {True: "met     ", False: "MISSED  ", None: "        "}[self.met]
        aim = f" (aim {self.aim})" if self.met is False else ""
        return f"{verdict}{self.name}: {self.value}{aim}"


@dataclass(frozen=True)
class Part:
    """All rows of one measurement."""

    name: str
    title: str
    command: str
    """The command that measures it again."""
    seconds: float
    rows: list[Row]


def percentiles(ms: np.ndarray) -> dict[str, float]:
    """Return p50, p99 and p99.9 (ms), and the number of values ``n``. Empty input gives NaN."""
    names = {"p50": 50, "p99": 99, "p99.9": 99.9}
    if len(ms) == 0:
        return {**dict.fromkeys(names, float("nan")), "n": 0}
    return {**{name: round(float(np.percentile(ms, q)), 4) for name, q in names.items()}, "n": len(ms)}


def machine() -> dict[str, Any]:
    """Return what the numbers depend on: machine, versions, date, and load before the start."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def write(folder: Path, about: dict[str, Any], parts: list[Part]) -> None:
    """Write results.json and results.md into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": about, "parts": [asdict(part) for part in parts]}
    (folder / "results.json").write_text(json.dumps(content, indent=1, default=float) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(markdown(about, parts), encoding="utf-8")


def markdown(about: dict[str, Any], parts: list[Part]) -> str:
    """Return all results as one page, with missed aims first."""
    rows = [row for part in parts for row in part.rows]
    missed = [row for row in rows if row.met is False]
    packages = ", ".join(f"{name} {v}" for name, v in about["packages"].items() if v)
    lines = [
        "# Results",
        "",
        "Written by `scripts/bench.py`; README.md beside this file says how to read it.",
        "",
        f"{about['date']}; commit {about['commit']}; {about['cpu']}, {about['cores']} cores, "
        f"{about['memory_gib']} GiB, {about['system']}; Python {about['python']}; {packages}. "
        f"Load average before: {about['load_before']}.",
        "",
        f"Aims: {sum(row.met is True for row in rows)} met, {len(missed)} missed.",
        "",
        *(f"* missed: {row.name}: {row.value} (aim {row.aim})" for row in missed),
    ]
    for part in parts:
        lines += ["", f"## {part.title}", "", f"`{part.command}` ({part.seconds:.0f} s)", "", *table(part.rows)]
    return "\n".join(lines) + "\n"


def table(rows: list[Row]) -> list[str]:
    """Return the rows as lines of a Markdown table."""
    verdict = {True: "yes", False: "**no**", None: ""}
    lines = ["| what | measured | aim | met | n |", "|---|---|---|---|---|"]
    return lines + [f"| {r.name} | {r.value} | {r.aim} | {verdict[r.met]} | {r.n} |" for r in rows]

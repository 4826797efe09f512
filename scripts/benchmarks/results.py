"""Results: the rows of a measurement, and the files for them."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.bench.others import BUSY_CORES
from realtime_cropzoom.runtime.machine import cpu_model, memory_gib
from realtime_cropzoom.runtime.tuning import usable_cores

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("realtime-cropzoom", "onnxruntime", "numpy", "opencv-python-headless", "av", "pyzmq", "msgspec", "torch")
_WRITTEN = ("results.md", "results.json", "curves.png")
"""Files of the results. The tree is clean although they differ."""


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
    others: float
    """Number of cores that other programs kept busy meanwhile."""
    rows: list[Row]

    @property
    def disturbed(self) -> bool:
        """Whether other programs used the machine, too."""
        return self.others > BUSY_CORES

    def about(self) -> str:
        """Return how long it took and whether it was disturbed, in words."""
        took = f"{self.seconds:.0f} s"
        return f"{took}; DISTURBED: other programs kept {self.others:.2f} cores busy" if self.disturbed else took


def percentiles(ms: np.ndarray) -> dict[str, float]:
    """Return p50, p99 and p99.9 (ms), and the number of values ``n``. Empty input gives NaN."""
    names = {"p50": 50, "p99": 99, "p99.9": 99.9}
    if len(ms) == 0:
        return {**dict.fromkeys(names, float("nan")), "n": 0}
    return {**{name: round(float(np.percentile(ms, q)), 4) for name, q in names.items()}, "n": len(ms)}


def machine() -> dict[str, Any]:
    """Return what the numbers depend on: machine, versions, commit and date."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gib": memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "--short", "HEAD"),
        "clean": not _git("status", "--porcelain", "--", ".", *(f":!benchmarks/{name}" for name in _WRITTEN)),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str:
    """Return what git prints; nothing outside a repository."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


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
    state = "" if about["clean"] else ", **with changes that are not committed**"
    lines = [
        "# Results",
        "",
        "Written by `scripts/bench.py`; README.md beside this file says how to read it.",
        "",
        f"Commit {about['commit'] or 'unknown'}{state}; {about['date']}; {about['cpu']}, {about['cores']} cores, "
        f"{about['memory_gib']} GiB, {about['system']}; Python {about['python']}; {packages}.",
        "",
        f"It took {sum(part.seconds for part in parts) / 60:.1f} minutes. Before it, other programs kept "
        f"{about['others_before']:.2f} cores busy; during it, {max(part.others for part in parts):.2f} at most.",
        "",
        f"Aims: {sum(row.met is True for row in rows)} met, {len(missed)} missed.",
        "",
        *(f"* missed: {row.name}: {row.value} (aim {row.aim})" for row in missed),
    ]
    for part in parts:
        lines += ["", f"## {part.title}", "", f"`{part.command}` ({part.about()})", "", *table(part.rows)]
    return "\n".join(lines) + "\n"


def table(rows: list[Row]) -> list[str]:
    """Return the rows as lines of a Markdown table."""
    verdict = {True: "yes", False: "**no**", None: ""}
    lines = ["| what | measured | aim | met | n |", "|---|---|---|---|---|"]
    return lines + [f"| {r.name} | {r.value} | {r.aim} | {verdict[r.met]} | {r.n} |" for r in rows]

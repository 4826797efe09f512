"""Trials: the animal appears in a zone in a known frame, and a rule answers. Pure, but for reading the files.

All times of a trial are of one monotonic clock, so that the stages add up to the total, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.trigger.engine.events import Verdict
from realtime_cropzoom.trigger.process.decision_log import read_decisions
from realtime_cropzoom.types import Float64

MOMENTS = (
    ("box", "captured_ns"),
    ("crop", "cropped_ns"),
    ("pose", "inferred_ns"),
    ("publish", "published_ns"),
    ("receive", "received_ns"),
    ("output", "written_ns"),
)
"""Stage → the time at which it ends, of the frame on whose pose the rule fired.

``box`` begins when the first frame that shows the animal there was handed over: it is the wait for frames until
one has a pose that the rule believes, 0 where that is the first one.
"""
STAGES = tuple(stage for stage, _ in MOMENTS)
ACKNOWLEDGED = "acknowledge"


@dataclass(frozen=True, slots=True)
class Trials:
    """What became of all trials of one condition."""

    latency_ms: pd.DataFrame
    """A row a trial that was answered: the frame it began with, a column a stage, ``total``, and ``acknowledge``
    (output written → device answered; missing values where the device does not)."""
    missed: int
    """Trials that no trigger answered."""
    extra: int
    """Triggers that answered no trial."""

    @property
    def started(self) -> int:
        """Number of trials, answered or not."""
        return len(self.latency_ms) + self.missed

    def percentiles(self, column: str = "total") -> dict[str, float]:
        """Return p50, p95, p99 and max in ms; empty where there are none."""
        values: Float64 = self.latency_ms[column].dropna().to_numpy(np.float64)
        if not len(values):
            return {}
        p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
        return {"p50": p50, "p95": p95, "p99": p99, "max": float(values.max())}


def match(arrivals: Sequence[int], timing: pd.DataFrame, fired: pd.DataFrame) -> Trials:
    """Return the trials that begin with the frames ``arrivals``, each ended by the first trigger before the next one.

    ``timing`` is a run's ``_timing.csv`` by frame, ``fired`` has a row a trigger with the columns frame,
    received_ns, written_ns and acknowledged_ns. An arrival that was not captured is no trial.
    """
    rows: list[dict[str, float]] = []
    starts = [frame for frame in arrivals if frame in timing.index]
    ends = [*starts[1:], int(timing.index.max()) + 1] if starts else []
    answered = 0
    for start, end in zip(starts, ends, strict=True):
        inside = fired[(fired["frame"] >= start) & (fired["frame"] < end)]
        if len(inside):
            answered += 1
            rows.append(_trial(start, timing, inside.iloc[0]))
    table = pd.DataFrame(rows, columns=["frame", *STAGES, "total", ACKNOWLEDGED], dtype=np.float64)
    return Trials(table, len(starts) - answered, len(fired) - answered)


def _trial(start: int, timing: pd.DataFrame, fired: pd.Series[float]) -> dict[str, float]:
    moments = {**timing.loc[int(fired["frame"])].to_dict(), **fired.to_dict()}
    begun_ns = timing.loc[start, "captured_ns"]
    trial = {"frame": float(start), "total": (moments["written_ns"] - begun_ns) / 1e6}
    for stage, moment in MOMENTS:
        trial[stage] = (moments[moment] - begun_ns) / 1e6
        begun_ns = moments[moment]
    trial[ACKNOWLEDGED] = (moments["acknowledged_ns"] - moments["written_ns"]) / 1e6
    return trial


def read_fired(log: Path) -> pd.DataFrame:
    """Return the triggers of a trigger log that were written, as ``match`` takes them. Raises DataError."""
    fired = [d for path in log.glob("*_decisions.csv") for d in read_decisions(path) if d.verdict is Verdict.FIRED]
    table = pd.DataFrame({"frame": [d.frame for d in fired], "received_ns": [d.now_ns for d in fired]})
    table.index = pd.Index([d.number for d in fired])
    if not fired:
        return pd.DataFrame(columns=["frame", "received_ns", "written_ns", "acknowledged_ns"], dtype=np.float64)
    try:
        outputs = pd.concat([pd.read_csv(path) for path in log.glob("*_outputs.csv")])
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the trigger log {log}: {' '.join(str(error).split())}") from None
    written = outputs[outputs["written_ns"].notna()].groupby("number")[["written_ns", "acknowledged_ns"]].first()
    return table.join(written, how="inner").astype(np.float64).reset_index(drop=True)

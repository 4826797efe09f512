"""Trials: the animal appears in a zone in a known frame, and a rule fires. Reads the files of a run and a trigger log.

All times of a trial come from one monotonic clock, so that the stages add up exactly to the total.
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
"""(stage, column of the time at which it ends), for the frame on whose pose the rule fired.

``box`` begins when the first frame that shows the animal in the zone is handed over. It is the wait for a frame with a
pose that the rule accepts; 0 if the first frame has one.
"""
STAGES = tuple(stage for stage, _ in MOMENTS)
ACKNOWLEDGED = "acknowledge"


@dataclass(frozen=True, slots=True)
class Trials:
    """Results of all trials of one condition."""

    latency_ms: pd.DataFrame
    """One row per answered trial: first frame, one column per stage, ``total``, and ``acknowledge`` (output written →
    device answered; NaN if the device does not answer)."""
    missed: int
    """Number of trials without a firing."""
    extra: int
    """Number of firings outside of trials."""

    @property
    def started(self) -> int:
        """Number of trials, answered or not."""
        return len(self.latency_ms) + self.missed

    def percentiles(self, column: str = "total") -> dict[str, float]:
        """Return p50, p95, p99 and max of a column (ms); empty without values."""
        values: Float64 = self.latency_ms[column].dropna().to_numpy(np.float64)
        if not len(values):
            return {}
        p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
        return {"p50": p50, "p95": p95, "p99": p99, "max": float(values.max())}


def match(arrivals: Sequence[int], timing: pd.DataFrame, fired: pd.DataFrame) -> Trials:
    """Join arrivals and firings into trials. The first firing before the next arrival answers a trial.

    Args:
        arrivals: Frames in which the animal appears in the zone. A frame that was not captured is not a trial.
        timing: ``_timing.csv`` of the run, indexed by frame.
        fired: One row per firing: frame, received_ns, written_ns, acknowledged_ns.
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
    """Return the firings of a trigger log whose output was written, as ``match`` expects them. Raises DataError."""
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

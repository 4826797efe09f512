"""Log of decisions ``<name>_decisions.csv``: writes and reads it. It joins with the pose files by ``frame``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from realtime_cropzoom.errors import DataError, error_text
from realtime_cropzoom.files.csv_text import Records, csv_line
from realtime_cropzoom.trigger.async_csv import AsyncCsv
from realtime_cropzoom.trigger.engine.events import Action, ActionType, Decision, Verdict

COLUMNS = (
    *("number", "verdict", "rule", "reason", "actions", "now_ns", "run", "camera", "seq", "frame"),
    *("captured_ns", "published_ns", "age_ms", "region"),
)
_BEFORE_REGIONS = COLUMNS[:-1]
"""Columns of logs from before runs had regions."""


def decision_row(decision: Decision) -> str:
    """Return a decision as a line of CSV with its end. Equal decisions give equal bytes."""
    cells = [
        decision.number,
        decision.verdict,
        decision.rule,
        decision.reason,
        ";".join(_action_text(action) for action in decision.actions),
        *(getattr(decision, name) for name in COLUMNS[5:]),
    ]
    return csv_line(None if cell is None else _one_line(cell) for cell in cells)


def read_decisions(path: Path) -> list[Decision]:
    """Return the decisions of a log. A last line that was cut off is ignored.

    Raises:
        DataError: if the log cannot be read.
    """
    try:
        rows = Records(path, complete_only=True)
        if rows.columns not in (COLUMNS, _BEFORE_REGIONS):
            raise DataError(f"{path} is not a log of decisions; expected the columns {', '.join(COLUMNS)}")
        return [_decision(row) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {path}: {error_text(error)}") from None


def decisions_text(decisions: Iterable[Decision]) -> str:
    """Return the text of a log of these decisions."""
    return ",".join(COLUMNS) + "\n" + "".join(map(decision_row, decisions))


class DecisionLog:
    """Writes decisions, without making the rule loop wait for the disk."""

    def __init__(self, folder: Path, name: str) -> None:
        """Create ``<name>_decisions.csv``.

        Raises:
            SinkError: if it cannot be created, or exists already.
        """
        self.path = folder / f"{name}_decisions.csv"
        self._rows = AsyncCsv(self.path, ",".join(COLUMNS))

    def add(self, decision: Decision) -> None:
        """Add a decision."""
        self._rows.add(decision_row(decision))

    def problems(self) -> list[str]:
        """Return a line for each thing that is missing in the file; call it after ``close``."""
        return self._rows.problems()

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._rows.close()


def _one_line(cell: object) -> str:
    """Replace line breaks: names come from the wire, and a line break must not start a row."""
    return " ".join(str(cell).splitlines()) if isinstance(cell, str) else str(cell)


def _action_text(action: Action) -> str:
    return f"{action.output}:{action.act}" + (f":{action.ms!r}" if action.act is ActionType.PULSE else "")


def _action(text: str) -> Action:
    output, act, *ms = text.split(":")
    return Action(output, ActionType(act), float(ms[0]) if ms else 0.0)


def _decision(row: dict[str, str]) -> Decision:
    def whole(name: str) -> int | None:
        return int(row[name]) if row[name] else None

    return Decision(
        number=int(row["number"]),
        verdict=Verdict(row["verdict"]),
        rule=row["rule"],
        reason=row["reason"],
        actions=tuple(_action(text) for text in row["actions"].split(";") if text),
        now_ns=int(row["now_ns"]),
        run=row["run"] or None,
        camera=row["camera"] or None,
        seq=whole("seq"),
        frame=whole("frame"),
        captured_ns=whole("captured_ns"),
        published_ns=whole("published_ns"),
        age_ms=float(row["age_ms"]) if row["age_ms"] else None,
        region=row.get("region") or None,
    )

"""Events of a session as a table: markers, orders, and what happened to animal and stream."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from realtime_cropzoom.errors import DataError, error_text
from realtime_cropzoom.files.csv_text import complete_lines
from realtime_cropzoom.sessions.files import Session

_WHOLE = ("number", "frame", "captured_ns", "time_ns")
_TEXT = ("kind", "text", "by")


def load_events(path: str | Path) -> pd.DataFrame:
    """Return the events of a session, one row each, in order. docs/reference/files.md explains the columns.

    Args:
        path: The folder of a run, or a file of its poses.

    Returns:
        The table. Without an events file it has no rows.

    Raises:
        DataError: if ``path`` is not a session, or its events cannot be read.
    """
    events = Session.open(Path(path)).events
    try:
        table = pd.DataFrame() if events is None else pd.read_csv(complete_lines(events), dtype="string")
        table = table.reindex(columns=[*_WHOLE, *_TEXT, "time_utc"])
        table = table.astype({**dict.fromkeys(_WHOLE, "Int64"), **dict.fromkeys(_TEXT, "string")})
        times = pd.to_datetime(table["time_utc"], utc=True, format="ISO8601")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"cannot read {events}: {error_text(error)}") from None
    filled = table.assign(time_utc=times, **{name: table[name].fillna("") for name in _TEXT})
    return filled[["number", "kind", "text", "by", "frame", "captured_ns", "time_ns", "time_utc"]]

"""JSON of other programs: values whose kind is checked before they are used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import DataError, error_text, shorten


def parse(path: Path, content: bytes) -> Any:
    """Return the content of a JSON file.

    Args:
        path: The file, for the error text.
        content: Its bytes.

    Raises:
        DataError: if it is no JSON.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: it is no JSON ({shorten(error_text(error))})") from error


def texts(value: Any) -> list[str]:
    """Return a list of texts; empty if the value is none."""
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []


def records(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in a list; empty if the value is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """Return a finite number; None if the value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return (W, H) of a picture in whole pixels; None if one of them is missing or not positive.

    Args:
        width: The value of the file.
        height: Likewise.
    """
    w, h = number(width), number(height)
    return (int(w), int(h)) if w is not None and h is not None and 1 <= w < 1e6 and 1 <= h < 1e6 else None

"""Time limits of tasks as users and SLURM write them: ``2h``, ``90min``, ``1-12:00:00``."""

from __future__ import annotations

import re

_MINUTES = {"d": 1440, "h": 60, "min": 1, "m": 1, "s": 1 / 60}
_PARTS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(d|h|min|m|s)\s*")
_SLURM = re.compile(r"(?:(\d{1,9})-)?(\d{1,9}):(\d\d):(\d\d)")
_DAYS_AND_HOURS = re.compile(r"(\d{1,9})-(\d{1,9})")
_MAX_MINUTES = 365 * 1440
EXPECTED = "a time such as 2h, 90min, 1h30min, 2d or 02:00:00"


def read_span(text: str) -> int:
    """Return a time span in minutes, rounded up.

    Args:
        text: Numbers with units (``d``, ``h``, ``min`` or ``m``, ``s``), or SLURM's ``HH:MM:SS``, ``D-HH:MM:SS`` and
            ``D-HH``. A number alone and ``MM:SS`` are refused, because readers take them for hours or for minutes.

    Raises:
        ValueError: if it is no time span from a minute to a year.
    """
    exact = _minutes(text.strip().lower())
    minutes = -int(-exact // 1)
    if not 1 <= minutes <= _MAX_MINUTES:
        raise ValueError(f"got {text[:60]!r}, expected a time from a minute to a year")
    return minutes


def _minutes(text: str) -> float:
    if found := _SLURM.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return days * 1440 + hours * 60 + minutes + seconds / 60
    if found := _DAYS_AND_HOURS.fullmatch(text):
        return int(found[1]) * 1440 + int(found[2]) * 60
    if text and not _PARTS.sub("", text):
        return sum(float(number) * _MINUTES[unit] for number, unit in _PARTS.findall(text))
    raise ValueError(f"got {text[:60]!r}, expected {EXPECTED}")


def show_span(minutes: int) -> str:
    """Return a number of minutes as text, such as ``1 h 30 min``."""
    hours, rest = divmod(minutes, 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{rest} min"] if rest or not hours else [])])

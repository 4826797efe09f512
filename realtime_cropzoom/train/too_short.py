"""Whether a project's training was too short, from the curves that it left. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from realtime_cropzoom.errors import pluralize
from realtime_cropzoom.files.csv_text import Records
from realtime_cropzoom.project.folder import Project

_FEW_EPOCHS = 15
"""Number of epochs below which a training is short, whatever its error."""
_LAST_SHARE = 0.25
"""Share of the epochs, the last ones, in which the error of a complete training hardly falls."""
_STILL_FALLS = 0.1
"""Share by which it falls in them if the training is short."""


def is_short(errors: Sequence[float]) -> bool:
    """Return whether a training has few epochs, or its error still fell at the end.

    Args:
        errors: Error on the held-out frames after each epoch; NaN without such frames.
    """
    return len(errors) < _FEW_EPOCHS or _still_fell(errors)


def _still_fell(errors: Sequence[float]) -> bool:
    last = max(1, round(_LAST_SHARE * len(errors)))
    before = errors[:-last]
    return bool(before) and min(errors[-last:]) < (1 - _STILL_FALLS) * min(before)


def too_short(project: Project) -> str:
    """Return a sentence if the training of a project's models was too short; empty if it was not, or none is known.

    Raises:
        DataError: if the curves of a model cannot be read.
    """
    curves = {
        name: [float(row["held_out_px"] or math.nan) for row in Records(path)]
        for name, folder in (("detector", project.detector), ("pose model", project.pose))
        if (path := folder / "loss.csv").is_file()
    }
    short = {name: errors for name, errors in curves.items() if is_short(errors)}
    if not short:
        return ""
    epochs = ", ".join(f"{name} {pluralize(len(errors), 'epoch')}" for name, errors in short.items())
    fell = "; the error still fell" if any(map(_still_fell, short.values())) else ""
    return f"the training was short: {epochs}{fell}: give more training.minutes in project.yaml, and train again"

"""What is exported: the frames of a project, their labels, and predictions for the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from realtime_cropzoom.labelling.frame_table import FrameRow
from realtime_cropzoom.labelling.label_table import Labels
from realtime_cropzoom.project.folder import Project


@dataclass(frozen=True, slots=True)
class ExportJob:
    """Frames and labels on their way to another program."""

    project: Project
    folder: Path
    """The folder to write into, which is there."""
    rows: tuple[FrameRow, ...]
    """All frames."""
    labels: Labels
    """Labels of a person."""
    predictions: Labels = field(default_factory=dict)
    """Predictions for frames without labels."""
    likelihoods: Labels = field(default_factory=dict)
    """(K, 1) likelihoods of the predictions."""

    def picture(self, row: FrameRow) -> Path:
        """Return the file of a frame.

        Args:
            row: The frame.
        """
        return self.project.folder / row.image


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    open: Path
    """What the user opens in the other program."""
    notes: tuple[str, ...] = ()
    """What the user should know, a line each."""

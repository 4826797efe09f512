"""Evaluation of a project: judges its models on frames that they have not seen, and writes the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.evaluation import findings
from realtime_cropzoom.evaluation.judgement import WITHIN_PX, Judgement
from realtime_cropzoom.evaluation.report import report_html
from realtime_cropzoom.evaluation.results import EarlierErrors, errors_text, read_errors
from realtime_cropzoom.evaluation.still import StillTracker
from realtime_cropzoom.evaluation.truth import held_out_frames
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_all
from realtime_cropzoom.project.folder import Project

REPORT, ERRORS = "report.html", "errors.csv"
_MODELS, _BEFORE = "models.json", "errors_before.csv"

Progress = Callable[[int, int], None]
"""Is called with the number of frames done and the number of all."""


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """What an evaluation found, and where it is written."""

    lines: tuple[str, ...]
    """What to print."""
    report: Path
    errors: Path
    judged: Judgement
    """All numbers."""


def evaluate_project(
    project: Project, *, within_px: float = WITHIN_PX, progress: Progress = lambda done, of: None
) -> EvaluationSummary:
    """Judge the models of a project on its held-out frames, and write ``evaluation/``.

    Args:
        project: The project.
        within_px: Largest error of a right keypoint (frame pixels).
        progress: Is called after each frame.

    Raises:
        ModelError: if the models are missing or cannot be used.
        DataError: if there are no held-out frames, or labels or images cannot be read.
        SinkError: if a file cannot be written.
    """
    tracker = _tracker(project)
    truth = held_out_frames(project)
    results = tracker.judge(truth, lambda done: progress(done, len(truth.images)))
    models, folder = tracker.digests, project.evaluation_folder
    kept, earlier = _earlier(folder, models)
    judged = Judgement(results, project.symmetric_pairs, within_px, earlier)
    files = {folder / _MODELS: json.dumps(models, indent=2) + "\n", **kept}
    return _written(project, judged, folder / REPORT, folder / ERRORS, files)


def _tracker(project: Project) -> StillTracker:
    """Load the models of a project. Raises ModelError if they are missing."""
    if not project.pose.is_dir():
        raise ModelError(
            f"{project.folder} has no models yet; expected models/pose. Run: cropzoom train {project.folder}"
        )
    detector = project.detector if project.detector.is_dir() else None
    return StillTracker(detector, project.pose, project.keypoints)


def _earlier(folder: Path, models: dict[str, str]) -> tuple[dict[Path, str], EarlierErrors | None]:
    """Return the errors of the models before, and the file that keeps them if these models are new here."""
    errors, before = folder / ERRORS, folder / _BEFORE
    try:
        known = json.loads((folder / _MODELS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = models
    if known == models:
        return {}, read_errors(before) if before.is_file() else None
    if not errors.is_file():
        return {}, None
    return {before: errors.read_text(encoding="utf-8")}, read_errors(errors)


def _written(
    project: Project, judged: Judgement, report: Path, errors: Path, files: dict[Path, str] | None = None
) -> EvaluationSummary:
    make_folder(report.parent)
    title, next_command = f"Models of {project.name}", f"cropzoom frames {project.folder} --uncertain SESSION"
    write_all(
        {errors: errors_text(judged.results), report: report_html(judged, title, next_command), **(files or {})},
        MAKE_ROOM,
    )
    lines = [*judged.results.truth.notes, *findings.headline(judged)]
    if judged.comparison is not None:
        lines.append(findings.compared(judged.comparison))
    return EvaluationSummary(tuple(lines), report, errors, judged)

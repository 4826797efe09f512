"""Evaluation of a project: judges its models on frames that they have not seen, and writes the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.evaluation import findings
from realtime_cropzoom.evaluation.judgement import WITHIN_PX, Judgement
from realtime_cropzoom.evaluation.report import Report, report_html
from realtime_cropzoom.evaluation.results import EarlierErrors, errors_text, read_errors
from realtime_cropzoom.evaluation.session import (
    SessionFacts,
    labelled_frames,
    live_results,
    open_session,
    session_facts,
)
from realtime_cropzoom.evaluation.session_findings import session_lines, session_signs
from realtime_cropzoom.evaluation.still import StillTracker
from realtime_cropzoom.evaluation.truth import Truth, frames_of, held_out_frames, unseen_frames
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_all
from realtime_cropzoom.labelling.frame_table import read_frame_table
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sessions.dlc_csv import read_labels
from realtime_cropzoom.sessions.table import SessionTables
from realtime_cropzoom.train.verdict import animal_length

_MODELS, _BEFORE = "models.json", "before.csv"

Progress = Callable[[int, int], None]
"""Is called with the number of frames done and the number of all."""


def _ignore(_done: int, _of: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """What an evaluation found, and where it is written."""

    lines: tuple[str, ...]
    """What to print."""
    report: Path
    errors: Path | None
    """The table of errors; None without labels."""
    judged: Judgement | None
    """All numbers about labelled frames; None without labels."""
    facts: SessionFacts | None = None
    """All numbers about a session."""


def evaluate_project(
    project: Project, *, within_px: float = WITHIN_PX, progress: Progress = _ignore
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
    tracker = load_tracker(project)
    judged = _judge(project, tracker, held_out_frames(project), within_px, progress)
    models, folder = tracker.digests, project.evaluation_folder
    kept, earlier = _earlier(folder, models)
    judged = replace(judged, earlier=earlier)
    files = {folder / _MODELS: json.dumps(models, indent=2) + "\n", **kept}
    return _write(project, Report(f"Models of {project.name}", judged), "", files)


def evaluate_labels(
    project: Project, csv: Path, *, within_px: float = WITHIN_PX, progress: Progress = _ignore
) -> EvaluationSummary:
    """Judge the models of a project on a label file of other frames. Arguments and errors as ``evaluate_project``.

    Args:
        project: See ``evaluate_project``.
        csv: The label file. Its images that are images of the training are left out.
        within_px: See ``evaluate_project``.
        progress: See ``evaluate_project``.
    """
    tracker = load_tracker(project)
    judged = _judge(project, tracker, frames_of(project, csv), within_px, progress)
    return _write(project, Report(f"Models of {project.name} on {csv.name}", judged), f"_{csv.stem}")


def evaluate_session(project: Project, path: Path, *, within_px: float = WITHIN_PX) -> EvaluationSummary:
    """Judge what ran in a session of a project: against the labels of its frames, and without.

    Args:
        project: The project.
        path: The folder of a session, or its file of poses.
        within_px: Largest error of a right keypoint (frame pixels).

    Raises:
        DataError: if it is not a session of this project, has no frames, or a file cannot be read.
        SinkError: if a file cannot be written.
    """
    tables = open_session(path, project.keypoints)
    live = tables.live
    name = tables.session.folder.resolve().name if live else tables.path.stem
    facts = session_facts(tables, project.keypoints, _trained_length(project), name)
    facts = replace(facts, other_models=_ran_other_models(project, tables))
    frames = labelled_frames(tables, read_frame_table(project))
    truth = unseen_frames(project, frames)
    judged = None
    if truth is not None:
        judged = Judgement(live_results(tables, truth, frames), project.symmetric_pairs, within_px)
    title = f"Session {name} with the models of {project.name}"
    return _write(project, Report(title, judged, facts, path), f"_{name}")


def load_tracker(project: Project) -> StillTracker:
    """Load the models of a project. Raises ModelError if they are missing or cannot be used."""
    if not project.pose.is_dir():
        where = project.pose.relative_to(project.folder)
        raise ModelError(f"{project.folder} has no models yet, expected {where}. Run: cropzoom train {project.folder}")
    detector = project.detector if project.detector.is_dir() else None
    return StillTracker(detector, project.pose, project.keypoints)


def _judge(project: Project, tracker: StillTracker, truth: Truth, within_px: float, progress: Progress) -> Judgement:
    results = tracker.judge(truth, lambda done: progress(done, len(truth.images)))
    return Judgement(results, project.symmetric_pairs, within_px)


def _earlier(folder: Path, models: dict[str, str]) -> tuple[dict[Path, str], EarlierErrors | None]:
    """Return the errors of the models before, and the file that keeps them if these models are new here."""
    errors, before = folder / "errors.csv", folder / _BEFORE
    try:
        known = json.loads((folder / _MODELS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = models
    if known == models:
        return {}, read_errors(before) if before.is_file() else None
    if not errors.is_file():
        return {}, None
    return {before: errors.read_text(encoding="utf-8")}, read_errors(errors)


def _trained_length(project: Project) -> float:
    """Return the length of the animal in the labels of a project; NaN if unknown."""
    if not project.labels_file.is_file():
        return float("nan")
    labels = read_labels(project.labels_file, project.keypoints)
    return animal_length([xy.astype(np.float32) for xy in labels.xy])


def _ran_other_models(project: Project, tables: SessionTables) -> bool:
    """Return whether a live session says that its pose model was not the one that the project has now."""
    models = tables.session.summary.get("models")
    ran = models.get("pose", {}).get("sha256") if isinstance(models, dict) else None
    if ran is None:
        return False
    try:
        return bool(load_tracker(project).digests["pose"] != ran)
    except ModelError:
        return True


def _write(project: Project, report: Report, suffix: str, files: Mapping[Path, str] | None = None) -> EvaluationSummary:
    """Write report and errors, all or none, and return what to print."""
    folder, judged, facts = project.evaluation_folder, report.judged, report.facts
    html, errors = folder / f"report{suffix}.html", folder / f"errors{suffix}.csv"
    make_folder(folder)
    texts = {html: report_html(report, _next_command(project, report)), **(files or {})}
    if judged is not None:
        texts[errors] = errors_text(judged.results)
    write_all(texts, MAKE_ROOM)
    lines = [] if judged is None else [*judged.results.truth.notes, *findings.headline(judged)]
    if judged is not None and judged.comparison is not None:
        lines.append(findings.compared(judged.comparison))
    if facts is not None:
        lines += [*session_lines(facts), *session_signs(facts)]
    return EvaluationSummary(tuple(lines), html, None if judged is None else errors, judged, facts)


def _next_command(project: Project, report: Report) -> str:
    session = "SESSION" if report.session is None else report.session.resolve()
    return f"cropzoom frames {project.folder} --uncertain {session}"

"""Evaluation of a project: judges its models on frames that they have not seen, and writes the report."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.evaluation.files import EvaluationSummary, earlier_errors, write_evaluation
from realtime_cropzoom.evaluation.judgement import WITHIN_PX, Judgement
from realtime_cropzoom.evaluation.report import Report
from realtime_cropzoom.evaluation.session import (
    labelled_frames,
    live_results,
    open_session,
    session_facts,
)
from realtime_cropzoom.evaluation.still import StillTracker
from realtime_cropzoom.evaluation.truth import Truth, all_frames, frames_of, held_out_frames, unseen_frames
from realtime_cropzoom.labelling.frame_table import read_frame_table
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.sessions.dlc_csv import read_labels
from realtime_cropzoom.sessions.table import SessionTables
from realtime_cropzoom.train.dataset import mirror_order
from realtime_cropzoom.train.too_short import too_short
from realtime_cropzoom.train.training_state import way_back
from realtime_cropzoom.train.verdict import animal_length

Progress = Callable[[int, int], None]
"""Is called with the number of frames done and the number of all."""


def _ignore(_done: int, _of: int) -> None:
    """Show nothing."""


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
    judged = _judge_project(project, tracker, held_out_frames(project), within_px, progress)
    folder = project.evaluation_folder
    files, earlier = earlier_errors(folder, tracker.digests)
    judged = replace(judged, earlier=earlier)
    report = Report(
        f"Models of {project.name}", judged, _next_commands(project),
        too_short=too_short(project), way_back=way_back(project),
    )  # fmt: skip
    return write_evaluation(folder, report, "", files)


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
    judged = _judge_project(project, tracker, frames_of(project, csv), within_px, progress)
    report = Report(
        f"Models of {project.name} on {csv.name}", judged, _next_commands(project), too_short=too_short(project)
    )
    return write_evaluation(project.evaluation_folder, report, f"_{csv.stem}")


def evaluate_models(
    models: StillTracker, csv: Path, folder: Path, *, within_px: float = WITHIN_PX, progress: Progress = _ignore
) -> EvaluationSummary:
    """Judge models of any maker on a label file, without a project.

    Args:
        models: The models.
        csv: The label file. Keypoints that the pose model does not know are left out.
        folder: Folder of the report.
        within_px: See ``evaluate_project``.
        progress: See ``evaluate_project``.

    Raises:
        DataError: if labels or images cannot be read, or there is no keypoint in common.
        SinkError: if a file cannot be written.
    """
    truth = all_frames(csv, models.pose.keypoint_names)
    pairs = tuple((k, other) for k, other in enumerate(mirror_order(truth.keypoint_names)) if k < other)
    judged = _judge(models, truth, pairs, within_px, progress)
    return write_evaluation(folder, Report(f"{models.pose.path.name} on {csv.name}", judged), f"_{csv.stem}")


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
    report = Report(title, judged, _next_commands(project, str(path.resolve())), facts)
    return write_evaluation(project.evaluation_folder, report, f"_{name}")


def load_tracker(project: Project) -> StillTracker:
    """Load the models of a project. Raises ModelError if they are missing or cannot be used."""
    train = f"Run: cropzoom train {project.folder}"
    if not project.pose.is_dir():
        raise ModelError(f"{project.folder} has no models/pose, expected both models. {train}")
    tracker = StillTracker(project.detector if project.detector.is_dir() else None, project.pose)
    if tracker.detector is None and tracker.pose.manifest.crop_size is not None:  # it does not see whole frames
        raise ModelError(f"{project.folder} has no models/detector, expected both models. {train}")
    return tracker


def _judge_project(
    project: Project, tracker: StillTracker, truth: Truth, within_px: float, progress: Progress
) -> Judgement:
    """Judge models on the keypoints that they know: a project may have got others since the training."""
    truth = truth.of(tracker.pose.keypoint_names)
    names = {name: k for k, name in enumerate(truth.keypoint_names)}
    pairs = tuple((names[a], names[b]) for a, b in project.file.symmetric if a in names and b in names)
    return _judge(tracker, truth, pairs, within_px, progress)


def _judge(
    tracker: StillTracker, truth: Truth, pairs: tuple[tuple[int, int], ...], within_px: float, progress: Progress
) -> Judgement:
    results = tracker.judge(truth, lambda done: progress(done, len(truth.images)))
    return Judgement(results, pairs, within_px)


def _next_commands(project: Project, session: str | None = None) -> tuple[str, ...]:
    """Return the commands that pick frames in which the models are unsure: of a session, or of one to make first."""
    folder = str(project.folder)
    run = ["cropzoom", "run", "RECORDING", "--project", folder, "--pace", "fast"]
    pick = ["cropzoom", "frames", folder, "--uncertain", session or "latest"]
    return tuple(shlex.join(command) for command in ([pick] if session else [run, pick]))


def _trained_length(project: Project) -> float:
    """Return the length of the animal in the labels of a project; NaN if unknown."""
    if not project.labels_file.is_file():
        return float("nan")
    labels = read_labels(project.labels_file, project.keypoints, partly=True)
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

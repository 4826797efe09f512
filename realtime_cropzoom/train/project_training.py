"""Training of a project: both models side by side, from the labels to two model directories.

This process plans, watches and puts the models in their place. It needs no torch; ``project_worker`` trains.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import ConfigError, listed
from realtime_cropzoom.files.atomic import Say
from realtime_cropzoom.inference.appearance import measure_training
from realtime_cropzoom.offline.provenance import fingerprint
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.project.in_use import project_in_use
from realtime_cropzoom.train.files import write_pair_of_curves
from realtime_cropzoom.train.project_labels import read_project_labels
from realtime_cropzoom.train.project_messages import Progress
from realtime_cropzoom.train.project_plan import make_plan, measure_animal
from realtime_cropzoom.train.project_processes import run_processes
from realtime_cropzoom.train.project_split import split_project
from realtime_cropzoom.train.too_short import too_short
from realtime_cropzoom.train.training_state import ROLES, Role, TrainingFolder, TrainingJob, now, read_split

_NEEDED = ("torch", "onnx", "onnxscript")
"""Libraries that the processes need. This one does not load them: that takes seconds."""
CURVES = "curves.png"
"""Picture of loss and held-out error of both models, in ``models/``."""

Show = Callable[[Role, Progress], None]


@dataclass(frozen=True, slots=True)
class ProjectReport:
    """Result of the training of a project."""

    project: Project
    trained: int
    """Number of frames trained on."""
    held_out: int
    """Number of frames held out."""
    curves: Path
    """Picture of loss and held-out error over the training."""
    previous: Path | None
    """Folder of the earlier models; None if there were none."""
    short: str = ""
    """A sentence if the training was too short; empty if not."""

    def __str__(self) -> str:
        """One line, one about the earlier models if there were any, and one if the training was too short."""
        line = f"models: {self.project.detector} and {self.project.pose}; {self.trained} frames trained on"
        before = f"\nthe models before are in {self.previous}" if self.previous else ""
        short = f"\n{self.short}" if self.short else ""
        return f"{line}, {self.held_out} held out{before}{short}"


def train_project(project: Project, *, resume: bool, overwrite: bool, say: Say, show: Show) -> ProjectReport:
    """Train both models of a project. The earlier models stay in their place until both new ones are complete.

    Args:
        project: The project.
        resume: Whether to go on with a training that was interrupted.
        overwrite: Whether to forget such a training, and begin again.
        say: Shows a line.
        show: Is called with the progress of each model.

    Raises:
        ConfigError: if a training was interrupted and neither flag says what to do, none can go on, or another
            command trains.
        DataError: if the labels cannot be trained on.
        SinkError, StageError: if a file cannot be written, or a process fails. The training can then go on.
        ModuleNotFoundError: if a library is missing that the processes need.
    """
    _check_installed()
    with project_in_use(project.folder, "train", "training") as fresh:
        return _trained(fresh, resume=resume, overwrite=overwrite, say=say, show=show)


def _trained(project: Project, *, resume: bool, overwrite: bool, say: Say, show: Show) -> ProjectReport:
    folder = TrainingFolder(project)
    if resume:
        job = _resumed(project, folder)
    else:
        if not overwrite:
            _refuse_to_forget(project, folder)
        job = _begun(project, say)
        folder.begin(job)
    if not folder.is_complete:
        waiting = [role for role in ROLES if not folder.is_staged(role)]
        run_processes(project, folder, waiting, say, show)
    previous = folder.install(job)
    curves = write_pair_of_curves(project.detector, project.pose, project.models_folder / CURVES)
    words = list(job.sets.values())
    return ProjectReport(project, words.count("train"), words.count("held_out"), curves, previous, too_short(project))


def _check_installed() -> None:
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _refuse_to_forget(project: Project, folder: TrainingFolder) -> None:
    job = folder.read_job()
    if job is not None:
        raise ConfigError(
            f"{folder.folder}: got a training that began at {job.started} and was interrupted, or still runs. "
            f"Go on with: cropzoom train {shlex.quote(str(project.folder))} --resume; or begin again with --overwrite"
        )


def _resumed(project: Project, folder: TrainingFolder) -> TrainingJob:
    """Return the job that was interrupted. Raises ConfigError if there is none, or labels or settings have changed."""
    job = folder.read_job()
    if job is None:
        raise ConfigError(f"{folder.folder}: got no interrupted training, expected one. Leave out --resume")
    changed = [
        what
        for what, before, here in (
            (project.labels_file.name, job.labels_sha256, fingerprint(project.labels_file)),
            (project.project_file.name, job.settings, _settings(project)),
        )
        if before != here
    ]
    if changed:
        raise ConfigError(
            f"{folder.folder}: got another {listed(changed)} than the interrupted training had, expected the same. "
            "Begin again with --overwrite"
        )
    return job


def _settings(project: Project) -> str:
    """Return what of ``project.yaml`` matters for a training, as JSON."""
    return project.file.model_dump_json(exclude={"recordings", "skeleton"})


def _begun(project: Project, say: Say) -> TrainingJob:
    """Plan a training. Raises DataError or ConfigError if the labels do not allow one."""
    say("reading the labelled frames")
    labels, asked = read_project_labels(project), project.file
    plan = make_plan(measure_animal(labels.xy, labels.sizes, asked.training), asked.training)
    split = split_project(
        labels.images, asked.held_out.share, asked.held_out.recordings, read_split(project.split_file),
        asked.training.seed,
    )  # fmt: skip
    for line in (*plan.why, *split.why, *labels.notes):
        say(line)
    train = [labels.labelled[i] for i in split.indices("train")]
    return TrainingJob(
        labels_sha256=fingerprint(project.labels_file),
        settings=_settings(project),
        plan=plan,
        sets=dict(zip(labels.images, split.sets, strict=True)),
        empty=tuple(frame.name for frame in labels.empty) if asked.training.empty_frames == "no_animal" else (),
        trained=measure_training((frame.image, frame.xy) for frame in train),
        started=now(),
    )

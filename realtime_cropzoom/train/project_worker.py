"""Process that trains one model of a project: ``python -m realtime_cropzoom.train.project_worker FOLDER ROLE THREADS``.

Two small networks, each on its own cores, train faster than one network on all cores, whose threads wait for each other
at every layer. The process ends when its stdin closes, so that none is left behind when the command is killed. What it
has to say goes to stdout, see ``project_messages``.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from realtime_cropzoom.errors import CropzoomError, error_text
from realtime_cropzoom.files.atomic import MAKE_ROOM
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.device import find_device
from realtime_cropzoom.train.epochs import Epochs
from realtime_cropzoom.train.files import write_config, write_curves
from realtime_cropzoom.train.pace import Pace
from realtime_cropzoom.train.project_config import role_config, role_manifest
from realtime_cropzoom.train.project_labels import read_project_labels
from realtime_cropzoom.train.project_messages import Failed, Finished, Message, Progress, Said, encode
from realtime_cropzoom.train.result import write_model
from realtime_cropzoom.train.trainer import Trainer
from realtime_cropzoom.train.training_state import Role, TrainingFolder, TrainingJob

_AROUND_S = 25.0
"""Time (s) of the budget for all but the batches: loading, export and measurement."""
_MIN_SHARE = 0.5
"""Minimum share of the budget for the batches."""
_SAVE_EVERY_S = 5.0
"""Minimum time (s) between two states on disk."""

Tell = Callable[[Message], None]


class _Stopped(Exception):
    """The command asks the process to end."""


def train_role(project: Project, role: Role, tell: Tell, stopped: Callable[[], bool]) -> None:
    """Train one model, or go on, and leave its directory in ``models/training/``.

    Args:
        project: The project, with a ``models/training/training.json``.
        role: The model.
        tell: Is called with what happens.
        stopped: Whether to end: nothing but the part since the last state is lost.

    Raises:
        CropzoomError: if the labels have changed, or a file cannot be written.
    """
    folder = TrainingFolder(project)
    job = folder.read_job()
    assert job is not None
    tell(Said(f"{role}: reading the labelled frames"))
    train, held_out = _frames(project, job)
    config, tree = role_config(project, job, role)
    torch.manual_seed(config.training.rng_seed_model_pt)
    trainer = Trainer(config, train, held_out, find_device())
    epochs = _begin(trainer, folder, role, project.file.training.minutes, tell)
    try:
        _train(epochs, trainer, folder, role, tell, stopped)
    except _Stopped:
        return
    tell(Said(f"{role}: writing the best model, that of epoch {epochs.best.number} of {len(epochs.done)}"))
    partial = folder.folder / f"{role}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    write_model(epochs.result(), role_manifest(project, job, config), config, train, partial)
    write_config(tree, partial)
    write_curves(epochs.done, partial)
    folder.stage(role, partial)
    tell(Finished())


def _frames(project: Project, job: TrainingJob) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """Return the frames to train on, and those that are held out."""
    labels = read_project_labels(project)
    sets = job.sets
    train = [frame for frame in labels.labelled if sets.get(frame.name) == "train"]
    train += [frame for frame in labels.empty if frame.name in job.empty]
    return train, [frame for frame in labels.labelled if sets.get(frame.name) == "held_out"]


def _begin(trainer: Trainer, folder: TrainingFolder, role: Role, minutes: float, tell: Tell) -> Epochs:
    """Return the training at its beginning, or where it was interrupted."""
    saved = folder.read_state(role)
    state = None if saved is None else _loaded(saved, folder, role)
    device, step_s = trainer.choose_precision()
    tell(Said(f"{role}: trains on {device}"))
    budget_s = max(_MIN_SHARE * 60 * minutes, 60 * minutes - _AROUND_S)
    epochs = Epochs(trainer, Pace.of_time(budget_s, step_s), time.monotonic())
    if state is not None:
        try:
            epochs.restore(state)
        except Exception:  # the errors of torch for weights that do not fit have no common base
            raise folder.damaged(role) from None
        tell(Said(f"{role}: goes on after epoch {len(epochs.done)}"))
    return epochs


def _loaded(saved: bytes, folder: TrainingFolder, role: Role) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    except Exception:  # the errors of pickle, zipfile and torch have no common base
        raise folder.damaged(role) from None
    return state


def _train(
    epochs: Epochs, trainer: Trainer, folder: TrainingFolder, role: Role, tell: Tell, stopped: Callable[[], bool]
) -> None:
    saved_s = time.monotonic()

    def after_step() -> None:
        if stopped():
            raise _Stopped
        tell(_progress(epochs))

    while not epochs.pace.done:
        epochs.next(after_step)
        epochs.keep_best()
        if time.monotonic() - saved_s > _SAVE_EVERY_S or epochs.pace.done:
            content = io.BytesIO()
            torch.save(epochs.state(), content)
            folder.write_state(role, content.getvalue())
            saved_s = time.monotonic()


def _progress(epochs: Epochs) -> Progress:
    pace, last = epochs.pace, epochs.done[-1] if epochs.done else None
    held_out_px = None if last is None or math.isnan(last.held_out_px) else last.held_out_px
    return Progress(pace.progress, pace.seconds_left, len(epochs.done), last.loss if last else None, held_out_px)


def main(arguments: Sequence[str]) -> int:
    """Train the model that the arguments name: folder of the project, role, number of threads."""
    folder, role, threads = arguments
    torch.set_num_threads(int(threads))
    cv2.setNumThreads(int(threads))
    out, ended = os.fdopen(os.dup(1), "wb"), threading.Event()
    os.dup2(2, 1)  # what libraries print is no message

    def tell(message: Message) -> None:
        try:
            out.write(encode(message))
            out.flush()
        except OSError:  # the command is gone
            ended.set()

    def wait() -> None:
        while os.read(0, 1):  # sys.stdin has a lock, which the end of the interpreter would wait for
            pass
        ended.set()

    threading.Thread(target=wait, name="cropzoom-stdin", daemon=True).start()
    try:
        train_role(load_project(Path(folder)), "pose" if role == "pose" else "detector", tell, ended.is_set)
    except (CropzoomError, OSError) as error:
        tell(failure(error))
    return 0


def failure(error: CropzoomError | OSError) -> Failed:
    """Return the message for an error that ends the training."""
    if isinstance(error, CropzoomError):
        return Failed(str(error))
    place = f" {error.filename}" if error.filename else ""
    return Failed(f"cannot write{place}: {error_text(error)}{MAKE_ROOM}; the training then goes on with --resume")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

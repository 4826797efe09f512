"""State of a project's training on disk, in ``models/training/``: an interrupted training goes on from it.

=======================  ==============================================================================================
``training.json``        what is trained: plan, split and settings
``ROLE.state``           weights, optimizer and random numbers of a model, written after an epoch
``ROLE/``                the directory of a model that is complete
``complete``             both models are complete, and take the place of the earlier ones
``ROLE.log``             what the process of a model wrote to its terminal
=======================  ==============================================================================================

The models of an earlier training stay in their place until both new ones are complete. They then move to
``models/previous/``. Each file is written whole or not at all, and ``install`` can be repeated after an interruption.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from realtime_cropzoom.errors import DataError, listed
from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_whole
from realtime_cropzoom.files.csv_text import Records, csv_line
from realtime_cropzoom.inference.manifest import Trained
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.train.project_plan import Plan

Role = Literal["detector", "pose"]
ROLES: tuple[Role, ...] = ("detector", "pose")
_BEGIN_AGAIN = "begin the training again with --overwrite"


class TrainingJob(msgspec.Struct, frozen=True):
    """What is trained. A training goes on only with the same labels and settings."""

    labels_sha256: str
    """SHA-256 of the label file."""
    settings: str
    """Content of ``project.yaml`` that matters for the training, as JSON."""
    plan: Plan
    """Sizes of the models."""
    sets: dict[str, str]
    """Set of each labelled frame, by its path in the label file."""
    empty: tuple[str, ...]
    """Frames that show no animal, and are trained on as such."""
    trained: Trained | None
    """What the training frames look like, for the manifest."""
    started: str
    """When the training began, local time as ISO 8601."""


class TrainingFolder:
    """``models/training/`` of a project."""

    def __init__(self, project: Project) -> None:
        """Use the folder of ``project``. It need not exist."""
        self.folder = project.training_folder
        self._project = project

    @property
    def job_file(self) -> Path:
        """``training.json``."""
        return self.folder / "training.json"

    def staged(self, role: Role) -> Path:
        """Return the directory of a complete model."""
        return self.folder / role

    def log_file(self, role: Role) -> Path:
        """Return the file for what the process of a model writes to its terminal."""
        return self.folder / f"{role}.log"

    def begin(self, job: TrainingJob) -> None:
        """Forget an earlier training that was interrupted, and write down a new one. Raises SinkError."""
        self.clear()
        make_folder(self.folder)
        write_whole(self.job_file, msgspec.json.encode(job), MAKE_ROOM)

    def read_job(self) -> TrainingJob | None:
        """Return what is trained; None if no training was interrupted. Raises DataError if the file is damaged."""
        try:
            return msgspec.json.decode(self.job_file.read_bytes(), type=TrainingJob)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"{self.job_file}: got a file that cannot be read ({error}); {_BEGIN_AGAIN}") from None

    def write_state(self, role: Role, state: bytes) -> None:
        """Write the state of a model. Raises SinkError; an earlier state then stays."""
        write_whole(self.folder / f"{role}.state", state, f"{MAKE_ROOM}; the training then goes on with --resume")

    def read_state(self, role: Role) -> bytes | None:
        """Return the state of a model; None if there is none yet."""
        try:
            return (self.folder / f"{role}.state").read_bytes()
        except FileNotFoundError:
            return None

    def damaged(self, role: Role) -> DataError:
        """Return the error for a state that cannot be used."""
        return DataError(
            f"{self.folder / role}.state: got a file that is damaged, or of another version; {_BEGIN_AGAIN}"
        )

    def stage(self, role: Role, partial: Path) -> None:
        """Take a complete model directory, whose state is then no longer needed."""
        os.replace(partial, self.staged(role))
        (self.folder / f"{role}.state").unlink(missing_ok=True)

    @property
    def is_complete(self) -> bool:
        """Whether both models are complete, and at least begin to take the place of the earlier ones."""
        return self._complete_file.exists()

    @property
    def _complete_file(self) -> Path:
        return self.folder / "complete"

    def is_staged(self, role: Role) -> bool:
        """Return whether a model is complete."""
        return self.staged(role).is_dir()

    def install(self, job: TrainingJob) -> Path | None:
        """Put both complete models and their split in place of the earlier ones.

        Returns:
            The folder to which the earlier ones moved; None if there were none.
        """
        models = self._project.models_folder
        previous = models / "previous" / job.started.replace(":", "-")
        write_whole(self._complete_file, "", MAKE_ROOM)
        for role in ROLES:
            if not self.is_staged(role):  # it is in its place since an installation that was interrupted
                continue
            if (models / role).exists():
                make_folder(previous)
                os.replace(models / role, previous / role)
            os.replace(self.staged(role), models / role)
        if previous.exists() and self._project.split_file.exists() and not (previous / "split.csv").exists():
            shutil.copyfile(self._project.split_file, previous / "split.csv")
        write_split(self._project.split_file, job.sets)
        self.clear()
        return previous if previous.exists() else None

    def clear(self) -> None:
        """Delete the folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder)


def way_back(project: Project) -> str:
    """Return the shell command that puts the models before the newest back in their place; empty without any.

    The newest models move to ``models/previous/set_aside``, so that nothing is lost.
    """
    models = project.models_folder
    earlier = [folder for folder in (models / "previous").glob("[0-9]*") if (folder / "pose").is_dir()]
    if not earlier:
        return ""
    before = max(earlier, key=lambda folder: folder.name)
    numbered = (f"previous/set_aside{f'-{n}' if n > 1 else ''}" for n in range(1, 1_000_000))
    aside = next(name for name in numbered if not (models / name).exists())
    back = [name for name in (*ROLES, "split.csv") if (before / name).exists()]
    there = [name for name in back if (models / name).exists()]
    restored = " ".join(f"previous/{shlex.quote(before.name)}/{name}" for name in back)
    return f"(cd {shlex.quote(str(models))} && mkdir {aside} && mv {' '.join(there)} {aside} && mv {restored} .)"


def now() -> str:
    """Return the local time as ISO 8601, to the second."""
    return datetime.now().isoformat(timespec="seconds")


def write_split(path: Path, sets: Mapping[str, str]) -> None:
    """Write ``split.csv``: the set of each labelled frame. Raises SinkError if it cannot be written."""
    rows = [csv_line(("image", "set")), *(csv_line(row) for row in sorted(sets.items()))]
    write_whole(path, "".join(rows), MAKE_ROOM)


def read_split(path: Path) -> dict[str, str]:
    """Return the set of each frame in ``split.csv``; empty if there is no such file. Raises DataError."""
    if not path.exists():
        return {}
    rows = Records(path)
    if not {"image", "set"} <= set(rows.columns):
        raise DataError(
            f"{path}: got the columns {listed(rows.columns)}, expected image and set. Delete the file to split the "
            "frames anew"
        )
    return {row["image"]: row["set"] for row in rows}

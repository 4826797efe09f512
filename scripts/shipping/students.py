"""The trainings: two large teachers on the labelled frames, then the two small models that ship."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from realtime_cropzoom.train.config import TrainConfig, load_config
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.epochs import Epochs
from realtime_cropzoom.train.export import export_onnx, new_manifest
from realtime_cropzoom.train.network import CropzoomSmall
from realtime_cropzoom.train.pace import Pace
from realtime_cropzoom.train.trainer import Trainer
from shipping.data import NAMES, arenas, labelled, mixed, pseudo_labelled

ROOT = Path(__file__).resolve().parents[2]
Role = Literal["detector", "pose"]
CONFIGS: dict[Role, Path] = {
    "detector": ROOT / "configs" / "train_openfield_detector.yaml",
    "pose": ROOT / "configs" / "train_openfield_pose.yaml",
}
_TEACHER_WIDTHS, _TEACHER_STEM = (24, 48, 96, 144), 24
_TEACHER = (
    "data.image_resize_dims.height=192",
    "data.image_resize_dims.width=192",
    "cropzoom.scale_range=[0.82,1.22]",
    "cropzoom.invert_share=0",
    "cropzoom.empty_share=0",
)
"""Teachers see the animal as in the recording."""
_STUDENT_WIDTHS: dict[Role, tuple[int, int, int, int]] = {"detector": (16, 32, 64, 96), "pose": (16, 32, 64, 128)}
Shares = tuple[float, float, float, float, float]
_SHARES: dict[Role, Shares] = {"detector": (0.3, 0.16, 0.18, 0.22, 0.14), "pose": (0.36, 0.2, 0.2, 0.16, 0.08)}
"""Shares of the frames, as ``student_frames`` names them."""
_SMALL_RATE = "training.optimizer_params.learning_rate=0.003"


@dataclass(frozen=True, slots=True)
class Refinement:
    """A model trained further, on other views."""

    steps: int
    """Number of batches."""
    seed: int
    shares: Shares
    """Shares of the frames, as ``student_frames`` names them."""
    config: tuple[str, ...]
    """What differs from the configuration of the model."""
    people: bool
    """Whether the labels of people count for the labelled frames, and not those of the teachers."""


_POSE_VIEWS = ("cropzoom.natural_share=0.6", "cropzoom.invert_share=0.15", "cropzoom.empty_share=0.04")
_DETECTOR_VIEWS = (
    "cropzoom.natural_share=0.25",
    "cropzoom.invert_share=0.2",
    "cropzoom.empty_share=0.05",
    "cropzoom.scale_range=[0.4,2.2]",
)
_REFINE_RATE = "training.optimizer_params.learning_rate=0.002"
REFINEMENTS: dict[Role, tuple[Refinement, ...]] = {
    "detector": (Refinement(2500, 6, (0.44, 0.18, 0.14, 0.14, 0.10), (*_DETECTOR_VIEWS, _REFINE_RATE), people=True),),
    "pose": (
        Refinement(3000, 5, (0.42, 0.16, 0.28, 0.08, 0.06), (*_POSE_VIEWS, _REFINE_RATE), people=False),
        Refinement(3000, 5, (0.40, 0.18, 0.28, 0.08, 0.06), (*_POSE_VIEWS, _REFINE_RATE), people=True),
    ),
}
"""The pose model goes on with more views that look like the recordings; the detector with small and large animals."""


@dataclass(frozen=True, slots=True)
class Place:
    """Files and folders of the trainings."""

    data: Path
    held_out: Path
    output: Path

    def teacher(self, seed: int) -> Path:
        """Return the exported teacher of a seed."""
        return self.output / f"teacher_{seed}.onnx"

    @property
    def pseudo(self) -> Path:
        """The teachers' labels of the recording."""
        return self.output / "pseudo_labels.npz"

    @property
    def relabelled(self) -> Path:
        """The teachers' labels of the labelled frames."""
        return self.output / "teachers_labels.npz"

    def weights(self, role: Role) -> Path:
        """Return the weights of a model that ships."""
        return self.output / f"{role}.pt"


@dataclass(frozen=True, slots=True)
class Length:
    """Length of a training."""

    steps: int
    """Number of batches."""
    minutes: float | None = None
    """Time in place of a number of batches, for a machine that is busy with other work."""

    def pace(self) -> Pace:
        """Return the pace of a training of this length."""
        return Pace.of_steps(self.steps) if self.minutes is None else Pace.of_time(60 * self.minutes, 0.3)


def train_teacher(seed: int, place: Place, length: Length) -> None:
    """Train a large network on the labelled frames and usual arenas, and export it."""
    torch.set_num_threads(1)
    config = _config("pose", place, seed, (*_TEACHER, _SMALL_RATE))
    known = labelled(place.data, place.held_out)
    frames = mixed([(0.85, known.train), (0.15, arenas(300, 0, 0, seed)[0])])
    torch.manual_seed(seed)
    network = CropzoomSmall(len(NAMES), _TEACHER_WIDTHS, _TEACHER_STEM)
    trained = _train(f"teacher {seed}", Trainer(config, frames, known.held_out, network=network), length)
    export_onnx(trained, new_manifest("pose", NAMES, config.size), place.teacher(seed))


def train_student(role: Role, place: Place, length: Length) -> None:
    """Train one of the models that ship, with the teachers' labels: they vary less than people's."""
    torch.set_num_threads(1)
    config = _config(role, place, 0, ())
    known = labelled(place.data, place.held_out)
    frames = student_frames(place, known.train, _SHARES[role])
    torch.manual_seed(0)
    network = new_student(role)
    trained = _train(role, Trainer(config, frames, known.held_out, network=network), length, place.weights(role))
    torch.save(trained.state_dict(), place.weights(role))


def new_student(role: Role) -> CropzoomSmall:
    """Return the untrained network of a model that ships."""
    return CropzoomSmall(len(NAMES), _STUDENT_WIDTHS[role])


def refine(role: Role, place: Place, refinement: Refinement) -> None:
    """Train a model further."""
    torch.set_num_threads(1)
    known = labelled(place.data, place.held_out)
    config = _config(role, place, refinement.seed, refinement.config)
    frames = student_frames(place, known.train, refinement.shares, people=refinement.people)
    network = new_student(role)
    network.load_state_dict(torch.load(place.weights(role), weights_only=True))
    trainer = Trainer(config, frames, known.held_out, network=network)
    trained = _train(f"{role} +", trainer, Length(refinement.steps), place.weights(role))
    torch.save(trained.state_dict(), place.weights(role))


def student_frames(
    place: Place, known: Sequence[LabelledFrame], shares: Shares, *, people: bool = False
) -> list[LabelledFrame]:
    """Return the frames that the students see.

    Args:
        place: Files of the trainings.
        known: The labelled frames.
        shares: Shares of these, of the recording that the teachers labelled, of usual, of varied, and of empty
            arenas.
        people: Whether the labels of people count for the labelled frames. Else those of the teachers do.
    """
    teachers = np.load(place.relabelled)["xy"]
    relabelled = [replace(frame, xy=xy) for frame, xy in zip(known, teachers, strict=True)]
    groups = (known if people else relabelled, pseudo_labelled(place.data, place.pseudo), *arenas(480, 800, 800, 10))
    return mixed(list(zip(shares, groups, strict=True)))


def _config(role: Role, place: Place, seed: int, more: Sequence[str]) -> TrainConfig:
    seeds = (f"training.rng_seed_data_pt={seed}", f"training.rng_seed_model_pt={seed}")
    config, _ = load_config(
        CONFIGS[role], [f"data.data_dir={place.data.resolve()}", "cropzoom.arena_share=0", *seeds, *more]
    )
    return config


def _train(name: str, trainer: Trainer, length: Length, keep: Path | None = None) -> CropzoomSmall:
    """Train to the end. ``keep`` gets the weights after each epoch, for a look before the end."""
    epochs = Epochs(trainer, length.pace(), time.monotonic())
    while not epochs.pace.done:
        print(f"{name:10s} {epochs.next(lambda: None)}, {epochs.pace.steps} batches", flush=True)
        if keep is not None:
            torch.save(trainer.average.state_dict(), keep)
    return epochs.result()

"""Training loop: trains a model by a configuration, and writes and measures its directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from realtime_cropzoom.errors import DataError, listed
from realtime_cropzoom.inference.manifest import Manifest
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.train_split import Split, split_frames
from realtime_cropzoom.sessions.dlc_csv import labels_outside
from realtime_cropzoom.train.config import TrainConfig, load_config
from realtime_cropzoom.train.dataset import LabelledFrame, common_side, read_frames
from realtime_cropzoom.train.device import find_device
from realtime_cropzoom.train.epochs import Epoch, Epochs, Step
from realtime_cropzoom.train.export import new_manifest
from realtime_cropzoom.train.files import create_model_directory, remove_exports, write_config, write_curves
from realtime_cropzoom.train.pace import Pace
from realtime_cropzoom.train.result import measure_model, write_model
from realtime_cropzoom.train.trainer import Trainer
from realtime_cropzoom.train.verdict import HeldOut, animal_length, verdict
from realtime_cropzoom.types import Float32

logger = logging.getLogger(__name__)


def _ignore_line(_line: str) -> None:
    """Say nothing."""


def _ignore_step(_step: Step) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Result of a training."""

    output_dir: Path
    model: Path
    """The exported ONNX file."""
    role: str
    """``detector`` or ``pose``."""
    train_frames: int
    held_out_frames: int
    mean_error_px: float
    """Mean error of the exported model on the held-out frames, in pixels of the frame (or of the crop, if it was
    trained on crops), in boxes of the detector if one is given; NaN without held-out frames."""
    median_error_px: float
    epochs: tuple[Epoch, ...]
    seconds: float
    verdict: str
    """Sentences that say whether the model can be used."""

    def __str__(self) -> str:
        """Two lines: the model with its error, and the verdict."""
        held_out = f"mean {self.mean_error_px:.2f} px, median {self.median_error_px:.2f} px"
        held_out = "" if np.isnan(self.mean_error_px) else f"; {self.held_out_frames} held out, error {held_out}"
        return (
            f"{self.role} model: {self.model}; {self.train_frames} frames trained on{held_out}; {self.seconds:.0f} s\n"
            f"verdict: {self.verdict}"
        )


@dataclass(frozen=True, slots=True)
class _Data:
    """The labelled frames, and the set of each."""

    frames: tuple[LabelledFrame, ...]
    split: Split

    def train(self) -> list[LabelledFrame]:
        return [self.frames[i] for i in self.split.train if self.frames[i].is_labelled]

    def held_out(self) -> list[LabelledFrame]:
        return [self.frames[i] for i in (*self.split.validation, *self.split.test) if self.frames[i].is_labelled]


def train(
    config_path: Path,
    output_dir: Path,
    *,
    detector_model: Path | None,
    overrides: Sequence[str],
    progress: Callable[[Epoch], None],
    step: Callable[[Step], None] = _ignore_step,
    say: Callable[[str], None] = _ignore_line,
    overwrite: bool = False,
) -> TrainReport:
    """Train a model and write its directory. Nothing is written before the training has ended.

    This seeds the global random generator of torch.

    Args:
        config_path: The training configuration.
        output_dir: Directory of the model.
        detector_model: Without ``cropzoom.crop_size``, the directory of a detector: a pose model is then trained on
            its crops. With ``cropzoom.crop_size``, a directory or an .onnx file: its boxes are used to measure the
            error on held-out frames; None uses the boxes of the labels.
        overrides: ``section.name=value`` for keys of the configuration to replace.
        progress: Called after each epoch.
        step: Called after each batch.
        say: Shows a line about the work before the first and after the last batch.
        overwrite: Whether to overwrite a model in ``output_dir``.

    Raises:
        ConfigError, DataError, ModelError: before the training begins, if the configuration, the frames or the
            detector cannot be used.
        SinkError: if a file cannot be written.
    """
    started = time.monotonic()
    config, tree = load_config(config_path, overrides, detector_model)
    create_model_directory(output_dir, overwrite=overwrite)
    detector = (
        Model(detector_model, "detector", method="reference") if detector_model and config.cropzoom.crop_size else None
    )
    say("reading the labelled frames")
    data = _read_data(config)
    torch.manual_seed(config.training.rng_seed_model_pt)
    say(f"preparing {len(data.train())} frames to train on and {len(data.held_out())} held-out frames")
    trainer = Trainer(config, data.train(), data.held_out(), find_device())
    epochs = _train_epochs(trainer, config.training.max_epochs, started, progress, step)

    say("exporting the model and measuring its error")
    remove_exports(output_dir)
    manifest = _manifest(config, data.frames)
    model, presence = write_model(epochs.result(), manifest, config, data.train(), output_dir)
    say(str(presence))
    write_config(tree, output_dir)
    write_curves(epochs.done, output_dir)
    exported = Model(model, config.role, method="reference")  # the same numbers as cropzoom predict
    errors = _measure(exported, config, data, detector, output_dir)
    held_out = HeldOut(errors, animal_length([frame.xy for frame in data.frames]))
    mean = float(np.nanmean(errors)) if np.isfinite(errors).any() else float("nan")
    return TrainReport(
        output_dir, model, config.role, len(data.train()), len(data.held_out()), mean, held_out.median_px,
        tuple(epochs.done), time.monotonic() - started, verdict(held_out),
    )  # fmt: skip


def _train_epochs(
    trainer: Trainer, count: int, started: float, progress: Callable[[Epoch], None], step: Callable[[Step], None]
) -> Epochs:
    steps = trainer.steps_per_epoch * count
    epochs, begun = Epochs(trainer, Pace.of_steps(steps), started), time.monotonic()
    while len(epochs.done) < count:
        progress(epochs.next(lambda: step(Step(epochs.pace.steps, steps, time.monotonic() - begun))))
    return epochs


def _read_data(config: TrainConfig) -> _Data:
    """Read and split the frames. As in Lightning Pose, frames without labels are split, too. Raises DataError."""
    section, training = config.data, config.training
    if section.csv_file is None:
        return _Data((), Split((), (), ()))
    frames = read_frames(section.data_dir, section.labels(), section.keypoint_names)
    split = split_frames(
        len(frames), training.train_prob, training.val_prob, training.rng_seed_data_pt, training.train_frames
    )
    data = _Data(tuple(frames), split)
    empty = [frame.name for frame in frames if not frame.is_labelled]
    if empty:
        logger.warning(
            "%d of %d frames have no label and are not used; the first is %s", len(empty), len(frames), empty[0]
        )
    images, sizes = [f.name for f in frames], [(f.image.shape[1], f.image.shape[0]) for f in frames]
    xy = np.stack([frame.xy for frame in frames])
    if outside := labels_outside(section.labels(), images, section.keypoint_names, xy, sizes):
        logger.warning("%s", outside)
    if not data.train():
        raise DataError(
            f"{section.labels()} has no label of {listed(section.keypoint_names)} in the training frames; "
            "label more frames"
        )
    return data


def _manifest(config: TrainConfig, frames: Sequence[LabelledFrame]) -> Manifest:
    crop_size = common_side([frame.image for frame in frames]) if config.on_crops else config.cropzoom.crop_size
    return msgspec.structs.replace(
        new_manifest(config.role, config.data.keypoint_names, config.size),
        crop_size=crop_size,
        trained_on=config.cropzoom.trained_on or Path(config.data.csv_file or "the synthetic arena").name,
        license=config.cropzoom.license,
    )


def _measure(model: Model, config: TrainConfig, data: _Data, detector: Model | None, output_dir: Path) -> Float32:
    """Predict all labelled frames with the exported model; return the (N, K) errors (px) of the held-out ones."""
    if config.data.csv_file is None:
        return np.empty((0, len(config.data.keypoint_names)), np.float32)
    sets = data.split.sets(len(data.frames))
    errors = measure_model(model, config, data.frames, sets, detector, output_dir)
    return errors[[name in ("validation", "test") for name in sets]]

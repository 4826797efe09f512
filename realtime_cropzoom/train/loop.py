"""A training from end to end: configuration in, a directory with a model out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.model import Model
from realtime_cropzoom.train.config import BACKBONE, TrainConfig, load_config
from realtime_cropzoom.train.dataset import LabelledFrame, Split, read_frames, split_frames
from realtime_cropzoom.train.evaluate import pixel_errors, predict_frames
from realtime_cropzoom.train.export import Metadata, export_onnx
from realtime_cropzoom.train.files import write_config, write_curves, write_predictions
from realtime_cropzoom.train.network import CropzoomSmall
from realtime_cropzoom.train.trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of progress."""

    number: int
    """From 1."""
    of: int
    loss: float
    """Mean over the epoch's views."""
    held_out_px: float
    """Mean error in frame pixels on the held-out frames, boxes from the labels; NaN without any."""
    seconds: float
    """Since training began."""

    def __str__(self) -> str:
        """One line for a log."""
        held_out = "" if np.isnan(self.held_out_px) else f"  held-out error {self.held_out_px:.2f} px"
        return f"epoch {self.number}/{self.of}  loss {self.loss:.4f}{held_out}  {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training left."""

    output_dir: Path
    model: Path
    """The exported ONNX file."""
    role: str
    """``detector`` or ``pose``."""
    train_frames: int
    held_out_frames: int
    mean_error_px: float
    """On the held-out frames, frame pixels, by the exported file through the detector's boxes; NaN without any."""
    median_error_px: float
    epochs: tuple[Epoch, ...]
    seconds: float

    def __str__(self) -> str:
        """One line for a command line."""
        held_out = f"mean {self.mean_error_px:.2f} px, median {self.median_error_px:.2f} px"
        held_out = "" if np.isnan(self.mean_error_px) else f"; {self.held_out_frames} held out, error {held_out}"
        return f"{self.role} model: {self.model}; {self.train_frames} frames trained on{held_out}; {self.seconds:.0f} s"


def train(
    config_path: Path,
    output_dir: Path,
    *,
    detector_model: Path | None,
    overrides: Sequence[str],
    progress: Callable[[Epoch], None],
) -> TrainReport:
    """Train a model as ``config_path`` says and leave it in ``output_dir``.

    With ``cropzoom.crop_size`` set it is a pose model; its held-out error is then measured
    in the boxes of ``detector_model`` (a model directory or an .onnx file), or in the labels'
    boxes where that is None. ``progress`` is called after each epoch. Seeds the global random
    generator of torch. Raises ConfigError, DataError and ModelError before training begins.
    """
    started = time.monotonic()
    config, tree = load_config(config_path, overrides)
    detector = _load_detector(detector_model, config)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_config(tree, output_dir)
    torch.manual_seed(config.training.rng_seed_model_pt)
    frames, split = _labelled(config)
    held_out = [frames[i] for i in (*split.validation, *split.test)]

    trainer = Trainer(config, [frames[i] for i in split.train], held_out)
    epochs: list[Epoch] = []
    for number in range(1, config.training.max_epochs + 1):
        loss = trainer.epoch()
        epochs.append(
            Epoch(number, config.training.max_epochs, loss, trainer.held_out_px(), time.monotonic() - started)
        )
        logger.info("%s", epochs[-1])
        progress(epochs[-1])
    write_curves(epochs, output_dir)

    model = _save(trainer.average, config, output_dir)
    mean, median = _measure(model, config, frames, split, detector, output_dir)
    return TrainReport(
        output_dir, model, config.role, len(split.train), len(held_out), mean, median, tuple(epochs),
        time.monotonic() - started,
    )  # fmt: skip


def _load_detector(detector_model: Path | None, config: TrainConfig) -> Model | None:
    if detector_model is None:
        return None
    if config.role == "detector":
        raise ConfigError("a detector model was given, but cropzoom.crop_size is null: set it to train a pose model")
    return Model(detector_model, "detector")


def _labelled(config: TrainConfig) -> tuple[list[LabelledFrame], Split]:
    data, training = config.data, config.training
    if data.csv_file is None:
        return [], Split((), (), ())
    frames = read_frames(data.data_dir, data.csv_file, data.keypoint_names)
    empty = [frame.name for frame in frames if np.isnan(frame.xy).all()]
    if empty:
        logger.warning("%d of %d frames have no label and are left out, %s first", len(empty), len(frames), empty[0])
        frames = [frame for frame in frames if not np.isnan(frame.xy).all()]
    if not frames:
        raise DataError(f"{data.csv_file} labels none of {', '.join(data.keypoint_names)}")
    return frames, split_frames(len(frames), training.train_prob, training.val_prob, training.rng_seed_data_pt)


def _save(network: CropzoomSmall, config: TrainConfig, output_dir: Path) -> Path:
    """Write the checkpoint and the ONNX file; returns the latter's path."""
    torch.save(network.state_dict(), output_dir / f"{BACKBONE}.pt")
    model = output_dir / "exports_onnx" / f"{BACKBONE}_fp32.onnx"
    metadata = Metadata(
        role=config.role,
        keypoint_names=config.data.keypoint_names,
        crop_size=config.cropzoom.crop_size,
        trained_on=config.cropzoom.trained_on or config.data.csv_file or "the synthetic arena",
        license=config.cropzoom.license,
    )
    export_onnx(network, config.size, metadata, model)
    return model


def _measure(
    model: Path,
    config: TrainConfig,
    frames: Sequence[LabelledFrame],
    split: Split,
    detector: Model | None,
    output_dir: Path,
) -> tuple[float, float]:
    """Predict all labelled frames with the exported file; returns mean and median error on the held-out ones."""
    if not frames or config.data.csv_file is None:
        return float("nan"), float("nan")
    exported = Model(model, config.role)
    predictions = predict_frames(exported, frames, crop_size=config.cropzoom.crop_size, detector=detector)
    errors = pixel_errors(predictions, frames)
    sets = [split.name_of(i) for i in range(len(frames))]
    folder = output_dir / "image_preds" / Path(config.data.csv_file).name
    write_predictions(folder, frames, predictions, errors, sets, config.data.keypoint_names)
    held_out = errors[[name != "train" for name in sets]]
    if not np.isfinite(held_out).any():
        return float("nan"), float("nan")
    return float(np.nanmean(held_out)), float(np.nanmedian(held_out))

"""Result of a training: the files of a model directory, and the error of the exported model on labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from realtime_cropzoom.inference.manifest import Manifest
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.provenance import input_entry, write_origin
from realtime_cropzoom.train.config import TrainConfig
from realtime_cropzoom.train.dataset import LabelledFrame, arena_frames
from realtime_cropzoom.train.evaluate import pixel_errors, predict_frames
from realtime_cropzoom.train.export import FILE as CHECKPOINT
from realtime_cropzoom.train.export import Checkpoint, describe, export_checkpoint, save_checkpoint
from realtime_cropzoom.train.files import write_boxes, write_predictions
from realtime_cropzoom.train.network import CropzoomSmall
from realtime_cropzoom.train.presence import MeasuredPresence, Variety, measure_presence
from realtime_cropzoom.types import Float32

_ARENA_FRAMES = 80
"""Number of synthetic frames for measuring presence, if the model is also trained on such frames."""


def write_model(
    network: CropzoomSmall, manifest: Manifest, config: TrainConfig, frames: Sequence[LabelledFrame], output_dir: Path
) -> tuple[Path, MeasuredPresence]:
    """Write the checkpoint and the export, with the limits measured on the exported file in their manifest.

    Args:
        network: The trained network, on the CPU.
        manifest: Description of the model, without its limits.
        config: The configuration of the training.
        frames: The training frames.
        output_dir: The model directory.

    Returns:
        The exported file and the limits.
    """
    names, seed = config.data.keypoint_names, config.training.rng_seed_data_pt
    save_checkpoint(output_dir, Checkpoint(network, manifest))
    model = export_checkpoint(output_dir, "fp32")
    shown = list(frames)
    if config.cropzoom.arena_share > 0 or not shown:
        shown += arena_frames(_ARENA_FRAMES, names, seed)
    ours = config.cropzoom
    variety = Variety(ours.scale_range, ours.invert_share > 0)
    measured = measure_presence(Model(model), shown, config.role, ours.crop_size, seed, variety)
    manifest = msgspec.structs.replace(manifest, presence=measured.presence.to_metadata(names))
    describe(model, manifest)
    save_checkpoint(output_dir, Checkpoint(network, manifest))
    write_origin(model, "export", {"checkpoint": input_entry(output_dir / CHECKPOINT)})
    return model, measured


def measure_model(
    model: Model,
    config: TrainConfig,
    frames: Sequence[LabelledFrame],
    sets: Sequence[str],
    detector: Model | None,
    output_dir: Path,
) -> Float32:
    """Predict labelled frames with the exported model, and write the predictions to the model directory.

    Args:
        model: The exported model.
        config: The configuration of its training, with a label file.
        frames: The N labelled frames.
        sets: Training set of each frame.
        detector: Makes the boxes; None makes them from the labels.
        output_dir: The model directory.

    Returns:
        (N, K) errors (frame pixels); NaN for a keypoint without a label.
    """
    crop_size = config.cropzoom.crop_size
    predictions = predict_frames(model, frames, crop_size=crop_size, detector=detector, resize="cubic")
    errors = pixel_errors(predictions, frames)
    folder = output_dir / "image_preds" / Path(str(config.data.csv_file)).name
    write_predictions(folder, frames, predictions, errors, sets, config.data.keypoint_names)
    if crop_size is not None:
        write_boxes(folder, frames, predictions)
    return errors

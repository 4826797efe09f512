"""The training loop: configuration in, a directory with a model out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_cropzoom.crop import cut, fill_input, remap
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.heatmaps import decode
from realtime_cropzoom.model import Model
from realtime_cropzoom.train.config import BACKBONE, TrainConfig, load_config
from realtime_cropzoom.train.dataset import (
    LabelledFrame,
    Split,
    arena_frames,
    mirror_order,
    read_frames,
    split_frames,
    with_backgrounds,
)
from realtime_cropzoom.train.evaluate import pixel_errors, predict_frames, whole_frame
from realtime_cropzoom.train.export import Metadata, export_onnx
from realtime_cropzoom.train.files import write_config, write_curves, write_predictions
from realtime_cropzoom.train.network import DOWNSAMPLE_FACTOR, CropzoomSmall, heatmaps_of, targets
from realtime_cropzoom.train.views import Photometric, ViewRule, Views, batch, labelled_box, normalised

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

    trainer = _Trainer(config, [frames[i] for i in split.train], held_out)
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


class _Trainer:
    """Network, its moving average, optimizer and views: what an epoch needs."""

    def __init__(self, config: TrainConfig, frames: Sequence[LabelledFrame], held_out: Sequence[LabelledFrame]) -> None:
        ours, training, names = config.cropzoom, config.training, config.data.keypoint_names
        self._config = config
        self._rng = np.random.default_rng(training.rng_seed_data_pt)
        arena = arena_frames(ours.arena_frames, names, training.rng_seed_data_pt) if ours.arena_share > 0 else []
        self._labelled, self._arena = len(frames), len(arena)
        rule = ViewRule(
            size=config.size,
            crop_size=ours.crop_size,
            jitter=ours.jitter,
            natural_share=ours.natural_share,
            paste_share=ours.paste_share,
            flip=training.imgaug_hflip,
            mirror=tuple(mirror_order(names)),
        )
        pasting = with_backgrounds(frames) if ours.paste_share > 0 else list(frames)
        self._views = Views([*pasting, *arena], rule, self._rng)
        self._photometric = Photometric()
        self._steps = -(-(ours.views_per_epoch or self._labelled or self._arena) // training.train_batch_size)
        self._held_out = _HeldOut(held_out, config) if held_out else None

        self._network = CropzoomSmall(len(names))
        self.average = CropzoomSmall(len(names)).eval()
        self.average.load_state_dict(self._network.state_dict())
        self._step = 0
        rate = training.optimizer_params.learning_rate
        self._optimizer = torch.optim.AdamW(self._network.parameters(), rate, weight_decay=0.01)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, rate, total_steps=self._steps * training.max_epochs + 1, pct_start=0.1
        )

    def epoch(self) -> float:
        """Train on one epoch's views; returns the mean loss."""
        self._network.train()
        losses = [self._train_on(*self._batch()) for _ in range(self._steps)]
        return float(np.mean(losses))

    def held_out_px(self) -> float:
        """Mean error of the averaged network in frame pixels on the held-out frames."""
        return self._held_out.mean_error_px(self.average) if self._held_out else float("nan")

    def _batch(self) -> tuple[Tensor, Tensor]:
        count = self._config.training.train_batch_size
        synthetic = self._rng.random(count) < self._config.cropzoom.arena_share
        labelled = self._rng.integers(0, max(1, self._labelled), count)
        arena = self._labelled + self._rng.integers(0, max(1, self._arena), count)
        pictures, xy = batch([self._views.draw(int(i)) for i in np.where(synthetic, arena, labelled)])
        return normalised(self._photometric(pictures)), xy

    def _train_on(self, images: Tensor, xy: Tensor) -> float:
        ours = self._config.cropzoom
        with torch.autocast("cpu", torch.bfloat16, enabled=ours.bfloat16):
            logits = self._network(images)
        loss = loss_of(logits.float(), xy, self._config.size, ours.sigma)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self._schedule.step()
        self._update_average()
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average towards the network; faster at first, so that it forgets where it began."""
        self._step += 1
        decay = min(self._config.cropzoom.ema_decay, (1 + self._step) / (10 + self._step))
        now = self._network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(now[name], 1 - decay)


def loss_of(logits: Tensor, xy_model: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """The mean divergence of the heatmaps from their targets.

    ``logits`` (N, K, h, w), ``xy_model`` (N, K, 2). Keypoints that are NaN do not contribute.
    """
    labelled = ~torch.isnan(xy_model).any(dim=2)
    aims = targets(xy_model[labelled][None], size, sigma)[0].flatten(1)
    each = functional.log_softmax(logits[labelled].flatten(1), dim=1)
    return functional.kl_div(each, aims, reduction="sum") / labelled.sum().clamp(min=1)


class _HeldOut:
    """The held-out frames as model inputs, boxes from the labels."""

    def __init__(self, frames: Sequence[LabelledFrame], config: TrainConfig) -> None:
        self._frames, self._size = frames, config.size
        crop_size = config.cropzoom.crop_size
        self._boxes = [labelled_box(f.xy, crop_size) if crop_size else whole_frame(f.image) for f in frames]
        inputs = np.zeros((len(frames), 3, config.size[1], config.size[0]), np.float32)
        for frame, box, out in zip(frames, self._boxes, inputs, strict=True):
            fill_input(cut(frame.image, box, "pad")[0], out, "fast")
        self._inputs = torch.from_numpy(inputs)

    def mean_error_px(self, network: nn.Module) -> float:
        with torch.no_grad():
            heatmaps = heatmaps_of(network(self._inputs)).numpy()
        errors = [
            np.linalg.norm(remap(decode(maps, DOWNSAMPLE_FACTOR, "fast").xy, box, self._size) - frame.xy, axis=1)
            for maps, box, frame in zip(heatmaps, self._boxes, self._frames, strict=True)
        ]
        return float(np.nanmean(errors))


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

"""Trainer: trains one batch at a time, and measures the averaged network on the held-out frames."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.crop import cut, fill_input
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.heatmaps import decode
from realtime_cropzoom.inference.normalise import IMAGENET, values_of
from realtime_cropzoom.train.augmentation import ViewRule, Views, batch, labelled_box, normalised
from realtime_cropzoom.train.config import TrainConfig
from realtime_cropzoom.train.dataset import LabelledFrame, arena_frames, mirror_order, with_backgrounds
from realtime_cropzoom.train.device import CPU, Device, faster_precision
from realtime_cropzoom.train.network import DOWNSAMPLE_FACTOR, CropzoomSmall, normalised_heatmaps, targets
from realtime_cropzoom.train.pace import one_cycle
from realtime_cropzoom.train.photometric import Photometric

_FEW_FRAMES = 32
"""Number of held-out frames that the network sees at once, so that memory does not grow with their number."""


class Trainer:
    """Trains a network. ``average``, the moving average of its weights, is the model that is saved."""

    def __init__(
        self,
        config: TrainConfig,
        frames: Sequence[LabelledFrame],
        held_out: Sequence[LabelledFrame],
        device: Device = CPU,
        network: CropzoomSmall | None = None,
    ) -> None:
        """Prepare the training.

        Args:
            config: The configuration.
            frames: The training frames.
            held_out: Frames on which the error is measured. They are not trained on.
            device: What computes.
            network: The network to train; None for a new one.
        """
        cv2.setNumThreads(1)  # the pictures are small: OpenCV's threads would wait for each other
        ours, training, names = config.cropzoom, config.training, config.data.keypoint_names
        self._config = config
        self._rng = np.random.default_rng(training.rng_seed_data_pt)
        arena = arena_frames(ours.arena_frames, names, training.rng_seed_data_pt) if ours.arena_share > 0 else []
        self._read_data, self._arena = len(frames), len(arena)
        rule = ViewRule(
            size=config.size,
            crop_size=ours.crop_size,
            roams=config.role == "detector",
            jitter=ours.jitter,
            natural_share=ours.natural_share,
            paste_share=ours.paste_share,
            flip=training.imgaug_hflip,
            mirror=tuple(mirror_order(names, ours.symmetric)),
            scale_range=ours.scale_range,
            empty_share=ours.empty_share,
        )
        pasting = (
            ours.paste_share > 0 and not config.on_crops
        )  # crops move with the animal, so they have no fixed background
        photometric = Photometric(self._rng, ours.invert_share)
        self._views = Views([*(with_backgrounds(frames) if pasting else frames), *arena], rule, self._rng, photometric)
        self._steps = -(-(ours.views_per_epoch or self._read_data or self._arena) // training.train_batch_size)
        self._device = device
        self._held_out = _HeldOut(held_out, config, device) if held_out else None

        self._network = (network or CropzoomSmall(len(names))).to(device.name)
        self.average = copy.deepcopy(self._network).eval()
        self._step = 0
        self._rate = training.optimizer_params.learning_rate
        self._optimizer = torch.optim.AdamW(self._network.parameters(), self._rate, weight_decay=0.01)

    @property
    def batch_size(self) -> int:
        """Number of views in a batch."""
        return self._config.training.train_batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return self._steps

    def step(self, progress: float, warm: float) -> float:
        """Train on one batch, and return its loss.

        Args:
            progress: How far the training is, from 0 to 1, which decides the learning rate.
            warm: Share of the training in which the learning rate rises.
        """
        factor, momentum = one_cycle(progress, warm)
        for group in self._optimizer.param_groups:
            group["lr"], group["betas"] = factor * self._rate, (momentum, group["betas"][1])
        self._network.train()
        return self._train_on(*self._batch())

    def held_out_px(self) -> float:
        """Return the mean error (frame pixels) of the averaged network on the held-out frames; NaN without any."""
        return self._held_out.mean_error_px(self.average) if self._held_out else float("nan")

    def choose_precision(self) -> tuple[Device, float]:
        """Compute in the faster precision from now on. Nothing else changes.

        Returns:
            The device with its precision, and the time of a batch (s).
        """
        before = copy.deepcopy(self.state())

        def step(device: Device) -> None:
            self._device = device
            self.step(progress=0.0, warm=1.0)

        self._device, seconds = faster_precision(self._device, step)
        self.restore(before)
        return self._device, seconds

    def state(self) -> dict[str, Any]:
        """Return all that a training needs to go on: weights, optimizer and random numbers."""
        return {
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step,
            "numpy": self._rng.bit_generator.state,
            "torch": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self._network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step = state["step"]
        self._rng.bit_generator.state = state["numpy"]
        torch.set_rng_state(state["torch"].cpu())

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        count = self.batch_size
        synthetic = self._rng.random(count) < self._config.cropzoom.arena_share
        labelled = self._rng.integers(0, max(1, self._read_data), count)
        arena = self._read_data + self._rng.integers(0, max(1, self._arena), count)
        pictures, xy, absent = batch([self._views.draw(int(i)) for i in np.where(synthetic, arena, labelled)])
        where = self._device.name
        return normalised(pictures.to(where)), xy.to(where), absent.to(where)

    def _train_on(self, images: Tensor, xy: Tensor, absent: Tensor) -> float:
        ours = self._config.cropzoom
        with torch.autocast(self._device.name, torch.bfloat16, enabled=self._device.bfloat16 or ours.bfloat16):
            logits = self._network(images)
        loss = heatmap_loss(logits.float(), xy, self._config.size, ours.sigma, absent)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self._update_average()
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average towards the network, faster at first, so that the initial weights lose their influence."""
        self._step += 1
        decay = min(self._config.cropzoom.ema_decay, (1 + self._step) / (10 + self._step))
        now = self._network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(now[name], 1 - decay)


def heatmap_loss(
    logits: Tensor, xy_model: Tensor, size: tuple[int, int], sigma: float, absent: Tensor | None = None
) -> Tensor:
    """Return the mean Kullback-Leibler divergence of the heatmaps from their targets.

    Args:
        logits: (N, K, h, w).
        xy_model: (N, K, 2) labels in model space. A keypoint of NaN does not count, unless it is absent.
        size: (W, H) of the model input (pixels).
        sigma: Standard deviation of the targets (cells).
        absent: (N, K) bool, keypoints that the picture does not show: the target is a flat heatmap. None for none.
    """
    labelled = ~torch.isnan(xy_model).any(dim=2)
    aims = targets(xy_model[labelled][None], size, sigma)[0].flatten(1)
    each = functional.log_softmax(logits[labelled].flatten(1), dim=1)
    total = functional.kl_div(each, aims, reduction="sum")
    count = labelled.sum()
    if absent is not None and absent.any():
        flat = functional.log_softmax(logits[absent].flatten(1), dim=1)
        total = total + functional.kl_div(flat, torch.full_like(flat, 1 / flat.shape[1]), reduction="sum")
        count = count + absent.sum()
    return total / count.clamp(min=1)


class _HeldOut:
    """The held-out frames as model inputs, cropped to the boxes of their labels."""

    def __init__(self, frames: Sequence[LabelledFrame], config: TrainConfig, device: Device) -> None:
        self._frames, self._size = frames, config.size
        crop_size = config.cropzoom.crop_size
        self._boxes = [labelled_box(f.xy, crop_size) if crop_size else whole_image(f.image) for f in frames]
        inputs = np.zeros((len(frames), 3, config.size[1], config.size[0]), np.float32)
        for frame, box, out in zip(frames, self._boxes, inputs, strict=True):
            fill_input(cut(frame.image, box, "pad")[0], out, "fast", values_of(IMAGENET))
        self._inputs = torch.from_numpy(inputs).to(device.name)

    def mean_error_px(self, network: nn.Module) -> float:
        with torch.no_grad():
            heatmaps = [
                normalised_heatmaps(network(few)).cpu().numpy() for few in torch.split(self._inputs, _FEW_FRAMES)
            ]
        errors = [
            np.linalg.norm(
                View.of(box, self._size).to_frame(decode(maps, DOWNSAMPLE_FACTOR, "fast").xy) - frame.xy, axis=1
            )
            for maps, box, frame in zip(np.concatenate(heatmaps), self._boxes, self._frames, strict=True)
        ]
        return float(np.nanmean(errors))

"""Network: a small U-shaped convolutional network, from an image to heatmaps at a quarter of its size.

It has plain 3×3 convolutions, few channels in large maps, and ReLU. Of the designs with its accuracy, this one is
the fastest on one CPU core with ONNX Runtime. Depthwise convolutions need fewer multiplications, but more time
for memory access.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

BACKBONE = "cropzoom_small"
"""Name of the network in configurations and files."""
STRIDE = 4
"""Side of a heatmap cell (model pixels)."""
GRID = 32
"""Stride of the coarsest map (model pixels). Height and width of the input must be multiples of it."""
DOWNSAMPLE_FACTOR: Final = 2
"""Number of doublings from the heatmap to model space, named as in Lightning Pose."""


class ConvNorm(nn.Module):
    """A convolution with batch normalisation and, by default, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, relu: bool = True) -> None:
        """Create the layers."""
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(channels_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(norm(conv(x))), or norm(conv(x)) without ReLU."""
        x = self.norm(self.conv(x))
        return functional.relu(x) if self.relu else x

    def fuse(self) -> None:
        """Fold the normalisation into the convolution. The network must be in eval mode."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Residual(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        """Create the layers for ``channels`` in and out."""
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(x + second(first(x)))."""
        return functional.relu(x + self.second(self.first(x)))


class CropzoomSmall(nn.Module):
    """Maps (N, 3, H, W) normalised RGB to (N, K, H/4, W/4) logits of the heatmaps.

    The path down goes to stride 32, with one residual block per level. The path up adds the maps of the path down.
    """

    def __init__(self, keypoints: int, widths: Sequence[int] = (16, 32, 64, 96), stem: int = 16) -> None:
        """Create the network.

        Args:
            keypoints: Number of keypoints.
            widths: Number of channels at strides 4, 8, 16 and 32.
            stem: Number of channels at stride 2.
        """
        super().__init__()
        self.widths, self.stem_width = tuple(widths), stem
        self.stem = nn.Sequential(ConvNorm(3, stem, stride=2), ConvNorm(stem, widths[0], stride=2))
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(ConvNorm(a, b, stride=2), Residual(b)) for a, b in steps)
        self.across = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in steps)
        self.up = nn.ModuleList(ConvNorm(a, a) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], keypoints, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits. The softmax over each map is the heatmap."""
        x: Tensor = self.stem(images)
        maps = [x]
        for down in self.down:
            x = down(x)
            maps.append(x)
        for level in reversed(range(len(self.up))):
            coarse = functional.interpolate(self.across[level](x), scale_factor=2.0, mode="nearest")
            x = self.up[level](functional.relu(coarse + maps[level]))
        logits: Tensor = self.head(x)
        return logits

    def fuse(self) -> CropzoomSmall:
        """Fold all normalisations into their convolutions, in place, and return the network."""
        for module in self.eval().modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self


class Heatmaps(nn.Module):
    """The exported network: logits and softmax."""

    def __init__(self, network: nn.Module) -> None:
        """Add the softmax to ``network``."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, K, H/4, W/4) float32 heatmaps, each with sum 1, for a network of any precision."""
        logits: Tensor = self.network(images)
        return normalised_heatmaps(logits.float())


def normalised_heatmaps(logits: Tensor) -> Tensor:
    """Return the softmax over each map of (N, K, h, w) logits."""
    return torch.softmax(logits.flatten(2), dim=2).reshape(logits.shape)


def targets(xy_model: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Return Gaussian heatmaps of keypoints. Cell i is at model pixel 4 · i.

    Source: Lightning Pose, ``data/heatmaps.py``, ``generate_heatmaps``.

    Args:
        xy_model: (N, K, 2) keypoints in model space.
        size: (W, H) of the model input (pixels).
        sigma: Standard deviation (cells).

    Returns:
        (N, K, H/4, W/4), each with sum 1; a keypoint of NaN gives a map of NaN.
    """
    width, height = size[0] // STRIDE, size[1] // STRIDE
    cells = xy_model.unsqueeze(-1) / STRIDE
    x, y = (torch.arange(side, device=xy_model.device) for side in (width, height))
    across = torch.softmax(-((x - cells[:, :, 0]) ** 2) / (2 * sigma**2), dim=-1)
    along = torch.softmax(-((y - cells[:, :, 1]) ** 2) / (2 * sigma**2), dim=-1)
    return along.unsqueeze(-1) * across.unsqueeze(-2)

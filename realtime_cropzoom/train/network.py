"""The network: a small U-shaped convolutional network from image to heatmaps at a quarter of its size.

Plain 3×3 convolutions, few channels where the maps are large, ReLU: what ONNX Runtime
runs fastest on one CPU core for its accuracy. Depthwise convolutions have fewer
multiplications but wait for memory.
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
"""Its name in configurations and files."""
STRIDE = 4
"""Model pixels a heatmap cell."""
GRID = 32
"""Height and width of the input are multiples of it: the coarsest map has that stride."""
DOWNSAMPLE_FACTOR: Final = 2
"""Doublings from heatmap to model space, the name Lightning Pose gives it."""


class ConvNorm(nn.Module):
    """A convolution with batch normalisation, and ReLU unless told otherwise."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, relu: bool = True) -> None:
        """Make both for ``channels_in`` → ``channels_out`` channels."""
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(channels_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, rectify."""
        x = self.norm(self.conv(x))
        return functional.relu(x) if self.relu else x

    def fuse(self) -> None:
        """Fold the normalisation into the convolution; for a network in eval mode."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        """Make both for ``channels`` in and out."""
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions make of ``x`` to ``x``."""
        return functional.relu(x + self.second(self.first(x)))


class CropzoomSmall(nn.Module):
    """(N, 3, H, W) normalised RGB → (N, K, H/4, W/4) logits of the heatmaps.

    Down to stride 32 with one residual block a level, and up again, adding the maps
    of the way down.
    """

    def __init__(self, keypoints: int, widths: Sequence[int] = (16, 32, 64, 96), stem: int = 16) -> None:
        """Make the network for that many keypoints; ``widths`` are the channels at strides 4, 8, 16, 32."""
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, stem, stride=2), ConvNorm(stem, widths[0], stride=2))
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(ConvNorm(a, b, stride=2), Residual(b)) for a, b in steps)
        self.across = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in steps)
        self.up = nn.ModuleList(ConvNorm(a, a) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], keypoints, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; their softmax over a map is the heatmap."""
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
        """Fold every normalisation into its convolution, in place, for export."""
        for module in self.eval().modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self


class Heatmaps(nn.Module):
    """A network with the softmax that makes heatmaps of its logits: what is exported."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap ``network``."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, K, H/4, W/4) heatmaps, each summing to 1; float32 also of a network in half precision."""
        logits: Tensor = self.network(images)
        return normalised_heatmaps(logits.float())


def normalised_heatmaps(logits: Tensor) -> Tensor:
    """Softmax over each map."""
    return torch.softmax(logits.flatten(2), dim=2).reshape(logits.shape)


def targets(xy_model: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Gaussian heatmaps of keypoints in model space.

    ``xy_model`` (N, K, 2), ``size`` (W, H) of the model's input, ``sigma`` in cells. Cell i
    lies at model pixel 4·i. Returns (N, K, H/4, W/4), each summing to 1; a keypoint that is
    NaN gives a map of NaN. Source: Lightning Pose, ``data/heatmaps.py``, ``generate_heatmaps``.
    """
    width, height = size[0] // STRIDE, size[1] // STRIDE
    cells = xy_model.unsqueeze(-1) / STRIDE
    across = torch.softmax(-((torch.arange(width) - cells[:, :, 0]) ** 2) / (2 * sigma**2), dim=-1)
    along = torch.softmax(-((torch.arange(height) - cells[:, :, 1]) ** 2) / (2 * sigma**2), dim=-1)
    return along.unsqueeze(-1) * across.unsqueeze(-2)

"""The order of the channels: gray animals hide a wrong one, so these networks answer with the colour that they see."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from support.linear_network import linear_network

from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.manifest import Affine, Channels, Geometry, Input, Letterbox, Manifest, Rows, Stretch
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Box, UInt8

RED, GREEN, BLUE = 200, 120, 40
SIDE = 256
NAMES = ("first", "second", "third")


def coloured() -> UInt8:
    frame = np.empty((SIDE, SIDE, 3), np.uint8)
    frame[:] = RED, GREEN, BLUE
    return frame


def says_the_means(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a raw row whose keypoint c lies at x = mean of channel c · 255."""
    weights, bias = np.zeros((channels, 5 + 3 * channels, 1)), np.zeros((5 + 3 * channels, 1))
    bias[:5, 0] = 128, 128, 50, 50, 0.9
    for channel in range(channels):
        weights[channel, 5 + 3 * channel] = 255
    return weights, bias


def seen(path: Path, names: tuple[str, ...] = ()) -> np.ndarray:
    """x of each keypoint: what the network saw in each channel."""
    model = Model(path, settings=Settings(names))
    return model.predict_still(coloured(), Box(0, 0, SIDE, SIDE)).xy[:, 0]


@pytest.mark.parametrize("geometry", [Letterbox(), Stretch("uint8"), Stretch(), Affine(1.0)], ids=repr)
@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ("rgb", [RED, GREEN, BLUE]),
        ("bgr", [BLUE, GREEN, RED]),
        ("gray", [0.2989 * RED + 0.587 * GREEN + 0.114 * BLUE]),
    ],
)
def test_a_network_sees_the_channels_in_the_order_of_its_manifest(
    channels: Channels, expected: list[float], geometry: Geometry, tmp_path: Path
) -> None:
    count = len(expected)
    manifest = Manifest("somebody", NAMES[:count], Input((SIDE, SIDE), channels), geometry, Rows())
    path = tmp_path / "colour.onnx"
    onnx.save(linear_network((SIDE, SIDE), {"rows": says_the_means(count)}), path)
    path.with_suffix(".json").write_bytes(msgspec.json.encode(manifest))
    np.testing.assert_allclose(seen(path), expected, atol=0.5)


def test_yolo_sees_rgb(tmp_path: Path) -> None:
    path = tmp_path / "yolo.onnx"
    said = {"task": "pose", "stride": "32", "imgsz": "[256, 256]", "names": "{0: 'mouse'}", "kpt_shape": "[3, 3]"}
    onnx.save(linear_network((SIDE, SIDE), {"output0": says_the_means(3)}, metadata=said), path)
    np.testing.assert_allclose(seen(path, NAMES), [RED, GREEN, BLUE], atol=0.5)


def test_rtmpose_sees_bgr_and_takes_off_the_means_of_rgb(tmp_path: Path) -> None:
    """Bin 2 · c stands out by what the network sees in channel c, bin 1 by one."""
    weights, bias = np.zeros((3, 3, 2 * SIDE)), np.zeros((3, 2 * SIDE))
    bias[:, 1] = 1.0
    for channel in range(3):
        weights[channel, channel, 2 * channel] = 1.0
    path = tmp_path / "rtmpose.onnx"
    onnx.save(linear_network((SIDE, SIDE), {"simcc_x": (weights, bias), "simcc_y": (weights, bias)}), path)
    model = Model(path, settings=Settings(NAMES))
    values = (BLUE - 123.675) / 58.395, (GREEN - 116.28) / 57.12, (RED - 103.53) / 57.375
    found = model.predict_still(coloured(), Box(32, 32, 192, 192))  # and a quarter of it around
    assert found.likelihood == pytest.approx([max(1.0, value) for value in values], abs=0.05)
    assert [round(2 * x / 240 * SIDE) for x in found.xy[:, 0] - 8] == [1, 1, 4]

"""What the tests share: the golden data, tiny real models, and videos whose pixels say which frame they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from realtime_cropzoom.types import UInt8

_DATA = Path(__file__).parents[2] / "shared" / "data"

SHIFTS = {"middle": (0, 0), "right": (1, 0), "left": (-1, 0), "low": (0, 1), "high": (0, -1)}
"""Where the tiny models see each keypoint: so many cells (of 4 px) beside the middle of the bright blob."""


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_the_environment() -> Iterator[None]:
    """What the developer has exported for the command line must not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CROPZOOM_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the open-field recording and the files Lightning Pose made of it."""
    if not _DATA.is_dir():
        pytest.skip(f"the golden data is not at {_DATA}")
    return _DATA


@pytest.fixture(scope="session")
def litpose(shared_data: Path) -> Path:
    """The folder with Lightning Pose's model directories and predictions."""
    return shared_data / "litpose" / "openfield"


# -- models ----------------------------------------------------------------------------------------


def onnx_model(
    size: tuple[int, int] = (64, 64),
    keypoints: Sequence[str] = ("middle", "right", "low"),
    *,
    levels: int = 2,
    input_shape: Sequence[int | str] | None = None,
    input_type: int = TensorProto.FLOAT,
    poison: float = 1.0,
    metadata: dict[str, object] | None = None,
) -> onnx.ModelProto:
    """A heatmap network without learned weights that finds the brightest spot of an image.

    Gray → mean over 8×8 px every 4 px (for ``levels`` 2) → one map a keypoint, shifted as
    ``SHIFTS`` says → softmax over each map. ``poison`` multiplies the image: NaN spoils all maps.
    """
    scale = 1 << levels
    width, height = size
    cells = (len(keypoints), height // scale, width // scale)
    kernels = np.zeros((len(keypoints), 1, 3, 3), np.float32)
    for k, name in enumerate(keypoints):
        dx, dy = SHIFTS.get(name, (0, 0))
        kernels[k, 0, 1 - dy, 1 - dx] = 12.0
    constants = {
        "gray": np.full((1, 3, 1, 1), poison / 3, np.float32),
        "shifts": kernels,
        "rows": np.array([1, cells[0], -1], np.int64),
        "maps": np.array([1, *cells], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "gray"], ["brightness"]),
        helper.make_node(
            "AveragePool", ["brightness"], ["pooled"], kernel_shape=[2 * scale] * 2, strides=[scale] * 2,
            pads=[scale // 2] * 4, count_include_pad=0,
        ),
        helper.make_node("Conv", ["pooled", "shifts"], ["shifted"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["shifted", "rows"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["normalised"], axis=-1),
        helper.make_node("Reshape", ["normalised", "maps"], ["heatmaps"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "brightest",
        [helper.make_tensor_value_info("images", input_type, input_shape or (1, 3, height, width))],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, (1, *cells))],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in (metadata or {}).items()})
    return model


@pytest.fixture
def make_onnx() -> Callable[..., onnx.ModelProto]:
    """The bare network, see ``onnx_model``, for tests that spoil it before they save it."""
    return onnx_model


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny model with our metadata, ready for ``--detector`` or ``--pose``, and return its path.

    ``described`` overrides entries of the metadata; everything else goes to ``onnx_model``.
    """

    def make(
        role: str = "pose",
        keypoints: Sequence[str] = ("middle", "right", "low"),
        *,
        name: str | None = None,
        described: dict[str, object] | None = None,
        levels: int = 2,
        **options: object,
    ) -> Path:
        metadata = {
            "kind": "heatmap",
            "role": role,
            "keypoint_names": list(keypoints),
            "downsample_factor": levels,
            **(described or {}),
        }
        path = tmp_path / (name or f"{role}.onnx")
        onnx.save(onnx_model(keypoints=keypoints, levels=levels, metadata={"cropzoom": metadata}, **options), path)
        return path

    return make


@pytest.fixture
def make_litpose_directory(tmp_path: Path) -> Callable[..., Path]:
    """Write a Lightning Pose model directory around a tiny model; without ``exports`` nobody has exported it yet."""

    def make(
        name: str = "model",
        *,
        exports: Sequence[str] = ("epoch=1-step=2_fp32",),
        size: tuple[int, int] = (64, 64),
        keypoints: Sequence[str] = ("middle", "right", "low"),
        model_type: str = "heatmap",
    ) -> Path:
        directory = tmp_path / name
        (directory / "exports_onnx").mkdir(parents=True)
        config = {
            "data": {
                "image_resize_dims": {"height": size[1], "width": size[0]},
                "keypoint_names": list(keypoints),
            },
            "model": {"model_type": model_type},
        }
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        for when, stem in enumerate(exports):
            path = directory / "exports_onnx" / f"{stem}.onnx"
            onnx.save(onnx_model(keypoints=keypoints), path)
            os.utime(path, (when, when))  # later ones in the list are newer
        return directory

    return make


# -- videos ----------------------------------------------------------------------------------------


class Footage:
    """Draws frames, writes them as videos, and reads back which frame an image is.

    Along the top edge ten blocks spell the frame's index in binary, dark for 0 and gray for 1, so
    that no lossy codec loses it; below, a white blob moves on a gray floor.
    """

    BITS = 10
    _DARK, _FLOOR, _GRAY = 30, 60, 110
    _THRESHOLD = 70

    def __init__(self, size: tuple[int, int] = (160, 96)) -> None:
        self.size = size
        self._strip = max(8, size[1] // 6)

    def blob_at(self, index: int) -> tuple[float, float]:
        """Where the middle of the blob is in a frame, in pixels: a slow path that stays inside."""
        width, height = self.size
        across, down = width * (0.5 + 0.3 * np.sin(index / 17)), height * (0.6 + 0.15 * np.cos(index / 11))
        return float(across), float(down)

    def draw(self, index: int) -> UInt8:
        """Return frame ``index``, (H, W, 3) RGB."""
        width, height = self.size
        y, x = np.mgrid[:height, :width]
        across, down = self.blob_at(index)
        blob = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * 5.0**2))
        image = self._FLOOR + (255 - self._FLOOR) * blob
        for bit in range(self.BITS):
            value = self._GRAY if index >> bit & 1 else self._DARK
            image[: self._strip, width * bit // self.BITS : width * (bit + 1) // self.BITS] = value
        return np.repeat(image[..., None].round().astype(np.uint8), 3, axis=2)

    def index_of(self, image: np.ndarray) -> int:
        """Return the index that the blocks of an image spell."""
        width = image.shape[1]
        row = image[self._strip // 2].reshape(width, -1).mean(axis=1)
        middles = [width * (2 * bit + 1) // (2 * self.BITS) for bit in range(self.BITS)]
        return sum(int(row[middle] > self._THRESHOLD) << bit for bit, middle in enumerate(middles))

    def write(
        self,
        path: Path,
        frames: int = 20,
        *,
        codec: str = "mpeg4",
        pix_fmt: str = "yuv420p",
        fps: int = 30,
        times_ms: Sequence[int] | None = None,
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        """Write a video; with ``times_ms`` its frames have those times instead of a constant rate."""
        base = Fraction(1, 1000) if times_ms is not None else Fraction(1, fps)
        with av.open(str(path), "w", options=container_options or {}) as container:
            stream = container.add_stream(codec, rate=1000 if times_ms is not None else fps, options=options or {})
            stream.width, stream.height = self.size
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = base
            for index in range(len(times_ms) if times_ms is not None else frames):
                frame = av.VideoFrame.from_ndarray(self.draw(index), format="rgb24")
                frame.time_base = base
                frame.pts = index if times_ms is None else times_ms[index]
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path


@pytest.fixture
def footage() -> Footage:
    """Videos of the usual small size."""
    return Footage()


@pytest.fixture
def make_footage() -> Callable[..., Footage]:
    """Videos of another size: ``make_footage((320, 240))``."""
    return Footage


@pytest.fixture
def make_video(tmp_path: Path, footage: Footage) -> Callable[..., Path]:
    """Write a small video into the test's folder: ``make_video("clip.mp4", frames=20, codec="libx264")``."""

    def make(name: str = "clip.mp4", frames: int = 20, **options: object) -> Path:
        return footage.write(tmp_path / name, frames, **options)

    return make

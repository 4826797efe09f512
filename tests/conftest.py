"""What the tests share: the golden data, tiny real models, and videos whose pixels say which frame they are."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from suite import (  # noqa: F401, which are hooks
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_xdist_make_scheduler,
)

from realtime_cropzoom.types import UInt8

_DATA = Path(__file__).parents[2] / "shared" / "data"

SHIFTS = {"middle": (0, 0), "right": (1, 0), "left": (-1, 0), "low": (0, 1), "high": (0, -1)}
"""Where the tiny models see each keypoint: so many cells (of 4 px) beside the middle of the bright blob."""

SEES = {"before 2": 0, "before 1": 1, "middle": 2, "after 1": 3, "after 2": 4}
"""Which of its five frames a tiny context model looks at for each keypoint; any other: the middle one."""

ALONE = "alone"
"""The keypoint of which a tiny context model is sure from the middle frame alone; of the others, from the five."""


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_the_environment() -> Iterator[None]:
    """What the developer has exported for the command line must not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CROPZOOM_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """Every process of a test inherits what is ignored: SIGINT in a shell's background, SIGHUP under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


class _NoCollector:
    """What a run asks of the garbage collector, left undone.

    To look through all that the tests have imported takes longer than many a run does.
    """

    collect = freeze = unfreeze = get_freeze_count = staticmethod(lambda: 0)


@pytest.fixture(autouse=True, scope="session")
def _runs_collect_no_garbage() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime_cropzoom.runtime.tuning.gc", _NoCollector)
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
    kind: str = "heatmap",
    levels: int = 2,
    input_shape: Sequence[int | str] | None = None,
    input_type: int = TensorProto.FLOAT,
    poison: float = 1.0,
    metadata: dict[str, object] | None = None,
) -> onnx.ModelProto:
    """A network without learned weights, of any kind, that finds the brightest spot of an image.

    Gray → mean over 8×8 px every 4 px (for ``levels`` 2) → one map a keypoint, shifted as
    ``SHIFTS`` says → softmax over each map. A regression model gives the mean position under each
    map. A context model looks for each keypoint in the frame that ``SEES`` names. ``poison``
    multiplies the image: NaN spoils all maps.
    """
    width, height = size
    frames = (5,) if kind == "heatmap_mhcrnn" else ()
    cells = (height >> levels, width >> levels)
    network = _Network(levels, cells)
    network.constant("gray", np.full((1, 3, 1, 1), poison / 3, np.float32))
    pooled = network.pool("images", frames)
    if kind == "regression":
        outputs = {"heatmaps": network.positions(network.maps(pooled, _kernels(keypoints)))}
        shape: tuple[int, ...] = (2 * len(keypoints),)
    else:
        shape = (len(keypoints), *cells)
        outputs = {"heatmaps": network.maps(pooled, _kernels(keypoints, frames, sure_of=(ALONE,)))}
        if frames:
            sure_of = [name for name in keypoints if name != ALONE]
            outputs["heatmaps_mf"] = network.maps(pooled, _kernels(keypoints, frames, sure_of=sure_of))
    for name, value in outputs.items():
        network.node("Cast", [value], name, to=input_type if input_type == TensorProto.FLOAT16 else TensorProto.FLOAT)
    taken = input_shape or (1, *frames, 3, height, width)
    graph = helper.make_graph(
        network.nodes,
        "brightest",
        [helper.make_tensor_value_info("images", input_type, taken)],
        [helper.make_tensor_value_info(name, network.nodes[-1].attribute[0].i, (taken[0], *shape)) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in network.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in (metadata or {}).items()})
    return model


def _kernels(keypoints: Sequence[str], frames: tuple[int, ...] = (), sure_of: Sequence[str] = ()) -> np.ndarray:
    """(K, frames, 3, 3): where each keypoint is seen, and in which frame; without a kernel its map is flat."""
    kernels = np.zeros((len(keypoints), *(frames or (1,)), 3, 3), np.float32)
    for k, name in enumerate(keypoints):
        dx, dy = SHIFTS.get(name, (0, 0))
        if not frames or name in sure_of:
            kernels[k, SEES.get(name, 2) if frames else 0, 1 - dy, 1 - dx] = 12.0
    return kernels


class _Network:
    """The nodes of a tiny model, as they are added."""

    def __init__(self, levels: int, cells: tuple[int, int]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._scale, self._cells = 1 << levels, cells

    def node(self, kind: str, inputs: Sequence[str], output: str | None = None, **options: object) -> str:
        output = output or f"{kind} {len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants[name] = values
        return name

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.node("Reshape", [value, self.constant(f"shape {len(self.nodes)}", np.array(shape, np.int64))])

    def pool(self, images: str, frames: tuple[int, ...]) -> str:
        """(N, frames, h, w): how bright each cell is, in a window of two by two cells around it."""
        value = self.node("Cast", [images], to=TensorProto.FLOAT)
        if frames:
            height, width = (cells * self._scale for cells in self._cells)
            value = self.reshape(value, (-1, 3, height, width))
        value = self.node("Conv", [value, "gray"])
        value = self.node(
            "AveragePool", [value], kernel_shape=[2 * self._scale] * 2, strides=[self._scale] * 2,
            pads=[self._scale // 2] * 4, count_include_pad=0,
        )  # fmt: skip
        return self.reshape(value, (-1, *frames, *self._cells)) if frames else value

    def maps(self, pooled: str, kernels: np.ndarray) -> str:
        """(N, K, h, w), each map summing to 1."""
        shifts = self.constant(f"shifts {len(self.nodes)}", kernels)
        value = self.node("Conv", [pooled, shifts], pads=[1, 1, 1, 1])
        value = self.node("Softmax", [self.reshape(value, (0, 0, -1))], axis=-1)
        return self.reshape(value, (0, 0, *self._cells))

    def positions(self, maps: str) -> str:
        """(N, 2K): the mean position under each map, in model pixels."""
        rows, cols = np.indices(self._cells).reshape(2, -1)
        where = (np.stack([cols, rows], axis=1) + 0.5) * self._scale - 0.5
        value = self.node("MatMul", [self.reshape(maps, (0, 0, -1)), self.constant("where", where.astype(np.float32))])
        return self.reshape(value, (0, -1))


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
        kind: str = "heatmap",
        levels: int = 2,
        **options: object,
    ) -> Path:
        metadata = {
            "kind": kind,
            "role": role,
            "keypoint_names": list(keypoints),
            "downsample_factor": levels,
            **(described or {}),
        }
        path = tmp_path / (name or f"{role}.onnx")
        model = onnx_model(keypoints=keypoints, kind=kind, levels=levels, metadata={"cropzoom": metadata}, **options)
        onnx.save(model, path)
        return path

    return make


@pytest.fixture
def make_litpose_directory(tmp_path: Path) -> Callable[..., Path]:
    """Write a Lightning Pose model directory around a tiny model; without ``exports`` nobody has exported it yet.

    ``network`` goes to ``onnx_model``; all else is what the config says, true or not.
    """

    def make(
        name: str = "model",
        *,
        exports: Sequence[str] = ("epoch=1-step=2_fp32",),
        size: tuple[int, int] = (64, 64),
        keypoints: Sequence[str] = ("middle", "right", "low"),
        model_type: str = "heatmap",
        levels: int = 2,
        network: dict[str, object] | None = None,
    ) -> Path:
        directory = tmp_path / name
        (directory / "exports_onnx").mkdir(parents=True)
        config = {
            "data": {
                "image_resize_dims": {"height": size[1], "width": size[0]},
                "keypoint_names": list(keypoints),
                "downsample_factor": levels,
            },
            "model": {"model_type": model_type},
        }
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        for when, stem in enumerate(exports):
            path = directory / "exports_onnx" / f"{stem}.onnx"
            onnx.save(onnx_model(keypoints=keypoints, **(network or {})), path)
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

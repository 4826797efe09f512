"""A network with bound buffers, as on a GPU: the same graph and the same code, run by the CPU."""

from __future__ import annotations

import ctypes
import gc
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from support.gpu_stubs import CUDA_RUNTIME, LIKE_A_GPU, compiled
from support.places import SHARED_DATA

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference import gpu_loading, providers
from realtime_cropzoom.inference.bound_network import BoundNetwork, _Device
from realtime_cropzoom.inference.device_memory import CudaMemory, CudaRuntime, HostMemory
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.inference.normalise import IMAGENET
from realtime_cropzoom.inference.onnx_file import NetworkFile
from realtime_cropzoom.types import Box, Keypoints

Make = Callable[..., Path]
LITPOSE = SHARED_DATA / "litpose" / "openfield"
BOXES = [Box(200, 120, 240, 240), Box(-30, 300, 240, 240), Box(150, 100, 317, 251), Box(40, 30, 64, 64)]


@pytest.fixture
def like_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    """Load a model as for a GPU."""

    def load(*args: object, **options: object) -> Model:
        with monkeypatch.context() as patch:
            patch.setitem(providers.TARGETS, "cpu", LIKE_A_GPU)
            return Model(*args, **options)  # type: ignore[arg-type]

    return load


def scene(seed: int = 0) -> np.ndarray:
    """A frame of soft blobs: what a network sees in it changes little if a pixel does."""
    rows, cols = np.mgrid[0:480, 0:640]
    image = np.zeros((480, 640), np.float64)
    for x, y, radius, height in np.random.default_rng(seed).uniform((0, 0, 8, 40), (640, 480, 60, 160), (30, 4)):
        image += height * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def look(model: Model, image: np.ndarray, box: Box, model_input: np.ndarray | None = None) -> Keypoints:
    model_input = model.new_input() if model_input is None else model_input
    used = model.prepare(image, box, "pad", model_input)
    return model.decode(model.infer(*[model_input] * (2 * model.context_radius + 1)), used)


@pytest.mark.parametrize("method", ["reference", "fast"])
@pytest.mark.parametrize("which", ["shipped", "litpose"])
def test_the_keypoints_are_those_of_the_cpu(which: str, method: str, like_a_gpu: Callable[..., Model]) -> None:
    path = shipped_model("pose") if which == "shipped" else LITPOSE / "pose_0"
    if not path.exists():
        pytest.skip(f"no golden data at {path}")
    expected, bound = Model(path, "pose", method=method), like_a_gpu(path, "pose", method=method)  # type: ignore[arg-type]
    assert bound.session.takes_image
    assert bound.size == expected.size
    model_input = bound.new_input()
    for box in BOXES:
        one, other = look(expected, scene(), box), look(bound, scene(), box, model_input)
        assert np.abs(one.xy - other.xy).max() < 0.001 * max(box.w, box.h) / min(expected.size)
        assert np.abs(one.likelihood - other.likelihood).max() < 1e-4


def test_labelled_images_are_resized_as_in_training(make_model: Make, like_a_gpu: Callable[..., Model]) -> None:
    path = make_model("pose", ["middle"])
    found = []
    for model in (Model(path, "pose"), like_a_gpu(path, "pose")):
        model_input = model.new_input()
        used = model.prepare(scene(), Box(200, 120, 150, 90), "pad", model_input, "cubic")
        found.append(model.decode(model.infer(model_input), used).xy)
    np.testing.assert_allclose(found[0], found[1], atol=0.001)


@pytest.mark.parametrize("number", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("kind", ["heatmap", "regression", "heatmap_mhcrnn"])
def test_every_kind_of_model_runs(kind: str, number: int, make_model: Make, like_a_gpu: Callable[..., Model]) -> None:
    shape = ("N", *((5,) if kind == "heatmap_mhcrnn" else ()), 3, 64, 64)
    path = make_model(kind=kind, input_shape=shape, input_type=number)
    expected, bound = Model(path, "pose"), like_a_gpu(path, "pose")
    assert bound.session.takes_image == (kind != "heatmap_mhcrnn")  # five frames are prepared on the CPU
    assert bound.session.batch == 1
    one, other = (look(model, scene(), Box(200, 120, 100, 80)) for model in (expected, bound))
    np.testing.assert_allclose(one.xy, other.xy, atol=0.001 if number == TensorProto.FLOAT else 0.1)
    outputs = bound.infer(*[bound.new_input()] * (2 * bound.context_radius + 1))
    assert {output.dtype for output in outputs} == {np.dtype(np.float32)}


def test_frames_in_one_go_keep_their_own_outputs(make_model: Make, like_a_gpu: Callable[..., Model]) -> None:
    model = like_a_gpu(make_model("pose", ["middle"]), "pose")
    inputs = [model.new_input() for _ in range(3)]
    for seed, model_input in enumerate(inputs):
        model.prepare(scene(seed), Box(200, 120, 90, 90), "pad", model_input)
    together = model.infer_many([[model_input] for model_input in inputs])
    for outputs, model_input in zip(together, inputs, strict=True):
        np.testing.assert_array_equal(outputs[0], model.infer(model_input)[0])
    assert not np.array_equal(together[0][0], together[1][0])


def test_boxes_of_changing_size_give_the_numbers_of_each_alone(
    make_model: Make, like_a_gpu: Callable[..., Model]
) -> None:
    path = make_model("pose", ["middle"])
    model = like_a_gpu(path, "pose")
    model_input = model.new_input()
    for side in (64, 70, 80, 90, 100, 110, 64, 120, 70, 64):
        box = Box(200, 120, side, side)
        fresh = like_a_gpu(path, "pose")
        np.testing.assert_array_equal(look(model, scene(), box, model_input).xy, look(fresh, scene(), box).xy)


def test_threads_do_not_disturb_each_other(make_model: Make, like_a_gpu: Callable[..., Model]) -> None:
    model = like_a_gpu(make_model("pose", ["middle"]), "pose")
    scenes = [scene(seed) for seed in range(8)]
    alone = [look(model, image, BOXES[0]).xy for image in scenes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: look(model, image, BOXES[0]).xy, scenes * 10))
    for index, xy in enumerate(together):
        np.testing.assert_array_equal(xy, alone[index % len(alone)])


def test_while_one_thread_has_the_device_alone_no_other_uses_it() -> None:
    device, inside, worst = _Device(), [0, 0], []

    def use(index: int) -> None:
        alone = index % 5 == 0
        with device.alone() if alone else device.shared():
            inside[alone] += 1
            worst.append(inside[1] > 1 or (inside[1] and inside[0]))
            inside[alone] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(500)))
    assert len(worst) == 500
    assert not any(worst)


@pytest.fixture
def echo(tmp_path: Path) -> onnxruntime.InferenceSession:
    """A network that returns its input, of any shape."""
    import onnx
    from onnx import helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["a", "b"]) for name in ("given", "seen")]
    graph = helper.make_graph([helper.make_node("Neg", ["given"], ["seen"])], "echo", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "e.onnx")
    return onnxruntime.InferenceSession(str(tmp_path / "e.onnx"), providers=["CPUExecutionProvider"])


def test_a_frame_allocates_no_output(echo: onnxruntime.InferenceSession) -> None:
    network = BoundNetwork(echo, HostMemory())
    first = network.run(np.full((2, 3), 1, np.float32))[0]
    second = network.run(np.full((2, 3), 2, np.float32))[0]
    assert first is second
    assert second.tolist() == [[-2, -2, -2]] * 2


def test_what_is_on_another_device_is_copied_there_and_back(tmp_path: Path, echo: onnxruntime.InferenceSession) -> None:
    path = compiled(tmp_path, "libcudart.so.13", CUDA_RUNTIME)
    stub = ctypes.CDLL(str(path))
    for runtime in (CudaRuntime(path), None):
        network = BoundNetwork(echo, CudaMemory(runtime, device="cpu"))
        for value in range(3):
            (seen,) = network.run(np.full((2, 3), value, np.float32))
            assert (seen == -value).all()
        assert stub.arrays_locked() == (2 if runtime else 0)
        del network, seen
        gc.collect()
        assert stub.arrays_locked() == 0


def test_memory_that_the_system_does_not_lock_is_used_all_the_same(tmp_path: Path) -> None:
    path = compiled(tmp_path, "libcudart.so.13", CUDA_RUNTIME)
    stub = ctypes.CDLL(str(path))
    stub.refuse()
    array = CudaRuntime(path).pinned((3, 5), np.float16)
    assert array.shape == (3, 5)
    assert stub.error_left() == 0  # else ONNX Runtime would find it and take it for its own


def test_the_cuda_runtime_is_the_one_of_this_process(tmp_path: Path) -> None:
    if CudaRuntime.of_process() is None:
        ctypes.CDLL(str(compiled(tmp_path, "libcudart.so.13", CUDA_RUNTIME)))
    assert CudaRuntime.of_process() is not None


def test_without_a_cuda_graph_it_runs_and_says_so(
    make_model: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[bool] = []

    def open_or_fail(wanted: object, listed: list[bool]) -> object:
        tried.append(listed[0])
        if listed[0]:
            raise RuntimeError("not all nodes can be captured\nmore")
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    path = make_model("pose", ["middle"], input_shape=(1, 3, 64, 64))
    target = providers.TARGETS["cuda"]
    monkeypatch.setattr(gpu_loading, "loaded_libraries", lambda target: providers.loaded_libraries(LIKE_A_GPU))
    monkeypatch.setattr(gpu_loading, "provider_list", lambda target, *, cuda_graph, **_: [cuda_graph])
    monkeypatch.setattr(gpu_loading, "_open", open_or_fail)
    monkeypatch.setattr(gpu_loading, "refuse_replaced", lambda *_: None)
    monkeypatch.setattr(gpu_loading, "placement", lambda session: [])
    monkeypatch.setattr(gpu_loading, "with_image_input", lambda path: None)
    monkeypatch.setattr(gpu_loading, "CudaMemory", lambda runtime: HostMemory())
    network = gpu_loading.load_on_gpu(NetworkFile(path), target, 1)
    assert tried == [True, False]
    assert network.run(np.zeros((1, 3, 64, 64), np.float32))[0].shape == (1, 1, 16, 16)
    assert caplog.record_tuples == [
        (
            "realtime_cropzoom.inference.gpu_loading",
            logging.WARNING,
            f"{path} runs without a CUDA graph, and takes longer: not all nodes can be captured",
        )
    ]


def test_a_model_that_leaves_its_size_open_is_refused_in_words(
    make_model: Make, like_a_gpu: Callable[..., Model]
) -> None:
    with pytest.raises(ModelError, match="leaves its image size open"):
        like_a_gpu(make_model(input_shape=(1, 3, "h", "w"), described={"input": IMAGENET}), "pose")

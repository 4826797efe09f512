"""A provider is used, or refused in one line; it is never replaced in silence."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
from support.gpu_stubs import compiled

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference import providers
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.providers import (
    TARGETS,
    driver_fault,
    placement,
    provider_list,
    refuse_other_operators,
    refuse_replaced,
    resolve_provider,
)

Make = Callable[..., Path]
_SILENCES = ("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS", "TF_BUILD", "PYTEST_CURRENT_TEST")
"""Variables with which ONNX Runtime sends nothing anyway."""
CUDA, TENSORRT, CPU = (TARGETS[name] for name in ("cuda", "tensorrt", "cpu"))


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime as its package for GPUs."""
    names = [target.onnxruntime_name for target in (TENSORRT, CUDA, CPU)]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


def test_auto_prefers_the_gpu_if_its_package_is_installed(with_cuda: None) -> None:
    assert resolve_provider("auto") is CUDA
    assert resolve_provider("cpu") is CPU
    assert resolve_provider("tensorrt") is TENSORRT


@pytest.mark.usefixtures("with_cuda")
def test_a_gpu_without_its_driver_is_refused_in_a_line(make_model: Make) -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("this machine has NVIDIA's driver")
    with pytest.raises(ModelError, match=r"\Aprovider cuda was asked for, but there is no driver of NVIDIA [^\n]+\Z"):
        Model(make_model(), "pose", provider="cuda")


@pytest.mark.usefixtures("with_cuda")
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_int8_is_refused_on_a_gpu(make_model: Make, provider: str) -> None:
    path = make_model()
    quantized = path.with_name("pose_int8.onnx")
    quantized.write_bytes(path.read_bytes())
    for given, precision in ((path, "int8"), (quantized, None)):
        with pytest.raises(ModelError, match=f"int8 exports are for CPUs; with {provider} use fp16"):
            Model(given, "pose", provider=provider, precision=precision)  # type: ignore[arg-type]


def test_libraries_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def preload() -> None:
        print("Failed to load libcublas.so.13: cannot open shared object file\nPlease follow https://…")

    monkeypatch.setattr(providers, "_loads", lambda library: True)
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)  # since 1.21
    with providers.loaded_libraries(CUDA) as missing:
        assert missing == ["libcublas.so.13"]
    with pytest.raises(ModelError, match=r"\Aprovider cuda was asked for, but libcublas\.so\.13 cannot be loaded; "):
        refuse_replaced(CUDA, ["CPUExecutionProvider"], missing)


def test_a_provider_that_was_replaced_is_refused() -> None:
    with pytest.raises(ModelError, match=r"onnxruntime fell back to CPUExecutionProvider; install .*TensorRT, CUDA"):
        refuse_replaced(TENSORRT, ["CPUExecutionProvider"], [])
    refuse_replaced(CUDA, ["CUDAExecutionProvider", "CPUExecutionProvider"], [])


OLD_OR_EMPTY = """
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuInit(unsigned flags) { return INIT; }
"""


@pytest.mark.parametrize(
    ("version", "failed", "says"),
    [
        (12040, 0, r"knows CUDA up to 12\.4, and onnxruntime \S+ needs 13\.0; install a newer driver"),
        (12040, 100, "knows CUDA up to 12"),
        (13010, 100, r"the driver of NVIDIA finds no GPU \(error 100\); nvidia-smi must show one"),
        (13010, 0, None),
        (14000, 0, None),
    ],
)
def test_a_driver_that_is_too_old_or_finds_no_gpu_is_told_apart(
    version: int, failed: int, says: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = str(compiled(tmp_path, "driver.so", OLD_OR_EMPTY, f"-DVERSION={version}", f"-DINIT={failed}"))
    fault = driver_fault("13.0", driver)
    assert (fault is None) if says is None else (fault is not None and re.search(says, fault))
    monkeypatch.setattr(providers, "driver_fault", lambda needed: fault)
    expected = r"onnxruntime fell back to CPU" if says is None else rf"\Aprovider cuda was asked for, but .*{says}"
    with pytest.raises(ModelError, match=expected):
        refuse_replaced(CUDA, ["CPUExecutionProvider"], [])


def test_a_driver_that_is_not_there_has_no_fault() -> None:
    assert driver_fault("13.0", "nowhere.so") is None


def test_onnxruntime_tells_what_runs_where(make_model: Make) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(str(make_model()), options, providers=["CPUExecutionProvider"])
    if not hasattr(session, "get_provider_graph_assignment_info"):
        pytest.skip("this onnxruntime does not tell")
    placed = placement(session)
    assert {provider for provider, _ in placed} == {"CPUExecutionProvider"}
    assert "Softmax" in {kind for _, kind in placed}


def test_operators_that_the_cpu_runs_are_named(caplog: pytest.LogCaptureFixture) -> None:
    on_gpu, on_cpu = ("CUDAExecutionProvider", "Conv"), ("CPUExecutionProvider", "NonZero")
    refuse_other_operators(Path("a.onnx"), CUDA, [on_gpu, on_gpu])
    refuse_other_operators(Path("a.onnx"), CPU, [on_cpu])
    assert not caplog.messages
    refuse_other_operators(Path("a.onnx"), CUDA, [on_gpu, on_cpu, on_cpu])
    (line,) = caplog.messages
    assert line.startswith("a.onnx: the CPU runs 2 of its 3 operators (NonZero), because cuda cannot")
    with pytest.raises(ModelError, match=r"a\.onnx: cuda can run none of its operators"):
        refuse_other_operators(Path("a.onnx"), CUDA, [on_cpu, on_cpu])


def test_the_options_keep_the_numbers_the_same_at_each_start(tmp_path: Path) -> None:
    ((name, cuda),) = provider_list(CUDA, cuda_graph=True)
    assert name == "CUDAExecutionProvider"
    assert cuda["enable_cuda_graph"] == "1"
    assert cuda["cudnn_conv_algo_search"] == "HEURISTIC"
    assert cuda["use_tf32"] == "0"
    (name, options), (_, beside) = provider_list(TENSORRT, cuda_graph=True, engines=tmp_path, fp16=True)
    assert name == "TensorrtExecutionProvider"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_fp16_enable"] == options["trt_cuda_graph_enable"] == "1"
    assert beside["enable_cuda_graph"] == "0"
    assert provider_list(CPU) == ["CPUExecutionProvider"]


@pytest.mark.skipif(sys.platform == "win32", reason="ONNX Runtime keeps no file there")
def test_nothing_is_sent_to_the_maker_of_onnx_runtime(tmp_path: Path, make_model: Make) -> None:
    """Where version 1.29 or a later one sends something, it begins with a file that names the machine."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in _SILENCES}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    code = "import sys, pathlib; from realtime_cropzoom.inference.model import Model; Model(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(make_model())], env=environment, check=True)
    assert not list(home.rglob("deviceid"))

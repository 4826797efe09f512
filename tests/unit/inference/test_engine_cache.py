"""An engine of TensorRT is loaded for its own model, GPU and versions only."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.gpu_stubs import DRIVER, TENSORRT, compiled

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference import engine_cache
from realtime_cropzoom.inference.engine_cache import EngineKey, Gpu, engine_folder, find_gpu, load_tensorrt, sha256

KEY = EngineKey("0123456789abcdef" * 4, "NVIDIA H200", "9.0", "10.9.0", "1.32.0", fp16=True)


def test_the_same_engine_has_the_same_folder(tmp_path: Path) -> None:
    with engine_folder(KEY, tmp_path) as first:
        (first / "net.engine").touch()
    with engine_folder(KEY, tmp_path) as second:
        assert (second / "net.engine").exists()
    assert first.name == "0123456789abcdef-NVIDIA-H200-sm9.0-trt10.9.0-ort1.32.0-fp16"
    assert json.loads((first / "engine.json").read_text()) == asdict(KEY)


@pytest.mark.parametrize(
    "changed",
    [
        {"model_sha256": "f" * 64},
        {"gpu": "NVIDIA A100"},
        {"compute_capability": "8.0"},
        {"tensorrt": "10.8.0"},
        {"onnxruntime": "1.31.1"},
        {"fp16": False},
    ],
)
def test_what_differs_has_another_folder(changed: dict[str, str], tmp_path: Path) -> None:
    with engine_folder(KEY, tmp_path) as first, engine_folder(replace(KEY, **changed), tmp_path) as second:  # type: ignore[arg-type]
        assert first != second


@pytest.mark.parametrize(
    ("note", "says"),
    [
        pytest.param(json.dumps(asdict(replace(KEY, gpu="NVIDIA A100"))), "gpu NVIDIA A100, not NVIDIA H200", id="gpu"),
        pytest.param("{}", "what engine.json does not tell", id="no key"),
        pytest.param("half a li", "what engine.json does not tell", id="damaged"),
    ],
)
def test_an_engine_of_another_gpu_is_refused_in_a_line(note: str, says: str, tmp_path: Path) -> None:
    folder = tmp_path / KEY.folder_name
    folder.mkdir()
    (folder / "engine.json").write_text(note)
    with pytest.raises(ModelError) as caught, engine_folder(KEY, tmp_path):
        pass
    assert str(caught.value) == f"{folder} holds an engine for {says}. Remove that folder"


def test_a_cache_that_cannot_be_written_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ModelError, match=r"cannot keep an engine \(.*\); give another cache with XDG_CACHE_HOME\Z"),
        engine_folder(KEY, tmp_path / "file"),
    ):
        pass


def test_the_cache_is_that_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with engine_folder(KEY) as folder:
        assert folder.parent == tmp_path / "cropzoom" / "tensorrt"


def test_who_comes_second_waits_for_the_engine_of_the_first(tmp_path: Path) -> None:
    found: list[bool] = []

    def second() -> None:
        with engine_folder(KEY, tmp_path) as folder:
            found.append((folder / "net.engine").exists())

    thread = threading.Thread(target=second)
    with engine_folder(KEY, tmp_path) as folder:
        thread.start()
        (folder / "net.engine").touch()
    thread.join()
    assert found == [True]


def test_the_hash_counts_the_weights_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"graph")
    alone = sha256(tmp_path / "net.onnx")
    (tmp_path / "net.onnx.data").write_bytes(b"weights")
    assert sha256(tmp_path / "net.onnx") != alone


def test_the_driver_tells_name_and_capability(tmp_path: Path) -> None:
    driver = compiled(tmp_path, "libcuda.so.1", DRIVER, "-DINIT=0")
    assert find_gpu(str(driver)) == Gpu("NVIDIA Test 9000 (80GB)", "9.10")


def test_a_machine_without_a_gpu_is_told_in_a_line(tmp_path: Path) -> None:
    driver = compiled(tmp_path, "libcuda.so.1", DRIVER, "-DINIT=100")
    with pytest.raises(ModelError, match=r"finds no GPU \(error 100\)"):
        find_gpu(str(driver))
    with pytest.raises(ModelError, match="there is no driver of NVIDIA"):
        find_gpu(str(tmp_path / "none.so"))


def test_tensorrt_of_the_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("libnvinfer.so.10", "libnvonnxparser.so.10"):
        compiled(tmp_path, name, TENSORRT)
    monkeypatch.setattr(engine_cache, "_packaged_tensorrt", lambda: [tmp_path])
    assert load_tensorrt() == "10.9.0"


def test_without_tensorrt_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "_MAJORS", (99,))
    with pytest.raises(ModelError, match=r"TensorRT \(libnvinfer\.so\) cannot be loaded; install it"):
        load_tensorrt()

"""Engine cache: where TensorRT's engines are kept, so that only the first start with a model has to build one.

An engine fits one model, one GPU and one version of each library, and TensorRT does not always notice another::

    $XDG_CACHE_HOME/cropzoom/tensorrt/    without that variable ~/.cache/cropzoom/tensorrt
        <model>-<gpu>-<versions>/         a folder for each engine
            engine.json                   what it was built for
            *.engine, *.timing            TensorRT's files
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from realtime_cropzoom.errors import ModelError, error_text
from realtime_cropzoom.files.locks import wait_for_lock

_MAJORS = (10, 11, 9, 8)
"""Versions of TensorRT, the likely ones first."""
_CAPABILITY = (75, 76)
"""Attributes of a device: ``CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`` and ``_MINOR``."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, as its driver describes it."""

    name: str
    compute_capability: str


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What an engine is built for. With any other it must not be loaded."""

    model_sha256: str
    gpu: str
    compute_capability: str
    tensorrt: str
    onnxruntime: str
    fp16: bool

    @property
    def folder_name(self) -> str:
        """A name that people can read."""
        gpu = re.sub(r"[^A-Za-z0-9]+", "-", self.gpu).strip("-")
        parts = (self.model_sha256[:16], gpu, f"sm{self.compute_capability}", f"trt{self.tensorrt}")
        return "-".join((*parts, f"ort{self.onnxruntime}", "fp16" if self.fp16 else "fp32"))


def sha256(onnx: Path) -> str:
    """Return the SHA-256 of an ONNX file, and of the file with its weights if there is one."""
    digest = hashlib.sha256()
    for part in (onnx, onnx.with_name(onnx.name + ".data")):
        if part.exists():
            digest.update(part.read_bytes())
    return digest.hexdigest()


def find_gpu(driver: str = "libcuda.so.1") -> Gpu:
    """Return the first GPU.

    Args:
        driver: The library of the driver.

    Raises:
        ModelError: if there is none.
    """
    name, device, numbers = ctypes.create_string_buffer(256), ctypes.c_int(), [ctypes.c_int(), ctypes.c_int()]
    try:
        cuda = ctypes.CDLL(driver)
        failed = cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0) or cuda.cuDeviceGetName(name, 256, device)
        for number, attribute in zip(numbers, _CAPABILITY, strict=True):
            failed = failed or cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    except (OSError, AttributeError) as error:
        raise ModelError(f"there is no driver of NVIDIA ({error}); install it until nvidia-smi shows the GPU") from None
    if failed:
        raise ModelError(f"the driver of NVIDIA finds no GPU (error {failed}); nvidia-smi must show one")
    return Gpu(name.value.decode(errors="replace"), ".".join(str(number.value) for number in numbers))


def load_tensorrt() -> str:
    """Load TensorRT, of the system or of the package ``tensorrt``, and return its version. Raises ModelError."""
    folders = [*_packaged_tensorrt(), None]
    for major in _MAJORS:
        for folder in folders:
            names = [f"{name}.so.{major}" for name in ("libnvinfer", "libnvonnxparser")]
            try:
                infer, _ = [ctypes.CDLL(str(folder / name) if folder else name, ctypes.RTLD_GLOBAL) for name in names]
            except OSError:
                continue
            version: int = infer.getInferLibVersion()  # 10.9.0 is 100900
            scale = 10_000 if version >= 10_000 else 1_000
            return f"{version // scale}.{version % scale // 100}.{version % 100}"
    raise ModelError(
        "provider tensorrt was asked for, but TensorRT (libnvinfer.so) cannot be loaded; install it "
        "(pip install 'tensorrt-cu13<11', with CUDA 12 'tensorrt-cu12<11'), or use the provider cuda"
    )


@contextmanager
def engine_folder(key: EngineKey, root: Path | None = None) -> Iterator[Path]:
    """Yield the folder of an engine, while no other process builds one in it.

    Args:
        key: What the engine is for.
        root: The folder of all engines; None for that of the user.

    Raises:
        ModelError: if the folder cannot be written, or holds an engine that was built for something else.
    """
    folder = (root or _user_cache()) / key.folder_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a", encoding="utf-8")
    except OSError as error:
        why = error_text(error)
        raise ModelError(f"{folder} cannot keep an engine ({why}); give another cache with XDG_CACHE_HOME") from error
    with lock:
        wait_for_lock(lock.fileno())
        _check(folder, key)
        yield folder


def _check(folder: Path, key: EngineKey) -> None:
    note = folder / "engine.json"
    wanted = asdict(key)
    if not note.exists():
        note.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        return
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        differs = [f"{name} {found[name]}, not {value}" for name, value in wanted.items() if found[name] != value]
    except (OSError, ValueError, KeyError, TypeError):
        differs = ["what engine.json does not tell"]
    if differs:
        raise ModelError(f"{folder} holds an engine for {'; '.join(differs)}. Remove that folder")


def _user_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return base / "cropzoom" / "tensorrt"


def _packaged_tensorrt() -> list[Path]:
    from importlib.util import find_spec

    spec = find_spec("tensorrt_libs")
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []

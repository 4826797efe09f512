"""Providers of ONNX Runtime: which one runs the models, with which options, and why one cannot be used.

No provider is ever replaced by another one in silence. ONNX Runtime itself would go on with the CPU if a library of
CUDA is missing, and even after an error in the middle of a run.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from realtime_cropzoom.errors import ModelError, advise, install_advice

REINSTALL = "pip uninstall onnxruntime onnxruntime-gpu, then pip install one of them"

# Since version 1.29 ONNX Runtime sends what it runs to its maker, from a thread and a database of its own, unless this
# is set before it is loaded. Nothing leaves the machine unasked, and nothing computes beside the tracking.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
try:
    import onnxruntime as ort
except ModuleNotFoundError as missing:
    raise ModelError(install_advice(missing.name or "onnxruntime")) from None
except ImportError as broken:
    raise ModelError(f"onnxruntime cannot be loaded ({broken}); install it again: {REINSTALL}") from broken
if not hasattr(ort, "InferenceSession"):  # both onnxruntime and onnxruntime-gpu were installed, and one was removed
    raise ModelError(f"onnxruntime is installed in part only; install it again: {REINSTALL}")

if os.environ["ORT_DISABLE_TELEMETRY"] == "1":
    ort.disable_telemetry_events()  # Windows does not look at the variable

runtime: Any = ort
"""ONNX Runtime, which is there and whole. Other modules take it from here."""
Provider = Literal["auto", "cpu", "cuda", "tensorrt"]
"""What a user can ask for."""


@dataclass(frozen=True, slots=True)
class Target:
    """A provider, and how a network is given to it."""

    name: str
    """Short name, as users write it."""
    onnxruntime_name: str
    device: Literal["cpu", "cuda"]
    """Where inputs and outputs lie."""
    one_image: bool
    """Whether the network takes one image a call: all shapes are then known when it is loaded."""
    image_in_graph: bool
    """Whether the network itself resizes and normalises its image."""


TARGETS = {
    "cpu": Target("cpu", "CPUExecutionProvider", "cpu", one_image=False, image_in_graph=False),
    "cuda": Target("cuda", "CUDAExecutionProvider", "cuda", one_image=True, image_in_graph=True),
    # An engine is built for one shape: an image of changing size would build it again and again.
    "tensorrt": Target("tensorrt", "TensorrtExecutionProvider", "cuda", one_image=True, image_in_graph=False),
}
CUDA_OPTIONS: dict[str, str] = {
    # EXHAUSTIVE measures the algorithms at each start and may choose others: two replays would then differ.
    "cudnn_conv_algo_search": "HEURISTIC",
    # TF32 keeps 10 bits of a float32: keypoints would differ from those of a CPU. fp16 exports are there for speed.
    "use_tf32": "0",
}
"""Options of the provider cuda, beside the CUDA graph."""

_DRIVER = "libcuda.so.1"

logger = logging.getLogger(__name__)


@cache
def warn_of_both() -> None:
    """Warn once if onnxruntime and onnxruntime-gpu are both installed: one has overwritten the other's files."""
    both = ("onnxruntime", "onnxruntime-gpu")  # by name, since reading the metadata of all packages is slow
    if all(any(importlib.metadata.distributions(name=name)) for name in both):
        logger.warning("onnxruntime and onnxruntime-gpu are both installed, and spoil each other: %s", REINSTALL)


def resolve_provider(provider: Provider) -> Target:
    """Return what a provider stands for; ``auto`` prefers cuda. Raises ModelError if it is not installed."""
    warn_of_both()
    available = ort.get_available_providers()
    if provider == "auto":
        return TARGETS["cuda" if TARGETS["cuda"].onnxruntime_name in available else "cpu"]
    target = TARGETS[provider]
    if target.onnxruntime_name not in available:
        raise ModelError(
            f"provider {provider} was asked for, but this onnxruntime has only {', '.join(available)}; "
            "install onnxruntime-gpu instead of onnxruntime" + advise(", or use --provider cpu")
        )
    return target


def provider_list(
    target: Target, *, cuda_graph: bool = False, engines: Path | None = None, fp16: bool = False
) -> list[Any]:
    """Return the providers of a session, the preferred one first.

    Args:
        target: The provider.
        cuda_graph: Whether a CUDA graph replays the network.
        engines: Folder of the engine of TensorRT, and of the times it measured while it built the engine.
        fp16: Whether the network computes in fp16, which TensorRT must be allowed.
    """
    if target.device == "cpu":
        return [target.onnxruntime_name]
    graph = "1" if cuda_graph else "0"
    cuda = (TARGETS["cuda"].onnxruntime_name, {**CUDA_OPTIONS, "enable_cuda_graph": graph})
    if target.name == "cuda":
        return [cuda]
    options = {"trt_cuda_graph_enable": graph, "trt_fp16_enable": "1" if fp16 else "0"}
    if engines is not None:
        for what in ("engine", "timing"):
            options |= {f"trt_{what}_cache_enable": "1", f"trt_{what}_cache_path": str(engines)}
    return [(target.onnxruntime_name, options), (cuda[0], {**CUDA_OPTIONS, "enable_cuda_graph": "0"})]


def session_options(threads: int) -> Any:
    """Return the options of a session whose idle threads sleep (``onnxruntime.SessionOptions``).

    Args:
        threads: Number of threads of each operator.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4  # what fails is raised, too
    return options


@contextmanager
def loaded_libraries(target: Target) -> Iterator[list[str]]:
    """Load the libraries of a provider, and yield the names of those that are missing. ONNX Runtime stays silent.

    Raises:
        ModelError: if the driver of NVIDIA is missing.
    """
    if target.device == "cpu":
        yield []
        return
    if not _loads(_DRIVER):
        raise ModelError(
            f"provider {target.name} was asked for, but there is no driver of NVIDIA (libcuda.so.1); install it until "
            "nvidia-smi shows the GPU" + advise(", or use --provider cpu")
        )
    said = io.StringIO()
    with redirect_stdout(said):
        ort.preload_dlls()
    ort.set_default_logger_severity(4)
    try:
        yield [line.split(":")[0].split()[-1] for line in said.getvalue().splitlines() if "Failed to load" in line]
    finally:
        ort.set_default_logger_severity(2)


def refuse_replaced(target: Target, used: list[str], missing: list[str]) -> None:
    """Raise ModelError if a session does not use the provider it was opened with.

    Args:
        target: The provider that was asked for.
        used: The providers of the session.
        missing: Libraries that could not be loaded.
    """
    if target.onnxruntime_name not in used:
        fault = None if missing else driver_fault(ort.cuda_version)
        if fault is not None:
            raise ModelError(f"provider {target.name} was asked for, but {fault}" + advise(", or use --provider cpu"))
        why = f"{', '.join(missing)} cannot be loaded" if missing else f"onnxruntime fell back to {', '.join(used)}"
        raise ModelError(
            f"provider {target.name} was asked for, but {why}; install the libraries of "
            f"{'TensorRT, ' if target.name == 'tensorrt' else ''}CUDA {ort.cuda_version} and cuDNN that onnxruntime "
            f"{ort.__version__} needs" + advise(", or use --provider cpu")
        )


def driver_fault(needed: str, driver: str = _DRIVER) -> str | None:
    """Return why the driver of NVIDIA cannot run a program for CUDA; None if nothing speaks against it.

    Args:
        needed: Version of CUDA that the program was built with, such as ``13.0``; empty if it is not known.
        driver: The library of the driver.
    """
    knows = ctypes.c_int()
    try:
        cuda = ctypes.CDLL(driver)
        cuda.cuDriverGetVersion(ctypes.byref(knows))
        failed = cuda.cuInit(0)
    except (OSError, AttributeError):
        return None
    version = f"{knows.value // 1000}.{knows.value % 1000 // 10}"
    if needed and 0 < knows.value // 1000 < int(needed.split(".")[0]):  # any minor version will do
        return (
            f"the driver of NVIDIA knows CUDA up to {version}, and onnxruntime {ort.__version__} needs {needed}; "
            "install a newer driver, or an onnxruntime-gpu for that CUDA"
        )
    return f"the driver of NVIDIA finds no GPU (error {failed}); nvidia-smi must show one" if failed else None


def placement(session: Any) -> list[tuple[str, str]]:
    """Return the provider (ONNX Runtime's name) and the kind of each operator; empty where ONNX Runtime does not tell.

    Args:
        session: A session that was opened with ``session.record_ep_graph_assignment_info``.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):  # an older ONNX Runtime
        return []
    parts = session.get_provider_graph_assignment_info()
    return [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]


def refuse_other_operators(path: Path, target: Target, placed: list[tuple[str, str]]) -> None:
    """Warn of operators of a GPU's network that the CPU runs. Raises ModelError if it runs all of them.

    Args:
        path: The model.
        target: The provider that was asked for.
        placed: Result of ``placement``.
    """
    on_cpu = [kind for provider, kind in placed if provider == TARGETS["cpu"].onnxruntime_name]
    if target.device == "cpu" or not on_cpu:
        return
    if len(on_cpu) == len(placed):
        raise ModelError(
            f"{path}: {target.name} can run none of its operators" + advise("; use --provider cpu", "; use the CPU")
        )
    kinds = ", ".join(sorted(set(on_cpu)))
    logger.warning(
        "%s: the CPU runs %d of its %d operators (%s), because %s cannot; each frame is copied to and fro",
        path, len(on_cpu), len(placed), kinds, target.name,
    )  # fmt: skip


def _loads(library: str) -> bool:
    if not sys.platform.startswith("linux"):
        return True  # the names differ; ONNX Runtime says what is missing
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True

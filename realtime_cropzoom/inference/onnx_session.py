"""ONNX Runtime session: loads a network on the requested provider, and fails if another would be used.

Each session runs its operators one after the other on a given number of threads, which sleep
when they have no work. With spinning, the threads of the idle model would use the core that
the other model needs.
"""

from __future__ import annotations

import importlib.metadata
import logging
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from realtime_cropzoom.errors import ModelError, advise, install_advice
from realtime_cropzoom.files.paths import why_not_readable
from realtime_cropzoom.types import Float32

REINSTALL = "pip uninstall onnxruntime onnxruntime-gpu, then pip install one of them"

try:
    import onnxruntime as ort
except ModuleNotFoundError as missing:
    raise ModelError(install_advice(missing.name or "onnxruntime")) from None
except ImportError as broken:
    raise ModelError(f"onnxruntime cannot be loaded ({broken}); install it again: {REINSTALL}") from broken
if not hasattr(ort, "InferenceSession"):  # both onnxruntime and onnxruntime-gpu were installed, and one was removed
    raise ModelError(f"onnxruntime is installed in part only; install it again: {REINSTALL}")

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]

_NAMES: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_DTYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

logger = logging.getLogger(__name__)


class Session:
    """A loaded network. ``run`` may be called from several threads at once."""

    def __init__(self, path: Path, provider: str, threads: int) -> None:
        """Load an ONNX file.

        Args:
            path: The file.
            provider: Name of the provider, as ``resolve_provider`` returns it.
            threads: Number of threads of each operator.

        Raises:
            ModelError: if the file is not an ONNX model or cannot be read, or if the provider fails.
        """
        self.provider = provider
        self._ort = _open(path, self.provider, threads)
        model_input = self._ort.get_inputs()[0]
        self.inputs = [i.name for i in self._ort.get_inputs()]
        self.input_shape: list[int | str] = model_input.shape
        self.output_shapes: list[list[int | str]] = [o.shape for o in self._ort.get_outputs()]
        self.outputs = [o.name for o in self._ort.get_outputs()]
        self.metadata: dict[str, str] = self._ort.get_modelmeta().custom_metadata_map
        self.input_type: str = model_input.type
        fixed = [shape[0] for shape in (self.input_shape, *self.output_shapes) if shape and isinstance(shape[0], int)]
        self.batch: int | None = fixed[0] if fixed else None
        """Number of images per call; None for any number."""

    def run(self, images: Float32) -> list[Float32]:
        """Run the network.

        Args:
            images: A batch in the shape of ``input_shape``; converted to the input's number type.

        Returns:
            All outputs, as float32 on the CPU.
        """
        fed = images.astype(_DTYPES[self.input_type], copy=False)
        outputs: list[Float32] = self._ort.run(self.outputs, {self.inputs[0]: fed})
        return [output.astype(np.float32, copy=False) for output in outputs]

    def supports_input(self) -> bool:
        """Return whether the number type of the input is supported (float32 or float16)."""
        return self.input_type in _DTYPES


@cache
def warn_of_both() -> None:
    """Warn once if onnxruntime and onnxruntime-gpu are both installed: one has overwritten the other's files."""
    both = ("onnxruntime", "onnxruntime-gpu")  # by name, since reading the metadata of all packages is slow
    if all(any(importlib.metadata.distributions(name=name)) for name in both):
        logger.warning("onnxruntime and onnxruntime-gpu are both installed, and spoil each other: %s", REINSTALL)


def resolve_provider(provider: Provider) -> str:
    """Return the short name of the provider; ``auto`` prefers cuda. Raises ModelError if it is not installed."""
    warn_of_both()
    available = ort.get_available_providers()
    if provider == "auto":
        return "cuda" if _NAMES["cuda"] in available else "cpu"
    if _NAMES[provider] not in available:
        raise ModelError(
            f"provider {provider} was asked for, but this onnxruntime has only {', '.join(available)}; "
            "install onnxruntime-gpu instead of onnxruntime" + advise(", or use --provider cpu")
        )
    return provider


def _open(path: Path, provider: str, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    if provider != "cpu":
        ort.preload_dlls()
    if why := why_not_readable(path):
        raise ModelError(f"{path} cannot be read: {why}")
    try:
        session = ort.InferenceSession(str(path), options, providers=_provider_list(provider))
    except Exception as error:  # the only common base of onnxruntime's exceptions
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path} cannot be loaded as an ONNX model: {first_line}") from error
    if _NAMES[provider] not in session.get_providers():
        raise ModelError(
            f"provider {provider} was asked for, but onnxruntime fell back to {', '.join(session.get_providers())}; "
            "check the CUDA and cuDNN libraries it needs" + advise(", or use --provider cpu")
        )
    return session


def _provider_list(provider: str) -> list[Any]:
    cuda = (_NAMES["cuda"], {"cudnn_conv_algo_search": "HEURISTIC"})
    lists: dict[str, list[Any]] = {"cpu": [_NAMES["cpu"]], "cuda": [cuda], "tensorrt": [_NAMES["tensorrt"], cuda]}
    return lists[provider]

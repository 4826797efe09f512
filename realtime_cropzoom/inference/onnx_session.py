"""ONNX Runtime session: loads a network on the requested provider, and fails if another would be used.

Each session runs its operators one after the other on a given number of threads, which sleep
when they have no work. With spinning, the threads of the idle model would use the core that
the other model needs.

On the CPU a call hands its array over as it is: buffers that are bound once gained nothing there. On a GPU a network
has them (``bound_network``), takes one image a call, and resizes it itself where it can (``gpu_loading``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.errors import ModelError, first_line, listed, shorten
from realtime_cropzoom.files.paths import why_not_readable
from realtime_cropzoom.inference.engine_cache import find_gpu
from realtime_cropzoom.inference.gpu_loading import load_on_gpu
from realtime_cropzoom.inference.manifest import Input
from realtime_cropzoom.inference.onnx_file import NetworkFile
from realtime_cropzoom.inference.providers import Target, provider_list, session_options
from realtime_cropzoom.inference.providers import runtime as ort
from realtime_cropzoom.types import Float32

_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
"""What ONNX Runtime writes before each of its errors."""
_MAX_REASON = 200
"""Maximum length of the reason in an error text (characters): some name each input of each operator."""
_DTYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Session:
    """A loaded network. ``run`` may be called from several threads at once."""

    def __init__(
        self,
        path: Path,
        target: Target,
        threads: int,
        *,
        network: bytes | None = None,
        outputs: Sequence[str] = (),
        image_input: Input | None = None,
    ) -> None:
        """Load a network.

        Args:
            path: Its ONNX file.
            target: The provider, as ``resolve_provider`` returns it.
            threads: Number of threads of each operator.
            network: The network itself, as an ONNX file with its weights, if it is not ``path`` as it is.
            outputs: Names of the outputs to compute, in order; empty for all.
            image_input: Values that its input takes, if a GPU may resize and normalise an image; None if it may not.

        Raises:
            ModelError: if the file is not an ONNX model or cannot be read, or if the provider fails.
        """
        if why := why_not_readable(path):
            raise ModelError(f"{path} cannot be read: {why}")
        self._path = path
        self.threads = threads
        """Number of threads of each operator."""
        self.provider = target.name
        """Short name of the provider that runs the network."""
        wanted = NetworkFile(path, network, image_input)
        self._bound = load_on_gpu(wanted, target, threads) if target.one_image else None
        self._ort = _load(wanted, target, threads) if self._bound is None else self._bound.session
        model_input, own = self._ort.get_inputs()[0], None if self._bound is None else self._bound.replaced
        self.device = target.name if target.device == "cpu" else f"{target.name} ({find_gpu().name})"
        """The provider, and the name of its GPU."""
        self.takes_image = own is not None
        """Whether ``run`` takes a (1, h, w, 3) uint8 image of any size, which the network resizes and normalises."""
        self.inputs = [i.name for i in self._ort.get_inputs()]
        self.input_shape: list[int | str] = model_input.shape if own is None else own.shape
        """Shape of the network's own input."""
        self.input_type: str = model_input.type if own is None else own.number_type
        """Number type of the network's own input."""
        there = [output.name for output in self._ort.get_outputs()]
        self.outputs = list(outputs) or there
        """Names of the outputs that ``run`` returns."""
        if missing := set(self.outputs) - set(there):
            raise ModelError(f"{path} has no output {listed(sorted(missing))}, only {listed(there)}")
        self._places = [there.index(name) for name in self.outputs]
        self.output_shapes: list[list[int | str]] = [self._ort.get_outputs()[i].shape for i in self._places]
        shapes = (self.input_shape, *self.output_shapes)
        fixed = [1] if target.one_image else [shape[0] for shape in shapes if shape and isinstance(shape[0], int)]
        self.batch: int | None = fixed[0] if fixed else None
        """Number of images per call; None for any number."""

    def run(self, images: npt.NDArray[Any]) -> list[Float32]:
        """Run the network.

        Args:
            images: A batch in the shape of ``input_shape``, converted to the input's number type; or an image, see
                ``takes_image``.

        Returns:
            The outputs, as float32. On a GPU the next call of the same thread overwrites them.

        Raises:
            ModelError: if the network cannot run on it: not every network that leaves its size open takes any size.
        """
        fed = images if self.takes_image else images.astype(_DTYPES[self.input_type], copy=False)
        if self._bound is not None:
            found = self._bound.run(fed)
            return [found[i] for i in self._places]
        try:
            outputs: list[Float32] = self._ort.run(self.outputs, {self.inputs[0]: fed})
        except Exception as error:  # the only common base of onnxruntime's exceptions
            raise ModelError(
                f"{self._path} cannot run on an input of shape {shorten(fed.shape)}: {_reason(error)}"
            ) from error
        return [output.astype(np.float32, copy=False) for output in outputs]

    def supports_input(self) -> bool:
        """Return whether the number type of the input is supported (float32, float16 or uint8)."""
        return self.input_type in _DTYPES


def _load(wanted: NetworkFile, target: Target, threads: int) -> Any:
    try:
        providers = provider_list(target)
        return ort.InferenceSession(wanted.given, session_options(threads), providers=providers, enable_fallback=0)
    except Exception as error:  # the only common base of onnxruntime's exceptions
        raise ModelError(f"{wanted.path} cannot be loaded as an ONNX model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the first line of an error of ONNX Runtime, without its prefix, and cut if it is long."""
    line = _PREFIX.sub("", first_line(error))
    return line if len(line) <= _MAX_REASON else f"{line[:_MAX_REASON]}…"

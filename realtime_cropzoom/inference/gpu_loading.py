"""GPU loading: opens a network on a GPU and tries it, with a CUDA graph where the network allows one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.errors import ModelError, first_line
from realtime_cropzoom.inference.bound_network import BoundNetwork
from realtime_cropzoom.inference.device_memory import CudaMemory, CudaRuntime, HostMemory
from realtime_cropzoom.inference.engine_cache import EngineKey, engine_folder, find_gpu, load_tensorrt, sha256
from realtime_cropzoom.inference.image_graph import ImageGraph, NetworkInput, read_input, with_image_input
from realtime_cropzoom.inference.onnx_file import NetworkFile
from realtime_cropzoom.inference.providers import (
    Target,
    loaded_libraries,
    placement,
    provider_list,
    refuse_other_operators,
    refuse_replaced,
    session_options,
)
from realtime_cropzoom.inference.providers import runtime as ort

_DTYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be loaded."""

    file: NetworkFile
    target: Target
    threads: int
    own_input: NetworkInput | None
    """The input of the file; None if it has none, or several."""
    image_graph: ImageGraph | None
    """The network with an image as its input; None if it keeps its own."""

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.file.path

    @property
    def fp16(self) -> bool:
        """Whether the network computes in fp16."""
        return self.own_input is not None and self.own_input.number_type == "tensor(float16)"


def load_on_gpu(file: NetworkFile, target: Target, threads: int) -> BoundNetwork:
    """Load a network on a GPU, and run it a few times.

    Args:
        file: The network.
        target: The provider.
        threads: Number of threads of operators that the CPU runs.

    Returns:
        The network. It takes an image, if the provider and its input allow that.

    Raises:
        ModelError: if the file is not an ONNX model, or if the provider cannot run it.
    """
    path = file.path
    image_graph = with_image_input(file) if target.image_in_graph and file.image_input is not None else None
    wanted = _Wanted(file, target, threads, read_input(file), image_graph)
    with loaded_libraries(target) as missing, _engines(wanted) as engines:
        try:
            return _load(wanted, engines, missing, cuda_graph=target.device == "cuda")
        except ModelError:
            raise
        except Exception as error:  # the only common base of onnxruntime's exceptions
            if target.device == "cuda":
                logger.warning("%s runs without a CUDA graph, and takes longer: %s", path, first_line(error))
        try:
            return _load(wanted, engines, missing, cuda_graph=False)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{path} cannot be run by {target.name}: {first_line(error)}") from error


def _load(wanted: _Wanted, engines: Path | None, missing: list[str], *, cuda_graph: bool) -> BoundNetwork:
    target, graph = wanted.target, wanted.image_graph
    session = _open(wanted, provider_list(target, cuda_graph=cuda_graph, engines=engines, fp16=wanted.fp16))
    refuse_replaced(target, session.get_providers(), missing)
    refuse_other_operators(wanted.path, target, placement(session))
    memory = CudaMemory(CudaRuntime.of_process()) if target.device == "cuda" else HostMemory()
    replaced = None if graph is None else graph.own_input
    network = BoundNetwork(session, memory, replaced=replaced, cuda_graph=cuda_graph)
    _try(network)
    return network


def _open(wanted: _Wanted, providers: list[Any]) -> Any:
    options = session_options(wanted.threads)
    options.log_severity_level = 4  # what fails is raised, too
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    shape = wanted.own_input.shape if wanted.own_input is not None else []
    if shape and isinstance(shape[0], str) and shape[0]:
        options.add_free_dimension_override_by_name(shape[0], 1)  # the batch: one image a call
    content = wanted.file.given if wanted.image_graph is None else wanted.image_graph.content
    return ort.InferenceSession(content, options, providers=providers, enable_fallback=0)


def _try(network: BoundNetwork) -> None:
    """Run the network on zeros. One that leaves its size open is not run: ``Model`` refuses it in words."""
    inputs, own = network.session.get_inputs(), network.replaced
    shape = [1, *inputs[0].shape[1:]] if own is None else [1, *own.shape[2:], 3]
    if len(inputs) > 1 or inputs[0].type not in _DTYPES or not all(isinstance(number, int) for number in shape):
        return
    network.run(np.zeros([int(number) for number in shape], _DTYPES[inputs[0].type]))


@contextmanager
def _engines(wanted: _Wanted) -> Iterator[Path | None]:
    """Yield the folder for the engine of TensorRT, while no other process builds one; None for another provider."""
    if wanted.target.name != "tensorrt":
        yield None
        return
    version, gpu = load_tensorrt(), find_gpu()
    key = EngineKey(sha256(wanted.path), gpu.name, gpu.compute_capability, version, ort.__version__, wanted.fp16)
    with engine_folder(key) as folder:
        yield folder

"""ONNX file: what a file says of its network, read without running it; and what no honest file does, refused.

A model may come from anyone. Nothing in it is executed or unpickled: the file is parsed, its weights stay where they
are, and a file is refused that reads other files of this machine, that needs operators which ONNX does not have, or
whose tensors are larger than the memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from realtime_cropzoom.errors import ModelError, shorten
from realtime_cropzoom.files.paths import why_not_readable
from realtime_cropzoom.inference.manifest import Input

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "ai.onnxruntime")
"""Domains of operators that ONNX Runtime brings along."""
_MAX_FILE = 2 << 30
"""Maximum size of a file without its external weights: that of protobuf (bytes)."""
_MAX_NUMBERS = 2 << 30
"""Maximum number of values of a tensor."""
_ONLY_ONNX = {
    ".pt": "a checkpoint of PyTorch",
    ".pth": "a checkpoint of PyTorch",
    ".ckpt": "a checkpoint of PyTorch",
    ".h5": "a model of TensorFlow",
    ".pb": "a model of TensorFlow",
    ".engine": "an engine of TensorRT",
    ".tflite": "a model of TensorFlow Lite",
}
_MAKE_ONNX = (
    "Make an ONNX file of it: 'litpose export', 'sleap-nn export', 'cropzoom export-deeplabcut' or "
    "'yolo export format=onnx'"
)
_AGAIN = "Copy it again, or export it again"
_BROKEN = f"it is another kind of file, or cut short. {_AGAIN}"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a network."""

    name: str
    shape: tuple[int | str, ...]
    """Its shape; a name or "" where it is open."""
    number_type: str
    """Its number type as NumPy writes it, such as ``float32``."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What an ONNX file says of its network."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: dict[str, str]
    """Its metadata properties."""
    proto: Any
    """The parsed file, with its weights if they lie inside."""


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A network to load."""

    path: Path
    """Its ONNX file."""
    content: bytes | None = None
    """The network itself, as an ONNX file with its weights, if it is not the file as it is."""
    image_input: Input | None = None
    """Values that its input takes, if a GPU may resize and normalise an image for it; None if it may not."""

    @property
    def given(self) -> str | bytes:
        """What ONNX Runtime loads."""
        return str(self.path) if self.content is None else self.content


def read_onnx_file(path: Path) -> OnnxFile:
    """Read what a file says of its network.

    Args:
        path: The file.

    Raises:
        ModelError: if it cannot be read, is no ONNX file, or does what no honest file does.
    """
    if (what := _ONLY_ONNX.get(path.suffix.lower())) is not None:
        raise ModelError(f"{path} is {what}, and loading one can run any code; expected an .onnx file. {_MAKE_ONNX}")
    if why := why_not_readable(path):
        raise ModelError(f"{path} cannot be read: {why}")
    if not path.is_file() or path.stat().st_size > _MAX_FILE:
        raise ModelError(f"{path} cannot be loaded as an ONNX model: expected a file below 2 GB")
    import onnx  # 0.1 s, which commands without a model need not wait for

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's errors have no common base
        raise ModelError(f"{path} cannot be loaded as an ONNX model: {_BROKEN}") from error
    if not proto.graph.output:
        what = "it has no output" if path.stat().st_size else f"it is empty. {_AGAIN}"
        raise ModelError(f"{path} cannot be loaded as an ONNX model: {what}")
    _refuse_dangerous(path, proto)
    weights = {tensor.name for tensor in proto.graph.initializer}  # old exporters list them among the inputs
    return OnnxFile(
        path,
        tuple(_tensor(value) for value in proto.graph.input if value.name not in weights),
        tuple(_tensor(value) for value in proto.graph.output),
        {entry.key: entry.value for entry in proto.metadata_props},
        proto,
    )


def _tensor(value: Any) -> Tensor:
    import onnx

    tensor = value.type.tensor_type
    try:
        number_type = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    except (KeyError, TypeError, ValueError):
        number_type = "unknown"
    return Tensor(value.name, tuple(dim.dim_value or dim.dim_param for dim in tensor.shape.dim), number_type)


def _refuse_dangerous(path: Path, proto: Any) -> None:
    """Raise ModelError for a file that reads other files, needs unknown operators, or fills the memory."""
    inside = [
        *proto.functions,
        *(part for info in proto.training_info for part in (info.initialization, info.algorithm)),
    ]
    for graph in (found for part in (proto.graph, *inside) for found in _graphs(part)):
        for node in graph.node:
            if node.domain not in _DOMAINS:
                raise ModelError(
                    f"{path} needs the operator {shorten(node.op_type)} of {shorten(node.domain)}, which is not part "
                    "of ONNX; export it without custom operators"
                )
        for tensor in _tensors(graph):
            _refuse_place(path, tensor)
            _refuse_cut(path, tensor)
            if math.prod(tensor.dims) > _MAX_NUMBERS or any(side < 0 for side in tensor.dims):
                raise ModelError(f"{path} has a tensor of shape {shorten(list(tensor.dims))}, larger than any model's")


def _refuse_place(path: Path, tensor: Any) -> None:
    for entry in tensor.external_data:
        place = PurePath(entry.value)
        if entry.key == "location" and (place.is_absolute() or ".." in place.parts):
            raise ModelError(
                f"{path} keeps weights in {shorten(entry.value)}, outside its folder; put both files into one folder "
                "and export it again"
            )
        if entry.key == "location" and not (path.parent / place).is_file():
            raise ModelError(
                f"{path} keeps its weights in {place.name}, which is not beside it; copy both files together"
            )
        if entry.key == "location" and not (path.parent / place).resolve().is_relative_to(path.parent.resolve()):
            raise ModelError(f"{path} keeps weights in {shorten(entry.value)}, a link out of its folder; copy the file")


def _refuse_cut(path: Path, tensor: Any) -> None:
    """Raise ModelError if the file beside the model ends before the weights do. ONNX Runtime names no file then."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    numbers = (said.get(key, "")[:20] for key in ("offset", "length"))  # Python refuses to read very long ones
    end = sum(int(number) for number in numbers if number.isdecimal())
    if "location" in said and (path.parent / said["location"]).stat().st_size < end:
        raise ModelError(f"{path} keeps its weights in {said['location']}, which is cut short; copy both files again")


def _graphs(graph: Any) -> Any:
    """Yield a graph or function, and the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
            for part in inner:
                yield from _graphs(part)


def _tensors(graph: Any) -> Any:
    """Yield the weights of a graph, which a function has not, and the constants of its nodes."""
    yield from getattr(graph, "initializer", ())
    sparse = list(getattr(graph, "sparse_initializer", ()))
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        if attribute.HasField("sparse_tensor"):
            sparse.append(attribute.sparse_tensor)
        yield from attribute.tensors
        sparse += attribute.sparse_tensors
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices

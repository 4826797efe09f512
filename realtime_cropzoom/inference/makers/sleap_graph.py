"""Graphs of SLEAP: finds the networks in an export of sleap-nn, and what surrounds them.

An export divides the image by 255, resizes it, runs the network, and takes the highest cell of each map. A combined
export cuts crops in between, and runs a second network. The nodes are found by what they do, since their names differ
with the version of the exporter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

_HARMLESS = {
    *("ArgMax", "Equal", "Flatten", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "MaxPool", "Pad"),
    *("ReduceMax", "Reshape", "Shape", "Slice", "Squeeze", "TopK", "Transpose", "Unsqueeze", "Where"),
}
"""Operators that may read a confidence map. Any other may be part of the network, such as a last Sigmoid."""
_RESHAPES = 4
"""Number of times that crops are reshaped at most before a network sees them."""
_SMALL = 16
"""Number of values of a constant that is read."""


@dataclass(frozen=True, slots=True)
class Part:
    """A network inside of an export."""

    begin: str
    """Tensor that holds its picture, from 0 to 1."""
    end: str
    """Tensor that holds its confidence maps."""
    maps: int
    """Number of maps."""
    resized_to: tuple[int, int] | None
    """(height, width) to which its picture is resized right before; None if it is not resized."""


class Graph:
    """The graph of an export."""

    def __init__(self, graph: Any) -> None:
        """Take the graph of a parsed file."""
        self._nodes = list(graph.node)
        self._weights = {weight.name: weight for weight in graph.initializer}
        self._input = graph.input[0].name if graph.input else ""
        self._readers: dict[str, list[Any]] = defaultdict(list)
        self._makers: dict[str, Any] = {}
        for node in self._nodes:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)
            self._makers.update(dict.fromkeys(node.output, node))

    def network(self, *, resized: bool) -> Part | None:
        """Return the network that sees the image; None if it cannot be told.

        Args:
            resized: Whether the image is resized for it.
        """
        return self._part(self._divided, resized, self._before_crops)

    def network_of_crops(self) -> Part | None:
        """Return the network that sees the crops of a combined export; None if it cannot be told."""
        place = len(self._before_crops)
        if place == len(self._nodes):
            return None
        crops = _first(self._nodes[place].output)
        for _ in range(_RESHAPES):
            if len(shaped := self._read_by(crops, "Reshape")) == 1:
                crops = _first(shaped[0].output)
        return self._part(crops, bool(self._read_by(crops, "Resize")), self._nodes[place:])

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) to which any image is resized; None if it is not, or to a size that depends on the image."""
        resizes = [] if self._divided is None else self._read_by(self._divided, "Resize")
        return self._constant_size(resizes[0]) if len(resizes) == 1 else None

    @cached_property
    def _before_crops(self) -> list[Any]:
        cuts = (place for place, node in enumerate(self._nodes) if node.op_type == "GridSample")
        return self._nodes[: next(cuts, len(self._nodes))]

    @cached_property
    def _divided(self) -> str | None:
        """The image as numbers from 0 to 1."""
        casts = self._read_by(self._input, "Cast")
        divisions = self._read_by(_first(casts[0].output) if len(casts) == 1 else self._input, "Div")
        if len(divisions) != 1:
            return None
        divisor = self._constant(_second(divisions[0].input))
        return _first(divisions[0].output) if divisor is not None and divisor.size == 1 and divisor == 255 else None

    def _part(self, picture: str | None, resized: bool, nodes: list[Any]) -> Part | None:
        heads = [node for node in nodes if node.op_type == "Conv"]
        if picture is None or not heads:
            return None
        size = None
        if resized:
            resizes = self._read_by(picture, "Resize")
            size = self._constant_size(resizes[0]) if len(resizes) == 1 else None
            if size is None:
                return None
            picture = _first(resizes[0].output)
        maps, weights = _first(heads[-1].output), self._weights.get(_second(heads[-1].input))
        if weights is None or not weights.dims or not all(node.op_type in _HARMLESS for node in self._readers[maps]):
            return None
        return Part(picture, maps, weights.dims[0], size)

    def _read_by(self, name: str, kind: str) -> list[Any]:
        """Return the nodes of a kind that take a tensor as their first input."""
        return [node for node in self._readers[name] if node.op_type == kind and _first(node.input) == name]

    def _constant_size(self, resize: Any) -> tuple[int, int] | None:
        """Return the (height, width) to which a Resize resizes; None if it depends on the image."""
        name = resize.input[3] if len(resize.input) > 3 else ""
        joined = self._makers.get(name)
        if joined is not None and joined.op_type == "Concat" and joined.input:
            name = joined.input[-1]
        sides = self._constant(name)
        if sides is None or sides.size < 2 or sides.dtype != np.int64:
            return None
        height, width = (int(side) for side in sides.reshape(-1)[-2:])
        return (height, width) if height > 0 and width > 0 else None

    def _constant(self, name: str) -> Any:
        """Return the value of a tensor as an array; None if it is not a small constant of the file."""
        from onnx import numpy_helper

        tensor, maker = self._weights.get(name), self._makers.get(name)
        if maker is not None and maker.op_type == "Constant":
            tensor = next((attribute.t for attribute in maker.attribute if attribute.HasField("t")), None)
        if tensor is None or tensor.external_data or np.prod(tensor.dims) > _SMALL:
            return None
        try:
            return numpy_helper.to_array(tensor)
        except (TypeError, ValueError):  # not as many numbers as it says: ONNX Runtime refuses the file
            return None


def _first(names: Sequence[str]) -> str:
    return names[0] if names else ""


def _second(names: Sequence[str]) -> str:
    return names[1] if len(names) > 1 else ""

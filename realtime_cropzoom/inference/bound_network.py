"""Bound network: runs a network whose inputs and outputs are bound once, so that a frame allocates nothing.

Each thread has buffers of its own for each shape of the input, so threads do not disturb each other. On a GPU a CUDA
graph can replay the network: one launch in place of one for each operator. A graph belongs to its thread and its
buffers. Only one of a network may run at a time, and while one is recorded no other thread may use the GPU at all.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.inference.device_memory import Memory
from realtime_cropzoom.inference.image_graph import NetworkInput
from realtime_cropzoom.inference.providers import runtime as ort
from realtime_cropzoom.types import Float32

_KEPT_SHAPES = 4
"""Number of input shapes of a thread whose buffers are kept. Boxes of a fixed size need one."""
_NO_GRAPH = -1
"""``gpu_graph_id`` of a run outside of CUDA graphs."""
_FIRST_RUNS = 3
"""Runs before the first frame: one as it comes, one that a CUDA graph records, one that replays it."""


class _Device:
    """Lets threads use the device at the same time, or one of them alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users, self._is_taken = 0, False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Use the device beside others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_taken)
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Use the device while no other thread does."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_taken)
            self._is_taken = True  # from here on nobody begins
            self._changed.wait_for(lambda: self._users == 0)
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()


_DEVICE = _Device()
"""The GPU, for all networks of this process."""


class BoundNetwork:
    """A network and its buffers. ``run`` may be called from several threads at once: they take turns."""

    def __init__(
        self, session: Any, memory: Memory, *, replaced: NetworkInput | None = None, cuda_graph: bool = False
    ) -> None:
        """Take a session.

        Args:
            session: An ``onnxruntime.InferenceSession`` with one input.
            memory: Where inputs and outputs lie.
            replaced: The network's own input, if an image took its place.
            cuda_graph: Whether the session was opened for CUDA graphs.
        """
        self.session = session
        """The ``onnxruntime.InferenceSession``."""
        self.replaced = replaced
        """The network's own input, if an image took its place."""
        self._memory, self._cuda_graph = memory, cuda_graph
        self._graph_ids = itertools.count(1)
        self._turn = threading.Lock()
        self._own = threading.local()

    def run(self, array: npt.NDArray[Any]) -> list[Float32]:
        """Run the network.

        Args:
            array: The input, of the network's number type.

        Returns:
            All outputs as float32. The next call of the same thread overwrites them.
        """
        buffers = self._buffers(array)
        np.copyto(buffers.input.array, array)
        with self._turn, _DEVICE.shared():
            buffers.run()
        return buffers.outputs()

    def _buffers(self, array: npt.NDArray[Any]) -> _Buffers:
        """Return the buffers for an input. If its shape changes all the time, as boxes may, the last ones make room."""
        kept: dict[tuple[int, ...], _Buffers] = self._own.__dict__.setdefault("kept", {})
        found = kept.get(array.shape)
        if found is None:
            room = len(kept) < _KEPT_SHAPES
            graph_id = next(self._graph_ids) if self._cuda_graph and room else _NO_GRAPH
            with self._turn, _DEVICE.alone():
                found = _Buffers(self.session, self._memory, array, graph_id)
                for _ in range(_FIRST_RUNS):
                    found.run()
            if not room:
                del kept[next(reversed(kept))]
            kept[array.shape] = found
        return found


class _Buffers:
    """Input and outputs of one thread and one shape."""

    def __init__(self, session: Any, memory: Memory, array: npt.NDArray[Any], graph_id: int) -> None:
        self._session, self._memory = session, memory
        name = session.get_inputs()[0].name
        self.input = memory.allocate(array.shape, array.dtype)
        # The shapes of the outputs may be open: a first run tells them.
        first = session.run(None, {name: self.input.array}, _options(_NO_GRAPH))
        self._bound = [memory.allocate(output.shape, output.dtype) for output in first]
        self._outputs = [
            one.array if one.array.dtype == np.float32 else np.empty(one.array.shape, np.float32) for one in self._bound
        ]
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(name, self.input.value)
        for output, buffer in zip(session.get_outputs(), self._bound, strict=True):
            self._binding.bind_ortvalue_output(output.name, buffer.value)
        self._options = _options(graph_id)

    def run(self) -> None:
        self._memory.upload(self.input)
        self._session.run_with_iobinding(self._binding, self._options)
        for buffer in self._bound:
            self._memory.download(buffer)

    def outputs(self) -> list[Float32]:
        for buffer, output in zip(self._bound, self._outputs, strict=True):
            if output is not buffer.array:
                np.copyto(output, buffer.array)
        return self._outputs


def _options(graph_id: int) -> Any:
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options

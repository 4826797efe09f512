"""Device memory: buffers of which one half is a NumPy array and the other lies where the network runs.

On the CPU both are the same memory. On a GPU the array is page-locked, so that the GPU copies it by itself, without a
detour through a buffer of the driver.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from realtime_cropzoom.inference.providers import runtime as ort

_TO_HOST = 2
"""``cudaMemcpyDeviceToHost``"""
_PAGE = 4096
"""Size of a page (bytes). Locked pages hold nothing but one array, because a page cannot be locked twice."""


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Memory of one input or output."""

    array: npt.NDArray[Any]
    value: Any
    """The ``onnxruntime.OrtValue`` that is bound."""


class Memory(Protocol):
    """Where inputs and outputs lie."""

    def allocate(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Buffer:
        """Return a buffer of zeros."""
        ...

    def upload(self, buffer: Buffer) -> None:
        """Copy the array of an input to where the network runs."""
        ...

    def download(self, buffer: Buffer) -> None:
        """Copy an output from where the network runs to its array."""
        ...


class HostMemory:
    """Memory of the CPU: array and device memory are one. Tests run a GPU's code with it."""

    def allocate(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Buffer:
        """Return a buffer of zeros."""
        array = np.zeros(shape, dtype)
        return Buffer(array, ort.OrtValue.ortvalue_from_numpy(array))

    def upload(self, buffer: Buffer) -> None:
        """Do nothing: the network reads the array."""

    def download(self, buffer: Buffer) -> None:
        """Do nothing: the network wrote into the array."""


class CudaMemory:
    """Memory of the GPU, with page-locked arrays. ONNX Runtime's streams have ended their work before each copy."""

    def __init__(self, runtime: CudaRuntime | None, device: str = "cuda") -> None:
        """Take the CUDA runtime of this process. Without one, copies take ONNX Runtime's slower way.

        Args:
            runtime: The CUDA runtime.
            device: ONNX Runtime's name of the device.
        """
        self._runtime, self._device = runtime, device

    def allocate(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Buffer:
        """Return a buffer of zeros."""
        array = np.zeros(shape, dtype) if self._runtime is None else self._runtime.pinned(shape, dtype)
        value = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), array.dtype.type, self._device, 0)
        buffer = Buffer(array, value)
        self.upload(buffer)
        return buffer

    def upload(self, buffer: Buffer) -> None:
        """Copy the array of an input to the GPU."""
        buffer.value.update_inplace(buffer.array)

    def download(self, buffer: Buffer) -> None:
        """Copy an output from the GPU to its array."""
        if self._runtime is None:
            np.copyto(buffer.array, buffer.value.numpy())
        else:
            self._runtime.copy_to_host(buffer.array, buffer.value.data_ptr())


class CudaRuntime:
    """The few functions of the CUDA runtime that ONNX Runtime has no call for in Python."""

    def __init__(self, library: str | Path) -> None:
        """Load the library, which is in this process already. Raises OSError."""
        self._library = ctypes.CDLL(str(library))
        pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        self._library.cudaHostRegister.argtypes = (pointer, size, ctypes.c_uint)
        self._library.cudaHostUnregister.argtypes = (pointer,)
        self._library.cudaMemcpy.argtypes = (pointer, pointer, size, number)

    @classmethod
    def of_process(cls) -> CudaRuntime | None:
        """Return the library that ONNX Runtime uses in this process; None if it is not found."""
        try:
            maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        except OSError:
            return None
        paths = [line.split(maxsplit=5)[-1] for line in maps.splitlines() if "/libcudart" in line]
        return cls(paths[0]) if paths else None

    def pinned(self, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array of zeros whose pages are locked until it is freed, or a plain one if the system refuses."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        whole_pages = -(-size // _PAGE) * _PAGE
        memory = np.zeros(whole_pages + _PAGE, np.uint8)
        start = -memory.ctypes.data % _PAGE
        address = memory.ctypes.data + start
        if self._library.cudaHostRegister(address, whole_pages, 0) == 0:
            weakref.finalize(memory, self._library.cudaHostUnregister, address)
        else:  # copies are slower, and ONNX Runtime must not take this error for one of its own
            self._library.cudaGetLastError()
        return memory[start : start + size].view(dtype).reshape(shape)

    def copy_to_host(self, array: npt.NDArray[Any], address: int) -> None:
        """Copy as many bytes as the array has from an address on the GPU. Raises RuntimeError."""
        error = self._library.cudaMemcpy(array.ctypes.data, address, array.nbytes, _TO_HOST)
        if error:
            raise RuntimeError(f"CUDA error {error} while the output was copied from the GPU")

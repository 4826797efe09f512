"""What stands in for a GPU: the code for it, run by the CPU, and small C libraries in place of NVIDIA's."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from realtime_cropzoom.inference import providers

LIKE_A_GPU = replace(providers.TARGETS["cpu"], one_image=True, image_in_graph=True)
"""The CPU, with all that is done for a GPU."""

CUDA_RUNTIME = """
#include <string.h>
#include <stddef.h>
static int locked, refuses, last_error;
int cudaHostRegister(void *at, size_t bytes, unsigned flags) {
  if (refuses) return last_error = 712;
  if ((size_t)at % 4096 || bytes % 4096) return 1;
  locked++; return 0;
}
int cudaHostUnregister(void *at) { locked--; return 0; }
int cudaGetLastError(void) { int error = last_error; last_error = 0; return error; }
int cudaMemcpy(void *to, const void *from, size_t bytes, int kind) {
  if (kind != 2) return 21;
  memcpy(to, from, bytes); return 0;
}
int arrays_locked(void) { return locked; }
int error_left(void) { return last_error; }
void refuse(void) { refuses = 1; }
"""
DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGet(int *device, int at) { *device = 3; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "NVIDIA Test 9000 (80GB)", size); return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = device == 3 ? which - 66 : 0; return 0; }
"""
TENSORRT = "int getInferLibVersion(void) { return 100900; }"


def compiled(folder: Path, name: str, source: str, *flags: str) -> Path:
    """Compile a library; skip the test where there is no compiler."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    library = folder / name
    command = ["cc", "-shared", "-fPIC", "-x", "c", *flags, "-o", str(library), "-"]
    subprocess.run(command, input=source, text=True, check=True)
    return library

"""Compiled loops: they need no folder that can be written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_without_a_folder_for_them_loops_are_compiled_again() -> None:
    code = (
        "import numpy as np; from realtime_cropzoom.inference.kernels import count_moved; "
        "print(count_moved(np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32), 1.0))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": "/dev/null/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")

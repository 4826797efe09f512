"""``cropzoom pipeline`` as slow as with a real model, in every process that a test starts, until the test lets go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CUSTOMIZE = """
import sys
if "pipeline" in sys.orig_argv:
    import itertools, pathlib, time
    from realtime_cropzoom.inference.model import Model
    infer_many = Model.infer_many
    brake = pathlib.Path({brake!r})
    calls = itertools.count()

    def slowly(self, windows):
        for _ in range(1 if next(calls) < {free} else {slowness}):
            if brake.exists():
                time.sleep(0.03)
        return infer_many(self, windows)

    Model.infer_many = slowly
"""


_FREE_CALLS = 150
"""Calls of models after which a pipeline as good as stands: a busy machine may hold the test up for a minute, too."""
_SLOWNESS = 20


@contextmanager
def slow_pipelines(folder: Path) -> Iterator[Path]:
    """Slow down while the file that is returned exists. Processes inherit it by ``PYTHONPATH``."""
    brake = folder / "brake"
    brake.touch()
    code = folder / "slow"
    code.mkdir()
    (code / "sitecustomize.py").write_text(_CUSTOMIZE.format(brake=str(brake), free=_FREE_CALLS, slowness=_SLOWNESS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(code))
        yield brake


def rows_in(path: Path) -> int:
    """The number of whole rows of a file, 0 if there is none."""
    return path.read_bytes().count(b"\n") if path.exists() else 0

"""Tuning of the process: applied while a run lasts, shared by several runs, and undone after the last."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from support.pipelines import Film, make_settings

from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.runtime.tuning import tune


def tuned_now() -> tuple[float, int, bool]:
    return round(sys.getswitchinterval(), 4), cv2.getNumThreads(), gc.get_freeze_count() > 0


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[float, int, bool]]:
    """The values of the process, which the test must leave unchanged. The garbage collector is the real one."""
    monkeypatch.setattr("realtime_cropzoom.runtime.tuning.gc", gc)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(3)
    before = tuned_now()
    yield before
    assert tuned_now() == before
    cv2.setNumThreads(threads)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first in, first out", "first in, last out"])
def test_two_runs_in_one_process_leave_it_unchanged(tmp_path: Path, untuned: object, order: tuple[int, int]) -> None:
    runs = [Pipeline(make_settings(tmp_path / str(n)), lambda: Film(10**6)) for n in range(2)]
    for run in runs:
        run.start()
    both = tuned_now()
    assert both != untuned
    for which, after in zip(order, (both, untuned), strict=True):
        runs[which].stop()
        runs[which].join()
        assert tuned_now() == after


def test_a_run_whose_start_failed_leaves_the_process_unchanged(tmp_path: Path, untuned: object) -> None:
    with pytest.raises(CropzoomError):
        Pipeline(make_settings(tmp_path, pose=tmp_path / "none"), lambda: Film(10**6)).start()
    assert tuned_now() == untuned


@pytest.mark.usefixtures("untuned")
def test_ending_the_tuning_twice_counts_once() -> None:
    first, second = tune(), tune()
    first()
    first()
    assert cv2.getNumThreads() == 1
    second()


def test_a_value_that_a_script_sets_meanwhile_is_kept() -> None:
    before = sys.getswitchinterval()
    end = tune()
    sys.setswitchinterval(0.002)
    end()
    assert round(sys.getswitchinterval(), 4) == 0.002
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("untuned")
def test_objects_that_a_script_has_frozen_stay_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    tune()()
    assert gc.get_freeze_count() == pytest.approx(frozen, rel=0.1)
    gc.unfreeze()

"""Frames for quantization: spread over the recordings, never neighbours on both sides, crops for a pose model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.offline_fixtures import Workplace

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.offline.inputs import Images, LabelFile, Video
from realtime_cropzoom.offline.quantization_frames import Cutter, collect, spread
from realtime_cropzoom.plots.image_files import write_png


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


@given(total=st.integers(0, 10_000), share=st.integers(1, 500))
def test_frames_are_spread_evenly_and_none_comes_twice(total: int, share: int) -> None:
    chosen = spread(total, share)
    assert len(chosen) == max(1, min(total, share))
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert chosen[-1] == max(total - 1, 0) or share == 1


def test_a_detector_sees_whole_frames_half_for_either_side(make_model: Callable[..., Path], work: Workplace) -> None:
    model = Model(make_model("detector"))
    samples = collect([Video(work.video(frames=60))], Cutter(model, None, BoxRule()), 40)
    assert (len(samples.calibration), len(samples.held_out)) == (20, 20)
    assert {tuple(sample.prepared.shape) for sample in samples.calibration} == {(3, 64, 64)}
    assert samples.held_out[0].view.x == 0
    assert samples.held_out[0].labels is None


def test_a_pose_model_sees_the_crops_of_the_detector() -> None:
    pose, detector = Model(shipped_model("pose")), Model(shipped_model("detector"))
    arena = Video(Path("synthetic:arena,seconds=1,fps=30,seed=5"))
    samples = collect([arena], Cutter(pose, detector, BoxRule(crop_size=140)), 20)
    boxes = [sample.view.box for sample in (*samples.calibration, *samples.held_out)]
    assert {(box.w, box.h) for box in boxes} == {(140, 140)}
    assert len({(box.x, box.y) for box in boxes}) > 5, "they follow the animal"


def test_frames_without_the_animal_are_left_out(tmp_path: Path) -> None:
    pose, detector = Model(shipped_model("pose")), Model(shipped_model("detector"))
    paths = tuple(tmp_path / f"{i}.png" for i in range(20))
    for path in paths:
        write_png(path, np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))
    cutter = Cutter(pose, detector, BoxRule(crop_size=140))
    with pytest.raises(DataError, match=r"0 of 20 frames can be used, as the detector finds no animal in the others"):
        collect([Images("noise", paths)], cutter, 20)


def test_a_context_model_detects_single_frames_too(make_model: Callable[..., Path], work: Workplace) -> None:
    detector = Model(make_model("detector", kind="heatmap_mhcrnn"))
    cutter = Cutter(Model(make_model("pose")), detector, BoxRule(crop_size=40))
    samples = collect([Video(work.video(frames=60))], cutter, 40)
    assert {(sample.view.box.w, sample.view.box.h) for sample in samples.held_out} == {(40, 40)}


def test_too_few_frames_are_refused(make_model: Callable[..., Path], work: Workplace) -> None:
    model = Model(make_model("detector"))
    with pytest.raises(DataError, match="6 of 6 frames can be used; expected 8 for calibration and 8 others"):
        collect([Video(work.video(frames=6))], Cutter(model, None, BoxRule()), 40)


def test_labels_come_along(make_model: Callable[..., Path], work: Workplace) -> None:
    labels = work.labels(frames=tuple(range(20)))
    model = Model(make_model("detector"))
    samples = collect([LabelFile(labels)], Cutter(model, None, BoxRule()), 40)
    assert all(sample.labels is not None and sample.labels.shape == (3, 2) for sample in samples.held_out)

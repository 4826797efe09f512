"""Detector stage: which frames it detects in, what it counts, and that its end ends the wait for boxes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.films import film_in_a_ring
from support.pipelines import tiny_models

from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.inference.schedule import LockstepSchedule, StateLimits
from realtime_cropzoom.pipeline.detect import DetectOptions, DetectStage, Target
from realtime_cropzoom.runtime.box_slot import BoxSlot
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.types import Float32, FrameMeta

FRAMES = 7
SIZE = (160, 96)
RULE = BoxRule(crop_size=64)


@pytest.fixture
def detector(tmp_path: Path) -> Model:
    return Model(Path(tiny_models(tmp_path)["detector"]), "detector")


def run_stage(detector: Model, options: DetectOptions) -> tuple[DetectStage, BoxSlot]:
    slot = BoxSlot(LockstepSchedule(StateLimits(), options.every))
    _, reader = film_in_a_ring(FRAMES, SIZE)
    stage = DetectStage(detector, reader, [Target(slot)], RunControl(), options)
    stage.start()
    stage.join()
    return stage, slot


@pytest.mark.parametrize(("every", "count"), [(1, 7), (3, 3)])
def test_it_detects_in_every_nth_frame_and_offers_the_boxes(detector: Model, every: int, count: int) -> None:
    stage, slot = run_stage(detector, DetectOptions(RULE, every=every))
    assert (stage.count, stage.unusable, stage.failed) == (count, 0, 0)
    assert stage.latency.count == count
    assert slot.closed
    chosen = slot.choose(FrameMeta(0, 0, None, 0), 0)
    assert chosen is not None
    assert chosen.frame == 0
    assert chosen.box is not None
    assert chosen.box[2:] == (64, 64)


@pytest.mark.parametrize(("restart", "failed"), [(False, 0), (True, 1)])
def test_a_detection_that_raises_fails_and_the_next_frame_is_detected_if_the_stage_may_restart(
    detector: Model, monkeypatch: pytest.MonkeyPatch, restart: bool, failed: int
) -> None:
    real, calls = detector.infer, list[int]()

    def infer(*window: Float32) -> Outputs:
        calls.append(len(calls))
        if len(calls) == 3:
            raise RuntimeError("out of order")
        return real(*window)

    monkeypatch.setattr(detector, "infer", infer)
    stage, slot = run_stage(detector, DetectOptions(RULE, restart=restart))
    assert stage.failed == failed
    assert stage.count == (FRAMES - 1 if restart else 2)
    assert (stage.control.error is None) == restart
    assert slot.closed

"""Epochs: a training that goes on from its state ends as one that was never interrupted, and the best is kept."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training needs the train extra")

from realtime_cropzoom.train.config import TrainConfig  # noqa: E402
from realtime_cropzoom.train.dataset import LabelledFrame  # noqa: E402
from realtime_cropzoom.train.device import CPU, Device, faster_precision, find_device  # noqa: E402
from realtime_cropzoom.train.epochs import Epochs  # noqa: E402
from realtime_cropzoom.train.pace import Pace  # noqa: E402
from realtime_cropzoom.train.trainer import Trainer  # noqa: E402

NAMES = ["nose", "tail"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def frames(count: int) -> list[LabelledFrame]:
    """Pictures with two dots."""
    made = []
    for i in range(count):
        xy = np.random.default_rng(i).uniform(12, 52, (2, 2)).astype(np.float32)
        image = np.full((64, 64, 3), 40, np.uint8)
        for (x, y), colour in zip(xy.astype(int), ((250, 0, 0), (0, 0, 250)), strict=True):
            image[y - 3 : y + 4, x - 3 : x + 4] = colour
        made.append(LabelledFrame(f"a/{i}.png", image, xy))
    return made


def trainer(held_out: int = 2) -> Trainer:
    config = TrainConfig.model_validate(
        {
            "data": {"image_resize_dims": {"height": 64, "width": 64}, "csv_file": "a.csv", "keypoint_names": NAMES},
            "training": {"train_batch_size": 4},
            "model": {"model_type": "heatmap", "backbone": "cropzoom_small"},
            "cropzoom": {"views_per_epoch": 12, "paste_share": 0},
        }
    )
    torch.manual_seed(0)
    return Trainer(config, frames(8), frames(10)[8 : 8 + held_out])


def run(epochs: Epochs, count: int) -> None:
    for _ in range(count):
        epochs.next(lambda: None)
        epochs.keep_best()


def weights(epochs: Epochs) -> dict[str, Any]:
    return dict(epochs.result().state_dict())


def test_a_training_goes_on_as_if_it_had_not_been_interrupted() -> None:
    whole = Epochs(trainer(), Pace.of_steps(12), 0.0)
    run(whole, 4)

    first = Epochs(trainer(), Pace.of_steps(12), 0.0)
    run(first, 2)
    saved = io.BytesIO()
    torch.save(first.state(), saved)
    run(first, 1)  # what is done after the state is lost
    state = torch.load(io.BytesIO(saved.getvalue()), weights_only=True)
    second = Epochs(trainer(), Pace.of_steps(12), 0.0)
    second.restore(state)
    assert len(second.done) == 2
    run(second, 2)

    assert [(e.loss, e.held_out_px) for e in second.done] == [(e.loss, e.held_out_px) for e in whole.done]
    assert second.pace.done
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(second)[name]), name


def test_the_best_network_is_kept() -> None:
    epochs = Epochs(trainer(), Pace.of_steps(9), 0.0)
    run(epochs, 1)
    kept = weights(epochs)
    best = epochs.done[0].held_out_px
    held_out = iter([best + 1, best + 2])
    epochs._trainer.held_out_px = lambda: next(held_out)  # type: ignore[method-assign]
    run(epochs, 2)
    assert epochs.best.number == 1
    assert all(torch.equal(value, kept[name]) for name, value in weights(epochs).items())


def test_without_held_out_frames_the_last_network_is_kept() -> None:
    epochs = Epochs(trainer(held_out=0), Pace.of_steps(6), 0.0)
    run(epochs, 2)
    assert math.isnan(epochs.best.held_out_px)
    assert epochs.best.number == 2
    average = epochs._trainer.average.state_dict()
    assert all(torch.equal(value, average[name]) for name, value in weights(epochs).items())


def test_an_error_that_stays_ends_a_training_early() -> None:
    epochs = Epochs(trainer(), Pace.of_steps(3 * 400), 0.0)
    epochs._trainer.held_out_px = lambda: 5.0  # type: ignore[method-assign]
    epochs._trainer.step = lambda progress, warm: 1.0  # type: ignore[method-assign]
    while not epochs.pace.done:
        run(epochs, 1)
    assert epochs.pace.hurried
    assert 21 <= len(epochs.done) <= 30
    assert epochs.done[-1].of == len(epochs.done)


def test_a_time_is_trained_for_about_that_time() -> None:
    epochs = Epochs(trainer(), Pace.of_time(1.0, 0.05), 0.0)
    while not epochs.pace.done:
        run(epochs, 1)
    assert 0.5 < epochs.pace.spent_s < 3


def test_measuring_the_precision_changes_nothing() -> None:
    one, other = trainer(), trainer()
    device, seconds = one.choose_precision()
    assert device.name == "cpu"
    assert seconds > 0
    one._device = CPU
    assert one.step(0.1, 0.1) == other.step(0.1, 0.1)


@pytest.mark.parametrize(("coarse_s", "chosen"), [(0.01, True), (0.04, False)])
def test_the_faster_precision_is_chosen(coarse_s: float, chosen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def step(device: Device) -> None:
        now[0] += coarse_s if device.bfloat16 else 0.02

    device, seconds = faster_precision(CPU, step)
    assert device.bfloat16 is chosen
    assert seconds == pytest.approx(min(coarse_s, 0.02))


def test_a_gpu_is_used_where_torch_finds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert str(find_device()) == "the CPU"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find_device().name == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device().name == "cuda"
    assert str(find_device()) == "the GPU"

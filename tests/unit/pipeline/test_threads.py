"""Threads of the pose model: more only where they are quicker, and where no bit changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pipelines import tiny_models

from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.pipeline import threads as module
from realtime_cropzoom.pipeline.startup import load_model
from realtime_cropzoom.pipeline.threads import load_quickest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(tiny_models(tmp_path)["pose"])


def quickest(path: Path, monkeypatch: pytest.MonkeyPatch, ms: dict[int, float], cores: int, **more: Any) -> int:
    """Return the number of threads chosen if a call takes ``ms`` (threads: ms)."""
    monkeypatch.setattr(module, "_times_ms", lambda models, inputs: [ms[m.session.threads] for m in models])
    return load_quickest(lambda n: Model(path, "pose", threads=n), cores, **more).session.threads


@pytest.mark.parametrize(
    ("ms", "cores", "chosen"),
    [
        pytest.param({1: 13.0, 2: 7.0}, 2, 2, id="two cores"),
        pytest.param({1: 13.0, 2: 7.0, 4: 4.0, 8: 3.5}, 8, 4, id="no further than it gains"),
        pytest.param({1: 13.0, 2: 11.0}, 2, 1, id="gains too little"),
        pytest.param({1: 2.0, 2: 1.0}, 2, 1, id="small"),
        pytest.param({1: 13.0}, 1, 1, id="one core"),
    ],
)
def test_it_takes_more_threads_where_they_are_clearly_quicker(
    path: Path, monkeypatch: pytest.MonkeyPatch, ms: dict[int, float], cores: int, chosen: int
) -> None:
    assert quickest(path, monkeypatch, ms, cores) == chosen


def test_other_numbers_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infer = Model.infer

    def last_bit(self: Model, *window: Any) -> Outputs:
        outputs = infer(self, *window)
        return outputs if self.session.threads == 1 else tuple(np.nextafter(o, np.float32(1)) for o in outputs)

    monkeypatch.setattr(Model, "infer", last_bit)
    assert quickest(path, monkeypatch, {1: 13.0, 2: 7.0}, 2) == 1


def test_a_real_measurement_ends_and_gives_a_model_of_the_same_numbers(path: Path) -> None:
    chosen, one = load_quickest(lambda n: Model(path, "pose", threads=n), 2, small_ms=0), Model(path, "pose")
    image = one.new_input()
    image[:] = np.random.default_rng(1).random(image.shape, np.float32)
    for a, b in zip(chosen.infer(image), one.infer(image), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_that_name_a_number_and_lockstep_measure_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.pipeline.startup.load_quickest", lambda load: load(7))
    given: dict[str, Any] = {"source": "clip.mp4", "pose": str(path)}

    def chosen(**more: Any) -> int:
        return load_model(load_settings({**given, **more}), "pose").session.threads

    assert (chosen(), chosen(pose_threads=3), chosen(pace="fast")) == (7, 3, 1)
    assert load_model(load_settings(given), "pose", threads=1).session.threads == 1

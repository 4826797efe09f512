"""Limits of presence: what an animal's heatmaps look like, measured with the shipped models on rendered frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: training needs the train extra")

from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.train.dataset import LabelledFrame, arena_frames
from realtime_cropzoom.train.evaluate import predict
from realtime_cropzoom.train.presence import Variety, measure_presence, sharpness_limit

CROP_SIZE = 240
KNOWN = Variety(inverts=True)
"""What the shipped models know: for them an inverted frame is no picture without an animal."""


@pytest.fixture(scope="module")
def detector() -> Model:
    return Model(shipped_model("detector"), "detector")


@pytest.fixture(scope="module")
def pose() -> Model:
    return Model(shipped_model("pose"), "pose")


@pytest.fixture(scope="module")
def frames(detector: Model) -> list[LabelledFrame]:
    """Frames in which the detector is sure of the animal."""
    rendered = arena_frames(32, ("snout", "leftear", "rightear", "tailbase"), seed=77)
    seen = [predict(detector, frame.image, whole_image(frame.image)) for frame in rendered]
    return [frame for frame, found in zip(rendered, seen, strict=True) if detector.presence.is_sharp(found)]


def test_frames_without_a_label_count_as_pictures_without_an_animal(
    detector: Model, frames: list[LabelledFrame]
) -> None:
    """Here they show one all the same."""
    hidden = [replace(frame, xy=np.full_like(frame.xy, np.nan)) for frame in frames]
    before = measure_presence(detector, frames, "detector", None, variety=KNOWN)
    after = measure_presence(detector, [*frames, *hidden], "detector", None, variety=KNOWN)
    assert after.absent_share > before.absent_share + 0.2


def test_a_training_with_more_sizes_widens_the_distances(pose: Model, frames: list[LabelledFrame]) -> None:
    usual = measure_presence(pose, frames, "pose", CROP_SIZE)
    varied = measure_presence(pose, frames, "pose", CROP_SIZE, variety=Variety((0.3, 3.0), inverts=True))
    for (*_, least, most), (*_, least_of_all, most_of_all) in zip(
        usual.presence.distances, varied.presence.distances, strict=True
    ):
        assert least_of_all == pytest.approx(0.3 * least, abs=1e-3)
        assert most_of_all == pytest.approx(3.0 * most, abs=1e-3)


@pytest.mark.parametrize(
    ("unusual", "absent", "limit"),
    [
        ((), 0.1, 0.6),
        ((0.7,), 0.1, 0.6),
        ((0.3,), 0.1, 0.3),
        ((0.3,), 0.5, 0.5),
        ((), 0.7, 0.7),
        ((), 0.9, 0.744),
    ],
)
def test_unusual_animals_lower_the_limit_and_pictures_without_one_raise_it_up_to_the_usual_animals(
    unusual: tuple[float, ...], absent: float, limit: float
) -> None:
    assert sharpness_limit(np.full(50, 0.8), np.array(unusual), np.full(50, absent)) == pytest.approx(limit)


def test_the_limit_stays_between_pictures_with_and_without_an_animal(pose: Model, frames: list[LabelledFrame]) -> None:
    measured = measure_presence(pose, frames, "pose", CROP_SIZE, variety=KNOWN)
    assert measured.present_share == 1.0
    assert measured.absent_share <= 0.05

"""The look of an animal in a frame, and of a training, measured on pictures that are drawn here."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.inference.appearance import (
    animal_length,
    describe_contrast,
    measure_appearance,
    measure_training,
)
from realtime_cropzoom.types import Float32, UInt8


def drawn(
    animal: int, floor: int, length: int = 100, size: tuple[int, int] = (320, 240)
) -> tuple[UInt8, Float32]:  # fmt: skip
    """An oval animal in the middle of a floor, with keypoints at its ends and its sides."""
    image: UInt8 = np.full((size[1], size[0], 3), floor, np.uint8)
    x, y = size[0] // 2, size[1] // 2
    cv2.ellipse(image, (x, y), (length // 2, length // 4), 0, 0, 360, (animal,) * 3, cv2.FILLED)
    ends = [[x - length / 2, y], [x + length / 2, y], [x, y - length / 4], [x, y + length / 4]]
    return image, np.array(ends, np.float32)


@pytest.mark.parametrize(("animal", "floor"), [(20, 220), (220, 20), (120, 130)])
def test_an_animal_is_as_bright_and_as_long_as_it_was_drawn(animal: int, floor: int) -> None:
    seen = measure_appearance(*drawn(animal, floor))
    assert seen is not None
    assert (seen.frame_size, seen.length_px) == ((320, 240), 100)
    assert (seen.animal, seen.surroundings) == pytest.approx((animal / 255, floor / 255))


@given(angle=st.floats(0, 6.3), scale=st.floats(0.1, 10), missing=st.integers(0, 3))
def test_the_length_follows_the_scale_and_not_the_direction(angle: float, scale: float, missing: int) -> None:
    _, xy = drawn(0, 255)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    length = animal_length((scale * xy @ turn.T).astype(np.float32))
    assert length == pytest.approx(100 * scale, rel=1e-4)
    xy[missing] = np.nan
    assert animal_length(xy) in (pytest.approx(100), pytest.approx(np.hypot(50, 25)))


@pytest.mark.parametrize(
    "xy",
    [
        pytest.param([[np.nan, np.nan]] * 3 + [[5, 5]], id="one keypoint"),
        pytest.param([[np.nan, np.nan]] * 2 + [[5, 5], [90, 90]], id="half of the keypoints"),
        pytest.param([[5, 5]] * 4, id="all at one point"),
        pytest.param([[5000, 5000], [5100, 5000], [5000, 5050]], id="outside of the frame"),
    ],
)
def test_what_is_no_animal_is_not_measured(xy: Sequence[Sequence[float]]) -> None:
    image, _ = drawn(20, 220)
    keypoints = np.array(xy, np.float32)
    assert measure_appearance(image, keypoints) is None
    assert measure_training([(image, keypoints)]) is None


def test_a_training_is_the_range_of_its_frames() -> None:
    frames = [drawn(220, 20, length) for length in range(60, 141, 2)]
    trained = measure_training(frames, "rat", "seen from above")
    assert trained is not None
    assert trained.description == "a bright rat on a dark floor, seen from above"
    assert trained.length_px == pytest.approx((64, 100, 136))
    assert trained.contrast == pytest.approx((200 / 255,) * 3, abs=1e-3)
    assert trained.frame_size == (320, 240)
    assert 0.08 < trained.brightness[0] < trained.brightness[2] < 0.3


@pytest.mark.parametrize(
    ("contrast", "words"),
    [
        ((-0.5, -0.4, -0.3), "a dark animal on a bright floor"),
        ((-0.05, 0.2, 0.3), "a bright animal on a dark floor"),
        ((-0.5, 0.3, 0.4), "an animal darker or brighter than the floor"),
        ((-0.05, 0.0, 0.05), "an animal about as bright as the floor"),
    ],
)
def test_a_contrast_in_words(contrast: tuple[float, float, float], words: str) -> None:
    assert describe_contrast(contrast) == words

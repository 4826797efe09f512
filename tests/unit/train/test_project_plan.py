"""Plan: what the labels say about crop size and inputs, and the limits that always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.project.schema import Training
from realtime_cropzoom.train.project_plan import GRID, Animal, make_plan, measure_animal
from realtime_cropzoom.types import Float32

AUTO = Training()
NAN = float("nan")


def turned_animal(length: float, count: int = 40) -> Float32:
    """Labels of an animal of four keypoints, turned to every direction."""
    body = np.array([[0, 0], [0.2, 0.11], [0.2, -0.11], [1, 0]]) * length
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    turns = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], axis=1).reshape(-1, 2, 2)
    return np.asarray(300 + body @ turns, np.float32)


def test_the_labels_of_the_shipped_models_give_about_their_sizes() -> None:
    animal = measure_animal(turned_animal(115), [(640, 480)] * 40, AUTO)
    plan = make_plan(animal, AUTO)
    assert plan.crop_size == 240
    assert plan.pose_input == (160, 160)
    assert plan.detector_input == (192, 128)
    assert plan.why == (
        "the animal is 115 px long (115 to 115 in 9 of 10 frames), in frames of 640x480 px",
        "crop size 240 px: 2.1 times its length, so that it fits however it turns, "
        "with room for an error of the detector",
        "pose input 160x160 px: the animal is 77 px long in it",
        "detector input 192x128 px: the animal is 31 px long in it",
    )


@given(
    length=st.floats(10, 1500),
    width=st.integers(200, 4000),
    height=st.integers(200, 4000),
    spread=st.floats(1, 1.6),
    closest=st.floats(0, 1),
)
def test_what_is_chosen_suits_every_animal(
    length: float, width: int, height: int, spread: float, closest: float
) -> None:  # fmt: skip
    animal = Animal(length, length / spread, length * spread, closest * length, (width, height), 0)
    plan = make_plan(animal, AUTO)
    assert plan.crop_size >= 1.5 * animal.long_px, "the animal fits, turned any way, beside the detector's error"
    assert plan.crop_size <= 2 * animal.long_px + 32
    for side in (*plan.detector_input, *plan.pose_input):
        assert side % GRID == 0
        assert side > 0
    assert max(plan.pose_input) <= 256
    assert max(plan.detector_input) <= 384
    wide, high = plan.detector_input
    if max(wide, high) < 384 and min(wide, high) > 96:
        assert 0.7 < (wide / width) / (high / height) < 1.4, "about the aspect of the frame"


def test_keypoints_close_to_each_other_need_a_larger_input() -> None:
    far = Animal(200, 190, 210, 50, (640, 480), 0)
    near = Animal(200, 190, 210, 10, (640, 480), 0)
    assert make_plan(near, AUTO).pose_input > make_plan(far, AUTO).pose_input


def test_what_the_project_says_is_taken() -> None:
    given_sizes = Training(crop_size=300, detector_input=256, pose_input=96)
    plan = make_plan(Animal(100, 90, 110, 20, (640, 480), 0), given_sizes)
    assert (plan.crop_size, plan.detector_input, plan.pose_input) == (300, (256, 192), (96, 96))
    tall = make_plan(Animal(100, 90, 110, 20, (480, 640), 0), given_sizes)
    assert tall.detector_input == (192, 256)


@pytest.mark.parametrize("name", ["detector_input", "pose_input"])
def test_a_side_that_the_network_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"training.{name}: got 100, expected a multiple of 32 such as 96"):
        make_plan(Animal(100, 90, 110, 20, (640, 480), 0), Training.model_validate({name: 100}))


@pytest.mark.parametrize(
    ("animal", "training", "said"),
    [
        (Animal(100, 90, 110, 20, (640, 480), 7), AUTO, "7 frames of another size than 640x480"),
        (Animal(40, 30, 50, 10, (3840, 2160), 0), AUTO, "the detector sees it only 4 px long. Move the camera closer"),
        (
            Animal(100, 90, 210, 20, (640, 480), 0),
            Training(crop_size=200),
            "up to 210 px long: parts of it are cut off",
        ),
    ],
)
def test_what_may_go_wrong_is_said(animal: Animal, training: Training, said: str) -> None:
    assert said in make_plan(animal, training).why[-1]


def test_frames_with_one_keypoint_tell_no_length() -> None:
    xy = np.full((5, 3, 2), NAN, np.float32)
    xy[:, 0] = 50
    with pytest.raises(ConfigError, match="got no frame with two labelled keypoints") as raised:
        measure_animal(xy, [(640, 480)] * 5, AUTO)
    assert "\n" not in str(raised.value)
    animal = measure_animal(xy, [(640, 480)] * 5, Training(crop_size=200))
    assert animal.length_px == 100
    assert make_plan(animal, Training(crop_size=200)).pose_input == (160, 160)


def test_keypoints_on_each_other_in_all_frames_are_refused() -> None:
    with pytest.raises(ConfigError, match="all keypoints at one place in most frames"):
        measure_animal(np.full((12, 4, 2), 50, np.float32), [(640, 480)] * 12, AUTO)


def test_hidden_keypoints_do_not_count() -> None:
    xy = turned_animal(100)
    xy[::2, 1] = NAN
    xy[3] = NAN
    animal = measure_animal(xy, [(640, 480)] * 39 + [(320, 240)], AUTO)
    assert animal.length_px == pytest.approx(100, rel=1e-3)
    assert animal.closest_px == pytest.approx(22, rel=0.05)
    assert (animal.frame_size, animal.other_sizes) == ((640, 480), 1)

"""Which frames are trained on: Lightning Pose's choice, frame for frame."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.offline.train_split import _permutation, split_frames

FROM_TORCH_2 = {
    (10, 0): (4, 1, 7, 5, 3, 9, 0, 8, 6, 2),
    (7, 42): (1, 6, 3, 5, 4, 0, 2),
    (12, 2**32 - 1): (3, 1, 8, 9, 2, 6, 10, 11, 0, 5, 7, 4),
}
"""``torch.randperm(count, generator=torch.Generator().manual_seed(seed))``, written down: torch is an extra."""


@pytest.mark.parametrize(("count", "seed"), FROM_TORCH_2)
def test_frames_are_drawn_in_the_order_that_torch_draws_them(count: int, seed: int) -> None:
    assert _permutation(count, seed) == FROM_TORCH_2[count, seed]


@pytest.mark.parametrize("count", [1, 2, 3, 92, 1000, 25_000])
@pytest.mark.parametrize("seed", [0, 1, 123_456_789])
def test_that_order_is_torchs_where_it_is_installed(count: int, seed: int) -> None:
    torch = pytest.importorskip("torch")
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert _permutation(count, seed) == tuple(drawn.tolist())


@pytest.mark.parametrize("model", ["detector_0", "pose_0"])
def test_the_set_column_is_litposes(model: str, litpose: Path) -> None:
    """The golden models were trained with 0.9 to train on and 0.1 to validate with."""
    (path,) = (litpose / model / "image_preds").glob("*/predictions.csv")
    with path.open(newline="") as file:
        sets = [row[-1] for row in csv.reader(file)][3:]
    assert len(sets) == 92
    assert split_frames(92, 0.9, 0.1, seed=0).sets(92) == sets


@given(
    count=st.integers(2, 300),
    train=st.floats(0.05, 0.95),
    val=st.none() | st.floats(0, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_frame_has_one_place(count: int, train: float, val: float | None, seed: int) -> None:
    try:
        split = split_frames(count, train, val, seed)
    except ConfigError:  # too few are left to train on, or the fractions are more than the whole
        assert math.floor(train * count) <= 1 or (val is not None and train + val > 1)
        return
    assert sorted(split.train + split.validation + split.test) == list(range(count))
    assert split.train
    assert split.validation
    assert "unused" not in split.sets(count)


def test_without_a_fraction_to_validate_with_it_is_half_of_the_rest() -> None:
    split = split_frames(200, 0.9)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [180, 10, 10]


def test_a_few_frames_left_over_are_trained_on() -> None:
    split = split_frames(92, 0.9, 0.1)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [83, 9, 0]


@pytest.mark.parametrize(("train_frames", "left"), [(None, 90), (1, 90), (0.5, 45), (10, 10), (500, 90)])
def test_fewer_frames_to_train_on_leave_the_others_as_they_are(train_frames: float | None, left: int) -> None:
    whole, split = split_frames(100, 0.9, 0.05), split_frames(100, 0.9, 0.05, train_frames=train_frames)
    assert split.train == whole.train[:left]
    assert (split.validation, split.test) == (whole.validation, whole.test)
    assert split.sets(100).count("unused") == 90 - left


@pytest.mark.parametrize(
    ("count", "train", "val", "train_frames", "words"),
    [
        (100, 0.0, 0.1, None, "train_prob is 0.0"),
        (100, 0.9, 0.2, None, "add up to at most 1"),
        (100, 0.9, -0.1, None, "val_prob -0.1"),
        (1, 0.9, 0.1, None, "1 labelled frames; expected at least two"),
        (0, 0.9, 0.1, None, "0 labelled frames"),
        (100, 0.9, 0.1, -3, "train_frames is -3"),
        (100, 0.9, 0.1, 0.001, "none is left to train on"),
    ],
)
def test_fractions_that_allow_no_split_are_refused(
    count: int, train: float, val: float, train_frames: float | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        split_frames(count, train, val, train_frames=train_frames)

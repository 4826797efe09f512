"""``.h5`` of DeepLabCut, as pandas saves it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.foreign import read_poses

h5py = pytest.importorskip("h5py")
pytest.importorskip("tables")

NAMES = ["nose", 'the "tail", base']
LEVELS = ["scorer", "bodyparts", "coords"]


def save(path: Path, numbers: np.ndarray, names: list[str] = NAMES, **options: Any) -> Path:
    """Save (n, K, 3) as analyze_videos does."""
    columns = pd.MultiIndex.from_product([["DLC_resnet50"], names, ["x", "y", "likelihood"]], names=LEVELS)
    table = pd.DataFrame(numbers.reshape(len(numbers), -1), columns=columns)
    table.to_hdf(path, **{"key": "df_with_missing", "format": "table", "mode": "w", **options})
    return path


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 100, (5, 2, 3))


@pytest.mark.parametrize("form", ["table", "fixed"])
def test_the_predictions_of_analyze_videos_and_of_convert(tmp_path: Path, numbers: np.ndarray, form: str) -> None:
    found = read_poses(save(tmp_path / "p.h5", numbers, format=form))
    assert found.keypoint_names == tuple(NAMES)
    assert found.frames.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found.values, numbers)


def test_names_are_read_without_running_what_the_file_holds(tmp_path: Path, numbers: np.ndarray) -> None:
    path, proof = save(tmp_path / "p.h5", numbers), tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (proof,)

    with h5py.File(path, "a") as file:
        file["df_with_missing"].attrs["non_index_axes"] = np.void(pickle.dumps([(1, [Attack()])], 0))
    with pytest.raises(DataError, match=r"expected a table of DeepLabCut.*the instruction GLOBAL"):
        read_poses(path)
    assert not proof.exists()


@pytest.mark.parametrize("damage", [b"", b"(lp0\n", b"t", b"a.", b"g7\n.", b"I5\n.", b"\xff\xfe"])
def test_damaged_names_are_refused(tmp_path: Path, numbers: np.ndarray, damage: bytes) -> None:
    path = save(tmp_path / "p.h5", numbers)
    with h5py.File(path, "a") as file:
        file["df_with_missing"].attrs["non_index_axes"] = np.void(damage) if damage else np.bytes_(b"")
    with pytest.raises(DataError, match="expected a table of DeepLabCut"):
        read_poses(path)


def test_several_animals_are_refused(tmp_path: Path) -> None:
    columns = pd.MultiIndex.from_product(
        [["m"], ["a", "b"], NAMES, ["x", "y"]], names=["scorer", "individuals", *LEVELS[1:]]
    )
    pd.DataFrame(np.zeros((2, 8)), columns=columns).to_hdf(
        tmp_path / "p.h5", key="df_with_missing", format="table", mode="w"
    )
    with pytest.raises(DataError, match="as of one animal"):
        read_poses(tmp_path / "p.h5")


def test_two_keypoints_of_one_name_are_refused(tmp_path: Path, numbers: np.ndarray) -> None:
    with pytest.raises(DataError, match="has two keypoints with the name a;"):
        read_poses(save(tmp_path / "p.h5", numbers, ["a", "a"]))


def test_another_hdf5_file_is_refused(tmp_path: Path, numbers: np.ndarray) -> None:
    with pytest.raises(DataError, match="no table df_with_missing"):
        read_poses(save(tmp_path / "p.h5", numbers, key="other"))
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(DataError, match="it is damaged, or no HDF5 file"):
        read_poses(tmp_path / "text.h5")

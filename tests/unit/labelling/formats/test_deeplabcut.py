"""Label files of DeepLabCut and Lightning Pose: every form of CSV, and H5 without unpickling."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.labelled import NAMES, deeplabcut_csv, pose

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.labelling.formats.deeplabcut import read_csv, read_h5

IMAGES = ("labeled-data/mouse, 1/img0012.png", "labeled-data/mouse, 1/img0100.png")


def labels() -> dict[str, np.ndarray]:
    found = {image: pose(i) for i, image in enumerate(IMAGES)}
    found[IMAGES[1]][2] = np.nan
    return found


@pytest.mark.parametrize("columns", [1, 3])
def test_the_path_is_in_one_column_or_in_three(tmp_path: Path, columns: int) -> None:
    file = read_csv(deeplabcut_csv(tmp_path / "CollectedData.csv", labels(), columns=columns))
    assert file.keypoint_names == NAMES
    assert [entry.image for entry in file.entries] == list(IMAGES)
    assert file.entries[1].points == {
        name: tuple(xy) for name, xy in zip(NAMES, labels()[IMAGES[1]].tolist(), strict=True) if name != "ear_r"
    }
    assert not any(entry.predicted for entry in file.entries)


def test_decimal_commas_without_quotes_are_refused_with_their_line(tmp_path: Path) -> None:
    path = deeplabcut_csv(tmp_path / "CollectedData.csv", labels())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "a/img1.png" + ",21,5" * 8]))
    with pytest.raises(DataError, match=r"csv, line 5: got 17 cells, expected 9 as in the header.*commas"):
        read_csv(path)
    path.write_text("\n".join(f"{line},," if i > 2 else line for i, line in enumerate(lines)))
    assert len(read_csv(path).entries) == 2


def test_a_keypoint_with_one_coordinate_is_hidden_and_said_so(tmp_path: Path) -> None:
    half = labels()
    half[IMAGES[0]][1, 0] = np.nan
    file = read_csv(deeplabcut_csv(tmp_path / "CollectedData.csv", half))
    assert NAMES[1] not in file.entries[0].points
    assert file.notes == (
        f"half: 1 keypoint with x but no y, or y but no x, first ear_l of {IMAGES[0]}. Taken as hidden",
    )
    assert read_csv(deeplabcut_csv(tmp_path / "whole.csv", labels())).notes == ()


def test_several_animals_are_entries_of_their_own(tmp_path: Path) -> None:
    text = (
        "scorer,,,Ada,Ada,Ada,Ada\nindividuals,,,one,one,two,two\nbodyparts,,,nose,nose,nose,nose\ncoords,,,x,y,x,y\n"
        "labeled-data,m,img1.png,1,2,3,4\nlabeled-data,m,img2.png,,,5,6\n"
    )
    (tmp_path / "a.csv").write_text(text)
    entries = read_csv(tmp_path / "a.csv").entries
    assert [(e.image, e.animal, e.points["nose"]) for e in entries] == [
        ("labeled-data/m/img1.png", "one", (1.0, 2.0)),
        ("labeled-data/m/img1.png", "two", (3.0, 4.0)),
        ("labeled-data/m/img2.png", "two", (5.0, 6.0)),
    ]


def test_likelihoods_say_that_a_model_made_it(tmp_path: Path) -> None:
    text = "scorer,DLC,DLC,DLC\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\nimg1.png,1,2,0.9\n"
    (tmp_path / "a.csv").write_text(text)
    assert read_csv(tmp_path / "a.csv").entries[0].predicted


HEADER = "scorer,A,A\nbodyparts,nose,nose\ncoords,x,y\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty file, expected labels"),
        ("a,b\n1,2\n", r"got 'a, 1', expected labels: header rows that begin with scorer, bodyparts, coords"),
        (HEADER.replace(",", ";"), "separates its columns with semicolons"),
        (HEADER + "img.png,1,one\n", "got 'one' for img.png, expected a number"),
        (HEADER + "img.png,1,1e999\n", "expected a finite number"),
        (HEADER + "img.png,1\n", "the row of img.png ends too early"),
        (HEADER + "0,1,2\n1,3,4\n", "frame numbers of a video, as predictions have them"),
        (HEADER.replace("x,y", "x,x"), "two keypoints with the name nose"),
        (HEADER.replace("x,y", "x,z"), "got a column nose z, expected x and y"),
        (HEADER.replace("coords,x,y", "coords,x"), "the header rows do not match"),
        ("scorer,A\nbodyparts,nose\ncoords,x\n", "does not have both x and y of nose"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_csv(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00scorer")
    with pytest.raises(DataError, match="not UTF-8"):
        read_csv(tmp_path / "a.csv")


def h5(path: Path, how: str) -> Path:
    pytest.importorskip("tables")
    columns = pd.MultiIndex.from_product([["Ada"], NAMES, ["x", "y"]], names=["scorer", "bodyparts", "coords"])
    index = pd.MultiIndex.from_tuples([tuple(i.split("/")) for i in IMAGES]) if how == "parts" else list(IMAGES)
    table = pd.DataFrame(np.array([xy.ravel() for xy in labels().values()]), columns=columns, index=index)
    table.to_hdf(path, key="keypoints" if how == "old" else "df_with_missing", mode="w",
                 format="table" if how == "table" else "fixed")  # fmt: skip
    return path


@pytest.mark.parametrize("how", ["parts", "paths", "table", "old"])
def test_every_form_of_h5_is_read_as_the_csv_is(tmp_path: Path, how: str) -> None:
    pytest.importorskip("h5py")
    expected = read_csv(deeplabcut_csv(tmp_path / "a.csv", labels()))
    assert read_h5(h5(tmp_path / "a.h5", how)).entries == expected.entries


def test_code_in_an_h5_is_not_run(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path, proof = h5(tmp_path / "a.h5", "table"), tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (proof,)

    with h5py.File(path, "a") as file:
        file["df_with_missing"].attrs["non_index_axes"] = np.void(pickle.dumps([(1, [Attack()])], 0))
    with pytest.raises(DataError, match="expected a table of DeepLabCut"):
        read_h5(path)
    assert not proof.exists()


def test_a_file_that_is_no_h5_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="damaged, or no HDF5 file"):
        read_h5(tmp_path / "a.h5")

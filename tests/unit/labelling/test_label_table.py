"""``CollectedData.csv``: the same labels give the same bytes, and nothing that was there is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.labelled import NAMES, make_project, pose

from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.labelling.label_table import number_text, read_label_table, table_text, write_label_table
from realtime_cropzoom.sessions.dlc_csv import read_labels


def test_rows_are_sorted_and_numbers_exact(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    labels = {"frames/b, 2/img00000001.png": pose(1), "frames/a/img00000009.png": pose(9)}
    labels["frames/a/img00000009.png"][1] = np.nan
    assert read_label_table(project) == {}
    assert write_label_table(project, labels) is None
    found = read_labels(project.labels_file, NAMES)
    assert found.images == tuple(sorted(labels))
    for image, xy in read_label_table(project).items():
        assert np.array_equal(xy, labels[image], equal_nan=True)
    again = dict(reversed(labels.items()))
    assert table_text(NAMES, again) == project.labels_file.read_text()


def test_the_file_before_is_kept_and_only_if_something_changes(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p")
    image = "frames/a/img00000001.png"
    write_label_table(project, {image: pose(1)})
    first = project.labels_file.read_bytes()
    assert write_label_table(project, {image: pose(1)}) is None
    copies = [write_label_table(project, {image: pose(i)}) for i in (2, 3)]
    assert [copy.name for copy in copies if copy] == ["CollectedData.bak1.csv", "CollectedData.bak2.csv"]
    assert copies[0] is not None
    assert copies[0].read_bytes() == first


def test_a_disk_that_refuses_leaves_the_labels_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path / "p")
    image = "frames/a/img00000001.png"
    write_label_table(project, {image: pose(1)})
    before = project.labels_file.read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SinkError, match="No space left"):
        write_label_table(project, {image: pose(2)})
    monkeypatch.undo()
    assert project.labels_file.read_bytes() == before
    assert [path.name for path in project.labels_folder.iterdir()] == ["CollectedData.csv"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_was(value: float) -> None:
    assert float(number_text(value)) == value

"""CSV text: rows written here are read back, and files of other programs are read or refused in one line."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import Records, complete_lines, csv_line, read_number_rows

CELLS = st.one_of(st.none(), st.integers(), st.floats(), st.text(st.characters(codec="utf-8")))


@given(st.lists(CELLS, min_size=2, max_size=5))
def test_a_row_reads_back_as_the_cells_that_were_written(cells: list[object]) -> None:
    (row,) = csv.reader(StringIO(csv_line(cells), newline=""))
    assert row == ["" if cell is None else str(cell) for cell in cells]


@given(st.lists(st.one_of(st.none(), st.integers(), st.text('ab," ;')), min_size=2, max_size=5))
def test_a_row_has_the_bytes_that_the_csv_module_writes(cells: list[object]) -> None:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    assert csv_line(cells) == text.getvalue()


def test_records_have_their_cells_by_column_name(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('frame,name\n0,nose\n1,"left, ear"\n', encoding="utf-8-sig")
    records = Records(path)
    assert records.columns == ("frame", "name")
    assert list(records) == [{"frame": "0", "name": "nose"}, {"frame": "1", "name": "left, ear"}]


@pytest.mark.parametrize("text", ["frame,name\n0,a\n1,b", "frame,name\n0,a\n1,", "frame,name\n0,a\n1"])
def test_records_of_a_killed_run_end_with_the_last_complete_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert list(Records(path, complete_only=True)) == [{"frame": "0", "name": "a"}]
    assert complete_lines(path).read() == b"frame,name\n0,a\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "cannot read the table .*: No such file", id="no file"),
        pytest.param(b"a;b\n1;2\n", "separates its columns with semicolons", id="semicolons"),
        pytest.param("größe,b\n1,2\n".encode("latin-1"), "it is not UTF-8 text", id="another encoding"),
    ],
)
def test_records_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        Records(path, what="the table ")
    assert "\n" not in str(caught.value)


def test_number_rows_keep_a_first_row_of_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("name,x,y\n0,,\n1,2.5,NaN\n2,7")
    table = read_number_rows(path, header_rows=1, index_columns=1, columns=2, complete_only=True)
    assert table[0].tolist() == ["0", "1"]
    assert np.array_equal(table[[1, 2]], [[np.nan, np.nan], [2.5, np.nan]], equal_nan=True)


def test_a_file_with_only_a_header_has_no_number_rows(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("name,x,y\n")
    table = read_number_rows(path, header_rows=1, index_columns=1, columns=2)
    assert table.shape == (0, 3)

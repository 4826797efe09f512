"""Label and prediction files: what their three header rows say, and what is refused in which words."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.offline_fixtures import Workplace

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.csv_text import text_cell
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.sessions.dlc_csv import (
    header_text,
    iter_predictions,
    read_header,
    read_labels,
    read_predictions,
)
from realtime_cropzoom.sessions.pose_rows import pose_cells, pose_header
from realtime_cropzoom.types import Keypoints

HEADER = ["scorer,s,s,s,s", "bodyparts,nose,nose,tail,tail", "coords,x,y,x,y"]
THREE = ["scorer,,,s,s,s,s", "bodyparts,,,nose,nose,tail,tail", "coords,,,x,y,x,y"]
PREDICTED = ["scorer,s,s,s,s,s,s", "bodyparts,nose,nose,nose,tail,tail,tail", "coords,x,y,likelihood,x,y,likelihood"]


def table(folder: Path, lines: list[str]) -> Path:
    path = folder / "table.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_labels_come_with_their_images_and_keypoints(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, [*HEADER, "a/1.png,1,2,3,4", "a/2.png,5,6,7.5,8"]))
    assert labels.images == ("a/1.png", "a/2.png")
    assert labels.keypoint_names == ("nose", "tail")
    assert labels.xy.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7.5, 8]]]


def test_an_index_of_three_columns_is_one_path(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, [*THREE, "labeled-data,m1,img01.png,1,2,3,4"]))
    assert labels.images == ("labeled-data/m1/img01.png",)
    assert labels.xy[0].tolist() == [[1, 2], [3, 4]]


def test_keypoints_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, [*HEADER, "a.png,1,2,3,4"])
    assert read_labels(path, ["tail", "nose"]).xy[0].tolist() == [[3, 4], [1, 2]]
    assert read_labels(path, ["tail"]).xy[0].tolist() == [[3, 4]]


def test_a_label_with_one_coordinate_is_nan(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, [*HEADER, "a.png,1,,3,4", "b.png,,,,"]))
    xy = labels.xy
    assert labels.half == ("nose of a.png",)
    assert np.isnan(xy[0, 0]).all()
    assert xy[0, 1].tolist() == [3, 4]
    assert np.isnan(xy[1]).all()


def test_a_first_row_of_empty_cells_is_a_row(tmp_path: Path) -> None:
    """Read together with its header, pandas takes it for the names of the index."""
    assert read_labels(table(tmp_path, [*HEADER, "a.png,,,,", "b.png,1,2,3,4"])).images == ("a.png", "b.png")
    predicted = read_predictions(table(tmp_path, [*PREDICTED, "0,,,,,,", "1,1,2,.5,3,4,.6"]))
    assert predicted.index == ("0", "1")
    assert predicted.likelihood[1].tolist() == [0.5, 0.6]


def test_names_of_images_stay_as_they_are(tmp_path: Path) -> None:
    """Whatever a number they may look like."""
    assert read_labels(table(tmp_path, [*HEADER, "007,1,2,3,4", "1e3,1,2,3,4"])).images == ("007", "1e3")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """Excel leaves one."""
    path = table(tmp_path, [*HEADER, "a.png,1,2,3,4"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_labels(path).images == ("a.png",)
    assert header_text(path).startswith("scorer")


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    lines = [f"{line},{end}" for line, end in zip(PREDICTED, ("set", "", ""), strict=True)]
    predicted = read_predictions(table(tmp_path, [*lines, "a.png,1,2,.5,3,4,.6,train"]))
    assert predicted.keypoint_names == ("nose", "tail")
    assert predicted.xy.tolist() == [[[1, 2], [3, 4]]]


def test_a_missing_likelihood_is_nan(tmp_path: Path) -> None:
    assert np.isnan(read_predictions(table(tmp_path, [*HEADER, "0,1,2,3,4"])).likelihood).all()


def test_portions_are_the_whole(tmp_path: Path) -> None:
    rows = [f"{i},{i},{i + 0.5},0.25,,,0.5" for i in range(25)]
    path = table(tmp_path, [*PREDICTED, *rows])
    whole, portions = read_predictions(path), list(iter_predictions(path, 10))
    assert [len(portion.index) for portion in portions] == [10, 10, 5]
    assert sum((portion.index for portion in portions), ()) == whole.index
    np.testing.assert_array_equal(np.concatenate([portion.xy for portion in portions]), whole.xy)


def test_a_line_that_was_cut_off_is_left_out_of_a_live_file_alone(tmp_path: Path) -> None:
    path = table(tmp_path, [*PREDICTED, "0,1,2,.5,3,4,.6"])
    path.write_text(path.read_text() + "1,1,2")
    assert read_predictions(path, live=True).index == ("0",)


@pytest.mark.parametrize("left_out", range(3))
def test_a_missing_header_row_is_named(tmp_path: Path, left_out: int) -> None:
    lines = [line for i, line in enumerate(HEADER) if i != left_out]
    with pytest.raises(DataError, match=r"begins with .*; expected three header rows that begin with scorer, bodyp"):
        read_labels(table(tmp_path, [*lines, "a.png,1,2,3,4", "b.png,1,2,3,4"]))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param([], "begins with an empty file", id="empty"),
        pytest.param(HEADER[:2], "begins with scorer, bodyparts; expected three", id="too short"),
        pytest.param([*HEADER[:2], "coords,x,y,x"], "the header rows do not match", id="rows of other lengths"),
        pytest.param([*HEADER[:2], "coords,x,z,x,y"], "nose x but no nose y", id="no y"),
        pytest.param(HEADER, "has no labelled frames, only its header", id="no rows"),
        pytest.param([*HEADER, "a.png,1,2,three,4"], "a coordinate that is not a number.*three", id="a word"),
        pytest.param([*HEADER, "a.png,1,2"], "no number|header", id="too few cells"),
        pytest.param(
            [*HEADER, "a.png,1,2,3,4", "b.png,1,2,3,4,5,6"], "line 5: got 7 cells, expected 5 as in", id="wide"
        ),
    ],
)
def test_a_file_that_is_not_a_label_file_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words) as refused:
        read_labels(table(tmp_path, lines))
    assert "\n" not in str(refused.value)


def test_a_missing_keypoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no bodypart ear; it has nose, tail"):
        read_labels(table(tmp_path, [*HEADER, "a.png,1,2,3,4"]), ["nose", "ear"])


@pytest.mark.parametrize("read", [read_header, read_labels, read_predictions, lambda p: list(iter_predictions(p))])
def test_a_file_that_is_not_text_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)))
    for path in (tmp_path / "picture.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read(path)


def test_predictions_without_rows_are_refused_unless_they_may_grow(tmp_path: Path) -> None:
    path = table(tmp_path, PREDICTED)
    for read in (read_predictions, lambda p: list(iter_predictions(p))):
        with pytest.raises(DataError, match="has no predictions, only its header"):
            read(path)
    assert read_predictions(path, live=True).index == ()


@pytest.mark.parametrize("name", ["img0001.png", "a, b/img0001.png", 'the "good" one/img0001.png'])
def test_an_image_name_reads_back_as_it_was(name: str, tmp_path: Path) -> None:
    found = Keypoints(np.zeros((1, 2), np.float32), np.ones(1, np.float32))
    path = tmp_path / "predictions.csv"
    path.write_text(pose_header(["snout"], "scorer") + f"{text_cell(name)}{pose_cells(found)}\n")
    assert read_predictions(path).index == (name,)


@pytest.mark.parametrize(
    "end", [",,,,", ",,,,\n,,,,", "", "\n\n"], ids=["commas", "two rows", "nothing", "blank lines"]
)
def test_rows_of_empty_cells_are_no_rows(tmp_path: Path, end: str) -> None:
    labels = read_labels(table(tmp_path, [*HEADER, "a.png,1,2,3,4", ",,,,", "b.png,5,6,7,8", end]))
    assert labels.images == ("a.png", "b.png")
    assert labels.xy[1, 1].tolist() == [7, 8]


def test_numbers_without_a_name_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [*HEADER, "a.png,1,2,3,4", ",5,6,7,8"])
    for read in (read_labels, read_predictions, lambda p: list(iter_predictions(p))):
        with pytest.raises(DataError, match="nothing in the first cell of data row 1, counted from 0; expected"):
            read(path)


@pytest.mark.parametrize(
    "name", ["paw, left", "paw\nleft", 'the "good" paw', " paw ", "paw;left", "NA", "007", "Pfötchen"]
)
def test_a_keypoint_name_reads_back_as_it_was(name: str, tmp_path: Path) -> None:
    found = Keypoints(np.array([[1, 2], [3, 4]], np.float32), np.ones(2, np.float32))
    path = tmp_path / "predictions.csv"
    header = pose_header([name, "tail"], "scorer")
    path.write_text(header + f"0{pose_cells(found)}\n1{pose_cells(found)}\n", encoding="utf-8", newline="")
    assert read_predictions(path).keypoint_names == (name, "tail")
    assert read_predictions(path).xy[1].tolist() == [[1, 2], [3, 4]]
    assert sum(len(portion.index) for portion in iter_predictions(path)) == 2
    assert header_text(path) == header
    theirs = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    assert [column[1] for column in theirs.columns][::3] == [name, "tail"]


def test_lines_may_end_as_on_windows_and_cells_may_be_quoted(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    lines = ['"scorer","s","s"', '"bodyparts","nose","nose"', '"coords","x","y"', '"a.png","1.5","2"', '"b.png","",""']
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    labels = read_labels(path)
    assert labels.images == ("a.png", "b.png")
    assert labels.xy[0].tolist() == [[1.5, 2]]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["scorer;s;s", "bodyparts;n;n", "coords;x;y", "0;1,5;2"],
            "separates its columns with semicolons; expected com",
        ),
        (["scorer\ts\ts", "bodyparts\tn\tn", "coords\tx\ty", "0\t1\t2"], "with tabs; expected commas"),
        (
            ["scorer,s,s", "bodyparts,n,n", "coords,x,y", '0,"1,5",2'],
            "'1,5' for n x of 0; .* with a point as decimal mark",
        ),
        (["scorer,s,s", "bodyparts,n,n", "coords,x,y", "0,inf,2"], "not finite: 'inf' for n x of 0"),
        (["scorer,s,s", "bodyparts,n,n", "coords,x,y", "0,1,2", "1,3,-inf"], "not finite: '-inf' for n y of 1"),
        (
            ["scorer,s,s", "bodyparts,n,n", "coords,x,y", "0,1,2", "1,3,1e999"],
            "not finite: '(inf|1e999)' for n y of 1",
        ),
        (
            ["scorer,s,s,s,s", "bodyparts,ear,ear,ear,ear", "coords,x,y,x,y", "0,1,2,3,4"],
            "two keypoints with the name ear",
        ),
        (["scorer,s,s", "bodyparts,,", "coords,x,y", "0,1,2"], "a keypoint without a name"),
        (["scorer,s", "individuals,a", "bodyparts,n", "coords,x"], "several animals"),
        (["0,1,2", "1,3,4"], "expected three header rows"),
    ],
)
def test_an_invalid_table_is_refused_in_one_line(tmp_path: Path, lines: list[str], words: str) -> None:
    path = table(tmp_path, lines)
    for read in (read_labels, read_predictions, lambda p: list(iter_predictions(p))):
        with pytest.raises(DataError, match=words) as refused:
            read(path)
        assert "\n" not in str(refused.value)


def test_decimal_commas_without_quotes_are_refused_with_their_line(tmp_path: Path) -> None:
    path = table(tmp_path, [*HEADER, "0,21,5,265,4,33,8,265,9"])
    for read in (read_labels, read_predictions, lambda p: list(iter_predictions(p))):
        with pytest.raises(DataError, match=r"line 4: got 9 cells, expected 5 .* commas \(21,5\)\? Save"):
            read(path)


def test_empty_cells_at_the_end_of_a_row_are_no_more_cells(tmp_path: Path) -> None:
    path = table(tmp_path, [*HEADER, "0,1,2,3,4,,", "1,5,6,7,8,"])
    assert read_labels(path).xy[1].tolist() == [[5, 6], [7, 8]]
    assert sum(len(portion.index) for portion in iter_predictions(path)) == 2


def test_a_label_that_is_in_no_picture_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [*HEADER, "a.png,1,2,3,4", "b.png,1,1e30,3,4"])
    with pytest.raises(DataError, match=r"got 1e\+30 for nose y of b.png, expected pixels"):
        read_labels(path)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("scorer,s,s\nbodyparts,n,n\ncoords,x,y\nmäuse.png,1,2\n".encode("latin-1"))
    (tmp_path / "wide.csv").write_text("scorer,s,s\n", encoding="utf-16")
    for name in ("latin.csv", "wide.csv"):
        with pytest.raises(DataError, match="is not UTF-8 text; save it as CSV in UTF-8"):
            read_labels(tmp_path / name)


@pytest.mark.parametrize(
    ("names", "words"),
    [(("ear", "ear", "c"), "two keypoints have the name ear; rename one"), (("a", " ", "c"), "no name")],
)
def test_two_keypoints_with_one_name_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], names: tuple[str, ...], words: str
) -> None:
    work = Workplace(tmp_path, capfd)
    model = work.model()
    config = yaml.safe_load((model / "config.yaml").read_text())
    config["data"]["keypoint_names"] = list(names)
    (model / "config.yaml").write_text(yaml.safe_dump(config))
    assert words in work.refused("predict", model, work.video(frames=2))


def test_a_configuration_may_give_the_keypoints_of_a_shipped_model_other_names(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a comma, too: the files of the pass can be read."""
    work = Workplace(tmp_path, capfd)
    model = work.model(keypoints=("paw, left", "b", "c", "d"))
    (export,) = (model / "exports_onnx").iterdir()
    shutil.copy(shipped_model("pose"), export)
    boxes = work.folder / "clip_bbox.csv"
    boxes.write_text(",x,y,h,w\n0,0,0,96,96\n1,0,0,96,96\n")
    config = yaml.safe_load((model / "config.yaml").read_text())
    config["data"]["image_resize_dims"] = {"height": 160, "width": 160}
    (model / "config.yaml").write_text(yaml.safe_dump(config))
    flags = ("--schedule", boxes, "--out", work.folder / "out", "--skip-viz")
    done = work.run("pipeline", work.video(frames=2), "--pose", model, *flags)
    assert done.code in (0, 3), done.err
    assert read_predictions(work.folder / "out/clip.csv").keypoint_names == ("paw, left", "b", "c", "d")

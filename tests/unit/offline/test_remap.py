"""``cropzoom remap``: the inverse of crop, also where crops were resized."""

from __future__ import annotations

import csv
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.films import Footage
from support.offline_fixtures import Workplace, files_below, image_name, nothing_changes_in, poses_in, write_boxes

from realtime_cropzoom.offline.bbox_csv import read_boxes
from realtime_cropzoom.offline.remap import remap


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def write_predictions(path: Path, frames: np.ndarray, *, index: list[str] | None = None, sets: bool = False) -> Path:
    """Write (N, K, 2) keypoints as ``predict`` does."""
    ends = (",set", ",", ",", ",train") if sets else ("",) * 4
    count = frames.shape[1]
    header = ["scorer" + ",s" * 3 * count, "bodyparts" + "".join(f",k{k}" * 3 for k in range(count))]
    header.append("coords" + ",x,y,likelihood" * count)
    rows = [
        (str(i) if index is None else index[i]) + "".join(f",{x!r},{y!r},0.5" for x, y in frame.tolist()) + ends[3]
        for i, frame in enumerate(frames)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([line + end for line, end in zip(header, ends, strict=False)] + rows) + "\n")
    return path


Boxes = st.lists(
    st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000), st.integers(1, 900), st.integers(1, 900)),
    min_size=1,
    max_size=8,
)


@given(boxes=Boxes, seed=st.integers(0, 2**32 - 1))
def test_remap_undoes_crop_for_boxes_of_any_size(boxes: list[tuple[int, int, int, int]], seed: int) -> None:
    """Crop moves by the corner and scales to the size of the video, which is that of the median box."""
    in_frame = np.random.default_rng(seed).uniform(-100, 4000, (len(boxes), 3, 2))
    with tempfile.TemporaryDirectory() as folder:
        path = write_boxes(Path(folder) / "clip_bbox.csv", boxes)
        size = np.array(read_boxes(path).cropped_size(), float)
        x, y, h, w = np.array(boxes, float).T
        corners, sides = np.stack([x, y], 1)[:, None], np.stack([w, h], 1)[:, None]
        in_crop = (in_frame - corners) / sides * size
        remapped = remap(write_predictions(Path(folder) / "cropped_clip.csv", in_crop), path)
        np.testing.assert_allclose(poses_in(remapped)[..., :2], in_frame, rtol=1e-9, atol=1e-7)


@given(boxes=Boxes, seed=st.integers(0, 2**32 - 1))
def test_crops_of_images_were_not_resized(boxes: list[tuple[int, int, int, int]], seed: int) -> None:
    in_crop = np.random.default_rng(seed).uniform(-100, 900, (len(boxes), 2, 2))
    names = [image_name(i) for i in range(len(boxes))]
    with tempfile.TemporaryDirectory() as folder:
        path = write_boxes(Path(folder) / "bbox.csv", boxes, names)
        predictions = write_predictions(Path(folder) / "predictions.csv", in_crop, index=names, sets=True)
        remapped = remap(predictions, path)
        expected = in_crop + np.array(boxes, float)[:, None, :2]
        np.testing.assert_allclose(poses_in(remapped)[..., :2], expected, rtol=0, atol=1e-9)
        assert all(line.endswith(",train") for line in remapped.read_text().splitlines()[3:])


def test_where_every_box_is_as_large_as_the_video_the_corner_is_added_and_nothing_else(tmp_path: Path) -> None:
    """What ``litpose remap`` does, to the last bit."""
    in_crop = np.random.default_rng(0).uniform(0, 240, (50, 4, 2))
    boxes = [(3 * i - 40, 7 * i - 90, 240, 240) for i in range(50)]
    path = write_boxes(tmp_path / "clip_bbox.csv", boxes)
    remapped = remap(write_predictions(tmp_path / "cropped_clip.csv", in_crop), path)
    assert remapped == tmp_path / "remapped_cropped_clip.csv"
    expected = in_crop + np.array(boxes)[:, None, :2]
    np.testing.assert_allclose(poses_in(remapped)[..., :2], expected, rtol=0, atol=1e-9)
    assert (poses_in(remapped)[..., 2] == 0.5).all()


def test_what_is_missing_stays_missing(tmp_path: Path) -> None:
    in_crop = np.full((3, 2, 2), np.nan)
    in_crop[1, 1] = (5, 6)
    path = write_boxes(tmp_path / "clip_bbox.csv", [(10, 20, 40, 40)] * 3)
    remapped = poses_in(remap(write_predictions(tmp_path / "cropped_clip.csv", in_crop), path))
    assert remapped[1, 1].tolist() == [15, 26, 0.5]
    assert np.isnan(remapped[..., :2]).sum() == 10


@pytest.mark.parametrize("given_as", ["beside the boxes", "by name"])
def test_the_cropped_video_says_how_much_was_resized(work: Workplace, given_as: str) -> None:
    """Of one that somebody else has made, the boxes alone do not say its size."""
    boxes = write_boxes(work.folder / "model/video_preds/clip_bbox.csv", [(10, 20, 40, 50)] * 3)
    folder = work.folder / ("model/cropped_videos" if given_as == "beside the boxes" else "elsewhere")
    folder.mkdir()
    video = Footage((100, 160)).write(folder / "cropped_clip.mp4", 3)
    flags = [] if given_as == "beside the boxes" else ["--cropped-video", video]
    predictions = write_predictions(work.folder / "pose/cropped_clip.csv", np.full((3, 1, 2), 80.0))
    done = work.did("remap", predictions, boxes, *flags)
    assert done.out.strip() == str(work.folder / "pose/remapped_cropped_clip.csv")
    found = poses_in(work.folder / "pose/remapped_cropped_clip.csv")
    assert found[0, 0, :2].tolist() == [10 + 80 / 100 * 50, 20 + 80 / 160 * 40]


@pytest.mark.parametrize("sides", [(60, 60), (56, 64)], ids=["one size", "every frame another"])
def test_crop_predict_and_remap_are_predict_with_boxes(work: Workplace, sides: tuple[int, int]) -> None:
    """But for what the codec and a second resizing lose: fractions of a pixel, where litpose is off by the scale."""
    detector, pose, video = work.model("detector"), work.model("pose", size=(128, 128)), work.video(frames=20)
    boxes = []
    for i in range(20):
        side = sides[i % 2]
        x, y = work.footage.blob_at(i)
        boxes.append((int(x - side * 0.4), int(y - side * 0.7), side, side))
    path = write_boxes(detector / "video_preds/clip_bbox.csv", boxes)
    work.did("crop", detector, video)
    predicted = work.did("predict", pose, detector / "cropped_videos/cropped_clip.mp4", "--skip_viz")
    assert f"cropzoom remap {pose / 'video_preds/cropped_clip.csv'} {path}" in predicted.err
    work.did("remap", pose / "video_preds/cropped_clip.csv", path)
    work.did("predict", pose, video, "--bbox_dir", path.parent, "--skip_viz")
    remapped = poses_in(pose / "video_preds/remapped_cropped_clip.csv")[:, 0, :2]
    direct = poses_in(pose / "video_preds/clip.csv")[:, 0, :2]
    inside = [i for i, (x, y, h, w) in enumerate(boxes) if min(x, y) >= 0 and x + w <= 160 and y + h <= 96]
    assert len(inside) > 5
    off = np.abs(remapped - direct)[inside]
    assert off.mean() < 0.5
    assert off.max() < 1.5


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda p, b: b.write_text("".join(lines_of(b)[:-1])),
            "clip_bbox.csv has no box for 4, but",
            id="fewer boxes",
        ),
        pytest.param(lambda p, b: p.write_text("".join(lines_of(p)[:-1])), "has 4 rows, but .* has 5", id="fewer rows"),
        pytest.param(lambda p, b: p.write_text("".join(lines_of(p)[:3])), "has no predictions", id="no rows"),
        pytest.param(lambda p, b: p.write_text("".join(lines_of(p)[1:])), "expected three header rows", id="no scorer"),
        pytest.param(
            lambda p, b: p.write_text(p.read_text().replace("0.5\n3,", "0.5\n7,")), "has no box for 7", id="gap"
        ),
        pytest.param(
            lambda p, b: p.write_text(p.read_text().replace("2,80.0", "2,x")),
            "not a number: 'x' for k0 x of 2",
            id="a word",
        ),
        pytest.param(lambda p, b: p.write_text(p.read_text().rstrip() + ",1,2\n"), "cells, expected 7", id="too wide"),
        pytest.param(
            lambda p, b: p.write_text("".join(lines_of(p)[:3] + [f"{i},1.0,2.0\n" for i in range(5)])),
            "rows of 3 cells; its header has 7",
            id="too narrow",
        ),
        pytest.param(lambda p, b: b.write_text(b.read_text().replace("2,10", "2,")), "no box in row 2", id="no box"),
        pytest.param(lambda p, b: b.unlink(), "cannot read the box file", id="no boxes"),
        pytest.param(lambda p, b: p.unlink(), "cannot read .*cropped_clip.csv", id="no predictions"),
    ],
)
def test_what_does_not_belong_together_is_refused(work: Workplace, change: object, words: str) -> None:
    assert callable(change)
    boxes = write_boxes(work.folder / "clip_bbox.csv", [(10, 20, 40, 40)] * 5)
    predictions = write_predictions(work.folder / "cropped_clip.csv", np.full((5, 2, 2), 80.0))
    change(predictions, boxes)
    with nothing_changes_in(work.folder):
        line = work.refused("remap", predictions, boxes)
    assert re.search(words, line), line
    assert "remapped_cropped_clip.csv" not in files_below(work.folder)


def test_the_two_files_the_wrong_way_round_are_refused(work: Workplace) -> None:
    boxes = write_boxes(work.folder / "clip_bbox.csv", [(10, 20, 40, 40)] * 5)
    predictions = write_predictions(work.folder / "cropped_clip.csv", np.full((5, 2, 2), 80.0))
    assert "expected three header rows" in work.refused("remap", boxes, predictions)
    assert "expected a box file" in work.refused("remap", predictions, predictions)
    line = work.refused("remap", predictions, boxes, "--cropped-video", work.folder / "none.mp4")
    assert "no video at" in line


def test_whole_numbers_are_numbers_too(tmp_path: Path) -> None:
    """Somebody else's predictions may have no fractions."""
    path = tmp_path / "cropped_clip.csv"
    path.write_text("scorer,s,s\nbodyparts,k,k\ncoords,x,y\n0,1,2\n1,3,4\n")
    remapped = remap(path, write_boxes(tmp_path / "clip_bbox.csv", [(10, 20, 40, 40)] * 2))
    with remapped.open(newline="") as file:
        assert [[float(c) for c in row] for row in list(csv.reader(file))[3:]] == [[0, 11, 22], [1, 13, 24]]

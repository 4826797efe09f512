"""The first column says what a row is about: its place in the file says nothing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from support.offline_fixtures import Workplace, frames_of, index_of, poses_in, write_boxes

from realtime_cropzoom import load_session
from realtime_cropzoom.errors import DataError, ScheduleError
from realtime_cropzoom.inference.schedule import SKIPPED_IN_RECORDING
from realtime_cropzoom.offline.bbox_csv import read_video_boxes
from realtime_cropzoom.offline.metrics import write_temporal_norm
from realtime_cropzoom.sessions.dlc_csv import iter_frame_predictions
from realtime_cropzoom.sessions.schedule_file import read_schedule_file
from realtime_cropzoom.types import FrameMeta

COUNT = 12
BOXES = [(10 + 3 * i, 20, 60, 60) for i in range(COUNT)]
ORDERS = {
    "reversed": list(reversed(range(COUNT))),
    "sorted as text": sorted(range(COUNT), key=str),
    "shuffled": random.Random(0).sample(range(COUNT), COUNT),
}


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def boxes_of(path: Path, order: list[int], *, point: bool = False) -> Path:
    return write_boxes(path, [BOXES[i] for i in order], [f"{i}.0" if point else i for i in order])


def poses(path: Path, order: list[int]) -> Path:
    rows = [f"{i},{i}.5,{2 * i}.25,0.9\n" for i in order]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("scorer,s,s,s\nbodyparts,k,k,k\ncoords,x,y,likelihood\n" + "".join(rows))
    return path


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_boxes_go_to_the_frames_that_the_first_column_names(tmp_path: Path, order: list[int]) -> None:
    path = boxes_of(tmp_path / "clip_bbox.csv", order, point=order[0] > 3)
    assert read_video_boxes(path).xyhw.tolist() == [list(box) for box in BOXES]
    schedule = read_schedule_file(path)
    for i, (x, *_) in enumerate(BOXES):
        box = schedule.choose(FrameMeta(i, i, None, 0)).box
        assert box is not None
        assert box.x == x


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_command_gives_a_frame_its_own_box(work: Workplace, order: list[int]) -> None:
    video, model = work.video(frames=COUNT), work.model()
    results, crops = {}, {}
    for name, rows in (("right", list(range(COUNT))), ("other", order)):
        path = boxes_of(work.folder / name / "clip_bbox.csv", rows)
        work.went_through("predict", model, video, "--bbox_dir", path.parent, "--skip_viz", "--overwrite")
        work.did("crop", model, video, "--bbox_dir", path.parent, "--overwrite")
        out = work.folder / f"out_{name}"
        work.went_through("pipeline", video, "--pose", model, "--schedule", path, "--out", out, "--skip_viz")
        work.did("smooth_bbox", path.parent, "--output_dir", work.folder / f"smooth_{name}")
        cropped = poses(work.folder / f"preds_{name}" / "cropped_clip.csv", rows)
        work.did("remap", cropped, path)
        results[name] = [
            (model / "video_preds/clip.csv").read_text(),
            (out / "clip.csv").read_text(),
            (out / "clip_bbox.csv").read_text(),
            (work.folder / f"smooth_{name}/clip_bbox.csv").read_text(),
            (cropped.parent / "remapped_cropped_clip.csv").read_text(),
        ]
        crops[name] = np.stack(frames_of(model / "cropped_videos/cropped_clip.mp4"))
    assert results["right"] == results["other"]
    apart = np.abs(crops["right"].astype(int) - crops["other"])
    assert apart.max() <= 8, "FFmpeg's conversion differs in the last bits with where memory lies; a shift is far more"


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ([0, 1, 1, 2], "repeats frame 1 "),
        ([0, 1, 3, 4], r"has no box for frame 2 \(1 frames up to 4 have none\)"),
        ([1, 2, 3, 4], "has no box for frame 0"),
        (
            [0, 1, 2, "img3.png"],
            "has 'img3.png' in the first cell of data row 3, counted from 0; expected",
        ),
        ([0, 1, 2, -1], "has '-1' in the first cell"),
        ([0, 1, 2, 2.5], "has '2.5' in the first cell"),
        ([0, 1, 2, ""], "the first cell of data row 3"),
        ([0, 1, 2, 10**14], "has no box for frame 3"),
    ],
)
def test_an_index_that_is_none_is_refused_in_one_line(tmp_path: Path, index: list[object], words: str) -> None:
    path = write_boxes(tmp_path / "clip_bbox.csv", BOXES[:4], index)
    for read, error in ((read_video_boxes, DataError), (read_schedule_file, ScheduleError)):
        with pytest.raises(error, match=words) as refused:
            read(path)
        assert "\n" not in str(refused.value)


def test_what_a_box_file_lacks_is_said_by_every_command(work: Workplace) -> None:
    video, model = work.video(frames=COUNT), work.model()
    path = write_boxes(work.folder / "b/clip_bbox.csv", BOXES[:-1], [i for i in range(COUNT) if i != 4])
    for command in (
        ["predict", model, video, "--bbox_dir", path.parent],
        ["crop", model, video, "--bbox_dir", path.parent],
        ["pipeline", video, "--pose", model, "--schedule", path, "--out", work.folder / "out"],
        ["smooth_bbox", path.parent, "--output_dir", work.folder / "smooth"],
        ["remap", poses(work.folder / "cropped_clip.csv", list(range(COUNT))), path],
        ["run", video, "--pose", model, "--schedule", path, "--out", work.folder / "runs", "--quiet"],
    ):
        assert "has no box for frame 4" in work.refused(*command), command


def test_a_frame_that_a_run_has_left_out_of_its_file_was_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "clip_bbox.csv"
    path.write_text(",x,y,h,w,box_frame,box_age_ms,state\n3,1,2,8,8,3,0.0,tracking\n0,5,6,8,8,0,0.0,tracking\n")
    schedule = read_schedule_file(path)
    chosen = [schedule.choose(FrameMeta(i, i, None, 0)) for i in range(4)]
    assert [c.box.x if c.box else None for c in chosen] == [5, None, None, 1]
    assert chosen[1] is SKIPPED_IN_RECORDING


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_predictions_are_read_by_their_index(tmp_path: Path, order: list[int]) -> None:
    rows = [i for i in order if i not in (4, 7)]
    path, ordered = poses(tmp_path / "a/clip.csv", rows), poses(tmp_path / "b/clip.csv", sorted(rows))
    read = [np.concatenate([c.xy for c in iter_frame_predictions(p)]) for p in (path, ordered)]
    np.testing.assert_array_equal(read[0], read[1])
    assert read[0].shape == (COUNT, 1, 2)
    assert np.isnan(read[0][[4, 7]]).all()
    assert read[0][5].tolist() == [[5.5, 10.25]]
    assert write_temporal_norm(path).read_text() == write_temporal_norm(ordered).read_text()
    tables = [load_session(p, fps=30) for p in (path, ordered)]
    assert tables[0].equals(tables[1])


def test_boxes_of_predictions_in_another_order_are_those_of_their_frames(work: Workplace) -> None:
    model, video = work.model(), work.video(frames=COUNT)
    found = []
    for order in (list(range(COUNT)), ORDERS["shuffled"]):
        poses(model / "video_preds/clip.csv", order)
        (model / "video_preds/clip_bbox.csv").unlink(missing_ok=True)
        work.did("create_bbox", model, video, "--crop_size", 40)
        found.append((model / "video_preds/clip_bbox.csv").read_text())
    assert found[0] == found[1]
    assert [line.split(",")[0] for line in found[0].splitlines()[1:]] == [str(i) for i in range(COUNT)]


def test_remapped_rows_are_in_the_order_of_frames(work: Workplace) -> None:
    """Readers that ignore the index take row i for frame i."""
    path = boxes_of(work.folder / "clip_bbox.csv", list(range(COUNT)))
    predictions = poses(work.folder / "cropped_clip.csv", ORDERS["reversed"])
    work.did("remap", predictions, path)
    remapped = work.folder / "remapped_cropped_clip.csv"
    assert index_of(remapped) == [str(i) for i in range(COUNT)]
    np.testing.assert_allclose(poses_in(remapped)[:, 0, 0], [10 + 3 * i + i + 0.5 for i in range(COUNT)])


def test_predictions_with_a_frame_twice_are_refused(work: Workplace) -> None:
    path = boxes_of(work.folder / "clip_bbox.csv", list(range(COUNT)))
    twice = poses(work.folder / "cropped_clip.csv", [*range(COUNT), 3])
    assert "repeats frame 3 " in work.refused("remap", twice, path)
    assert "repeats frame 3 " in work.refused("convert", twice, "--to", "csv", "--fps", 30)

"""Pose stage: whole runs with context models and regression models: windows, order, ends of sequences, replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto
from support.models import ALONE, SEES
from support.pipelines import (
    LONG_S,
    Files,
    Film,
    at_least,
    check_complete,
    hold_models,
    make_settings,
    run_to_end,
    tiny_models,
)
from support.publisher import pose

from realtime_cropzoom.cli.listen_board import Listener
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import StageError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.messaging.message import PoseMessage, encode
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.types import Box, Keypoints

CONTEXT = "heatmap_mhcrnn"
ALL = (*SEES, ALONE)
"""Keypoints that together say which five frames the model was shown, and in which order."""
NEAR_PX = 6.0


@pytest.fixture(autouse=True, scope="module")
def _files_written_at_once() -> Iterator[None]:
    """Flush the files often: otherwise each of these runs waits for the next flush at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime_cropzoom.sinks.csv_writer._FLUSH_S", 0.01)
        yield


def zigzag(index: int) -> tuple[float, float]:
    """Move 12 px per frame, there and back, so that a frame mistaken for its neighbour shows."""
    step = index % 16
    return 32.0 + 12 * (step if step < 8 else 16 - step), 60.0


def context_settings(folder: Path, *, detector: str = CONTEXT, **chosen: Any) -> Settings:
    return make_settings(folder, **tiny_models(folder, pose=CONTEXT, detector=detector, keypoints=ALL), **chosen)


def outcomes(files: Files) -> list[str]:
    return files.timing["outcome"].tolist()


def answers(model: Model, images: list[np.ndarray], boxes: list[Box], edge: str) -> list[Keypoints]:
    """Return the poses of a sequence: each from the frames around it; those at the ends repeat their neighbours."""
    inputs = [model.new_input() for _ in images]
    used = [
        model.prepare(image, box, edge, out)  # type: ignore[arg-type]
        for image, box, out in zip(images, boxes, inputs, strict=True)
    ]
    last, found = len(images) - 1, []
    for i in range(len(images)):
        middle = (
            min(max(i, model.context_radius), last - model.context_radius)
            if last >= 2 * model.context_radius
            else len(images) // 2
        )
        around = range(middle - model.context_radius, middle + model.context_radius + 1)
        found.append(model.decode(model.infer(*(inputs[min(max(k, 0), last)] for k in around)), used[middle]))
    return found


def sequences(files: Files) -> Iterator[list[int]]:
    """Yield the sequences of frames with a pose. A frame without a box ends a sequence; skipped frames are in none."""
    sequence: list[int] = []
    for index, outcome in enumerate(outcomes(files)):
        if outcome == "processed" and np.isnan(files.bbox["x"][index]):
            yield sequence
            sequence = []
        elif outcome == "processed":
            sequence.append(index)
    yield sequence


def assert_as_in_a_plain_loop(files: Files, film: Film, settings: Settings) -> None:
    """Check that each number of the pose file is exactly that of a plain loop, and that all other cells are empty."""
    model = Model(Path(settings.pose), "pose")
    expected = np.full((len(files.timing), len(model.keypoint_names), 3), np.nan)
    for frames in sequences(files):
        boxes = [Box(*(int(files.bbox[name][i]) for name in "xywh")) for i in frames]
        found = answers(model, [film.draw(i) for i in frames], boxes, settings.edge)
        for index, keypoints in zip(frames, found, strict=True):
            expected[index] = np.column_stack([keypoints.xy, keypoints.likelihood])
    np.testing.assert_array_equal(files.pose.to_numpy(np.float64).reshape(expected.shape), expected)


def jittery_boxes(path: Path, rows: str) -> Path:
    """Write a schedule with one row per letter: a box (b), a searching frame (s) or a skipped frame (-)."""
    lines = [",x,y,h,w,box_frame,box_age_ms,state"]
    for i, what in enumerate(rows):
        x, y, side = 10 + 29 * i % 50, 5 + 7 * i % 20, 70 + 13 * i % 30
        box = f"{x},{y},{side},{side},{i},0.0,tracking"
        lines.append(f"{i},{ {'b': box, 's': ',,,,,,searching', '-': ',,,,,,'}[what] }")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("edge", ["pad", "clamp"])
def test_a_frame_is_cropped_with_its_own_box_and_its_pose_comes_from_the_five_frames_around_it(
    tmp_path: Path, edge: str
) -> None:
    """The frames include skipped ones, ends of sequences, and sequences that are too short for a window."""
    rows = (
        "-ss" + "bbbbbbbb" + "s" + "b-bb--bbb-bbb-" + "s" + "bbb" + "ss" + "-b-" + "s" + "bbbbb-" + "s" + "bbb-b-bb--"
    )
    film = Film(len(rows), blob_at=zigzag)
    settings = context_settings(
        tmp_path, pace="fast", edge=edge, schedule=jittery_boxes(tmp_path / "boxes_bbox.csv", rows)
    )
    files = check_complete(run_to_end(settings, film).folder)
    assert outcomes(files) == ["skipped" if what == "-" else "processed" for what in rows]
    assert files.bbox["state"].eq("searching").tolist() == [what == "s" for what in rows]
    assert_as_in_a_plain_loop(files, film, settings)


def test_the_ends_repeat_their_neighbours_keypoints_in_frame_space(tmp_path: Path) -> None:
    boxes = jittery_boxes(tmp_path / "boxes_bbox.csv", "b" * 12)
    settings = context_settings(tmp_path, pace="fast", schedule=boxes)
    poses = check_complete(run_to_end(settings, Film(12, blob_at=zigzag)).folder).pose.to_numpy()
    assert (poses[:3] == poses[2]).all()
    assert (poses[-3:] == poses[-3]).all()
    assert (poses[2] != poses[3]).any()
    assert (poses[-4] != poses[-3]).any()


def detected_boxes(film: Film, settings: Settings, every: int) -> list[Box]:
    detector = Model(Path(settings.detector), "detector")
    images = [film.draw(i) for i in range(film.info.frame_count or 0)]
    whole = Box(0, 0, film.info.width, film.info.height)
    rule = BoxRule(settings.crop_size, None, settings.min_likelihood, settings.min_box)
    boxes = [rule.box(found) for found in answers(detector, images, [whole] * len(images), "pad")]
    assert None not in boxes
    return [boxes[i - i % every] for i in range(len(images))]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("frames", "every"), [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 3), (5, 1), (5, 2), (40, 1), (40, 6)]
)
def test_two_context_models_in_lockstep(tmp_path: Path, frames: int, every: int) -> None:
    """The pose waits for a detection, which waits for later frames. No thread may wait forever."""
    film = Film(frames, blob_at=zigzag)
    settings = context_settings(tmp_path, pace="fast", detector_every=every, max_lag=0)
    files = check_complete(run_to_end(settings, film).folder)
    assert outcomes(files) == ["processed"] * frames
    assert files.bbox["box_frame"].tolist() == [i - i % every for i in range(frames)]
    assert files.boxes() == detected_boxes(film, settings, every)
    assert_as_in_a_plain_loop(files, film, settings)


@pytest.mark.parametrize("frames", [38, 40], ids=lambda n: f"{n} frames")
def test_the_detector_runs_only_for_the_frames_that_need_a_detection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    """The last of 38 frames that needs a detection, frame 36, repeats a result that its own frame did not need."""
    calls: list[int] = []
    hold_models(monkeypatch, detector=calls.append)
    film = Film(frames, blob_at=zigzag)
    settings = context_settings(tmp_path, pace="fast", detector_every=4)
    files = check_complete(run_to_end(settings, film).folder)
    assert len(calls) == files.summary["detector"]["detections"] == 10
    assert files.boxes() == detected_boxes(film, settings, 4)


@dataclass
class LiveRun:
    film: Film
    settings: Settings
    files: Files
    poses: list[PoseMessage]


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """A live run with two context models; each pose takes 25 ms, at 120 frames per second."""
    film = Film(150, 120, blob_at=zigzag)
    settings = context_settings(tmp_path_factory.mktemp("dropping"), max_lag=2, crop_size=120, detector_max_fps=60)
    with pytest.MonkeyPatch.context() as monkeypatch:
        hold_models(monkeypatch, pose=at_least(0.025))
        pipeline = Pipeline(settings, lambda: film)
        pipeline.start(tracked=True)
        poses = list(pipeline.messages())
        assert pipeline.wait(LONG_S)
        pipeline.join()
    return LiveRun(film, settings, check_complete(pipeline.folder), poses)


def test_live_every_number_equals_that_of_a_plain_loop_over_the_processed_frames(dropping: LiveRun) -> None:
    assert outcomes(dropping.files).count("skipped") > 30
    assert dropping.files.pose.notna().all(axis=1).sum() > 20
    assert_as_in_a_plain_loop(dropping.files, dropping.film, dropping.settings)


def test_live_messages_leave_in_the_order_of_capture(dropping: LiveRun) -> None:
    assert [m.seq for m in dropping.poses] == list(range(len(dropping.poses)))
    processed = [i for i, outcome in enumerate(outcomes(dropping.files)) if outcome == "processed"]
    assert [m.frame for m in dropping.poses] == processed
    for message in dropping.poses:
        counts = message.counts
        assert counts.captured == message.frame + 1 == counts.processed + counts.skipped + counts.failed


def test_the_times_show_that_a_pose_waited_for_the_frames_after_its_own(dropping: LiveRun) -> None:
    with_pose = [m for m in dropping.poses if m.box is not None]
    for message, two_later in zip(with_pose, with_pose[2:], strict=False):
        assert message.time.captured_ns <= (message.time.cropped_ns or 0) < (two_later.time.cropped_ns or 0)
        assert (two_later.time.cropped_ns or 0) <= message.time.inferred_ns <= message.time.published_ns


def test_a_live_run_of_a_context_model_replayed_gives_the_same_numbers(dropping: LiveRun, tmp_path: Path) -> None:
    settings = context_settings(tmp_path, pace="fast", schedule=dropping.files.bbox_path)
    replayed = check_complete(run_to_end(settings, dropping.film).folder)
    assert outcomes(replayed) == outcomes(dropping.files)
    assert replayed.rows("")[1:] == dropping.files.rows("")[1:]
    assert replayed.rows("_bbox")[1:] == dropping.files.rows("_bbox")[1:]


def test_live_a_box_is_of_the_frame_it_names_and_its_age_counts_the_frames_waited_for(dropping: LiveRun) -> None:
    boxes = dropping.files.bbox.dropna()
    assert len(boxes) > 20
    centres = (boxes[["x", "y"]] + 60).to_numpy()
    truth = np.array([dropping.film.footage.blob_at(int(i)) for i in boxes["box_frame"]])
    inner = boxes["box_frame"].isin(boxes["box_frame"].unique()[3:-2])  # the first and last repeat their neighbour's
    assert np.abs(centres - truth)[inner].max() < NEAR_PX
    ages = (boxes.index - boxes["box_frame"]).to_numpy().clip(min=0) / 120 * 1e3
    np.testing.assert_allclose(boxes["box_age_ms"], ages, atol=1e-5)


def test_a_context_model_loses_nothing_where_the_pose_keeps_up(tmp_path: Path) -> None:
    film = Film(60, 60)
    settings = context_settings(tmp_path, max_lag=100)
    files = check_complete(run_to_end(settings, film).folder)
    assert outcomes(files) == ["processed"] * 60
    assert files.bbox["state"].iloc[0] == "searching"
    assert_as_in_a_plain_loop(files, film, settings)


@pytest.mark.parametrize("stop_at", [2, 25])
@pytest.mark.parametrize("pace", ["fast", "realtime"])
def test_a_run_stopped_in_the_middle_accounts_for_the_frames_that_waited(
    tmp_path: Path, pace: str, stop_at: int
) -> None:
    def before(index: int) -> None:
        if index == stop_at:
            pipeline.stop("dinner")

    film = Film(10_000, 60, before=before)
    settings = context_settings(tmp_path, pace=pace, detector="heatmap")
    pipeline = Pipeline(settings, lambda: film)
    with pipeline:
        assert pipeline.wait(LONG_S)
    files = check_complete(pipeline.folder)
    assert files.summary["reason"] == "dinner"
    assert len(files.timing) == stop_at
    assert_as_in_a_plain_loop(files, film, settings)


@pytest.mark.parametrize("call", [0, 5])
def test_when_the_pose_model_breaks_the_frames_that_waited_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    def hold(k: int) -> None:
        if k == call:
            raise RuntimeError("out of order")

    hold_models(monkeypatch, pose=hold)
    pipeline = Pipeline(context_settings(tmp_path, pace="fast"), lambda: Film(10_000))
    pipeline.start()
    with pytest.raises(StageError, match="out of order"):
        pipeline.join()
    answered = call + 2 if call else 0
    files = check_complete(pipeline.folder)
    assert outcomes(files)[:answered] == ["processed"] * answered
    assert set(outcomes(files)[answered:]) == {"skipped"}


def test_a_result_that_is_nan_fails_its_frames_also_in_a_replay(tmp_path: Path) -> None:
    """The crop of a white frame makes the five results that see it NaN. The last frames repeat one of these."""
    film = Film(40, white=[20, 37])
    models = tiny_models(tmp_path, pose=CONTEXT, keypoints=ALL, nan_on_white=True)
    settings = make_settings(tmp_path, pace="fast", min_likelihood=0.5, **models)
    files = check_complete(run_to_end(settings, film).folder)
    failed = [*range(18, 23), *range(35, 40)]
    assert [i for i, outcome in enumerate(outcomes(files)) if outcome == "failed"] == failed
    assert files.pose.isna().all(axis=1).tolist() == [i in failed for i in range(40)]
    replay = settings.model_copy(update={"schedule": files.bbox_path})
    replayed = check_complete(run_to_end(replay, film).folder)
    assert outcomes(replayed) == outcomes(files)
    assert replayed.rows("") == files.rows("")
    assert replayed.rows("_bbox") == files.rows("_bbox")


@pytest.mark.parametrize(
    ("kind", "levels", "size", "precision"),
    [
        pytest.param("heatmap", 1, (64, 96), TensorProto.FLOAT16, id="heatmap"),
        pytest.param("heatmap", 3, (96, 64), TensorProto.FLOAT, id="coarse heatmap"),
        pytest.param("regression", 2, (96, 64), TensorProto.FLOAT16, id="regression"),
        pytest.param(CONTEXT, 3, (64, 96), TensorProto.FLOAT16, id="context"),
        pytest.param(CONTEXT, 1, (96, 64), TensorProto.FLOAT, id="fine context"),
    ],
)
def test_both_models_of_any_kind(
    kind: str, levels: int, size: tuple[int, int], precision: int, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    shape = {"kind": kind, "size": size, "input_type": precision}
    models = {
        "detector": str(make_model("detector", ["middle"], **shape)),
        "pose": str(make_model("pose", ["middle"], levels=levels, **shape)),
    }
    film = Film(12)
    settings = make_settings(tmp_path, pace="fast", detector_every=2, **models)
    files = check_complete(run_to_end(settings, film).folder)
    assert_as_in_a_plain_loop(files, film, settings)
    assert files.boxes() == detected_boxes(film, settings, 2)
    truth = np.array([film.footage.blob_at(i) for i in range(2, 10)])
    assert np.abs(files.keypoint("middle")[2:10] - truth).max() < NEAR_PX + (1 << levels)


def test_a_keypoint_without_a_likelihood_is_null_in_messages_and_nan_in_files(tmp_path: Path) -> None:
    models = tiny_models(tmp_path, pose="regression", detector="regression")
    pipeline = Pipeline(make_settings(tmp_path, pace="fast", min_likelihood=0.9, **models), lambda: Film(8))
    pipeline.start(tracked=True)
    poses = list(pipeline.messages())
    pipeline.join()
    files = check_complete(pipeline.folder)
    assert outcomes(files) == ["processed"] * 8
    assert {row[3] for row in files.rows("")[3:]} == {"NaN"}
    assert files.pose.xs("likelihood", axis=1, level=2).isna().to_numpy().all()
    listener = Listener("here")
    for message in poses:
        x, y, likelihood = message.keypoints["middle"]
        assert [x, y] == files.keypoint("middle")[message.frame].tolist()
        assert likelihood is None
        assert b"null" in encode(message)
        listener.count_pose(message, message.time.published_ns, 1.0)
    with Subscriber() as subscriber:
        assert f"x {x:7.1f}  y {y:7.1f}" in "\n".join(listener.lines(subscriber, 80))


def test_listen_shows_why_a_pose_is_not_plausible() -> None:
    listener = Listener("here")
    with Subscriber() as subscriber:
        listener.count_pose(pose(0), now_ns(), 5.0)
        assert "implausible" not in "\n".join([*listener.lines(subscriber, 80), listener.final_line(subscriber)])
        doubtful = msgspec.structs.replace(pose(123_456), plausible=False, doubt="likelihood")
        listener.count_pose(doubtful, now_ns(), 5.0)
        head = listener.lines(subscriber, 80)[0]
        assert head.startswith("cam0  frame 123456  ")
        assert "  implausible: likelihood  " in head
        assert len(head) < 80
        assert listener.final_line(subscriber).startswith("2 poses received, implausible 1, missed ")
        assert listener.summary(subscriber)["implausible"] == 1

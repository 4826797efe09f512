"""``cropzoom predict``: the model's numbers in Lightning Pose's files, and what it refuses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import TensorProto
from support.offline_fixtures import (
    Workplace,
    files_below,
    frames_of,
    full_disk,
    image_name,
    index_of,
    load_image,
    nothing_changes_in,
    poses_in,
    write_boxes,
    write_image,
    write_labels,
)
from support.pipelines import cropzoom, finish, start_process
from support.rights import without_rights

from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Box, Keypoints

FRAMES = 12


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def predict(work: Workplace, *arguments: object) -> None:
    work.did("predict", *arguments, "--skip_viz")


def by_hand(model: Model, images: list[np.ndarray], boxes: list[Box] | None = None) -> list[Keypoints]:
    """What the model finds in the frames of a video, one by one, a context model's neighbours repeated at the ends."""
    boxes = boxes or [Box(0, 0, images[0].shape[1], images[0].shape[0])] * len(images)
    inputs, used = [model.new_input() for _ in images], []
    for image, box, model_input in zip(images, boxes, inputs, strict=True):
        used.append(model.prepare(image, box, "clamp", model_input))
    found = []
    for i in range(len(images)):
        middle = min(max(i, model.context_radius), len(images) - 1 - model.context_radius)
        window = inputs[middle - model.context_radius : middle + model.context_radius + 1]
        found.append(model.decode(model.infer(*window), used[middle]))
    return found


def same(path: Path, expected: list[Keypoints]) -> None:
    poses = poses_in(path)
    np.testing.assert_array_equal(poses[..., :2], np.stack([k.xy for k in expected]).astype(np.float64))
    np.testing.assert_array_equal(poses[..., 2], np.stack([k.likelihood for k in expected]).astype(np.float64))


@pytest.mark.parametrize(
    ("kind", "levels", "size", "precision"),
    [
        ("heatmap", 1, (64, 64), "fp32"),
        ("heatmap", 2, (96, 64), "fp32"),
        ("heatmap", 3, (64, 96), "fp16"),
        ("heatmap_mhcrnn", 2, (96, 64), "fp32"),
        ("heatmap_mhcrnn", 2, (64, 64), "fp16"),
    ],
)
@pytest.mark.parametrize("with_boxes", [False, True], ids=["whole frames", "boxes"])
def test_a_video_gets_the_numbers_of_its_frames_alone(
    work: Workplace, kind: str, levels: int, size: tuple[int, int], precision: str, with_boxes: bool
) -> None:
    """Of models of every kind, on all cores at once; with boxes that hang over the edge, in frame coordinates."""
    types = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}
    directory = work.model(
        kind=kind, levels=levels, size=size, exports=[f"best_{precision}"], input_type=types[precision]
    )
    video = work.video(frames=FRAMES)
    boxes, flags = None, []
    if with_boxes:
        boxes = [Box(30 + 3 * i, 20 - 2 * i, 70 + i, 80) for i in range(FRAMES)]
        write_boxes(work.folder / "boxes/clip_bbox.csv", [(b.x, b.y, b.h, b.w) for b in boxes])
        flags = ["--bbox_dir", work.folder / "boxes"]
    predict(work, directory, video, *flags)
    model = Model(directory, method="reference")
    same(directory / "video_preds/clip.csv", by_hand(model, frames_of(video), boxes))
    assert index_of(directory / "video_preds/clip.csv") == [str(i) for i in range(FRAMES)]
    if levels < 3:  # in cells of 8 px the animal is lost among the blocks
        found = poses_in(directory / "video_preds/clip.csv")[:, 0, :2]
        truth = np.array([work.footage.blob_at(i) for i in range(FRAMES)])
        assert np.abs(found - truth).max() < 12, "a cell, stretched; a context model repeats itself at the ends"


def test_a_regression_model_is_mapped_to_the_frame_and_knows_no_likelihood(work: Workplace) -> None:
    directory = work.model(kind="regression")
    predict(work, directory, work.video(frames=5))
    poses = poses_in(directory / "video_preds/clip.csv")
    expected = by_hand(Model(directory, method="reference"), frames_of(work.folder / "clip.mp4"))
    np.testing.assert_array_equal(poses[..., :2], np.stack([k.xy for k in expected]))
    assert (poses[..., 2] == 0).all(), "Lightning Pose writes 0"


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 6])
def test_a_context_model_has_an_answer_for_every_frame_of_a_short_video(work: Workplace, frames: int) -> None:
    directory = work.model(kind="heatmap_mhcrnn")
    predict(work, directory, work.video(frames=frames))
    poses = poses_in(directory / "video_preds/clip.csv")
    assert len(poses) == frames
    assert np.isfinite(poses).all()


def test_neither_cores_nor_batches_change_a_bit(work: Workplace) -> None:
    batches = work.model("batches", input_shape=("N", 3, 64, 64))
    video, written = work.video(frames=23), set()
    for workers, batch in ((1, 1), (2, 1), (3, 4), (2, 50)):
        predict(work, batches, video, "--workers", workers, "--batch_size", batch, "--overwrite")
        written.add((batches / "video_preds/clip.csv").read_bytes())
    assert len(written) == 1


def test_the_files_are_those_of_litpose(work: Workplace) -> None:
    directory = work.model()
    work.did("predict", directory, work.video(frames=6))
    assert files_below(directory / "video_preds") == {
        "clip.csv",
        "clip_temporal_norm.csv",
        "labeled_videos/clip_labeled.mp4",
    }
    lines = (directory / "video_preds/clip.csv").read_text().splitlines()
    assert lines[0] == "scorer" + ",heatmap_tracker" * 9
    assert lines[1] == "bodyparts" + ",middle" * 3 + ",right" * 3 + ",low" * 3
    assert lines[2] == "coords" + ",x,y,likelihood" * 3
    norms = (directory / "video_preds/clip_temporal_norm.csv").read_text().splitlines()
    assert norms[:2] == [",middle,right,low", "0,,,"]
    xy = poses_in(directory / "video_preds/clip.csv")[:, :, :2]
    moved = np.linalg.norm(np.diff(xy, axis=0), axis=2)
    written = np.array([[float(cell) for cell in line.split(",")[1:]] for line in norms[2:]])
    np.testing.assert_allclose(written, moved, atol=1e-4)


def test_folders_of_videos_and_several_inputs(work: Workplace) -> None:
    directory = work.model()
    (work.folder / "films").mkdir()
    for name in ("films/two.MP4", "films/one.avi"):
        shutil.copy(work.video("film.mp4" if name.endswith("MP4") else "film.avi", 3), work.folder / name)
    (work.folder / "films/notes.txt").write_text("not a film")
    (work.folder / "films/._two.MP4").write_bytes(b"what macOS leaves on a foreign disk")
    inputs = [work.folder / "films", work.video("three.mp4", 3), work.folder / "films/one.avi"]
    done = work.did("predict", directory, *inputs, "--skip-viz")
    assert [Path(line).name for line in done.out.splitlines()] == ["one.csv", "two.csv", "three.csv"]


def test_one_bad_video_of_three_does_not_keep_the_others_from_being_done(work: Workplace) -> None:
    directory = work.model()
    videos = [work.video(f"{name}.mp4", 3) for name in "abc"]
    videos[1].write_bytes(videos[1].read_bytes()[:200])
    done = work.run("predict", directory, *videos, "--skip_viz")
    assert done.code == 3, "some are done"
    assert done.err.count("animal found in") == 2
    assert len(done.lines) == 1
    assert "b.mp4 cannot be read as a video" in done.err
    assert files_below(directory / "video_preds") == {
        *("a.csv", "a_temporal_norm.csv"),
        *("c.csv", "c_temporal_norm.csv"),
    }


def test_existing_predictions_stay_without_overwrite(work: Workplace) -> None:
    directory, video, labels = work.model(), work.video(frames=3), work.labels()
    predict(work, directory, video, labels)
    for path in (directory / "video_preds/clip.csv", directory / "image_preds/Labels.csv/predictions.csv"):
        path.write_text(path.read_text().replace("heatmap_tracker", "mine"))
    with nothing_changes_in(directory):
        done = work.did("predict", directory, video, labels)
    assert [line.endswith("(--overwrite makes it again)") for line in done.lines] == [True, True]
    predict(work, directory, video, labels, "--overwrite")
    assert len(poses_in(directory / "video_preds/clip.csv")) == 3
    assert len(poses_in(directory / "image_preds/Labels.csv/predictions.csv")) == 5


def by_hand_in_images(model: Model, images: list[np.ndarray], boxes: list[Box]) -> list[Keypoints]:
    found = []
    for image, box in zip(images, boxes, strict=True):
        model_input = model.new_input()
        view = model.prepare(image, box, "pad", model_input, "cubic")
        found.append(model.decode(model.infer(model_input), view))
    return found


@pytest.mark.parametrize("index_columns", [1, 3])
@pytest.mark.parametrize("with_boxes", [False, True], ids=["whole frames", "boxes"])
def test_labelled_images_are_resized_as_in_training_and_measured(
    work: Workplace, index_columns: int, with_boxes: bool
) -> None:
    directory, frames = work.model(sections={"data": {"csv_file": "Labels.csv"}}), (5, 12, 30, 41, 63)
    labels = work.labels(frames, index_columns=index_columns)
    boxes, flags = [Box(0, 0, 160, 96)] * 5, []
    if with_boxes:
        boxes = [Box(60 + i, 30 - 10 * i, 90, 80) for i in range(5)]
        write_boxes(work.folder / "boxes/bbox.csv", [(b.x, b.y, b.h, b.w) for b in boxes], map(image_name, frames))
        flags = ["--bbox_dir", work.folder / "boxes"]
    done = work.did("predict", directory, labels, *flags, "--skip_viz")
    folder = directory / "image_preds/Labels.csv"
    model = Model(directory, method="reference")
    expected = by_hand_in_images(model, [work.footage.draw(i) for i in frames], boxes)
    same(folder / "predictions.csv", expected)
    assert index_of(folder / "predictions.csv") == [image_name(i) for i in frames]

    rows = [line.split(",") for line in (folder / "predictions_pixel_error.csv").read_text().splitlines()]
    assert rows[0] == ["", "middle", "right", "low", "set"]
    assert [row[0] for row in rows[1:]] == [image_name(i) for i in frames]
    errors = np.array([[float(cell) for cell in row[1:-1]] for row in rows[1:]])
    truth = np.array([[work.footage.blob_at(i)] for i in frames])
    np.testing.assert_allclose(errors, np.linalg.norm(truth - np.stack([k.xy for k in expected]), axis=2), atol=1e-3)
    assert f"mean pixel error {errors.mean():.2f}" in done.err
    sets = [line.split(",")[-1] for line in (folder / "predictions.csv").read_text().splitlines()]
    assert sets[:3] == ["set", "", ""]
    assert sets[3:] == [row[-1] for row in rows[1:]]
    assert set(sets[3:]) == {"train", "validation"}


def test_frames_that_were_not_trained_on_are_in_no_set(work: Workplace) -> None:
    directory = work.model()
    predict(work, directory, work.labels(name="OutOfDistribution.csv"))
    text = (directory / "image_preds/OutOfDistribution.csv/predictions.csv").read_text()
    assert {line.split(",")[-1] for line in text.splitlines()[3:]} == {"unused"}


def test_keypoints_that_the_file_has_in_another_order_are_compared_by_name(work: Workplace) -> None:
    directory, labels = work.model(), work.labels((5, 12))
    truth = {image_name(i): [(1.0, 2.0), (3.0, 4.0), work.footage.blob_at(i)] for i in (5, 12)}
    write_labels(labels, truth, ("low", "right", "middle"))
    predict(work, directory, labels)
    errors = (directory / "image_preds/Labels.csv/predictions_pixel_error.csv").read_text().splitlines()
    assert errors[0] == ",middle,right,low,set"
    assert all(float(row.split(",")[1]) < 12 < float(row.split(",")[3]) for row in errors[1:])


def test_images_without_any_label_are_predicted(work: Workplace) -> None:
    directory, labels = work.model(), work.labels((5, 12))
    write_labels(labels, {image_name(i): [None] * 3 for i in (5, 12)})
    done = work.went_through("predict", directory, labels, "--skip_viz")
    assert done.lines == [], "there is no error"
    errors = (directory / "image_preds/Labels.csv/predictions_pixel_error.csv").read_text().splitlines()
    assert errors[1] == f"{image_name(5)},,,,unused"


def test_a_context_model_sees_the_images_around_a_labelled_one(work: Workplace) -> None:
    names = ("before 2", "middle", "after 2")
    directory = work.model(kind="heatmap_mhcrnn", keypoints=names)
    work.labels((12, 30), around=True)
    for frame in (28, 29):
        (work.folder / image_name(frame)).unlink()
    labels = write_labels(
        work.folder / "L.csv", {image_name(i): [work.footage.blob_at(i)] * 3 for i in (12, 30)}, names
    )
    predict(work, directory, labels)
    found = poses_in(directory / "image_preds/L.csv/predictions.csv")[..., :2]
    model = Model(directory, method="reference")
    for row, window in enumerate([(10, 11, 12, 13, 14), (30, 30, 30, 31, 32)]):  # missing: the labelled one instead
        inputs = [model.new_input() for _ in window]
        for i, model_input in zip(window, inputs, strict=True):
            view = model.prepare(work.footage.draw(i), Box(0, 0, 160, 96), "pad", model_input, "cubic")
        np.testing.assert_array_equal(found[row], model.decode(model.infer(*inputs), view).xy)


def test_images_and_folders_of_images_need_no_labels(work: Workplace) -> None:
    directory = work.model()
    work.labels((5, 12, 30))
    folder = work.folder / "labeled-data/film"
    done = work.did("predict", directory, folder, folder / "img0005.png")
    assert [Path(line).parent.name for line in done.out.splitlines()] == ["film", "img0005.png"]
    whole = poses_in(directory / "image_preds/film/predictions.csv")
    alone = poses_in(directory / "image_preds/img0005.png/predictions.csv")
    assert index_of(directory / "image_preds/film/predictions.csv") == ["img0005.png", "img0012.png", "img0030.png"]
    np.testing.assert_array_equal(alone[0], whole[0])
    assert "set" not in (directory / "image_preds/film/predictions.csv").read_text().splitlines()[0]
    assert files_below(directory / "image_preds/film") == {
        "predictions.csv",
        *(f"img{i:04d}_labeled.png" for i in (5, 12, 30)),
    }


@pytest.mark.parametrize("how", ["gray", "gray, 16 bit", "with transparency", "JPEG", "BMP"])
def test_images_of_every_kind_are_read(work: Workplace, how: str) -> None:
    image = work.footage.draw(5)[:, :, ::-1]
    suffix = {"JPEG": "jpg", "BMP": "bmp"}.get(how, "png")
    path = work.folder / f"pictures/img5.{suffix}"
    path.parent.mkdir()
    gray = image[:, :, 0]
    written: dict[str, np.ndarray] = {
        "gray": gray,
        "gray, 16 bit": gray.astype(np.uint16) * 257,
        "with transparency": np.dstack([image, gray]),
    }
    assert cv2.imwrite(str(path), written.get(how, image))
    directory = work.model()
    predict(work, directory, path)
    found = poses_in(directory / f"image_preds/img5.{suffix}/predictions.csv")[0, 0, :2]
    assert np.abs(found - work.footage.blob_at(5)).max() < 12


LIKELY = {"eval": {"confidence_thresh_for_vid": 0.1}}


def drawn_at(image: np.ndarray, xy: np.ndarray, scale: int) -> np.ndarray:
    """Return the colour of a drawing at the place that has (x, y) in the frame."""
    across, down = (int((c + 0.5) * scale) for c in xy)
    colour: np.ndarray = image[down, across].astype(int)
    return colour


def test_the_annotated_video_shows_every_frame_with_its_dots(work: Workplace) -> None:
    """160 pixels are drawn three times as large, with a strip for the names below."""
    directory, video = work.model(sections=LIKELY), work.video(frames=8)
    work.did("predict", directory, video)
    drawn = frames_of(directory / "video_preds/labeled_videos/clip_labeled.mp4")
    assert len(drawn) == 8
    assert drawn[0].shape == (96 * 3 + 40, 160 * 3, 3)
    assert [work.footage.index_of(image) for image in drawn] == list(range(8))
    for image, pose in zip(drawn, poses_in(directory / "video_preds/clip.csv"), strict=True):
        red, green, blue = drawn_at(image, pose[0, :2], scale=3)
        assert red > blue + 50, "the first colour is orange, on a gray animal"
        assert red > green
    strip = drawn[0][96 * 3 + 20 :].astype(int)
    assert (strip[..., 0] - strip[..., 2]).max() > 100, "the same colours, beside the names"


def test_a_dot_is_hollow_where_the_model_is_not_sure(work: Workplace) -> None:
    directory = work.model(sections={"eval": {"confidence_thresh_for_vid": 1.0}})
    video = work.video(frames=2)
    work.did("predict", directory, video)
    image = frames_of(directory / "video_preds/labeled_videos/clip_labeled.mp4")[0]
    xy = poses_in(directory / "video_preds/clip.csv")[0, 0, :2]
    assert np.ptp(drawn_at(image, xy, scale=3)) < 40, "the animal itself, gray"


def test_keypoints_of_a_regression_model_are_all_sure(work: Workplace) -> None:
    """Its likelihood of 0 in the file is only how Lightning Pose writes that there is none."""
    directory = work.model(kind="regression")
    work.did("predict", directory, work.video(frames=2))
    image = frames_of(directory / "video_preds/labeled_videos/clip_labeled.mp4")[0]
    xy = poses_in(directory / "video_preds/clip.csv")[0, 2, :2]
    red, green, _ = drawn_at(image, xy, scale=3)
    assert green > red + 50, "the third colour is green"


def test_a_labelled_image_shows_dots_and_crosses(work: Workplace) -> None:
    directory, labels = work.model(sections=LIKELY), work.labels((5,))
    write_labels(labels, {image_name(5): [(20.0, 60.0), None, None]})
    work.did("predict", directory, labels)
    path = directory / "image_preds/Labels.csv" / image_name(5).replace(".png", "_labeled.png")
    picture = load_image(path)
    assert picture.shape == (96 * 3 + 40, 160 * 3, 3)
    plain = cv2.resize(work.footage.draw(5), (480, 288), interpolation=cv2.INTER_CUBIC)
    changed = np.abs(picture[:288].astype(int) - plain).max(axis=2) > 40
    x, y = 61, 181
    assert changed[y - 1 : y + 2, x - 5 : x + 6].any(axis=0).all(), "the bar of the cross"
    assert changed[y - 5 : y + 6, x - 1 : x + 2].any(axis=1).all(), "its upright"
    assert not changed[y - 4, x - 4]
    found = poses_in(directory / "image_preds/Labels.csv/predictions.csv")[0, 0, :2]
    assert np.ptp(drawn_at(picture, found, scale=3)) > 50


@pytest.mark.parametrize("size", [(16, 12), (33, 21), (64, 64), (399, 50), (400, 50), (1000, 40)])
def test_small_images_are_drawn_large_enough_to_look_at(work: Workplace, size: tuple[int, int]) -> None:
    write_image(work.folder / "small/img1.png", np.full((size[1], size[0], 3), 90, np.uint8))
    directory = work.model()
    work.went_through("predict", directory, work.folder / "small")
    drawn = load_image(directory / "image_preds/small/img1_labeled.png")
    scale, left = divmod(drawn.shape[1], size[0])
    assert left == 0
    assert drawn.shape[1] >= 400
    assert scale == 1 or drawn.shape[1] - size[0] < 400
    assert drawn.shape[0] == size[1] * scale + 40


def test_more_names_than_fit_on_a_line_take_another(work: Workplace) -> None:
    names = tuple(f"keypoint_{i}" for i in range(20))
    directory = work.model(keypoints=names)
    write_image(work.folder / "img1.png", np.full((100, 400, 3), 90, np.uint8))
    work.went_through("predict", directory, work.folder / "img1.png")
    drawn = load_image(directory / "image_preds/img1.png/img1_labeled.png")
    assert drawn.shape[0] > 100 + 5 * 20
    assert drawn.shape[0] % 20 == 0


def test_litposes_flags_are_taken_and_what_cannot_apply_says_so(work: Workplace) -> None:
    directory, video = work.model(exports=["a_fp32"]), work.video(frames=3)
    flags = [
        "--runtime",
        "onnx",
        "--onnx_precision",
        "fp32",
        "--reader",
        "opencv",
        "--batch-size",
        2,
        "--precision=fp32",
    ]
    done = work.did("predict", directory, video, "--skip-viz", *flags)
    assert done.lines == ["cropzoom: --reader opencv is ignored: PyAV reads the frames"]
    flags = ["--runtime=eager", "--precision", "bf16", "--compile"]
    done = work.did("predict", directory, video, "--skip_viz", "--overwrite", *flags)
    assert [line.split()[1] for line in done.lines] == ["--runtime", "--precision", "--compile"]
    assert all("is ignored" in line for line in done.lines)


def test_the_export_of_the_precision_that_is_asked_for_runs(work: Workplace) -> None:
    """Two exports of different networks, so that the numbers tell which has run."""
    directory = work.model(exports=["a_fp32"])
    other = work.model("other", exports=["a_fp16"], poison=0.5, input_type=TensorProto.FLOAT16)
    shutil.copy(other / "exports_onnx/a_fp16.onnx", directory / "exports_onnx")
    video, written = work.video(frames=3), {}
    for precision in ("fp32", "fp16"):
        predict(work, directory, video, "--overwrite", "--onnx-precision", precision)
        written[precision] = (directory / "video_preds/clip.csv").read_bytes()
    predict(work, directory, video, "--overwrite")
    assert (directory / "video_preds/clip.csv").read_bytes() == written["fp32"] != written["fp16"]


Wrong = Callable[[Workplace, Path], Sequence[object]]


def cut_off(work: Workplace) -> Path:
    video = work.video("cut.mp4", 60, container_options={"movflags": "faststart"})
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    return video


def without_row(work: Workplace, row: int) -> Path:
    labels = work.labels((5, 12))
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join(line for i, line in enumerate(lines) if i != row))
    return labels


def with_boxes(work: Workplace, rows: Sequence[Sequence[object]]) -> list[object]:
    write_boxes(work.folder / "boxes/clip_bbox.csv", rows)
    return [work.video(frames=20), "--bbox_dir", work.folder / "boxes"]


def folder_of(work: Workplace, *files: str) -> Path:
    (work.folder / "stuff").mkdir()
    for name in files:
        (work.folder / "stuff" / name).write_text("no video")
    return work.folder / "stuff"


def of_two_sizes(work: Workplace) -> Path:
    labels = work.labels((5, 12))
    write_image(work.folder / image_name(12), np.zeros((50, 60, 3), np.uint8))
    return labels


def two_of_a_name(work: Workplace, name: str) -> list[object]:
    (work.folder / "other").mkdir()
    first = work.video(name, 3) if name.endswith("mp4") else work.labels((5,), name=name)
    return [first, shutil.copy(first, work.folder / "other" / name)]


BOX = (10, 10, 40, 40)
BAD_INPUT: dict[str, tuple[Wrong, str]] = {
    "no file": (lambda w, m: [m, w.folder / "none.mp4"], "no file at .*none.mp4"),
    "no folder": (lambda w, m: [m, w.folder / "none"], "no file at .*none;"),
    "neither": (lambda w, m: [m, w.folder / "model/config.yaml"], "config.yaml is neither a video nor"),
    "empty folder": (lambda w, m: [m, folder_of(w)], "stuff holds no video and no image"),
    "useless folder": (lambda w, m: [m, folder_of(w, "notes.txt", "._a.mp4")], "stuff holds no video and no image"),
    "text": (lambda w, m: [m, folder_of(w, "text.mp4")], "text.mp4 cannot be read as a video"),
    "two videos of a name": (lambda w, m: [m, *two_of_a_name(w, "a.mp4")], "would both write a.csv"),
    "two label files of a name": (lambda w, m: [m, *two_of_a_name(w, "L.csv")], "would both write L.csv/predictions"),
    "no model": (lambda w, m: [w.folder / "none", w.video(frames=3)], "no model directory at"),
    "a folder that is no model": (lambda w, m: [w.folder, w.video(frames=3)], "has no config.yaml"),
    "a bare .onnx": (
        lambda w, m: [next(m.glob("exports_onnx/*.onnx")), w.video(frames=3)],
        "is a file; expected a model directory.*pipeline takes a bare .onnx",
    ),
    "not exported": (lambda w, m: [w.model("raw", exports=()), w.video(frames=3)], "run: litpose export .*raw"),
    "not exported so": (
        lambda w, m: [m, w.video(frames=3), "--onnx_precision", "fp16"],
        "has no fp16 export, only .*_fp32.onnx; run: litpose export",
    ),
    "fewer boxes": (lambda w, m: [m, *with_boxes(w, [BOX] * 19)], "has 19 rows, but .* has 20 frames"),
    "more boxes": (lambda w, m: [m, *with_boxes(w, [BOX] * 21)], "has 21 rows, but .* has 20 frames"),
    "a frame without box": (lambda w, m: [m, *with_boxes(w, [BOX] * 9 + [("", "", "", "")] + [BOX] * 10)], "row 9"),
    "a negative box": (lambda w, m: [m, *with_boxes(w, [BOX] * 19 + [(1, 1, -5, 5)])], "5x-5 pixels in row 19"),
    "no boxes": (lambda w, m: [m, w.video(frames=3), "--bbox_dir", w.folder], "cannot read the box file .*clip_bbox"),
    "no box for an image": (
        lambda w, m: [m, w.labels((5,)), "--bbox_dir", write_boxes(w.folder / "b/bbox.csv", [BOX], ["a.png"]).parent],
        "has no box for labeled-data/film/img0005.png",
    ),
    "no scorer row": (lambda w, m: [m, without_row(w, 0)], "expected three header rows"),
    "no bodyparts row": (lambda w, m: [m, without_row(w, 1)], "expected three header rows"),
    "no coords row": (lambda w, m: [m, without_row(w, 2)], "expected three header rows"),
    "labels without rows": (lambda w, m: [m, write_labels(w.folder / "L.csv", {})], "no labelled frames"),
    "an empty label file": (lambda w, m: [m, folder_of(w, "L.csv") / "L.csv"], "begins with no video"),
    "labels without images": (
        lambda w, m: [m, write_labels(w.folder / "L.csv", {"a.png": [None] * 3})],
        "L.csv labels a.png, which is not in",
    ),
    "labels of other keypoints": (
        lambda w, m: [m, write_labels(w.labels((5,)), {image_name(5): [None] * 2}, ("middle", "nose"))],
        "labels middle, nose, but the model's keypoints are middle, right, low",
    ),
    "images of two sizes": (lambda w, m: [m, of_two_sizes(w)], "img0012.png is 60x50, but img0005.png .* 160x96"),
    "an image that is none": (
        lambda w, m: [m, write_labels(w.folder / "L.csv", {"stuff/a.png": [None] * 3}), folder_of(w, "a.png")][:2],
        "cannot read the image .*a.png",
    ),
    "batches of nothing": (lambda w, m: [m, w.video(frames=3), "--batch_size", 0], "--batch-size: got '0'"),
    "no cores": (lambda w, m: [m, w.video(frames=3), "--workers", -1], "--workers: got '-1'"),
    "an override of nothing": (
        lambda w, m: [m, w.video(frames=3), "--overrides", "colormap"],
        "override: got 'colormap'",
    ),
    "an override of a section": (lambda w, m: [m, w.video(frames=3), "--overrides", "data=3"], "data is a section"),
    "an override of what there is not": (
        lambda w, m: [m, w.video(frames=3), "--overrides", "eval.colourmap=cool"],
        "override 'eval.colourmap=cool': there is no setting eval.colourmap",
    ),
    "an override that is no YAML": (
        lambda w, m: [m, w.video(frames=3), "--overrides", "data.csv_file=[", "--skip_viz"],
        "override 'data.csv_file=\\['",
    ),
}


@pytest.mark.parametrize("wrong", BAD_INPUT)
def test_bad_input_is_refused_in_one_line_and_touches_nothing(work: Workplace, wrong: str) -> None:
    model = work.model()
    arguments, words = BAD_INPUT[wrong]
    given = arguments(work, model)
    before = files_below(work.folder)
    line = work.refused("predict", *given)
    assert re.search(words, line), line
    new = files_below(work.folder) - before
    assert not [name for name in new if ".partial" not in name], new


def test_bad_input_leaves_earlier_predictions_as_they_are(work: Workplace) -> None:
    model, video = work.model(), work.video("cut.mp4", 60)
    predict(work, model, video)
    before = (model / "video_preds/cut.csv").read_bytes()
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    assert "cannot be read as a video" in work.refused("predict", model, video, "--overwrite")
    assert (model / "video_preds/cut.csv").read_bytes() == before


def test_a_video_cut_short_is_done_as_far_as_it_goes(work: Workplace) -> None:
    model = work.model()
    done = work.run("predict", model, cut_off(work), "--skip_viz")
    assert done.code == 3, done.err
    assert "its header declares 60 frames, " in done.err
    assert 20 < len(poses_in(model / "video_preds/cut.csv")) < 60


def test_an_output_folder_that_cannot_be_written_is_refused(work: Workplace) -> None:
    model = work.model()
    for name in ("video_preds", "image_preds"):
        (model / name).write_text("a file in the folder's place")
    assert "cannot write" in work.refused("predict", model, work.video(frames=3))
    assert "cannot write" in work.refused("predict", model, work.labels((5,)))


def test_a_folder_without_permission_is_refused(work: Workplace) -> None:
    model = work.model()
    (model / "video_preds").mkdir(mode=0o500)
    assert "Permission denied" in without_rights(lambda: work.refused("predict", model, work.video(frames=3)))


def test_a_full_disk_leaves_nothing_under_the_final_name_and_says_how_to_go_on(work: Workplace) -> None:
    model, video = work.model(), work.video(frames=60)
    done = finish(start_process("predict", model, video, "--skip_viz", code=full_disk(4000)))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 2  # which model runs, and the error
    assert "clip.csv: File too large; " in done.stderr
    assert "the same command with --resume continues them" in done.stderr
    assert files_below(model / "video_preds") == {"clip.csv.partial", "clip.csv.partial.json"}
    predict(work, model, video, "--resume")
    resumed = (model / "video_preds/clip.csv").read_bytes()
    predict(work, model, video, "--overwrite")
    assert (model / "video_preds/clip.csv").read_bytes() == resumed


def test_a_disk_that_is_full_from_the_start(work: Workplace) -> None:
    model = work.model()
    done = finish(start_process("predict", model, work.video(frames=5), work.labels((5,)), code=full_disk(10)))
    assert done.returncode == 2
    assert [line.split(": ")[1].split()[:2] for line in done.stderr.splitlines()[1:]] == [["cannot", "write"]] * 2
    assert "Traceback" not in done.stderr
    assert files_below(model) == {"config.yaml", "exports_onnx/epoch=1-step=2_fp32.onnx"}


def test_help_and_no_arguments_in_a_real_process(tmp_path: Path) -> None:
    assert cropzoom("predict", "--help").stdout.startswith("usage: cropzoom predict")
    done = cropzoom("predict", tmp_path / "none", tmp_path / "none.mp4")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"cropzoom: no file at {tmp_path / 'none.mp4'}; expected a video, a label file or a folder\n"


def test_labels_outside_their_picture_are_reported(work: Workplace) -> None:
    directory, labels = work.model(), work.labels((5, 12, 30))
    points = [(20.0, 30.0), (400.0, 30.0), (20.0, -50.0)]
    write_labels(labels, {image_name(5): [(20.0, 30.0)] * 3, image_name(12): points})
    done = work.did("predict", directory, labels, "--skip_viz")
    assert "2 of 6 labels lie outside their picture; the first is right of" in done.err
    assert f"{image_name(12)}, at 400.0, 30.0 in 160x96 pixels" in done.err


def test_crop_says_which_labels_its_crops_do_not_show(work: Workplace) -> None:
    directory, labels = work.model(), work.labels((5, 12, 30))
    at = {frame: work.footage.blob_at(frame) for frame in (5, 12, 30)}
    x, y = at[12]
    far = (x + 45.0 if x < 80 else x - 45.0, y)
    write_labels(labels, {image_name(5): [at[5]] * 3, image_name(12): [at[12], far, (400.0, 30.0)]})
    done = work.went_through("crop", directory, labels, "--crop-size", 48)
    assert f"{labels}: 1 of 6 labels lie outside their picture; the first is low of {image_name(12)}" in done.err
    assert f"{labels}: 2 of 6 labels lie outside their crop; the first is right of {image_name(12)}, at " in done.err
    assert "in 48x48 pixels" in done.err


@pytest.mark.parametrize("command", ["predict", "create_bbox", "crop", "pipeline"])
def test_a_name_too_long_for_the_results_is_refused_before_any_work(work: Workplace, command: str) -> None:
    video = work.video("x" * 251 + ".mp4", 2)
    model = ["--out", work.folder / "out"] if command == "pipeline" else [work.model()]
    with nothing_changes_in(work.folder):
        line = work.refused(command, *model, video) if command != "pipeline" else work.refused(command, video, *model)
    assert "xxx… (str of 251 characters): got a name of 251 bytes, expected at most 210" in line
    assert line.endswith("Rename it\n")


def test_the_longest_name_that_is_taken_is_good_for_all_commands(work: Workplace) -> None:
    video, name = work.video("y" * 210 + ".mp4", 2), "y" * 210
    model = work.model()
    work.went_through("crop", model, video, "--crop-size", 48)
    work.went_through("predict", model, model / f"cropped_videos/cropped_{name}.mp4")
    cropped = model / f"video_preds/cropped_{name}.csv"
    work.went_through("remap", cropped, model / f"video_preds/{name}_bbox.csv")
    assert (model / f"video_preds/remapped_cropped_{name}.csv").exists()
    work.went_through("pipeline", video, "--detector", model, "--pose", model, "--out", work.folder / "out")

"""``cropzoom crop``: every frame and every pixel of a box, labels moved along, and boxes that nobody loses."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from support.offline_fixtures import (
    Workplace,
    files_below,
    first_packets,
    frames_of,
    full_disk,
    image_name,
    index_of,
    load_image,
    model_directory,
    nothing_changes_in,
    poses_in,
    write_boxes,
    write_image,
    write_labels,
)
from support.pipelines import finish, start_process

from realtime_cropzoom.offline.video_writer import VideoWriter

CODEC_LOSS = 6.0
"""Mean of the absolute difference in a frame, in grey levels: the tiny videos have sharp edges in colour."""


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def cropped(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """What a box (x, y, h, w) shows, pixel by pixel, black beyond the frame."""
    x, y, h, w = box
    large = np.pad(image, ((2000, 2000), (2000, 2000), (0, 0)))
    return large[y + 2000 : y + 2000 + h, x + 2000 : x + 2000 + w]


def crop_with(work: Workplace, model: Path, video: Path, boxes: list[tuple[int, int, int, int]]) -> list[np.ndarray]:
    """Crop a video to boxes, and return the frames of what came out."""
    write_boxes(work.folder / f"boxes/{video.stem}_bbox.csv", boxes)
    done = work.did("crop", model, video, "--bbox_dir", work.folder / "boxes")
    output = model / f"cropped_videos/cropped_{video.stem}.mp4"
    assert done.out.strip() == str(output)
    return frames_of(output)


def test_every_frame_is_cropped_to_its_own_box(work: Workplace) -> None:
    """Neighbouring boxes are far apart, so that a frame of another box shows."""
    video = work.video(frames=30)
    boxes = [(10 + 40 * (i % 3), 5 + 20 * (i % 2), 50, 60) for i in range(30)]
    crops = crop_with(work, work.model(), video, boxes)
    assert len(crops) == 30
    for crop, frame, box in zip(crops, frames_of(video), boxes, strict=True):
        assert crop.shape == (50, 60, 3)
        assert np.abs(crop.astype(int) - cropped(frame, box)).mean() < CODEC_LOSS


def test_no_frame_comes_early_or_late(work: Workplace) -> None:
    """The blocks along the top say which frame it is."""
    crops = crop_with(work, work.model(), work.video(frames=70, codec="libx264"), [(0, 0, 96, 160)] * 70)
    assert [work.footage.index_of(crop) for crop in crops] == list(range(70))


def test_the_last_row_and_column_of_the_frame_are_there(work: Workplace) -> None:
    """``litpose crop`` leaves them black."""
    path = work.folder / "white.mp4"
    with VideoWriter(path, (160, 96), 30.0) as writer:
        for i in range(3):
            writer.write(np.full((96, 160, 3), 255, np.uint8), i * 33_000_000)
        writer.commit()
    for crop in crop_with(work, work.model(), path, [(100, 36, 60, 60)] * 3):
        assert crop.min() > 230


def test_what_lies_beyond_the_frame_is_black(work: Workplace) -> None:
    boxes = [(-20, -30, 60, 60), (130, 66, 60, 60), (-500, 3000, 60, 60), (-20, -40, 180, 200)]
    video = work.video(frames=4)
    crops = crop_with(work, work.model(), video, boxes)
    first, second, nowhere, around = (crop.astype(int) for crop in crops)
    assert first[:28, :18].max() < 20 < first[34:, 24:].min()
    assert second[32:, 32:].max() < 20 < second[:28, :28].min()
    assert nowhere.max() < 12
    assert around[:10, :3].max() < 25, "larger than the frame, and resized to the median box"


@pytest.mark.parametrize("sides", [[(40, 60), (80, 120), (40, 60)], [(30, 30), (31, 45), (90, 90)]])
def test_boxes_of_other_sizes_are_resized_to_the_median_box(work: Workplace, sides: list[tuple[int, int]]) -> None:
    video, boxes = work.video(frames=3), [(10, 6, h, w) for h, w in sides]
    crops = crop_with(work, work.model(), video, boxes)
    height, width = (round(float(np.median([side[i] for side in sides])) / 2) * 2 for i in (0, 1))
    for crop, frame, box in zip(crops, frames_of(video), boxes, strict=True):
        expected = cv2.resize(cropped(frame, box), (width, height))
        assert np.abs(crop.astype(int) - expected).mean() < CODEC_LOSS


def test_frames_keep_their_times(work: Workplace) -> None:
    times = [0, 33, 90, 100, 400, 433]
    crop_with(work, work.model(), work.video("vfr.mkv", times_ms=times), [(0, 0, 40, 40)] * 6)
    with av.open(str(work.folder / "model/cropped_videos/cropped_vfr.mp4")) as container:
        assert [round(frame.time * 1000) for frame in container.decode(video=0)] == times


def test_frames_of_the_same_time_are_all_there(work: Workplace) -> None:
    """Some cameras' drivers stamp two frames alike; a muxer would refuse the second."""
    with VideoWriter(work.folder / "same.mp4", (64, 64), 30.0) as writer:
        for pts_ns in (0, 33_000_000, 33_000_001, 33_000_002, 100_000_000):
            writer.write(np.zeros((64, 64, 3), np.uint8), pts_ns)
        writer.commit()
    assert len(frames_of(work.folder / "same.mp4")) == 5


def test_the_smallest_box_makes_a_video_too(work: Workplace) -> None:
    crops = crop_with(work, work.model(), work.video(frames=3), [(50, 50, 1, 1)] * 3)
    assert [crop.shape for crop in crops] == [(2, 2, 3)] * 3


def test_frames_are_counted_if_the_header_does_not_fit_the_boxes(work: Workplace) -> None:
    whole = work.video("whole.mp4", 40, codec="libx264", options={"g": "10", "bf": "0"})
    video = first_packets(whole, work.folder / "clip.mp4", 40, skip=5)
    there = len(frames_of(video))
    assert len(crop_with(work, work.model(), video, [(0, 0, 40, 40)] * there)) == there


@pytest.mark.parametrize("index_columns", [1, 3])
def test_labels_move_into_the_crops_and_images_are_cut_exactly(work: Workplace, index_columns: int) -> None:
    model, frames = work.model(), (5, 12, 30)
    labels = work.labels(frames, index_columns=index_columns)
    boxes = [(10, 20, 50, 60), (-15, -5, 40, 40), (100, 60, 80, 90)]
    write_boxes(model / "image_preds/Labels.csv/bbox.csv", boxes, map(image_name, frames))
    done = work.did("crop", model, labels)
    output = model / "image_preds/Labels.csv/cropped_Labels.csv"
    assert done.out.strip() == str(output)
    assert output.read_text().splitlines()[:3] == labels.read_text().splitlines()[:3]
    index = list(range(index_columns))
    moved = pd.read_csv(output, header=[0, 1, 2], index_col=index).to_numpy().reshape(3, -1, 2)
    original = pd.read_csv(labels, header=[0, 1, 2], index_col=index).to_numpy().reshape(3, -1, 2)
    np.testing.assert_allclose(moved, original - np.array([box[:2] for box in boxes])[:, None], atol=1e-9)
    for frame, box in zip(frames, boxes, strict=True):
        image = load_image(model / "cropped_images" / image_name(frame))[:, :, ::-1]
        np.testing.assert_array_equal(image, cropped(work.footage.draw(frame), box))


def test_images_around_a_labelled_one_are_cropped_with_its_box(work: Workplace) -> None:
    """Of two labelled frames near each other each keeps its own."""
    model = work.model()
    labels = work.labels((1, 12, 14), around=True)
    (work.folder / image_name(16)).unlink()
    boxes = {1: (0, 0, 30, 30), 12: (10, 10, 40, 40), 14: (20, 20, 50, 50)}
    write_boxes(model / "image_preds/Labels.csv/bbox.csv", list(boxes.values()), map(image_name, boxes))
    work.did("crop", model, labels)
    of = {0: 1, 1: 1, 2: 1, 3: 1, 10: 12, 11: 12, 12: 12, 13: 12, 14: 14, 15: 14}
    assert files_below(model / "cropped_images") == {image_name(frame) for frame in of}
    for frame, labelled in of.items():
        image = load_image(model / "cropped_images" / image_name(frame))[:, :, ::-1]
        np.testing.assert_array_equal(image, cropped(work.footage.draw(frame), boxes[labelled]))


@pytest.mark.parametrize("how", ["gray", "16 bit", "JPEG"])
def test_images_keep_their_kind(work: Workplace, how: str) -> None:
    name = "film/img1.jpg" if how == "JPEG" else "film/img1.png"
    gray = work.footage.draw(5)[:, :, 0]
    images: dict[str, np.ndarray] = {
        "gray": gray,
        "16 bit": gray.astype(np.uint16) * 250,
        "JPEG": work.footage.draw(5),
    }
    image = images[how]
    (work.folder / "film").mkdir()
    cv2.imwrite(str(work.folder / name), image)
    labels = write_labels(work.folder / "Labels.csv", {name: [(50.0, 40.0)] * 3})
    model = work.model()
    write_boxes(model / "image_preds/Labels.csv/bbox.csv", [(10, 20, 30, 40)], [name])
    work.did("crop", model, labels)
    crop = load_image(model / "cropped_images" / name, cv2.IMREAD_UNCHANGED)
    assert crop.dtype == image.dtype
    assert crop.ndim == image.ndim
    assert np.abs(crop.astype(int) - image[20:50, 10:50]).mean() < (4 if how == "JPEG" else 1e-9)


def test_a_pose_model_can_be_shown_crops_of_every_size(work: Workplace) -> None:
    """crop_ratio gives each image a box of its own size; what is refused of whole frames is meant here."""
    detector, labels = work.model("detector"), work.labels((5, 12, 30))
    boxes = [(40, 30, 60, 60), (50, 20, 70, 70), (30, 10, 80, 82)]
    write_boxes(detector / "image_preds/Labels.csv/bbox.csv", boxes, map(image_name, (5, 12, 30)))
    work.did("crop", detector, labels)
    pose = model_directory(work.folder / "pose", data_dir=detector / "cropped_images")
    done = work.did("predict", pose, detector / "image_preds/Labels.csv/cropped_Labels.csv", "--skip_viz")
    found = poses_in(pose / "image_preds/cropped_Labels.csv/predictions.csv")
    assert len(found) == 3
    assert "mean pixel error" in done.err

    # the same, cropped on the fly: in the coordinates of the whole frame
    work.did("predict", pose, labels, "--bbox_dir", detector / "image_preds/Labels.csv", "--skip_viz")
    whole = poses_in(pose / "image_preds/Labels.csv/predictions.csv")
    corners = np.array([box[:2] for box in boxes])[:, None]
    np.testing.assert_allclose(whole[..., :2], found[..., :2] + corners, atol=1e-4)
    np.testing.assert_array_equal(whole[..., 2], found[..., 2])


def test_without_boxes_they_are_made(work: Workplace) -> None:
    """And without predictions these too, so that crop alone goes all the way."""
    model, video, labels = work.model(), work.video(frames=5), work.labels((5, 12))
    done = work.did("crop", model, video, labels, "--crop_size", 50)
    assert done.err.count("made the boxes") == 2
    assert index_of(model / "video_preds/clip.csv") == [str(i) for i in range(5)]
    assert (model / "video_preds/clip_bbox.csv").read_text().splitlines()[1].endswith(",50,50")
    assert (model / "image_preds/Labels.csv/bbox.csv").read_text().count(",50,50") == 2
    assert [frame.shape for frame in frames_of(model / "cropped_videos/cropped_clip.mp4")] == [(50, 50, 3)] * 5
    assert not (model / "video_preds/labeled_videos").exists(), "nobody asked for a picture"


def test_without_any_word_a_box_is_twice_the_animal(work: Workplace) -> None:
    first, second = work.model("first"), work.model("second")
    video = work.video(frames=4)
    work.did("crop", first, video)
    work.did("crop", second, video, "--crop_ratio", 2)
    written = [(model / "video_preds/clip_bbox.csv").read_bytes() for model in (first, second)]
    assert written[0] == written[1]


def test_boxes_that_exist_are_used_and_never_touched(work: Workplace) -> None:
    """Not those of another size than was asked for, though: nobody would look into the file."""
    model, video = work.model(), work.video(frames=4)
    path = write_boxes(model / "video_preds/clip_bbox.csv", [(11, 12, 34, 36)] * 4)
    before = path.read_bytes()
    assert "using" not in work.did("crop", model, video).err
    assert frames_of(model / "cropped_videos/cropped_clip.mp4")[0].shape == (34, 36, 3)
    assert "Leave out the flags for making boxes" in work.refused("crop", model, video, "--crop_size", 50)
    work.did("predict", model, video, "--skip_viz")
    assert "differs from what would be made now" in work.refused("crop", model, video, "--crop_size", 50)
    assert path.read_bytes() == before


def test_overwrite_replaces_boxes(work: Workplace) -> None:
    model, video = work.model(), work.video(frames=4)
    write_boxes(model / "video_preds/clip_bbox.csv", [(11, 12, 34, 36)] * 4)
    work.did("crop", model, video, "--crop_size", 50, "--overwrite")
    assert frames_of(model / "cropped_videos/cropped_clip.mp4")[0].shape == (50, 50, 3)
    assert (model / "video_preds/clip_bbox.csv").read_text().count(",50,50\n") == 4


def test_boxes_from_elsewhere_are_used_and_left_alone(work: Workplace) -> None:
    model, video = work.model(), work.video(frames=4)
    write_boxes(model / "video_preds/clip_bbox.csv", [(11, 12, 34, 36)] * 4)
    path = write_boxes(work.folder / "idtracker/clip_bbox.csv", [(11.5, 12.5, 40.0, 42.0)] * 4)
    with nothing_changes_in(model / "video_preds"), nothing_changes_in(path.parent):
        work.did("crop", model, video, "--bbox_dir", path.parent)
    assert frames_of(model / "cropped_videos/cropped_clip.mp4")[0].shape == (40, 42, 3)


BOX = (10, 10, 40, 40)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        pytest.param([BOX] * 19, "has 19 rows, but", id="fewer"),
        pytest.param([BOX] * 21, "has 21 rows, but", id="more"),
        pytest.param([BOX] * 5 + [("", "", "", "")] + [BOX] * 14, "no box in row 5", id="none"),
        pytest.param([(1, 1, -5, 5)] * 20, "5x-5 pixels in row 0", id="negative"),
    ],
)
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_boxes_that_do_not_fit_the_video_are_refused(
    work: Workplace, boxes: list[tuple[object, ...]], words: str, container: str
) -> None:
    """Matroska does not say how many frames there are: it shows at the end, and the file is gone again."""
    model, video = work.model(), work.video(f"clip.{container}", 20)
    crop_with(work, model, video, [BOX] * 20)
    write_boxes(work.folder / "boxes/clip_bbox.csv", boxes)
    with nothing_changes_in(work.folder):
        assert words in work.refused("crop", model, video, "--bbox_dir", work.folder / "boxes", "--overwrite")


def test_boxes_of_more_frames_than_a_cut_video_has_are_refused(work: Workplace) -> None:
    video = work.video("cut.mp4", 60, container_options={"movflags": "faststart"})
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    write_boxes(work.folder / "boxes/cut_bbox.csv", [BOX] * 60)
    model = work.model()
    with nothing_changes_in(model):
        assert "has 60 rows, but" in work.refused("crop", model, video, "--bbox_dir", work.folder / "boxes")


@pytest.mark.parametrize("name", ["absolute", "up"])
def test_labels_that_lead_out_of_the_folder_cannot_have_their_images_replaced(work: Workplace, name: str) -> None:
    """Joined to cropped_images, an absolute path is the path of the very image."""
    work.labels((5,))
    image = {"absolute": str(work.folder / image_name(5)), "up": f"labeled-data/../{image_name(5)}"}[name]
    labels = write_labels(work.folder / "Labels.csv", {image: [(5.0, 5.0)] * 3})
    model = work.model()
    write_boxes(model / "image_preds/Labels.csv/bbox.csv", [BOX], [image])
    with nothing_changes_in(work.folder):
        assert "expected a path relative to the data_dir" in work.refused("crop", model, labels)


def test_bbox_dir_and_flags_for_boxes_exclude_each_other(work: Workplace) -> None:
    model, video = work.model(), work.video(frames=4)
    write_boxes(work.folder / "boxes/clip_bbox.csv", [BOX] * 4)
    line = work.refused("crop", model, video, "--bbox_dir", work.folder / "boxes", "--crop_size", 50)
    assert "both --bbox_dir and flags for making boxes" in line
    assert "both crop_size and crop_ratio" in work.refused("crop", model, video, "--crop_size", 5, "--crop_ratio", 2)
    assert "cannot read the box file" in work.refused("crop", model, video, "--bbox_dir", work.folder)


def test_an_image_without_box_or_file_is_refused(work: Workplace) -> None:
    model, labels = work.model(), work.labels((5, 12))
    path = write_boxes(model / "image_preds/Labels.csv/bbox.csv", [BOX], [image_name(5)])
    assert f"has no box for {image_name(12)}" in work.refused("crop", model, labels)
    write_boxes(path, [BOX] * 2, map(image_name, (5, 12)))
    (work.folder / image_name(12)).write_text("no image")
    assert "cannot read the image" in work.refused("crop", model, labels)
    (work.folder / image_name(12)).unlink()
    assert "which is not there (1 of 2 are missing)" in work.refused("crop", model, labels)
    assert not (path.parent / "cropped_Labels.csv").exists()


def test_folders_that_cannot_be_made_are_refused(work: Workplace) -> None:
    model = work.model()
    (model / "cropped_images").write_text("a file")
    assert "cannot write" in work.refused("crop", model, work.video(frames=3))


def test_a_full_disk_leaves_no_half_crop(work: Workplace) -> None:
    """Of neither kind: OpenCV, asked to write, would leave half a file and say that all is well."""
    model, video = work.model(), work.video(frames=40)
    write_image(work.folder / "film/img1.bmp", np.zeros((96, 160, 3), np.uint8))
    labels = write_labels(work.folder / "Labels.csv", {"film/img1.bmp": [(5.0, 5.0)] * 3})
    write_boxes(model / "video_preds/clip_bbox.csv", [(0, 0, 90, 150)] * 40)
    write_boxes(model / "image_preds/Labels.csv/bbox.csv", [(0, 0, 90, 150)], ["film/img1.bmp"])
    done = finish(start_process("crop", model, video, labels, code=full_disk(1000)))
    assert done.returncode == 2, done.stderr
    assert [line.split(": ", 1)[1].startswith("cannot write") for line in done.stderr.splitlines()] == [True, True]
    assert files_below(model / "cropped_videos") == files_below(model / "cropped_images") == set()
    assert not (model / "image_preds/Labels.csv/cropped_Labels.csv").exists()

"""Image folder: order, rate, colours and unreadable images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.films import Footage, read_shown
from support.pipelines import make_settings, run_to_end

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.image_folder import ImageFolder


def write_images(folder: Path, count: int, footage: Footage, name: str = "img{}.png") -> Path:
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / name.format(index)), footage.draw(index)[..., ::-1])
    return folder


def test_images_come_in_natural_order_at_the_rate_given(tmp_path: Path, footage: Footage) -> None:
    folder = write_images(tmp_path / "images", 12, footage)
    (folder / "notes.txt").write_text("no image")
    source = open_source(f"{folder}/", SourceOptions(fps=50))
    assert (source.info.name, source.info.fps, source.info.frame_count) == ("images", 50, 12)
    assert not source.info.live
    assert read_shown(source, footage) == [(i, i * 20_000_000) for i in range(12)]


def test_a_folder_reports_its_frame_rate(tmp_path: Path, footage: Footage) -> None:
    (note,) = ImageFolder(write_images(tmp_path / "images", 2, footage)).info.notes
    assert "played at 30 fps" in note


def test_images_keep_their_colours(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    (captured,) = ImageFolder(tmp_path).frames()
    out = np.zeros_like(image)
    captured.copy_to(out)
    np.testing.assert_array_equal(out, image)


def test_an_unreadable_image_is_dropped_and_named(tmp_path: Path, footage: Footage) -> None:
    folder = write_images(tmp_path / "images", 5, footage)
    (folder / "img2.png").write_bytes(b"nothing")
    source = ImageFolder(folder)
    assert [index for index, _ in read_shown(source, footage)] == [0, 1, 3, 4]
    assert source.problems() == [f"{folder}: 1 images cannot be read, the first is img2.png"]


def test_a_folder_begins_late_and_loops(tmp_path: Path, footage: Footage) -> None:
    folder = write_images(tmp_path / "images", 6, footage)
    source = open_source(str(folder), SourceOptions(fps=10, start_s=0.4, loop=True))
    assert read_shown(source, footage, 5) == [
        (4, 0),
        (5, 100_000_000),
        (4, 200_000_000),
        (5, 300_000_000),
        (4, 400_000_000),
    ]


def test_a_folder_without_images_is_an_error_with_the_expected_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"folder without images; expected .*\.png"):
        open_source(str(tmp_path))


def test_images_are_tracked(tmp_path: Path, footage: Footage) -> None:
    folder = write_images(tmp_path / "images", 15, footage)
    pipeline = run_to_end(make_settings(tmp_path, source=folder, camera_fps=60, pace="fast"))
    assert pipeline.summary["counts"]["processed"] == 15


def test_an_image_of_another_size_ends_the_run(tmp_path: Path, footage: Footage) -> None:
    folder = write_images(tmp_path / "images", 5, footage)
    cv2.imwrite(str(folder / "img9.png"), np.zeros((40, 50, 3), np.uint8))
    pipeline = Pipeline(make_settings(tmp_path, source=folder, pace="fast"))
    pipeline.start()
    with pytest.raises(SourceError, match="50x40"):
        pipeline.join()

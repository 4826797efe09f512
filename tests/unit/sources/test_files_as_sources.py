"""Files as cameras: where they begin, how they loop, their times; folders of images; sources that others register."""

from __future__ import annotations

import csv
import itertools
import re
import sys
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from support.films import Footage
from support.pages import find_page
from support.pipelines import make_settings, run_to_end

from realtime_cropzoom.errors import ConfigError, SourceError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceOptions
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.image_folder import ImageFolder
from realtime_cropzoom.sources.recorded_times import recorded_times
from realtime_cropzoom.sources.video_file import VideoFile

Write = Callable[..., Path]


def index_of(captured: CapturedFrame, footage: Footage) -> int:
    image = np.zeros((captured.height, captured.width, 3), np.uint8)
    captured.copy_to(image)
    return footage.index_of(image)


def read(source: Source, footage: Footage, most: int | None = None) -> list[tuple[int, int]]:
    """Return index and pts_ns of the frames of a source, and close it."""
    try:
        return [(index_of(c, footage), c.pts_ns) for c in islice(source.frames(), most)]
    finally:
        source.close()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("clip.mp4", "libx264"),
        ("clip.mkv", "libx264"),
        ("clip.avi", "mpeg4"),
        ("clip.ts", "libx264"),
    ],
)
@pytest.mark.parametrize("start", [1, 12, 13, 37])
def test_a_file_begins_at_start_s(name: str, codec: str, start: int, make_video: Write, footage: Footage) -> None:
    """Also between key frames, which are all that a file can be opened at."""
    path = make_video(name, 40, codec=codec, options={"g": "12"})
    source = VideoFile(path, start / 30)
    frames = [(index_of(c, footage), c.pts_ns) for c in source.frames()]
    assert source.problems() == []
    source.close()
    assert [index for index, _ in frames] == list(range(start, 40))
    assert frames[0][1] == 0


def test_properties_of_the_first_frame_are_known_after_a_later_start(shared_data: Path) -> None:
    """The recording is 4:4:4 of an x264 of long ago, whose first frame alone names it; its key frame is at 6.07 s."""
    path = shared_data / "openfield/videos/m3v1mp4.mp4"
    images = []
    for source, skipped in ((VideoFile(path), 185), (VideoFile(path, 185 / 30 - 0.01), 0)):
        captured = next(islice(source.frames(), skipped, None))
        images.append(np.zeros((captured.height, captured.width, 3), np.uint8))
        captured.copy_to(images[-1])
        assert source.problems() == []
        source.close()
    np.testing.assert_array_equal(images[0], images[1])


def test_a_file_that_ends_before_start_s_is_an_error(make_video: Write) -> None:
    with pytest.raises(SourceError, match="ends before start_s = 5 s"):
        VideoFile(make_video(), 5.0)


def test_start_and_speed_reach_a_run(make_video: Write, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, source=make_video("clip.mp4", 90), start_s=1.0, speed=4.0)
    summary = run_to_end(settings).summary
    assert summary["counts"]["captured"] == 60
    assert 70 < summary["fps"] < 130
    assert summary["problems"] == []


def test_a_video_loops_and_its_time_continues(make_video: Write, footage: Footage) -> None:
    source = open_source(str(make_video("clip.mp4", 20)), SourceOptions(loop=True))
    assert source.info.frame_count is None
    frames = read(source, footage, 50)
    assert [index for index, _ in frames] == [i % 20 for i in range(50)]
    for (_, pts_ns), (_, later_ns) in pairwise(frames):
        assert later_ns - pts_ns == pytest.approx(1e9 / 30, abs=1e5)


def test_a_loop_restarts_at_start_s(make_video: Write, footage: Footage) -> None:
    source = open_source(str(make_video("clip.mp4", 20)), SourceOptions(loop=True, start_s=0.5))
    assert [index for index, _ in read(source, footage, 12)] == [*range(15, 20), *range(15, 20), 15, 16]


def test_a_loop_needs_constant_memory(make_video: Write) -> None:
    source = open_source(str(make_video("clip.mp4", 10)), SourceOptions(loop=True))
    frames, process = source.frames(), psutil.Process()

    def after(rounds: int) -> int:
        assert sum(1 for _ in islice(frames, rounds * 10)) == rounds * 10
        return int(process.memory_info().rss)

    settled = after(60)
    assert after(200) - settled < 8 << 20
    assert process.num_fds() < 100
    source.close()


def write_timing(path: Path, pts_ns: list[int]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["frame", "outcome", "pts_ns"], *([i, "processed", t] for i, t in enumerate(pts_ns))]
        )


TIMES_NS = [0, 33_412_345, 66_999_001, 150_000_400, 183_499_999]


@pytest.mark.parametrize("name", ["cam.mkv", "cam.mp4"])
def test_a_recording_of_a_run_has_its_times_in_ns(
    name: str, make_video: Write, footage: Footage, tmp_path: Path
) -> None:
    path = make_video(name, times_ms=[round(t / 1e6) for t in TIMES_NS])
    rounded = [pts_ns for _, pts_ns in read(VideoFile(path), footage)]
    assert rounded != TIMES_NS
    write_timing(tmp_path / "cam_timing.csv", TIMES_NS)
    assert [pts_ns for _, pts_ns in read(VideoFile(path), footage)] == TIMES_NS
    from_second = [pts_ns for _, pts_ns in read(VideoFile(path, 0.03), footage)]
    assert from_second == [t - TIMES_NS[1] for t in TIMES_NS[1:]]


@pytest.mark.parametrize(
    "pts_ns",
    [
        pytest.param(TIMES_NS[:-1], id="another number of frames"),
        pytest.param([t * 7 for t in TIMES_NS], id="other times"),
        pytest.param(TIMES_NS[::-1], id="times that go back"),
    ],
)
def test_times_of_another_recording_are_ignored(
    pts_ns: list[int], make_video: Write, footage: Footage, tmp_path: Path
) -> None:
    path = make_video("cam.mp4", times_ms=[round(t / 1e6) for t in TIMES_NS])
    rounded = [pts_ns for _, pts_ns in read(VideoFile(path), footage)]
    write_timing(tmp_path / "cam_timing.csv", pts_ns)
    assert [pts_ns for _, pts_ns in read(VideoFile(path), footage)] == rounded


def test_a_timing_file_of_another_program_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "cam_timing.csv").write_text("when,what\n1,2\n")
    assert recorded_times(tmp_path / "cam.mp4", 1).exactly(123) == 123


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
    assert read(source, footage) == [(i, i * 20_000_000) for i in range(12)]


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
    assert [index for index, _ in read(source, footage)] == [0, 1, 3, 4]
    assert source.problems() == [f"{folder}: 1 images cannot be read, the first is img2.png"]


def test_a_folder_begins_late_and_loops(tmp_path: Path, footage: Footage) -> None:
    folder = write_images(tmp_path / "images", 6, footage)
    source = open_source(str(folder), SourceOptions(fps=10, start_s=0.4, loop=True))
    assert read(source, footage, 5) == [(4, 0), (5, 100_000_000), (4, 200_000_000), (5, 300_000_000), (4, 400_000_000)]


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


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the documentation, installed: a module, and a dist-info that names its entry point."""
    (code,) = re.findall(r"```python\n(# stripes\.py\n.*?)```", find_page("sources.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 40
    site = tmp_path / "site"
    info = site / "stripes-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "stripes.py").write_text(code)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stripes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[realtime_cropzoom.sources]\nstripes = stripes:open_stripes\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "stripes", raising=False)


@pytest.mark.usefixtures("registered")
def test_the_source_of_the_documentation_runs(tmp_path: Path) -> None:
    source = open_source("stripes:16", SourceOptions(size=(320, 240), fps=100))
    assert source.info.live
    times = [c.pts_ns for c in islice(source.frames(), 5)]
    assert all(a < b for a, b in itertools.pairwise(times))
    source.close()
    settings = make_settings(tmp_path, source="stripes:16", camera_size="160x120", camera_fps=100, frames=30)
    assert run_to_end(settings).summary["counts"]["captured"] == 30


@pytest.mark.usefixtures("registered")
def test_an_error_of_a_registered_source_names_its_package() -> None:
    with pytest.raises(SourceError, match=r"stripes:wide: the source stripes:open_stripes failed: ValueError"):
        open_source("stripes:wide")


@pytest.mark.usefixtures("registered")
def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no source is called 'zebra'.*camera.*lavfi.*stripes"):
        open_source("zebra:1")


def test_a_file_may_have_a_colon_in_its_name(make_video: Write, tmp_path: Path) -> None:
    odd = make_video().rename(tmp_path / "12:30.mp4")
    open_source(str(odd)).close()
    with pytest.raises(SourceError, match="no video at"):
        open_source(r"C:\videos\mouse.mp4")

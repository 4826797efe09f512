"""Recordings to pick from: frame N is the Nth frame that a run sees, whatever the codec, the folder or the path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.films import Footage
from support.odd_videos import with_empty_chunks, with_matrix

from realtime_cropzoom.errors import DataError, SourceError
from realtime_cropzoom.files.atomic_images import write_image
from realtime_cropzoom.labelling.recordings import find_recordings, name_of, open_recording
from realtime_cropzoom.sources.factory import open_source

FOOTAGE = Footage()
UNEVEN_MS = [i * 20 + (i % 7) * 3 for i in range(40)]


def images(folder: Path, numbers: list[int]) -> Path:
    for number in numbers:
        write_image(folder / f"img{number}.png", FOOTAGE.draw(number))
    return folder


VIDEOS = {
    "b frames.mp4": {"codec": "libx264", "options": {"bf": "3", "g": "12"}},
    "uneven.mkv": {"codec": "libx264", "options": {"bf": "2", "g": "9"}, "times_ms": UNEVEN_MS},
    "bare.h264": {"codec": "libx264", "options": {"bf": "2", "g": "9"}},
    "old.avi": {"codec": "mpeg4", "options": {"g": "9"}},
}


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_of_videos_have_the_numbers_of_a_run(tmp_path: Path, name: str) -> None:
    path = FOOTAGE.write(tmp_path / name, 40, **VIDEOS[name])  # type: ignore[arg-type]
    with open_recording(path) as recording:
        assert recording.count == 40
        assert [FOOTAGE.index_of(recording.read(n)) for n in (0, 39, 17, 18, 5)] == [0, 39, 17, 18, 5]
        assert recording.key_frames[0] == 0
        assert recording.key_frames[-1] < 40


def test_frames_of_a_folder_are_in_natural_order_without_those_that_no_program_reads(tmp_path: Path) -> None:
    folder = images(tmp_path / "day.1", [0, 2, 10, 9])
    (folder / "img1.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("x")
    source = open_source(str(folder))
    played = [FOOTAGE.index_of(frame.copied()) for frame in source.frames()]
    with open_recording(folder) as recording:
        assert [FOOTAGE.index_of(recording.read(n)) for n in range(recording.count)] == played == [0, 2, 9, 10]
    assert name_of(folder) == "day.1"


def test_a_turned_video_is_read_as_the_pipeline_sees_it(tmp_path: Path) -> None:
    path = with_matrix(FOOTAGE.write(tmp_path / "plain.mp4", 5), 0, 1, -1, 0)
    source = open_source(str(path))
    first = next(iter(source.frames())).copied()
    source.close()
    with open_recording(path) as recording:
        assert np.array_equal(recording.read(0), first)
        assert first.shape[:2] == FOOTAGE.size


def test_frames_that_do_not_decode_can_be_left_out_of_the_count(tmp_path: Path) -> None:
    path = with_empty_chunks(FOOTAGE.write(tmp_path / "gaps.avi", 30, codec="mpeg4", options={"g": "1"}), [4, 5])
    source = open_source(str(path))
    played = [FOOTAGE.index_of(frame.copied()) for frame in source.frames()]
    source.close()
    with open_recording(path) as recording:
        recording.count_decoded()
        assert [FOOTAGE.index_of(recording.read(n)) for n in range(20)] == played[:20]


def test_a_recording_of_a_run_has_the_numbers_of_what_was_captured(tmp_path: Path) -> None:
    """A copy of a camera's stream holds frames that others depend on, but that were not captured."""
    path = FOOTAGE.write(tmp_path / "cam.mkv", 20, codec="libx264", options={"g": "5"})
    rows = "".join(f"{i},{n},,0\n" for i, n in enumerate(n for n in range(20) if n not in (3, 4)))
    (tmp_path / "cam_recording.csv").write_text(f"frame,recorded,dropped,segment\n{rows}")
    with open_recording(path) as recording:
        assert recording.count == 18
        assert [FOOTAGE.index_of(recording.read(n)) for n in (2, 3, 17)] == [2, 5, 19]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no recording at"),
        (lambda path: path.mkdir(), "a folder without images and videos"),
        (lambda path: write_image(path.with_suffix(".png"), FOOTAGE.draw(0)), "no recording at"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(DataError, match=words):
        find_recordings([tmp_path / "x"])


def test_one_image_is_no_recording(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", FOOTAGE.draw(0))
    with pytest.raises(DataError, match=r"is one image; .* Give its folder"):
        find_recordings([tmp_path / "x.png"])


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_a_file_without_frames_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(SourceError, match=r"x\.mp4 (is empty|cannot be read)"), open_recording(tmp_path / "x.mp4"):
        pass


def test_each_recording_counts_once_however_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    a, b = (FOOTAGE.write(videos / name, 3) for name in ("a.mp4", "b.mp4"))
    (tmp_path / "link.mp4").symlink_to(a)
    monkeypatch.chdir(videos)
    assert find_recordings([Path("a.mp4"), videos, tmp_path / "link.mp4", Path("../videos/b.mp4")]) == [a, b]


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.b.mp4", "a.b"), ("rat 1.avi", "rat 1"), ("a:b*.mp4", "a_b_"), ("...mp4", "recording"), ("ü.mkv", "ü")],
)
def test_names_are_those_of_the_files_as_far_as_folders_may_have_them(file: str, name: str) -> None:
    assert name_of(Path("x") / file) == name


@pytest.mark.parametrize(
    ("session", "video", "poses", "name"),
    [
        ("rat_20261129-204423", "rat", ("rat",), "rat_20261129-204423"),
        ("day2", "rat", ("rat",), "day2_rat"),
        ("cameras_20261129-204423", "left", ("left", "right"), "cameras_20261129-204423_left"),
        ("rat_20261129-204423", "second", ("rat",), "rat_20261129-204423_second"),
    ],
    ids=["of a run", "of a renamed run", "of several cameras", "a further one of a run"],
)
def test_a_recording_of_a_run_is_named_by_its_folder(
    tmp_path: Path, session: str, video: str, poses: tuple[str, ...], name: str
) -> None:
    folder = tmp_path / session
    folder.mkdir()
    for file in (f"{video}.mp4", f"{video}_recording.csv", *(f"{stem}_timing.csv" for stem in poses)):
        (folder / file).touch()
    assert name_of(folder / f"{video}.mp4") == name

"""Frames by number: whatever the codec and the order of reading, each is the frame that is played there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.films import Footage
from support.odd_videos import with_empty_chunks, with_matrix

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.random_access import RandomAccessVideo
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import UInt8

FRAMES = 45
FOOTAGE = Footage()
UNEVEN_MS = [i * 20 + (i % 7) * 3 + (500 if i > 20 else 0) for i in range(FRAMES)]
X264 = {"codec": "libx264"}
VIDEOS: dict[str, dict[str, Any]] = {
    "plain.mp4": {**X264, "options": {"g": "10", "tune": "zerolatency"}},
    "b frames.mp4": {**X264, "options": {"bf": "3", "g": "12"}},
    "tiny groups.mp4": {**X264, "options": {"bf": "2", "g": "3"}},
    "one group.mp4": {**X264, "options": {"bf": "2", "g": "1000"}},
    "open groups.mp4": {**X264, "options": {"x264-params": "open-gop=1:keyint=8:bframes=3:log-level=-1"}},
    "open groups of h265.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "open-gop=1:keyint=8:bframes=3:log-level=none"},
    },
    "refreshed.mkv": {**X264, "options": {"x264-params": "intra-refresh=1:keyint=10:bframes=0:log-level=-1"}},
    "uneven.mkv": {**X264, "options": {"bf": "2", "g": "9"}, "times_ms": UNEVEN_MS},
    "transport.ts": {**X264, "options": {"bf": "2", "g": "9"}},
    "program.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "9"}},
    "bare.h264": {**X264, "options": {"bf": "2", "g": "9"}},
    "jumbled.avi": {**X264, "options": {"bf": "2", "g": "9"}},
    "old.avi": {"codec": "mpeg4", "options": {"g": "9"}},
    "lossless.mkv": {"codec": "ffv1"},
    "stills.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "flash.flv": {"codec": "flv1", "options": {"g": "9"}},
}
COUNTED = {"bare.h264", "jumbled.avi", "program.mpg"}


def played(path: Path) -> list[UInt8]:
    video = VideoFile(path)
    try:
        return [frame.copied() for frame in video.frames()]
    finally:
        video.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


class Opened:
    """A video, open, and all of its frames as they are played."""

    def __init__(self, path: Path) -> None:
        self.path, self.video, self.frames = path, RandomAccessVideo(path), played(path)


@pytest.fixture(scope="module", params=VIDEOS)
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Opened]:
    opened = Opened(FOOTAGE.write(folder / request.param, FRAMES, **VIDEOS[request.param]))
    yield opened
    opened.video.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=12))
def test_each_frame_is_the_one_that_is_played_there(opened: Opened, order: list[int]) -> None:
    video = opened.video
    assert video.count == FRAMES
    assert video.by_counting == (opened.path.name in COUNTED)
    for number in order:
        picture = video.read(number)
        assert FOOTAGE.index_of(picture) == number
        assert np.array_equal(picture, opened.frames[number])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=8))
def test_a_small_cache_changes_nothing(opened: Opened, order: list[int]) -> None:
    video = RandomAccessVideo(opened.path, cache_bytes=1)
    for number in order:
        assert FOOTAGE.index_of(video.read(number)) == number
        assert video.kept <= 2
    video.close()


def test_times_are_those_of_the_file(folder: Path) -> None:
    path = FOOTAGE.write(folder / "timed.mkv", FRAMES, **VIDEOS["uneven.mkv"])
    video = RandomAccessVideo(path)
    assert video.times_ns.tolist() == [ms * 1_000_000 for ms in UNEVEN_MS]
    video.close()


def test_a_turned_video_is_turned(tmp_path: Path) -> None:
    path = FOOTAGE.write(tmp_path / "turned.mp4", 5, codec="libx264")
    path = with_matrix(path, 0, 1, -1, 0)
    video = RandomAccessVideo(path)
    assert np.array_equal(video.read(3), played(path)[3])
    assert video.read(3).shape == (160, 96, 3)
    video.close()


def test_frames_without_pixels_do_not_count(tmp_path: Path) -> None:
    path = with_empty_chunks(FOOTAGE.write(tmp_path / "empty.avi", 20, codec="mjpeg", pix_fmt="yuvj420p"), [3, 4, 11])
    video = RandomAccessVideo(path)
    frames = played(path)
    assert video.count == len(frames) == 17
    assert [FOOTAGE.index_of(video.read(n)) for n in (16, 3, 9)] == [FOOTAGE.index_of(frames[n]) for n in (16, 3, 9)]
    video.close()


@pytest.mark.parametrize("by_counting", [False, True])
def test_damage_shifts_no_frame(tmp_path: Path, by_counting: bool) -> None:
    """A frame that does not decode is missing, or, counted, is not there; the others are themselves."""
    path = FOOTAGE.write(tmp_path / "damaged.mkv", 30, codec="mjpeg", pix_fmt="yuvj420p")
    content = bytearray(path.read_bytes())
    seventh = [i for i in range(len(content) - 1) if content[i : i + 3] == b"\xff\xd8\xff"][7]
    content[seventh : seventh + 600] = bytes(600)
    path.write_bytes(content)
    frames = [FOOTAGE.index_of(image) for image in played(path)]
    assert 7 not in frames
    video = RandomAccessVideo(path, by_counting=by_counting)
    if by_counting:
        assert [FOOTAGE.index_of(video.read(n)) for n in range(28, -1, -1)] == frames[::-1]
    else:
        assert [FOOTAGE.index_of(video.read(n)) for n in (8, 6, 29)] == [8, 6, 29]
        with pytest.raises(SourceError, match="frame 7 does not decode"):
            video.read(7)
    video.close()


@pytest.mark.parametrize("number", [-1, FRAMES])
def test_a_frame_that_is_not_there_is_refused(folder: Path, number: int) -> None:
    video = RandomAccessVideo(FOOTAGE.write(folder / "short.mp4", FRAMES))
    with pytest.raises(SourceError, match=f"it has no frame {number}"):
        video.read(number)
    video.close()


def test_the_index_says_how_far_it_is(tmp_path: Path) -> None:
    small = Footage((64, 48))
    path = small.write(tmp_path / "long.mkv", 1200, codec="mjpeg", pix_fmt="yuvj420p")
    shares: list[float] = []
    RandomAccessVideo(path, progress=shares.append).close()
    assert len(shares) == 1
    assert 0.7 < shares[0] < 1


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("not a video")
    with pytest.raises(SourceError, match="cannot be read as a video"):
        RandomAccessVideo(path)


def test_the_444_of_an_old_x264_is_decoded_as_if_it_were_played(shared_data: Path) -> None:
    """x264 states its version in the first frame only, and FFmpeg needs it to decode such files."""
    path, numbers = shared_data / "openfield/videos/m3v1mp4.mp4", (280, 183, 196)
    with av.open(str(path)) as container:
        frames = zip(range(max(numbers) + 1), container.decode(video=0), strict=False)
        played = {n: frame.to_ndarray(format="rgb24") for n, frame in frames if n in numbers}
    video = RandomAccessVideo(path)
    try:
        for number in numbers:
            assert np.array_equal(video.read(number), played[number])
    finally:
        video.close()

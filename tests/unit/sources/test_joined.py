"""Joined files: recordings joined byte by byte, and recordings that are still being written."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from support.pipelines import cropzoom

from realtime_cropzoom.sources.video_file import VideoFile

FRAMES = 20


def write(path: Path, format: str, codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(FRAMES):
            image = np.full((96, 160, 3), index * 9, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def read(path: Path, *, grow: bytes = b"") -> tuple[int, list[str]]:
    video = VideoFile(path)
    try:
        if grow:
            with path.open("ab") as file:
                file.write(grow)
        return sum(1 for _ in video.frames()), video.problems()
    finally:
        video.close()


@pytest.mark.parametrize(
    ("ending", "format", "codec", "reads_all"),
    [
        ("flv", "flv", "flv1", False),
        ("mp4", "mp4", "mpeg4", False),
        ("mov", "mov", "mpeg4", False),
        ("avi", "avi", "mpeg4", True),
        ("mkv", "matroska", "mpeg4", True),
        ("ts", "mpegts", "mpeg2video", True),
    ],
)
def test_joined_files_are_read_whole_or_the_rest_is_reported(
    tmp_path: Path, ending: str, format: str, codec: str, reads_all: bool
) -> None:
    path = write(tmp_path / f"a.{ending}", format, codec)
    assert read(path) == (FRAMES, [])
    path.write_bytes(2 * path.read_bytes())
    frames, problems = read(path)
    assert (frames == 2 * FRAMES) == reads_all
    joined = [problem for problem in problems if "joined byte by byte" in problem]
    assert len(joined) == (not reads_all)
    assert reads_all or "of which only the first was read, not the other 50 % of the file" in joined[0]


def test_a_recording_that_is_still_being_written_is_reported(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mkv", "matroska").read_bytes()
    path = tmp_path / "growing.mkv"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    frames, problems = read(path, grow=whole[len(whole) * 2 // 3 :])
    assert frames > 0
    assert f"{path} was still being written while it was read: the end may be missing. Run this again" in problems


def test_an_mp4_whose_index_is_not_written_yet_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mp4")
    path.write_bytes(path.read_bytes().partition(b"moov")[0][:-4])
    done = cropzoom("run", path, "--publish", "none", "--out", tmp_path / "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "still being written or was cut off before its index was written" in line

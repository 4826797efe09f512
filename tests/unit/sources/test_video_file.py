"""Video files: order, orientation and times of frames, and truncated or malformed files."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from support.films import Footage, shown_index
from support.pipelines import make_settings, run_to_end

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.video_file import VideoFile

Write = Callable[..., Path]


def images_of(source: VideoFile) -> list[np.ndarray]:
    """Read a source to its end."""
    images = []
    for captured in source.frames():
        image = np.zeros((captured.height, captured.width, 3), np.uint8)
        captured.copy_to(image)
        images.append(image)
    return images


def read(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Return all frames of a file, and the problems that its source reports."""
    source = VideoFile(path)
    try:
        return images_of(source), source.problems()
    finally:
        source.close()


def times_ms(path: Path) -> list[float]:
    source = VideoFile(path)
    try:
        return [captured.pts_ns / 1e6 for captured in source.frames()]
    finally:
        source.close()


_FORMATS = [
    pytest.param("clip.mp4", "libx264", "yuv420p", id="mp4, H.264 with B-frames"),
    pytest.param("clip.mkv", "libx264", "yuv420p", id="mkv, H.264"),
    pytest.param("clip.mov", "libx264", "yuv444p", id="mov, H.264 4:4:4"),
    pytest.param("clip.avi", "libx264", "yuv420p", id="avi, H.264: a container that knows no B-frames"),
    pytest.param("clip.mp4", "mpeg4", "yuv420p", id="mp4, MPEG-4"),
    pytest.param("clip.avi", "mpeg4", "yuv420p", id="avi, MPEG-4"),
    pytest.param("clip.mkv", "mpeg4", "yuv420p", id="mkv, MPEG-4"),
    pytest.param("clip.avi", "mjpeg", "yuvj420p", id="avi, MJPEG"),
    pytest.param("clip.mov", "mjpeg", "yuvj422p", id="mov, MJPEG"),
    pytest.param("clip.mkv", "mjpeg", "yuvj420p", id="mkv, MJPEG"),
    pytest.param("clip.mkv", "ffv1", "yuv420p", id="mkv, FFV1"),
    pytest.param("clip.avi", "ffv1", "bgr0", id="avi, FFV1, RGB"),
    pytest.param("clip.mkv", "ffv1", "gray", id="mkv, FFV1, gray"),
    pytest.param("clip.avi", "rawvideo", "bgr24", id="avi, raw RGB"),
    pytest.param("clip.avi", "rawvideo", "gray", id="avi, raw gray"),
    pytest.param("clip.ts", "libx264", "yuv420p", id="MPEG-TS, H.264"),
    pytest.param("clip.webm", "libvpx-vp9", "yuv420p", id="webm, VP9"),
    pytest.param("clip.mjpeg", "mjpeg", "yuvj420p", id="raw MJPEG: no container, no times"),
    pytest.param(
        "clip.h264",
        "libx264",
        "yuv420p",
        id="raw H.264, as a Raspberry Pi writes it",
    ),
]


@pytest.mark.filterwarnings("ignore:.*deprecated pixel format")
@pytest.mark.parametrize(("name", "codec", "pix_fmt"), _FORMATS)
def test_every_frame_comes_once_and_in_order(
    name: str, codec: str, pix_fmt: str, make_video: Write, footage: Footage
) -> None:
    images, problems = read(make_video(name, 40, codec=codec, pix_fmt=pix_fmt))
    assert [footage.index_of(image) for image in images] == list(range(40))
    assert problems == []


@pytest.mark.filterwarnings("ignore:.*deprecated pixel format")
@pytest.mark.parametrize(("name", "codec", "pix_fmt"), _FORMATS)
def test_frames_can_be_kept_beyond_the_end_of_the_file(name: str, codec: str, pix_fmt: str, make_video: Write) -> None:
    source = VideoFile(make_video(name, 12, codec=codec, pix_fmt=pix_fmt))
    assert source.info.kept
    kept = [(captured.image, captured.copied()) for captured in source.frames()]
    source.close()
    for image, copy in kept:
        assert image is not None
        np.testing.assert_array_equal(image[10:50, 30:90], copy[10:50, 30:90])
        np.testing.assert_array_equal(np.asarray(image), copy)


def test_frames_that_need_the_whole_conversion_are_copied(tmp_path: Path) -> None:
    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 161, 97, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(161, 97, "yuv420p")))
        container.mux(stream.encode())
    source = VideoFile(path)
    assert not source.info.kept
    assert [captured.image for captured in source.frames()] == [None]
    source.close()


@pytest.mark.parametrize("pix_fmt", ["gray", "bgr0"])
def test_lossless_pixels_are_unchanged(pix_fmt: str, make_video: Write, footage: Footage) -> None:
    images, _ = read(make_video("clip.mkv", 3, codec="ffv1", pix_fmt=pix_fmt))
    for index, image in enumerate(images):
        # Through gray and back FFmpeg rounds by one or two levels.
        assert np.abs(image.astype(int) - footage.draw(index)).max() <= (2 if pix_fmt == "gray" else 0)


def test_red_is_the_first_channel(tmp_path: Path) -> None:
    path = tmp_path / "red.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
        red = np.zeros((16, 32, 3), np.uint8)
        red[..., 0] = 200
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        container.mux(stream.encode(None))
    ((image,), _) = read(path)
    assert (image == [200, 0, 0]).all()


@pytest.mark.parametrize(
    "size",
    [
        pytest.param((98, 50), id="rows that are no multiple of the decoder's alignment"),
        pytest.param((33, 47), id="odd sides"),
        pytest.param((640, 480), id="a usual size"),
    ],
)
def test_frames_of_any_size_are_read(
    size: tuple[int, int], make_footage: Callable[..., Footage], tmp_path: Path
) -> None:
    footage = make_footage(size)
    images, _ = read(footage.write(tmp_path / "clip.mkv", 3, codec="ffv1", pix_fmt="bgr0"))
    assert all(np.array_equal(image, footage.draw(index)) for index, image in enumerate(images))


def test_every_frame_can_be_left_uncopied(make_video: Write) -> None:
    source = VideoFile(make_video(frames=12))
    assert sum(1 for _ in source.frames()) == 12
    source.close()


def test_the_source_describes_itself(make_video: Write) -> None:
    source = VideoFile(make_video("my clip.mp4", 20, fps=25))
    assert (source.info.name, source.info.width, source.info.height) == ("my clip", 160, 96)
    assert source.info.fps == 25
    assert source.info.frame_count == 20
    source.close()


def test_a_container_that_does_not_count_its_frames_has_no_count(make_video: Write) -> None:
    source = VideoFile(make_video("clip.mkv"))
    assert source.info.frame_count is None
    source.close()


def test_a_file_may_be_closed_twice(make_video: Write) -> None:
    source = VideoFile(make_video())
    source.close()
    source.close()


def test_a_partly_read_file_reports_no_missing_frames(make_video: Write) -> None:
    source = VideoFile(make_video(frames=30))
    next(source.frames())
    assert source.problems() == []
    source.close()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_variable_frame_rate_is_kept(name: str, codec: str, make_video: Write) -> None:
    written = [0, 33, 66, 100, 400, 410, 420, 1000, 3000, 3001]
    options = {"codec": codec, "options": {"bf": "2"} if codec == "libx264" else {}}
    assert times_ms(make_video(name, times_ms=written, **options)) == pytest.approx(written, abs=0.51)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_time_counts_from_the_first_frame(name: str, make_video: Write) -> None:
    assert times_ms(make_video(name, times_ms=[5000, 5040, 5100])) == pytest.approx([0, 40, 100], abs=0.51)


def test_device_time_is_kept(make_video: Write) -> None:
    source = VideoFile(make_video("clip.mkv", times_ms=[5000, 5040, 5100]))
    own = [captured.device_ns for captured in source.frames()]
    source.close()
    assert own == [5_000_000_000, 5_040_000_000, 5_100_000_000]


def test_a_constant_rate_does_not_drift(make_video: Write) -> None:
    times = times_ms(make_video("clip.mp4", 90, fps=30, codec="libx264"))
    assert times == pytest.approx([index * 1000 / 30 for index in range(90)], abs=0.01)


def test_frame_time_always_increases(make_video: Write) -> None:
    times = times_ms(make_video("clip.avi", 30, codec="libx264"))
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


_MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""Degrees clockwise → a, b, c, d of an MP4 display matrix."""


def rotate(path: Path, degrees: int) -> Path:
    """Write a display matrix into a finished MP4, as a telephone held upright does."""
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") + 4
    assert content[header] == 0, "expected version 0 of the track header"
    a, b, c, d = (value << 16 for value in _MATRICES[degrees])
    struct.pack_into(">9i", content, header + 40, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("degrees", _MATRICES)
def test_a_rotated_file_is_turned_as_opencv_turns_it(degrees: int, make_video: Write) -> None:
    path = rotate(make_video("clip.mp4", 4, codec="libx264"), degrees)
    images, _ = read(path)
    capture = cv2.VideoCapture(str(path))
    for image in images:
        there, expected = capture.read()
        assert there
        assert image.shape == expected.shape
        # Two YUV conversions differ by a few levels; a frame turned the wrong way by dozens.
        assert np.abs(image.astype(int) - expected[..., ::-1]).mean() < 2
    capture.release()


@pytest.mark.parametrize("degrees", _MATRICES)
def test_a_rotated_frame_turned_back_is_the_frame(degrees: int, make_video: Write, footage: Footage) -> None:
    images, _ = read(rotate(make_video("clip.mp4", 4, codec="libx264"), degrees))
    assert [footage.index_of(np.rot90(image, degrees // 90)) for image in images] == [0, 1, 2, 3]


@pytest.mark.parametrize(("degrees", "size"), [(0, (160, 96)), (90, (96, 160)), (180, (160, 96)), (270, (96, 160))])
def test_a_rotated_file_has_its_displayed_size_before_the_first_frame(
    degrees: int, size: tuple[int, int], make_video: Write
) -> None:
    source = VideoFile(rotate(make_video("clip.mp4", 4), degrees))
    assert (source.info.width, source.info.height) == size
    assert {(captured.width, captured.height) for captured in source.frames()} == {size}
    source.close()


def cut_off(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(
            "clip.mp4", {"codec": "libx264", "container_options": {"movflags": "+faststart"}}, id="mp4, index in front"
        ),
        pytest.param(
            "clip.mp4", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container_options": {"movflags": "+faststart"}},
            id="mp4, MJPEG",
        ),
        pytest.param("clip.avi", {"codec": "mpeg4"}, id="avi"),
        pytest.param("clip.mkv", {"codec": "libx264"}, id="mkv, which does not count its frames"),
        pytest.param("clip.mkv", {"codec": "ffv1"}, id="mkv, FFV1"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*deprecated pixel format")
def test_a_truncated_file_yields_its_frames_and_reports_the_rest(
    name: str, options: dict[str, Any], make_video: Write, footage: Footage
) -> None:
    images, problems = read(cut_off(make_video(name, 60, **options), 0.6))
    found = [footage.index_of(image) for image in images]
    # At the cut a frame may be half there, and B-frames may lack the frame they lean on.
    whole = found[:-1]
    assert 3 < len(whole) < 59
    assert whole == sorted(set(whole))
    assert whole[:-3] == list(range(len(whole) - 3))
    assert problems != []
    assert all(name in problem and "\n" not in problem for problem in problems)


def test_a_truncated_file_reports_its_number_of_frames(make_video: Write) -> None:
    path = make_video("clip.mp4", 60, codec="libx264", container_options={"movflags": "+faststart"})
    _, problems = read(cut_off(path, 0.6))
    assert any("its header declares 60 frames" in problem for problem in problems)


def test_a_single_missing_frame_is_reported(make_video: Write) -> None:
    """The decoder takes several packets before it returns the first frame, which must not hide the loss."""
    path = make_video("clip.mp4", 30, codec="libx264", container_options={"movflags": "+faststart"})
    with av.open(str(path)) as container:
        last = max(packet.pos or 0 for packet in container.demux(video=0) if packet.size)
    path.write_bytes(path.read_bytes()[:last])
    images, (problem,) = read(path)
    assert len(images) == 29
    assert "its header declares 30 frames, the file has 29" in problem


def test_a_damaged_packet_is_dropped_and_counted(make_video: Write, footage: Footage) -> None:
    """FFV1 checks its frames, and each is a key frame, so that exactly one is lost."""
    path = make_video("clip.mkv", 30, codec="ffv1", options={"g": "1", "slicecrc": "1", "level": "3"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    images, problems = read(path)
    found = [footage.index_of(image) for image in images]
    (lost,) = set(range(30)) - set(found)
    assert found == [index for index in range(30) if index != lost]
    assert problems == [f"{path}: 1 packets did not decode and were left out (at {lost / 30:.2f} s)"]


def test_an_intact_file_has_no_problems_to_report(make_video: Write) -> None:
    assert read(make_video("clip.mp4", 30, codec="libx264"))[1] == []


def refusal(path: Path) -> str:
    """Open a file that must be refused, and return the error, which is one line."""
    with pytest.raises(SourceError) as caught:
        VideoFile(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no video at" in refusal(tmp_path / "nowhere.mp4")


def test_a_folder_is_refused_as_a_video(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"dear diary, today I recorded nothing\n" * 20, "cannot be read as a video", id="text"),
        pytest.param(bytes(range(256)) * 40, "cannot be read as a video", id="binary rubbish"),
        pytest.param(b"\x00" * 4096, "cannot be read as a video", id="zeros, as a crashed disk leaves them"),
    ],
)
def test_a_text_file_named_like_a_video_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "recording.mp4"
    path.write_bytes(content)
    assert says in refusal(path)


def test_an_mp4_without_an_index_is_explained(make_video: Write) -> None:
    assert "cut off before its index was written" in refusal(cut_off(make_video("clip.mp4", 60), 0.6))


def test_a_file_with_sound_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert "contains no video" in refusal(path)


def test_a_video_without_decodable_frames_is_an_error(make_video: Write) -> None:
    path = make_video("clip.avi", 5, codec="mpeg4")
    content = bytearray(path.read_bytes())
    chunk = content.index(b"movi") + 4
    while content[chunk : chunk + 4] == b"00dc":
        (size,) = struct.unpack_from("<I", content, chunk + 4)
        content[chunk + 8 : chunk + 8 + size] = bytes(size)
        chunk += 8 + size + size % 2
    path.write_bytes(content)
    with pytest.raises(SourceError, match="no frame that can be decoded"):
        read(path)


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
    """The start may be between key frames, although a file can be entered only at one."""
    path = make_video(name, 40, codec=codec, options={"g": "12"})
    source = VideoFile(path, start / 30)
    frames = [(shown_index(c, footage), c.pts_ns) for c in source.frames()]
    assert source.problems() == []
    source.close()
    assert [index for index, _ in frames] == list(range(start, 40))
    assert frames[0][1] == 0


def test_properties_of_the_first_frame_are_known_after_a_later_start(shared_data: Path) -> None:
    """The recording is 4:4:4 from an old x264, which states its version only in the first frame."""
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

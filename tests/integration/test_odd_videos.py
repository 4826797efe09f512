"""Videos that are not as their headers say: what decodes is the recording, and what is missing is one line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.films import Footage
from support.odd_videos import (
    avi_of_another_codec,
    avi_that_counts,
    mpeg_stream_that_says_it_is_long,
    two_videos,
    with_empty_chunks,
    with_matrix,
    with_sound,
    without_a_cluster,
)
from support.offline_fixtures import Workplace, first_packets, frames_of, poses_in, write_boxes
from support.pipelines import make_settings, run_to_end, tiny_models

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.display import turn_from_matrix
from realtime_cropzoom.sources.video_file import VideoFile

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated pixel format")

BOX = (10, 10, 40, 40)
CLUSTERS: dict[str, Any] = {
    "codec": "libx264",
    "container_options": {"cluster_time_limit": "1000"},
    "options": {"g": "30", "bf": "0", "sc_threshold": "0"},
}


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def read(path: Path) -> tuple[list[np.ndarray], list[float], list[str], tuple[str, ...]]:
    """Return the images of a file, their times in s, its problems and its notes."""
    source = VideoFile(path)
    images, times = [], []
    for captured in source.frames():
        images.append(np.zeros((captured.height, captured.width, 3), np.uint8))
        captured.copy_to(images[-1])
        times.append(captured.pts_ns / 1e9)
    problems = source.problems()
    source.close()
    return images, times, problems, source.info.notes


def is_done_everywhere(work: Workplace, video: Path, frames: int, says: str | None) -> None:
    """Have every command take a video: all frames that decode are there, and ``says`` is one line and exit code 3."""
    expected = 0 if says is None else 3
    live = run_to_end(make_settings(work.folder, source=video, pace="fast")).summary
    assert live["counts"]["processed"] == frames
    assert len(live["problems"]) == (says is not None)
    write_boxes(work.folder / f"boxes/{video.stem}_bbox.csv", [BOX] * frames)
    flags = {**tiny_models(work.folder / "models"), "out": work.folder / "out", "crop-size": 64}
    model = work.model()
    for command in (
        ["predict", model, video, "--skip_viz"],
        ["pipeline", video, *itertools.chain(*((f"--{k}", v) for k, v in flags.items())), "--skip-viz"],
        ["crop", model, video, "--bbox_dir", work.folder / "boxes"],
    ):
        done = work.run(*command)
        assert done.code == expected, done
        assert len(done.lines) == (says is not None), done.err
        assert says is None or all(re.search(says, line) for line in (done.err, *live["problems"])), done.err
    assert len(poses_in(model / f"video_preds/{video.stem}.csv")) == frames
    assert len(poses_in(work.folder / f"out/{video.stem}.csv")) == frames
    assert len(frames_of(model / f"cropped_videos/cropped_{video.stem}.mp4")) == frames
    again = work.run("predict", model, video, "--skip_viz", "--resume")
    assert again.code == 0, again.err


def test_sound_that_goes_on_after_the_picture_is_nothing_missing(work: Workplace) -> None:
    is_done_everywhere(work, with_sound(work.footage, work.folder / "sound.mkv", 30, 2.0), 30, None)


def test_a_file_with_sound_that_is_cut_short_is_still_noticed(work: Workplace) -> None:
    path = with_sound(work.footage, work.folder / "sound.mkv", 90, 3.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (problem,) = read(path)[2]
    assert "its header declares 3.00 s" in problem


def test_a_header_that_counts_too_many_is_a_line(work: Workplace) -> None:
    video = avi_that_counts(work.video("clip.avi", 30, codec="mjpeg", pix_fmt="yuvj420p"), 32)
    is_done_everywhere(work, video, 30, "its header declares 32 frames, the file has 30")


def test_frames_that_were_dropped_while_recording_are_a_line_with_the_place(work: Workplace) -> None:
    video = with_empty_chunks(work.video("clip.avi", 60, codec="mjpeg", pix_fmt="yuvj420p"), (10, 11, 40))
    is_done_everywhere(
        work, video, 57,
        r"declares 60 frames, the file has 57; about 3 frames are missing in 2 places, .* after frame 9, at 0\.30 s",
    )  # fmt: skip


def test_a_length_that_was_only_estimated_promises_nothing(work: Workplace) -> None:
    is_done_everywhere(work, mpeg_stream_that_says_it_is_long(work.footage, work.folder / "es.mpg", 30), 30, None)


def test_frames_that_a_damaged_file_has_lost_are_said_with_their_place(work: Workplace) -> None:
    video = without_a_cluster(work.video("damaged.mkv", 120, **CLUSTERS))
    found = len(frames_of(video))
    assert 80 < found < 100
    is_done_everywhere(work, video, found, rf"about {120 - found} frames are missing after frame \d+, at \d\.\d\d s")


def pause(frames: int, after: int, pause_ms: int) -> list[int]:
    """Times of a recorder that writes a frame when something changes."""
    steps = np.random.default_rng(0).integers(20, 200, frames)
    steps[after] = pause_ms
    return [0, *np.cumsum(steps).tolist()]


def test_a_pause_of_a_variable_rate_is_no_loss(work: Workplace) -> None:
    for name in ("screen.mkv", "screen.mp4"):
        path = work.video(name, times_ms=pause(60, 30, 8000), codec="libx264")
        assert read(path)[2] == []


def test_a_variable_rate_with_bytes_that_nobody_can_read_is_a_loss(work: Workplace) -> None:
    times = pause(100, 30, 200)
    intact = work.video("intact.mkv", times_ms=times, **CLUSTERS)
    assert read(intact)[2] == []
    path = without_a_cluster(work.video("screen.mkv", times_ms=times, codec="ffv1", container_options={
        "cluster_time_limit": "1000"}), 2)  # fmt: skip
    images, _, (problem,), _ = read(path)
    assert len(images) < len(times)
    assert "missing" in problem


def test_a_cut_between_b_frames_is_no_loss(work: Workplace) -> None:
    """As ``ffmpeg -c copy -t 2`` cuts: the last frames lack those that are stored after them."""
    whole = work.video("whole.mp4", 60, codec="libx264", options={"bf": "3", "b_strategy": "0"})
    for packets in range(30, 40):
        cut = first_packets(whole, work.folder / f"cut{packets}.mp4", packets)
        assert read(cut)[2] == []


@pytest.mark.parametrize(("name", "codec"), [("clip.ts", "libx264"), ("clip.mpg", "mpeg2video")])
def test_joined_files_go_on_where_the_first_has_ended(
    work: Workplace, name: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = work.video(name, 40, codec=codec)
    path.write_bytes(path.read_bytes() * 2)
    images, times, problems, _ = read(path)
    assert [work.footage.index_of(image) for image in images[:80]] == [*range(40), *range(40)]
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=2e-3)
    assert problems == []
    (line,) = caplog.messages
    assert re.search(r"its frame times go backwards after frame 39 \(.*the run continues them", line)


def test_stamps_of_whole_seconds_are_spread(work: Workplace, caplog: pytest.LogCaptureFixture) -> None:
    """As video recorders of cameras that watch over a shop write them."""
    from realtime_cropzoom.sources.frame_times import FrameTimes

    times = FrameTimes(40_000_000)
    got = [times.time(i, i // 25 * 1_000_000_000) / 1e9 for i in range(100)]
    np.testing.assert_allclose(got, np.arange(100) / 25, atol=0.1)
    assert np.diff(got).min() > 0.03
    assert times.corrected == 96


def test_b_frames_in_avi_are_evenly_spaced_and_in_order(work: Workplace) -> None:
    images, times, problems, notes = read(work.video("clip.avi", 40, codec="libx264", options={"bf": "3"}))
    assert [work.footage.index_of(image) for image in images] == list(range(40))
    np.testing.assert_allclose(times, np.arange(40) / 30, atol=1e-6)
    assert problems == []
    assert any("AVI stores no times of B-frames" in note for note in notes)


_SHOWN: dict[str, tuple[tuple[float, ...], Callable[[np.ndarray], np.ndarray]]] = {
    "zeros": ((0, 0, 0, 0), lambda p: p),
    "a line": ((1, 0, 1, 0), lambda p: p),
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "turned round": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "anticlockwise": ((0, -1, 1, 0), lambda p: np.rot90(p)),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed and turned round": ((0, -1, -1, 0), lambda p: p.swapaxes(0, 1)[::-1, ::-1]),
    "scaled": ((-2, 0, 0, 2), lambda p: p[:, ::-1]),
}


@pytest.mark.parametrize("how", _SHOWN)
def test_a_picture_is_turned_and_mirrored_as_players_do(how: str, work: Workplace) -> None:
    matrix, shown = _SHOWN[how]
    path = work.video("clip.mp4", 3, codec="libx264")
    plain = read(path)[0]
    turned = read(with_matrix(path, *matrix))
    assert turned[3] == (), "nothing to be said"
    for before, after in zip(plain, turned[0], strict=True):
        np.testing.assert_array_equal(after, shown(before))


@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 0, 0)])
def test_mirrored_videos_go_through_every_command(matrix: tuple[float, ...], work: Workplace) -> None:
    is_done_everywhere(work, with_matrix(work.video("turned.mp4", 12, codec="libx264"), *matrix), 12, None)


@pytest.mark.parametrize("degrees", [30, 45, 60, 100])
def test_an_odd_angle_is_said_and_left_out(degrees: float, work: Workplace) -> None:
    turn = np.deg2rad(degrees)
    matrix = (np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn))
    video = with_matrix(work.video("odd.mp4", 3, codec="libx264"), *matrix)
    images, _, problems, (note,) = read(video)
    assert (len(images), problems) == (3, [])
    assert re.search(r"asks for a turn or shear of \d+ degrees, which is not applied", note)
    assert note in work.run("predict", work.model(), video, "--skip_viz").err


def test_a_shear_is_said() -> None:
    assert "shear" in turn_from_matrix(1, 0, 0.5, 1).left_out
    assert turn_from_matrix(1, 0.01, 0, 1).left_out == ""


def test_a_video_that_changes_its_size_is_done_up_to_there(work: Workplace) -> None:
    video = work.video("small.ts", 12, codec="libx264")
    larger = Footage((320, 240)).write(work.folder / "large.ts", 12, codec="libx264")
    video.write_bytes(video.read_bytes() + larger.read_bytes())
    model = work.model()
    done = work.run("predict", model, video, "--skip_viz")
    assert done.code == 3
    assert "frame 12 of small is 320x240, but the video began as 160x96; the result ends before it" in done.err
    assert len(poses_in(model / "video_preds/small.csv")) == 12


@pytest.mark.parametrize(("factor", "said"), [(16, True), (256, False)])
def test_a_video_of_12_bits_in_16_is_said_to_be_black(factor: int, said: bool, work: Workplace) -> None:
    path = work.folder / "deep.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "gray16le"
        for index in range(3):
            values = work.footage.draw(index)[..., 0].astype(np.uint16) * factor
            container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="gray16le")))
        container.mux(stream.encode(None))
    notes = read(path)[3]
    assert any("uses only 12 of them" in note for note in notes) is said


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_videos_are_whole(frames: int, work: Workplace) -> None:
    is_done_everywhere(work, work.video("short.mp4", frames, codec="libx264"), frames, None)


@pytest.mark.parametrize("default", [0, 1])
def test_of_two_videos_the_default_one_is_taken_and_said(default: int, work: Workplace) -> None:
    sizes = [(80, 48), (160, 96)]
    path = two_videos(work.folder / "two.mkv", sizes, default)
    images, _, problems, (note,) = read(path)
    assert images[0].shape[1::-1] == sizes[default]
    footage = Footage(sizes[default])
    assert [footage.index_of(image) for image in images] == list(range(10))
    assert problems == []
    assert "contains 2 videos; the run uses the one marked as default" in note
    flags = [f"--{k}={v}" for k, v in tiny_models(work.folder / "models").items()]
    for command in (["predict", work.model(), path], ["pipeline", path, *flags, "--out", work.folder / "out"]):
        done = work.run(*command, "--skip-viz")
        assert (done.code, note in done.err) == (0, True), done.err
    run = run_to_end(make_settings(work.folder, source=path, pace="fast"))
    assert note in run.notes


def test_a_title_in_the_letters_of_a_country_is_no_obstacle(work: Workplace) -> None:
    """Recorders write who made a film, and of what, without saying in which letters."""
    video = work.video("title.mkv", 6, container_options={"metadata_header_padding": "64"})
    with av.open(str(video)) as given, av.open(str(work.folder / "named.mkv"), "w") as named:
        named.metadata["title"] = "Maeuse"
        stream = named.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                named.mux(packet)
    path = work.folder / "named.mkv"
    path.write_bytes(path.read_bytes().replace(b"Maeuse", "Mäusé".encode("latin-1") + b"!"))
    assert len(read(path)[0]) == 6


def test_a_format_that_nobody_can_decode_is_one_line(work: Workplace) -> None:
    video = avi_of_another_codec(work.video("known.avi", 6, codec="mpeg4"))
    with pytest.raises(SourceError, match="is in a format that cannot be decoded; convert it"):
        VideoFile(video)

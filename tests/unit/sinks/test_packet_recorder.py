"""Packet recorder: the recording holds the packets that the run decoded, so that a replay gives the same poses."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pandas as pd
import psutil
import pytest
from support.films import Footage
from support.pipelines import (
    LONG_S,
    Files,
    Film,
    check_complete,
    cropzoom,
    cropzoom_threads,
    finish,
    free_port,
    make_settings,
    model_flags,
    run_to_end,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)
from support.recordings import FULL_DISK, check_recording, read_table, read_video, recorded_rows, same_poses
from support.stream_senders import FPS, RTSP_PYTHON, serving

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, SourceError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sessions.compare import compare
from realtime_cropzoom.sinks import base_recorder, packet_file
from realtime_cropzoom.sinks.packet_file import DropToKeyFrameQueue, PacketFile, QueuedFrame
from realtime_cropzoom.sources.base import CapturedFrame, Source
from realtime_cropzoom.sources.encoded import CodecParameters, EncodedFrame, EncodedFrames
from realtime_cropzoom.sources.packet_buffer import PacketBuffer
from realtime_cropzoom.sources.video_file import VideoFile
from realtime_cropzoom.types import FrameMeta

NO_B_FRAMES = {"bf": "0", "g": "10", "preset": "ultrafast"}
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "h264 in MP4": ("clip.mp4", {"codec": "libx264", "options": NO_B_FRAMES}),
    "h264 in MPEG-TS": ("clip.ts", {"codec": "libx264", "options": NO_B_FRAMES}),
    "h264 that says once how it is coded": (
        "clip.avi",
        {"codec": "libx264", "options": {**NO_B_FRAMES, "flags": "+global_header"}},
    ),
    "hevc in Matroska": (
        "clip.mkv",
        {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "bframes=0:keyint=10:log-level=none"}},
    ),
    "mjpeg in AVI": ("clip.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
}


def replay(folder: Path, live: Files, **chosen: object) -> Files:
    video = live.folder / f"{live.name}.mkv"
    settings = make_settings(folder, source=video, schedule=live.bbox_path, pace="fast", **chosen)
    return check_complete(run_to_end(settings).folder)


def check_copy(files: Files, folder: Path) -> list[int]:
    """Check that the recording replays to the live poses at the live times, and return the recorded frames."""
    table = read_table(files.folder / f"{files.name}.mkv")
    recorded = table["recorded"].dropna().astype(int)
    assert recorded.is_monotonic_increasing
    (summary,) = files.summary["recordings"]
    assert summary["frames"] == len(recorded)
    assert sum(summary["dropped"].values()) == len(table) - len(recorded)
    _, seconds = read_video(files.folder / f"{files.name}.mkv")
    times = files.timing["pts_ns"].loc[recorded.index].to_numpy() / 1e9
    stored = np.array(seconds)[recorded]
    times[1:] = np.maximum(times[1:], stored[:-1] + 1e-3)  # a file counts in ms: frames of a burst have one each
    np.testing.assert_allclose(stored, times, rtol=0, atol=1.5e-3)
    same_poses(replay(folder, files), files, recorded.index.tolist())
    return recorded.index.tolist()


def index_of(captured: CapturedFrame, footage: Footage) -> int:
    image = np.zeros((captured.height, captured.width, 3), np.uint8)
    captured.copy_to(image)
    return footage.index_of(image)


@pytest.mark.parametrize("kind", FILES)
def test_a_copy_replays_the_live_poses_exactly(tmp_path: Path, make_video: Callable[..., Path], kind: str) -> None:
    name, how = FILES[kind]
    played = make_video(name, frames=40, fps=60, **how)
    files = check_complete(run_to_end(make_settings(tmp_path, source=played, record="copy")).folder)
    assert check_copy(files, tmp_path / "again") == list(range(40))
    again = Files(the_session(tmp_path / "again" / "sessions"))
    assert again.timing["pts_ns"].tolist() == files.timing["pts_ns"].tolist()
    assert check_recording(files, files.folder / "clip.mkv") == list(range(40))
    originals, copies = read_video(played)[0], read_video(files.folder / "clip.mkv")[0]
    assert all(np.array_equal(a, b) for a, b in zip(originals, copies, strict=True))
    assert files.summary["recordings"][0]["codec"] == f"copy of {kind.split()[0]}"
    assert files.summary["problems"] == []
    assert not cropzoom_threads()


@pytest.mark.parametrize("pace", ["realtime", "fast"])
def test_frames_that_were_not_captured_are_in_a_copy_but_not_in_its_replay(
    tmp_path: Path, make_video: Callable[..., Path], footage: Footage, pace: str
) -> None:
    """A run that begins between key frames needs earlier frames. The table lists those that were captured."""
    played = make_video("clip.mp4", frames=40, fps=50, codec="libx264", options=NO_B_FRAMES)
    settings = make_settings(tmp_path, source=played, start_s=0.3, record="copy", pace=pace)
    files = check_complete(run_to_end(settings).folder)
    video = files.folder / "clip.mkv"
    assert read_table(video)["recorded"].tolist() == list(range(5, 30))
    images, seconds = read_video(video)
    assert [footage.index_of(image) for image in images] == list(range(10, 40))
    assert seconds[:6] == [0.0] * 6
    assert check_copy(files, tmp_path / "again") == list(range(25))
    assert compare(files.folder, the_session(tmp_path / "again" / "sessions")).identical
    with contextlib.closing(VideoFile(video, start_s=0.2)) as late:
        assert [index_of(captured, footage) for captured in late.frames()] == list(range(25, 40))


def test_a_looping_file_is_copied_into_one_file(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    played = make_video("clip.mp4", frames=20, fps=60, codec="libx264", options=NO_B_FRAMES)
    settings = make_settings(tmp_path, source=played, loop=True, frames=50, record="copy")
    assert check_copy(check_complete(run_to_end(settings).folder), tmp_path / "again") == list(range(50))


def trailed(path: Path, *, called_key: bool | None = None) -> Iterator[PacketBuffer]:
    """Yield a packet buffer after each packet of a file. With ``called_key`` every frame is called a key frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        trail = PacketBuffer(stream, keep=True)
        for index, packet in enumerate(container.demux(stream)):
            frames: list[Any] = packet.decode()
            if called_key is not None:
                frames = [SimpleNamespace(pts=frame.pts, key_frame=called_key) for frame in frames]
            if packet.size:
                trail.add(packet, frames)
                assert index or isinstance(trail.coding(160, 96), CodecParameters)
                yield trail


def test_after_damage_no_frame_is_copied_until_a_key_frame(make_video: Callable[..., Path]) -> None:
    taken = []
    for index, trail in enumerate(trailed(make_video("clip.mp4", 24, codec="libx264", options=NO_B_FRAMES))):
        if index == 4:
            trail.invalidate()
        encoded = trail.take()
        taken.append(encoded is not None and encoded.starts_with_key_frame)
        assert (encoded is None) == (4 <= index < 10)
    assert [index for index, starts_with_key_frame in enumerate(taken) if starts_with_key_frame] == [0, 10, 20]


def test_a_copy_does_not_begin_at_a_false_key_frame(make_video: Callable[..., Path]) -> None:
    """A decoder also calls a frame key from which it recovers gradually. A replay would begin with another picture."""
    clip = make_video("clip.mp4", 24, codec="libx264", options=NO_B_FRAMES)
    encoded = [trail.take() for trail in trailed(clip, called_key=True)]
    assert [index for index, frame in enumerate(encoded) if frame is not None and frame.starts_with_key_frame] == [
        0,
        10,
        20,
    ]


def test_a_stream_without_key_frames_does_not_fill_the_memory(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_video("clip.mp4", 24, codec="libx264", options={**NO_B_FRAMES, "g": "100"})
    monkeypatch.setattr("realtime_cropzoom.sources.packet_buffer._LONGEST_BYTES", clip.stat().st_size // 2)
    *_, last = trailed(clip)
    assert last.take() is None


@pytest.fixture(scope="module")
def rtsp_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the video that the RTSP server plays, in which most key frames lack the parameter sets."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    with contextlib.suppress(OSError):
        if subprocess.run([RTSP_PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0:
            path = tmp_path_factory.mktemp("rtsp") / "cam.mp4"
            return Footage().write(path, 15 * FPS, fps=FPS, codec="libx264", options={"g": "15", "bf": "0"})
    pytest.skip("no RTSP server here; apt-get install gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins (see .ci/run)")


def opened(settings: Settings) -> Pipeline:
    """Start a run with a server that may not listen yet."""

    def start() -> Pipeline | None:
        pipeline = Pipeline(settings)
        with contextlib.suppress(SourceError):
            pipeline.start()
            return pipeline
        return None

    pipeline: Pipeline = wait_for(start, "the server")
    return pipeline


def ended(pipeline: Pipeline) -> Files:
    try:
        assert pipeline.wait(LONG_S)
    finally:
        pipeline.stop()
        pipeline.join()
    return check_complete(pipeline.folder)


def test_rtsp(tmp_path: Path, rtsp_video: Path) -> None:
    port = free_port()
    settings = make_settings(tmp_path, source=f"rtsp://127.0.0.1:{port}/cam", record="copy", frames=60)
    with serving(port, rtsp_video, python=RTSP_PYTHON, script="rtsp_server"):
        files = ended(opened(settings))
    assert check_copy(files, tmp_path / "again") == list(range(60))
    assert files.summary["problems"] == []


@pytest.mark.parametrize(("kind", "path"), [("udp", ""), ("http", "/cam")])
def test_a_copy_continues_after_a_server_restarts(tmp_path: Path, kind: str, path: str) -> None:
    """The recording continues in the next segment with a key frame."""
    epoch_ns, port = time.monotonic_ns(), free_port()
    settings = make_settings(
        tmp_path, source=f"{kind}://127.0.0.1:{port}{path}", record="copy", frames=120,
        read_timeout_s=1.0, open_timeout_s=5.0,
    )  # fmt: skip
    with serving(kind, port, epoch_ns):
        pipeline = opened(settings)
        wait_for(lambda: pipeline.progress().counts.processed > 20, "poses")
    wait_for(lambda: pipeline.progress().stream == "reconnecting", "the end of the stream")
    with serving(kind, port, epoch_ns):
        files = ended(pipeline)
    assert sorted(set(files.timing["segment"])) == [0, 1]
    assert check_copy(files, tmp_path / "again") == list(range(120))


def test_damaged_frames_are_in_no_copy(tmp_path: Path) -> None:
    """They and the frames that depend on them are not captured. The copy continues where the capture does."""
    port = free_port()
    settings = make_settings(tmp_path, source=f"udp://127.0.0.1:{port}", record="copy", frames=100, open_timeout_s=20)
    with serving("udp", port, time.monotonic_ns(), "lose"):
        files = ended(opened(settings))
    assert any("arrived damaged" in problem for problem in files.summary["problems"])
    assert check_copy(files, tmp_path / "again") == list(range(100))


class Segments:
    """Camera that plays several files and breaks off after each."""

    def __init__(self, *paths: Path) -> None:
        self._paths = iter(paths)

    def open(self) -> Source:
        path = next(self._paths, None)
        if path is None:
            raise SourceError("no such device")
        return LiveFile(path)


class LiveFile(VideoFile):
    """A file that is yielded as a live source."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, keep_packets=True)
        self.info = replace(self.info, live=True)

    def frames(self) -> Iterator[CapturedFrame]:
        for captured in super().frames():
            time.sleep(0.005)
            yield captured
        raise SourceError("the cable is out")

    def problems(self) -> list[str]:
        return []


@pytest.mark.parametrize("other", [{"codec": "mjpeg", "pix_fmt": "yuvj420p"}, {"codec": "mpeg4"}])
def test_frames_of_another_format_are_counted_and_not_copied(
    tmp_path: Path, footage: Footage, other: dict[str, str]
) -> None:
    """Frames of another codec are not written to the file; later frames of the first codec are."""
    h264 = {"codec": "libx264", "options": NO_B_FRAMES}
    clips = [
        footage.write(tmp_path / f"{name}.mkv", 20, **how) for name, how in (("a", h264), ("b", other), ("c", h264))
    ]
    settings = make_settings(tmp_path, record="copy", reconnect_for_s=1.0, max_lag=60)
    pipeline = Pipeline(settings, Segments(*clips).open)
    pipeline.start()
    assert pipeline.wait(LONG_S)
    with pytest.raises(SourceError, match="giving up"):
        pipeline.join()
    files = check_complete(pipeline.folder)
    first_ones = files.timing.index[files.timing["segment"] != 1].tolist()
    assert check_copy(files, tmp_path / "again") == first_ones
    why = "changed" if other["codec"] == "mjpeg" else "no_key_frame"
    assert set(read_table(files.folder / "a.mkv")["dropped"].dropna()) == {why}
    assert any("20 frames are not in the recording" in problem for problem in files.summary["problems"])


class SlowFile(PacketFile):
    """A packet file on a disk that pauses from time to time."""

    def write(self, encoded: EncodedFrames, pts_ns: int) -> None:
        time.sleep(0.25 if self.muxed % 20 == 5 else 0.0)
        super().write(encoded, pts_ns)


def test_a_slow_disk_drops_frames_up_to_a_key_frame_and_does_not_delay_the_tracking(
    tmp_path: Path, make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_cropzoom.sinks.recording.PacketFile", SlowFile)
    monkeypatch.setattr(packet_file, "_MAX_FRAMES", 4)
    played = make_video("clip.mp4", frames=200, fps=100, codec="libx264", options=NO_B_FRAMES)
    settings = make_settings(tmp_path, source=played, record="copy", max_lag=100)
    files = check_complete(run_to_end(settings).folder)
    assert files.summary["counts"]["processed"] == 200
    frames = check_copy(files, tmp_path / "again")
    dropped = read_table(files.folder / "clip.mkv")["dropped"]
    assert set(dropped.dropna()) == {"too_slow"}
    assert 40 < len(frames) < 195
    back = [frame for frame, before in zip(frames[1:], frames, strict=False) if frame != before + 1]
    assert back
    assert all(frame % 10 == 0 for frame in back), "it went on with a frame that is made from missing ones"
    assert any("the recorder was too slow" in problem for problem in files.summary["problems"])


def test_in_lockstep_a_slow_disk_is_waited_for(
    tmp_path: Path, make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_cropzoom.sinks.recording.PacketFile", SlowFile)
    monkeypatch.setattr(packet_file, "_MAX_FRAMES", 4)
    played = make_video("clip.mp4", frames=60, codec="libx264", options=NO_B_FRAMES)
    files = check_complete(run_to_end(make_settings(tmp_path, source=played, record="copy", pace="fast")).folder)
    assert check_copy(files, tmp_path / "again") == list(range(60))


def test_a_full_disk_ends_the_copy_and_not_the_run(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    played = make_video("clip.avi", frames=120, fps=100, codec="mjpeg", pix_fmt="yuvj420p")
    flags = ["--out", tmp_path / "out", *model_flags(tiny_models(tmp_path / "models")), "--max-lag", 100]
    done = finish(start_process(60_000, "run", played, *flags, "--record", "copy", code=FULL_DISK))
    assert done.returncode == 3, done.stderr
    assert "120 processed, 0 skipped" in done.stdout
    assert done.stderr.count("File too large; the recording ends here, the run continues") == 1
    files = check_complete(the_session(tmp_path / "out"))
    frames = check_copy(files, tmp_path / "again")
    assert 0 < len(frames) < 120
    assert set(read_table(files.folder / "clip.mkv")["dropped"].dropna()) == {"not_written"}


def test_kill_9_leaves_a_copy_that_replays(tmp_path: Path) -> None:
    epoch_ns, port, out = time.monotonic_ns(), free_port(), tmp_path / "out"
    flags = ["--out", out, *model_flags(tiny_models(tmp_path / "models")), "--record", "copy", "--open-timeout-s", 20]
    with serving("udp", port, epoch_ns):
        process = start_process("run", f"udp://127.0.0.1:{port}", *flags)
        try:
            wait_for(recorded_rows(out, 90), "rows of the recording")
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    live = Files(the_session(out))
    rows = min(len(live.rows("")), len(live.rows("_bbox"))) - 4  # the last row of each may be cut off
    video = live.folder / f"{live.name}.mkv"
    images, _ = read_video(video)
    table = read_table(video)
    recorded = table["recorded"].dropna().astype(int)
    assert len(images) >= recorded.max() + 1
    assert len(recorded) == len(table) >= 90
    assert rows > len(recorded) - FPS, "more than the last second is missing"
    again = replay(tmp_path / "again", live, frames=rows - 1)
    same_poses(again, live, list(range(len(again.pose))))


def test_a_run_that_is_stopped_does_not_wait_for_the_disk(
    tmp_path: Path, make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    class Stuck(PacketFile):
        def write(self, encoded: EncodedFrames, pts_ns: int) -> None:
            if self.muxed == 10:
                go_on.wait(LONG_S)
            super().write(encoded, pts_ns)

    monkeypatch.setattr("realtime_cropzoom.sinks.recording.PacketFile", Stuck)
    monkeypatch.setattr(base_recorder, "_GRACE_S", 0.0)
    played = make_video("clip.mp4", frames=200, fps=100, codec="libx264", options=NO_B_FRAMES)
    pipeline = Pipeline(make_settings(tmp_path, source=played, record="copy"))
    pipeline.start()
    wait_for(lambda: pipeline.progress().counts.captured > 50, "frames")
    pipeline.stop()
    go_on.set()
    pipeline.join()
    files = check_complete(pipeline.folder)
    dropped = read_table(files.folder / "clip.mkv")["dropped"]
    assert dropped.iloc[-1] == "run_ended"
    assert len(dropped) == len(files.timing)


def test_memory_stays_while_packets_are_copied(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    played = make_video("clip.avi", frames=2, codec="mjpeg", pix_fmt="yuvj420p")
    with contextlib.closing(VideoFile(played, keep_packets=True)) as video:
        encoded = next(video.frames()).encoded
        frame = encoded() if encoded is not None else None
    assert frame is not None
    large = EncodedFrames(frame.coding, (EncodedFrame(frame.coding.key_frame + bytes(50_000), is_key=True),))
    file, rss = PacketFile(tmp_path / "copy.mkv", frame.coding), []
    for index in range(1000):
        file.write(large, index * 10**7)
        rss.append(psutil.Process().memory_info().rss if index % 250 == 249 else 0)
    file.close()
    assert (file.error, file.on_disk) == (None, 1000)
    assert max(rss) - rss[249] < 250 * large.nbytes, "a third of what was written since"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("synthetic:arena,size=160x96", "it provides pixels, not a compressed stream"),
        ("lavfi:testsrc2=size=160x96:rate=30", "it provides pixels, not a compressed stream"),
        (("b.mp4", {"codec": "libx264"}), "it has B-frames, whose decoding order differs from their display order"),
        (("raw.avi", {"codec": "rawvideo"}), r"its frames are uncompressed \(yuv420p\)"),
        (("old.mp4", {}), "its codec is mpeg4, and only h264, hevc, mjpeg can be copied"),
    ],
)
def test_a_source_without_packets_is_refused_before_the_start(
    tmp_path: Path, make_video: Callable[..., Path], source: str | tuple[str, dict[str, object]], says: str
) -> None:
    played = source if isinstance(source, str) else make_video(source[0], frames=30, **source[1])
    with pytest.raises(ConfigError, match=f"{says}; use --record h264, or ffv1") as caught:
        Pipeline(make_settings(tmp_path, source=played, record="copy")).start()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sessions").exists()
    assert not cropzoom_threads()


def test_a_stream_without_true_key_frames_is_refused(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    """Some encoders refresh the picture stripe by stripe, so that only the first frame is a key frame."""
    whole = make_video("all.ts", 60, codec="libx264", options={"bf": "0", "intra-refresh": "1", "g": "10"})
    joined = tmp_path / "joined.ts"
    joined.write_bytes(whole.read_bytes()[20 * 188 :])
    with pytest.raises(ConfigError, match="decoding cannot begin at its key frames"):
        Pipeline(make_settings(tmp_path, source=joined, record="copy")).start()


def test_a_registered_source_without_packets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="film cannot be recorded without encoding"):
        Pipeline(make_settings(tmp_path, record="copy"), Film).start()


def test_the_command_line_refuses_it_in_one_line(tmp_path: Path) -> None:
    done = cropzoom("run", "synthetic:arena", "--record", "copy", "--out", tmp_path / "out", "--publish", "none")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("cropzoom: arena cannot be recorded without encoding (--record copy)")
    assert not (tmp_path / "out").exists()


def queued(index: int, *, key: bool = False, size: int = 10) -> QueuedFrame:
    coding = CodecParameters("h264", 160, 96, b"")
    return QueuedFrame(FrameMeta(index, index, None, index), EncodedFrames(coding, (EncodedFrame(bytes(size), key),)))


def drain(queue: DropToKeyFrameQueue) -> list[int]:
    frames = []
    while (frame := queue.take(0)) is not None:
        frames.append(frame.meta.index)
    return frames


def test_a_full_queue_drops_frames_up_to_a_key_frame() -> None:
    queue = DropToKeyFrameQueue(35, wait_when_full=False)
    for index in range(6):
        queue.put(queued(index, key=index == 0))
    assert drain(queue) == [0, 1, 2]
    queue.put(queued(6))
    assert drain(queue) == [], "made from frames that are missing"
    queue.put(queued(7, key=True))
    queue.put(queued(8))
    assert drain(queue) == [7, 8]


def test_a_key_frame_that_does_not_fit_is_dropped() -> None:
    queue = DropToKeyFrameQueue(35, wait_when_full=False)
    for index in range(4):
        queue.put(queued(index, key=index == 3))
    queue.take(0)
    queue.put(queued(4))
    assert drain(queue) == [1, 2]


def test_an_empty_queue_accepts_a_frame_of_any_size() -> None:
    queue = DropToKeyFrameQueue(35, wait_when_full=False)
    queue.put(queued(0, key=True, size=100))
    queue.put(queued(1))
    assert drain(queue) == [0]


def test_a_closed_queue_does_not_block() -> None:
    queue = DropToKeyFrameQueue(15, wait_when_full=True)
    queue.put(queued(0, key=True))
    putting = threading.Thread(target=queue.put, args=(queued(1),))
    putting.start()
    queue.close()
    putting.join(LONG_S)
    assert not putting.is_alive()


def test_the_table_of_a_copy_has_the_usual_columns(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    """``recorded`` counts all frames in the video, so that other programs find the captured ones with it."""
    played = make_video("clip.ts", frames=30, fps=50, codec="libx264", options=NO_B_FRAMES)
    settings = make_settings(tmp_path, source=played, start_s=0.3, record="copy")
    files = check_complete(run_to_end(settings).folder)
    table = pd.read_csv(files.folder / "clip_recording.csv")
    assert table["recorded"].tolist() == list(range(5, 20)), "more than from the last key frame on"
    images, _ = read_video(files.folder / "clip.mkv")
    assert [Footage().index_of(images[number]) for number in table["recorded"]] == list(range(15, 30))

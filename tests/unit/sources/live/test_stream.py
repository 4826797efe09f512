"""Streams from real servers on this machine: order and age of frames, losses, and servers that stop and restart."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from threading import Event, Timer

import av
import numpy as np
import pytest
from support.films import Footage
from support.pipelines import (
    LONG_S,
    check_complete,
    cropzoom,
    finish,
    free_port,
    make_settings,
    run_to_end,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)
from support.received import Heard
from support.stream_senders import FPS, RTSP_PYTHON, WRAP, behind, serving

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.errors import ConfigError, SourceError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceOptions
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.live.reconnect import ReconnectingSource, ReconnectPolicy
from realtime_cropzoom.sources.live.stream import parse_address

OLD = FPS
"""Age (frames) from which a frame is old: one second, also on a busy machine."""
PATIENT = SourceOptions(open_timeout_s=20, read_timeout_s=10)


def index_of(captured: CapturedFrame, footage: Footage) -> int:
    image = np.zeros((captured.height, captured.width, 3), np.uint8)
    captured.copy_to(image)
    return footage.index_of(image)


@contextlib.contextmanager
def opened(url: str, options: SourceOptions = PATIENT) -> Iterator[Source]:
    """Open a stream whose server may not listen yet."""
    source = wait_for(lambda: _try(url, options), f"{url} to answer")
    try:
        yield source
    finally:
        source.close()


def _try(url: str, options: SourceOptions) -> Source | None:
    with contextlib.suppress(SourceError):
        return open_source(url, options)
    return None


def address(kind: str, port: int) -> str:
    return f"http://127.0.0.1:{port}/cam" if kind == "http" else f"udp://127.0.0.1:{port}"


def await_server(kind: str, port: int) -> None:
    """Wait until the source can be opened. UDP needs no wait, because opening waits for the first datagram."""

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    if kind == "http":
        wait_for(answers, f"port {port} to answer")


@pytest.mark.parametrize("kind", ["http", "udp"])
def test_frames_arrive_in_order_and_recent(kind: str, footage: Footage) -> None:
    epoch_ns, port = time.monotonic_ns(), free_port()
    with serving(kind, port, epoch_ns), opened(address(kind, port)) as source:
        assert source.info.live
        assert (source.info.width, source.info.height) == footage.size
        assert source.info.frame_count is None
        frames = []
        for captured in islice(source.frames(), 40):
            index = index_of(captured, footage)
            assert behind(epoch_ns, index) < OLD
            frames.append((index, captured.pts_ns))
        assert source.problems() == []
    for (index, pts_ns), (later, later_ns) in pairwise(frames):
        assert 0 < (later - index) % WRAP < WRAP / 2
        assert pts_ns < later_ns
    assert frames[0][1] == 0


def test_mpeg_ts_has_a_clock_and_mjpeg_has_none(footage: Footage) -> None:
    """FFmpeg assumes 25 fps for MJPEG; this must not become the frame rate of the source."""
    epoch_ns, ports = time.monotonic_ns(), (free_port(), free_port())
    with serving("udp", ports[0], epoch_ns), opened(address("udp", ports[0])) as source:
        assert source.info.fps == FPS
        for captured in islice(source.frames(), 10):
            assert captured.device_ns is not None
    with serving("http", ports[1], epoch_ns), opened(address("http", ports[1])) as source:
        assert source.info.fps is None
        assert [captured.device_ns for captured in islice(source.frames(), 5)] == [None] * 5


@pytest.mark.parametrize("kind", ["http", "udp"])
def test_frames_that_arrived_while_nothing_was_read_are_stale(kind: str, footage: Footage) -> None:
    epoch_ns, port = time.monotonic_ns(), free_port()
    with serving(kind, port, epoch_ns), opened(address(kind, port)) as source:
        time.sleep(1.2 * OLD / FPS)
        for captured in islice(source.frames(), 3):
            assert behind(epoch_ns, index_of(captured, footage)) < OLD


@pytest.mark.parametrize("sent", [["lose"], ["lose", "refresh"]], ids=["key frames", "no key frames"])
def test_damaged_frames_are_dropped_and_counted(tmp_path: Path, sent: list[str]) -> None:
    """One datagram in 211 is lost. Frames are noisy, so that a concealed one is recognised."""
    port = free_port()
    settings = make_settings(tmp_path, source=address("udp", port), record="ffv1", frames=100, open_timeout_s=20)
    with serving("udp", port, time.monotonic_ns(), *sent):
        pipeline = run_to_end(settings)
    files = check_complete(pipeline.folder)
    with av.open(str(files.folder / f"{files.name}.mkv")) as recording:
        floors = [frame.to_ndarray(format="rgb24")[40:, :20] for frame in recording.decode(video=0)]
    assert len(floors) == files.summary["counts"]["captured"] == 100
    assert all(5 < floor.astype(float).std() < 12 for floor in floors), "a patch of another frame, or of none"
    assert files.summary["lost"] > 0
    (problem,) = files.summary["problems"]
    assert "frames arrived damaged or not at all" in problem


@pytest.fixture(scope="module")
def rtsp_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the video that the RTSP server plays: one minute, so that it does not end."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    with contextlib.suppress(OSError):
        if subprocess.run([RTSP_PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0:
            path = tmp_path_factory.mktemp("rtsp") / "cam.mp4"
            return Footage().write(path, 15 * FPS, fps=FPS, codec="libx264", options={"g": "15", "bf": "0"})
    pytest.skip("no RTSP server here; apt-get install gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins (see .ci/run)")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp(rtsp_video: Path, transport: str, footage: Footage) -> None:
    port = free_port()
    with (
        serving(port, rtsp_video, python=RTSP_PYTHON, script="rtsp_server"),
        opened(f"rtsp://127.0.0.1:{port}/cam#rtsp_transport={transport}") as source,
    ):
        frames = [(index_of(c, footage), c.pts_ns) for c in islice(source.frames(), 30)]
        assert all(c is not None for c in frames)
        assert source.problems() == []
    assert source.info.fps == FPS
    assert [index for index, _ in frames] == list(range(frames[0][0], frames[0][0] + 30))
    for (_, pts_ns), (_, later_ns) in pairwise(frames):
        assert later_ns - pts_ns == pytest.approx(1e9 / FPS, abs=2e6)


def test_the_first_key_frame_of_a_server_is_used(rtsp_video: Path, tmp_path: Path, footage: Footage) -> None:
    """It arrives while FFmpeg probes the stream. Here the next one comes ten seconds later."""
    options = {"g": str(10 * FPS), "bf": "2", "sc_threshold": "0"}
    film = Footage().write(tmp_path / rtsp_video.name, 15 * FPS, fps=FPS, codec="libx264", options=options)
    port = free_port()
    with (
        serving(port, film, python=RTSP_PYTHON, script="rtsp_server"),
        opened(f"rtsp://127.0.0.1:{port}/cam", SourceOptions(open_timeout_s=5)) as source,
    ):
        indices = [index_of(captured, footage) for captured in islice(source.frames(), 20)]
    assert indices == list(range(indices[0], indices[0] + 20))
    assert indices[-1] < 5 * FPS


def test_an_rtsp_server_is_killed_and_restarted(rtsp_video: Path, footage: Footage) -> None:
    port, stop = free_port(), Event()
    url = f"rtsp://127.0.0.1:{port}/cam"
    with serving(port, rtsp_video, python=RTSP_PYTHON, script="rtsp_server"):
        first = wait_for(lambda: _try(url, PATIENT), "the server")
        source = ReconnectingSource(first, lambda: open_source(url, PATIENT), ReconnectPolicy(), stop)
        frames = source.frames()
        assert {c.segment for c in islice(frames, 10)} == {0}
    with serving(port, rtsp_video, python=RTSP_PYTHON, script="rtsp_server"):
        captured = next(c for c in frames if c.segment)
    assert captured.segment == 1
    stop.set()
    source.close()


@contextlib.contextmanager
def tracked(url: str, tmp_path: Path, *more: object) -> Iterator[tuple[subprocess.Popen[str], Heard]]:
    """Start ``cropzoom run`` with a stream, and a subscriber. The process is killed if a test fails."""
    models, endpoint = tiny_models(tmp_path / "models"), f"tcp://127.0.0.1:{free_port()}"
    process = start_process(
        "run", url, "--out", tmp_path / "out", "--detector", models["detector"], "--pose", models["pose"],
        "--crop-size", 64, "--publish", endpoint, "--publish-latest", "none", *more,
    )  # fmt: skip
    try:
        with Subscriber(endpoint) as subscriber:
            yield process, Heard(subscriber)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("kind", ["http", "udp"])
def test_a_server_is_killed_and_restarted_during_a_run(kind: str, tmp_path: Path) -> None:
    epoch_ns, port = time.monotonic_ns(), free_port()
    with serving(kind, port, epoch_ns) as server:
        await_server(kind, port)
        run = tracked(address(kind, port), tmp_path, "--frames", 100, "--read-timeout-s", 1, "--open-timeout-s", 10)
        with run as (process, heard):
            heard.until_stream("live")
            heard.until_pose(segment=0, count=20)
            server.kill()
            heard.until_stream("stalled", "reconnecting")
            server.wait()
            if heard.streams()[-1] == "stalled":
                heard.until_stream("reconnecting")
            with serving(kind, port, epoch_ns):
                heard.until_pose(segment=1, count=10)
                heard.until_end()
            done = finish(process)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # A connection that is closed is a break at once; datagrams only stay away.
    assert [s for s in heard.streams()[:4] if s not in ("stalled", "ended")] == ["live", "reconnecting", "live"]
    files = check_complete(the_session(tmp_path / "out"))
    assert files.summary["counts"]["captured"] == 100
    assert sorted(set(files.timing["segment"])) == [0, 1]
    assert files.timing["pts_ns"].is_monotonic_increasing


def test_a_frozen_server_is_a_stall_and_then_a_break(tmp_path: Path) -> None:
    epoch_ns, port = time.monotonic_ns(), free_port()
    with serving("http", port, epoch_ns) as server:
        await_server("http", port)
        run = tracked(address("http", port), tmp_path, "--frames", 160, "--read-timeout-s", 1.2, "--open-timeout-s", 2)
        with run as (process, heard):
            heard.until_stream("live")
            heard.until_pose(segment=0, count=20)
            server.send_signal(signal.SIGSTOP)
            heard.until_stream("stalled")
            heard.until_stream("reconnecting")
            server.send_signal(signal.SIGCONT)
            heard.until_pose(segment=1)
            heard.until_end()
            done = finish(process)
    assert done.returncode == 0, done.stderr
    assert heard.streams()[:4] == ["live", "stalled", "reconnecting", "live"]
    check_complete(the_session(tmp_path / "out"))
    ages = [m.time.published_ns - m.time.captured_ns for m in heard.poses]
    assert max(ages) < 1e9, "older than max_age_ms"


@pytest.mark.parametrize("changed", ["refuse", "adapt"])
def test_a_server_that_comes_back_with_larger_frames(tmp_path: Path, changed: str) -> None:
    epoch_ns, port = time.monotonic_ns(), free_port()
    settings = make_settings(tmp_path, source=address("http", port), changed=changed)
    with serving("http", port, epoch_ns) as server:
        await_server("http", port)
        pipeline = Pipeline(settings)
        pipeline.start()
        wait_for(lambda: pipeline.progress().counts.captured > 10, "frames")
        server.kill()
        server.wait()
    with serving("http", port, epoch_ns, "wide"):
        if changed == "adapt":
            wait_for(lambda: pipeline.progress().segment == 1, "frames of the other size")
            pipeline.stop("adapted")
            assert pipeline.join()["reason"] == "adapted"
        else:
            with pytest.raises(SourceError, match="is 320x192, but the stream began as 160x96; the run ends here"):
                pipeline.join()
    files = check_complete(pipeline.folder)
    assert sorted(set(files.timing["segment"])) == ([0, 1] if changed == "adapt" else [0])


@pytest.mark.parametrize(("kind", "frozen_s", "read_timeout_s"), [("udp", 1.3, 2.0), ("http", 2.0, 1.0)])
def test_no_frame_from_before_a_freeze_is_accepted_after_it(
    kind: str, frozen_s: float, read_timeout_s: float, footage: Footage
) -> None:
    """Within the read timeout the connection stays; after it, another one is opened."""
    epoch_ns, port, stop = time.monotonic_ns(), free_port(), Event()
    options = SourceOptions(open_timeout_s=5, read_timeout_s=read_timeout_s)
    with serving(kind, port, epoch_ns) as server:
        url = address(kind, port)
        source = ReconnectingSource(
            wait_for(lambda: _try(url, options), url), lambda: open_source(url, options), ReconnectPolicy(), stop
        )
        frames = source.frames()
        assert len(list(islice(frames, 20))) == 20
        server.send_signal(signal.SIGSTOP)
        waker = Timer(frozen_s, server.send_signal, [signal.SIGCONT])
        waker.start()
        for captured in islice(frames, 30):
            assert behind(epoch_ns, index_of(captured, footage)) < OLD
        waker.join()
        stop.set()
        source.close()


def test_a_stream_that_does_not_come_back_ends_the_run(tmp_path: Path) -> None:
    port = free_port()
    with serving("http", port, time.monotonic_ns()) as server:
        await_server("http", port)
        with tracked(address("http", port), tmp_path, "--quiet", "--reconnect-for-s", 1.5) as (process, heard):
            heard.until_pose(segment=0, count=5)
            server.kill()
            done = finish(process)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
    assert line.startswith("cropzoom: http_127.0.0.1")
    assert "giving up" in line
    check_complete(the_session(tmp_path / "out"))


def test_ctrl_c_while_a_stream_is_frozen(tmp_path: Path) -> None:
    """The reading thread waits for the network and cannot be interrupted. The run ends without it."""
    port = free_port()
    with serving("http", port, time.monotonic_ns()) as server:
        await_server("http", port)
        with tracked(address("http", port), tmp_path, "--read-timeout-s", 3 * LONG_S) as (process, heard):
            heard.until_pose(segment=0, count=5)
            server.send_signal(signal.SIGSTOP)
            heard.until_stream("stalled")
            process.send_signal(signal.SIGINT)
            heard.until_end()  # long before the read would have come to its time limit, and this to its own
            done = finish(process, LONG_S / 2)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    check_complete(the_session(tmp_path / "out"))


def test_lockstep_is_refused_for_a_stream(tmp_path: Path) -> None:
    models = tiny_models(tmp_path / "models")
    done = cropzoom(
        "run", "lavfi:testsrc2=size=320x240:rate=30", "--pace", "fast", "--out", tmp_path / "out",
        "--detector", models["detector"], "--pose", models["pose"], "--publish", "none",
    )  # fmt: skip
    assert done.returncode == 2
    assert "is a live source" in done.stderr


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("rtsp://me:secret@127.0.0.1:{free}/cam", "no program answers at that port"),
        ("http://127.0.0.1:{free}/cam", "no program answers at that port"),
        ("udp://127.0.0.1:{free}", "no data came in time"),
        ("http://127.0.0.1:{http}/elsewhere", "the server knows no such path"),
    ],
)
def test_the_error_of_a_missing_stream_says_what_to_check(spec: str, says: str) -> None:
    ports = {"free": free_port(), "http": free_port()}
    with serving("http", ports["http"], time.monotonic_ns()):
        with opened(address("http", ports["http"])):
            pass
        with pytest.raises(SourceError, match=says) as caught:
            open_source(spec.format(**ports), SourceOptions(open_timeout_s=0.5))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("rtsp:///cam", "names no host"),
        ("rtsp://host:port/cam", "Port could not be cast"),
        ("rtsp://host/cam#rtsp_transport", "expected SCHEME://HOST"),
    ],
)
def test_a_malformed_address_is_refused(spec: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_address(spec, SourceOptions())


def test_options_after_the_hash_override_ours() -> None:
    made = parse_address("rtsp://me:pw@host:8554/a/b#rtsp_transport=udp&max_delay=500000", SourceOptions())
    assert made.url == "rtsp://me:pw@host:8554/a/b"
    assert made.options["rtsp_transport"] == "udp"
    assert made.options["flags"] == "low_delay"
    assert made.shown == "rtsp://host:8554/a/b"
    assert made.name == "rtsp_host_8554_a_b"


def test_options_that_only_cameras_have_are_reported() -> None:
    port = free_port()
    asked = SourceOptions(size=(640, 480), gain=3.0, open_timeout_s=20)
    with serving("udp", port, time.monotonic_ns()), opened(address("udp", port), asked) as source:
        assert any("camera_size, gain cannot be set" in note for note in source.info.notes)

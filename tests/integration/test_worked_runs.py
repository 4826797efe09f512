"""Runs as a user does them: cameras and streams that go and come back, recorded, heard, stopped, and looked at."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from support.fake_gige import ADDRESS, FakeCamera, only_one, why_not
from support.pipelines import (
    Files,
    check_complete,
    check_counts,
    finish,
    free_port,
    run_to_end,
    start_process,
    the_session,
    wait_for,
)
from support.received import Heard
from support.recordings import check_recording, read_table, read_video, same_poses
from support.stream_senders import RTSP_PYTHON, serving

from realtime_cropzoom import load_session
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.config.resolve import load_settings

POSES = 30
"""So many are heard before something is done to the source, and after."""
MATROSKA_STEP_S = 1e-3
KEYPOINTS = 4
SOON_S = 30.0
"""What must end within 2 s on an idle machine has ended by then on a busy one."""
_WHY_NO_GIGE = why_not()
needs_gige = pytest.mark.skipif(_WHY_NO_GIGE is not None, reason=str(_WHY_NO_GIGE))
needs_pypylon = pytest.mark.skipif(
    importlib.util.find_spec("pypylon") is None,
    reason="pypylon is not installed: pip install 'realtime-cropzoom[basler]'",
)
CAMERA = ["--camera-size", "320x240", "--camera-fps", 60]


@dataclass
class Worked:
    """A run in a process of its own; in another one ``cropzoom listen``, and here a subscriber as well."""

    process: subprocess.Popen[str]
    listener: subprocess.Popen[str]
    heard: Heard
    out: Path

    def stop(self) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        """Press Ctrl-C, and return what the run and what ``cropzoom listen`` have said."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        self.process.send_signal(signal.SIGINT)
        self.heard.until_end()
        done = finish(self.process)
        assert not any(process.is_running() for process in family)
        return done, json.loads(finish(self.listener).stdout)


@contextlib.contextmanager
def worked(tmp_path: Path, *arguments: object, endpoint: str, code: str | None = None) -> Iterator[Worked]:
    """``cropzoom run`` with the shipped models, recorded without loss; nothing of it is left, whatever a test does."""
    out = tmp_path / "sessions"
    run = start_process("run", *arguments, "--record", "ffv1", "--out", out, code=code)
    with run as process, start_process("listen", endpoint, "--json") as listener:
        try:
            with Subscriber(endpoint) as subscriber:
                yield Worked(process, listener, Heard(subscriber), out)
        finally:
            process.kill()
            listener.kill()


def a_break(heard: Heard, breaks: Callable[[], object], comes_back: Callable[[], object]) -> None:
    """Let the source go and come back, with poses before and after it."""
    heard.until_pose(segment=0, count=POSES)
    breaks()
    heard.until_stream("reconnecting")
    comes_back()
    heard.until_pose(segment=1, count=POSES)


def check_messages(heard: Heard, files: Files, segments: list[int]) -> None:
    """Messages, files and summary agree on every frame, and on when the source was gone."""
    counts = files.summary["counts"]
    for message in heard.messages:
        if hasattr(message, "counts"):
            check_counts({name: getattr(message.counts, name) for name in message.counts.__struct_fields__})
    last = heard.messages[-1].counts  # type: ignore[union-attr]
    assert {name: getattr(last, name) for name in last.__struct_fields__} == counts
    assert [pose.seq for pose in heard.poses] == list(range(heard.poses[0].seq, heard.poses[-1].seq + 1))
    segment_of = files.timing["segment"]
    assert all(pose.segment == segment_of[pose.frame] for pose in heard.poses)
    assert sorted(set(segment_of)) == segments
    assert segment_of.is_monotonic_increasing
    assert files.timing["pts_ns"].is_monotonic_increasing


def check_video(files: Files) -> list[int]:
    """The recording has the frames its table says, at the times they were captured."""
    video = files.folder / f"{files.name}.mkv"
    recorded = check_recording(files, video)
    assert len(recorded) > POSES
    table = read_table(video)
    assert table["segment"].tolist() == files.timing["segment"].tolist()
    pts_s = files.timing["pts_ns"][recorded].to_numpy() / 1e9
    _, seconds = read_video(video)
    np.testing.assert_allclose(seconds, pts_s - pts_s[0], rtol=0, atol=MATROSKA_STEP_S)
    return recorded


def check_tools(files: Files) -> None:
    """What takes a session takes this one."""
    table = load_session(files.folder)
    assert len(table) == KEYPOINTS * files.summary["counts"]["captured"]
    for command in (
        ["draw", files.folder],
        ["draw", files.folder, "--traces"],
        ["convert", files.folder, "--to", "csv"],
    ):
        assert main(list(map(str, command))) == 0
    assert {"frames.png", "traces.png", f"{files.name}_table.csv"} <= {path.name for path in files.folder.iterdir()}


def check_replay(files: Files, recorded: list[int], tmp_path: Path) -> None:
    """The recording, with the boxes of the run, gives the poses of the run."""
    settings = load_settings({
        "source": files.folder / f"{files.name}.mkv", "schedule": files.bbox_path, "pace": "fast",
        "publish": "none", "out": tmp_path / f"again_{files.name}",
    })  # fmt: skip
    same_poses(check_complete(run_to_end(settings).folder), files, recorded)


def check_all(folder: Path, heard: Heard, tmp_path: Path, segments: list[int]) -> Files:
    """Everything a run has left."""
    files = check_complete(folder)
    assert files.summary["reason"] == "stopped by SIGINT"
    assert files.summary["counts"]["processed"] >= len(segments) * POSES
    check_messages(heard, files, segments)
    recorded = check_video(files)
    check_tools(files)
    check_replay(files, recorded, tmp_path)
    return files


def check_said(done: subprocess.CompletedProcess[str], listened: dict[str, Any]) -> None:
    """Ctrl-C is what it ended by, nothing was left behind, and nobody missed a message."""
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "left alone" not in done.stderr
    assert listened["missed"] == 0
    assert listened["received"] >= POSES
    assert listened["end"] == "stopped by SIGINT"


def went_and_came(heard: Heard) -> bool:
    """Whether the heartbeat said live, then reconnecting, then live; a stall may come before the break."""
    said = [stream for stream in heard.streams() if stream not in ("stalled", "ended")]
    return said[:3] == ["live", "reconnecting", "live"]


@pytest.fixture
def endpoint() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def mouse(shared_data: Path) -> Path:
    """A real recording, and a server that can show it as a camera would."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    with contextlib.suppress(OSError):
        if subprocess.run([RTSP_PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0:
            return shared_data / "openfield" / "videos" / "m3v1mp4.mp4"
    pytest.skip("no RTSP server here; apt-get install gir1.2-gst-rtsp-server-1.0 and GStreamer's plugins (see .ci/run)")


class RtspServer:
    """An RTSP server that can be killed and started again."""

    def __init__(self, video: Path) -> None:
        self._video, self._port = video, free_port()
        self.url = f"rtsp://127.0.0.1:{self._port}/cam"
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        self._running.enter_context(serving(self._port, self._video, python=RTSP_PYTHON, script="rtsp_server"))
        wait_for(self._answers, "the RTSP server")

    def kill(self) -> None:
        self._running.close()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False


@pytest.fixture
def rtsp(mouse: Path) -> Iterator[RtspServer]:
    server = RtspServer(mouse)
    server.start()
    yield server
    server.kill()


def test_a_stream_of_a_real_mouse(tmp_path: Path, rtsp: RtspServer, endpoint: str) -> None:
    with worked(tmp_path, rtsp.url, "--publish", endpoint, "--publish-latest", "none", endpoint=endpoint) as run:
        a_break(run.heard, rtsp.kill, rtsp.start)
        done, listened = run.stop()
    check_said(done, listened)
    assert went_and_came(run.heard)
    check_all(the_session(run.out), run.heard, tmp_path, [0, 1])
    assert {pose.state for pose in run.heard.poses} >= {"tracking"}


@pytest.fixture
def gige() -> Iterator[FakeCamera]:
    with only_one() as camera:
        camera.start(lost_per_thousand=1)
        yield camera


@needs_gige
def test_a_gige_camera(tmp_path: Path, gige: FakeCamera, endpoint: str) -> None:
    source = [f"genicam:{ADDRESS}", *CAMERA, "--read-timeout-s", 0.5, "--publish", endpoint, "--publish-latest", "none"]
    with worked(tmp_path, *source, endpoint=endpoint) as run:
        a_break(run.heard, gige.kill, lambda: gige.start(lost_per_thousand=20))
        done, listened = run.stop()
    check_said(done, listened)
    assert went_and_came(run.heard)
    files = check_all(the_session(run.out), run.heard, tmp_path, [0, 1])
    assert files.timing["device_ns"].gt(0).all()
    assert files.summary["lost"] > 0
    assert "frames arrived incomplete and were left out" in done.stderr


@needs_gige
@pytest.mark.parametrize("when", ["opening", "reopening"])
def test_ctrl_c_while_a_gige_camera_does_not_answer(tmp_path: Path, gige: FakeCamera, endpoint: str, when: str) -> None:
    source = [
        f"genicam:{ADDRESS}",
        *CAMERA,
        "--read-timeout-s",
        0.5,
        "--open-timeout-s",
        60,
        "--publish",
        endpoint,
        "--publish-latest",
        "none",
    ]
    if when == "opening":
        gige.fall_silent()
    with worked(tmp_path, *source, endpoint=endpoint) as run:
        if when == "opening":
            wait_for(psutil.Process(run.process.pid).net_connections, "it to ask for the camera")
        else:
            run.heard.until_pose(segment=0)
            gige.fall_silent()
            run.heard.until_stream("reconnecting")
        run.process.send_signal(signal.SIGINT)
        done = finish(run.process, SOON_S)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    if when == "opening":
        assert done.stderr.splitlines()[-1] == "cropzoom: stopped"
        assert not list(run.out.glob("*"))
    else:
        check_complete(the_session(run.out))


FAILING = """
import os, signal, sys
os.environ["PYLON_CAMEMU"] = "1"
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.sources.machine_vision import basler

opened, open_basler = [], basler.open_basler

def remember(*arguments):
    opened.append(open_basler(*arguments))
    return opened[-1]

def fail(*_):
    opened[-1].nodes.set_integer("ForceFailedBufferCount", 1000)
    opened[-1].execute("ForceFailedBuffer")

basler.open_basler = remember
signal.signal(signal.SIGUSR1, fail)
sys.exit(main())
"""
"""An emulated camera cannot be unplugged; on a signal all its grabs fail, until it is given up and opened again."""


@needs_pypylon
def test_a_basler_camera(tmp_path: Path, endpoint: str) -> None:
    source = ["basler:", *CAMERA, "--read-timeout-s", 2, "--publish", endpoint, "--publish-latest", "none"]
    with worked(tmp_path, *source, endpoint=endpoint, code=FAILING) as run:
        run.heard.until_pose(segment=0, count=POSES)
        run.process.send_signal(signal.SIGUSR1)
        run.heard.until_stream("stalled")  # it comes back so fast that nobody may hear of the moment it was gone
        run.heard.until_pose(segment=1, count=POSES)
        done, listened = run.stop()
    check_said(done, listened)
    check_all(the_session(run.out), run.heard, tmp_path, [0, 1])
    assert "has sent no complete frame for 2 s" in done.stderr
    assert "The buffer was incompletely grabbed" in done.stderr


@needs_gige
def test_a_stream_and_a_gige_camera_at_once(tmp_path: Path, rtsp: RtspServer, gige: FakeCamera) -> None:
    """The stream goes and comes back; the camera goes on all the while."""
    top, side = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    config = tmp_path / "two.yaml"
    camera = {"source": f"genicam:{ADDRESS}", "camera_size": "320x240", "camera_fps": 30, "publish": side}
    cameras = {"top": {"source": rtsp.url, "publish": top}, "side": camera}
    config.write_text(yaml.safe_dump({"publish_latest": "none", "cameras": cameras}))
    with worked(tmp_path, "--config", config, endpoint=top) as run, Subscriber(side) as subscriber:
        of_side = Heard(subscriber)
        of_side.until_pose(segment=0)
        a_break(run.heard, rtsp.kill, rtsp.start)
        done, listened = run.stop()
        of_side.until_end()
    check_said(done, listened)
    assert went_and_came(run.heard)
    assert set(of_side.streams()) <= {"live", "ended"}
    session = the_session(run.out)
    captured_ns = Files(session / "top").timing.groupby("segment")["captured_ns"]
    gone_ns, back_ns = captured_ns.max()[0], captured_ns.min()[1]
    assert Files(session / "side").timing["captured_ns"].between(gone_ns, back_ns).sum() > 5
    check_all(session / "top", run.heard, tmp_path, [0, 1])
    check_all(session / "side", of_side, tmp_path, [0])
    summary = json.loads((session / "summary.json").read_text())
    assert (summary["exit"], summary["reason"]) == (130, "stopped by SIGINT")
    check_counts(summary["totals"])

"""Several cameras: their settings, and real processes that run, fail, are killed, and end together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from support.pipelines import (
    LONG_S,
    check_complete,
    check_counts,
    cropzoom,
    finish,
    free_port,
    start_process,
    tiny_models,
    wait_for,
)
from support.places import ROOT

from realtime_cropzoom import load_session
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.config.multi_camera import Cameras, load_cameras
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.messaging.message import EndMessage, PoseMessage

CONFIGS = ROOT / "configs"
SOON_S = 30.0
"""What must end within 3 s on an idle machine has ended by then on a busy one."""
SHORT = "synthetic:arena,size=160x120,fps=60,seconds=0.5"
ENDLESS = "synthetic:arena,size=160x120,fps=60,seconds=endless"


def write(folder: Path, content: dict[str, Any] | str) -> Path:
    path = folder / "two.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def load(folder: Path, content: dict[str, Any] | str, **flags: object) -> Cameras:
    cameras = load_cameras(flags, write(folder, content))
    assert cameras is not None
    return cameras


TWO = {"cameras": {"top": {"source": "a.mp4"}, "side": {"source": "b.mp4"}}}


def endpoints(cameras: Cameras) -> list[tuple[str, str]]:
    return [(s.publish, s.publish_latest) for s in cameras.settings.values()]


def test_the_settings_of_a_camera_go_before_the_common_ones(tmp_path: Path) -> None:
    cameras = load(
        tmp_path,
        {"crop_size": 100, "max_lag": 3, "cameras": {**TWO["cameras"], "low": {"source": "c.mp4", "crop_size": 200}}},
        frames=7,
    )
    assert list(cameras.settings) == ["top", "side", "low"]
    assert [s.camera for s in cameras.settings.values()] == ["top", "side", "low"]
    assert [s.crop_size for s in cameras.settings.values()] == [100, 100, 200]
    assert {(s.max_lag, s.frames) for s in cameras.settings.values()} == {(3, 7)}
    assert cameras.name == "two"
    assert not cameras.stop_together


def test_the_config_of_one_run_is_refused_for_several_cameras(tmp_path: Path) -> None:
    assert load_cameras({}, write(tmp_path, {"source": "a.mp4"})) is None


@pytest.mark.parametrize(
    ("common", "of_side", "flags", "expected"),
    [
        pytest.param({}, {}, {}, [("5660", "5661"), ("5662", "5663")], id="two ports on"),
        pytest.param(
            {"publish": "tcp://*:7000"}, {}, {"publish_latest": "none"}, [("*:7000", "none"), ("*:7002", "none")],
            id="from the common ones",
        ),
        pytest.param({}, {"publish": "tcp://*:9"}, {}, [("5660", "5661"), ("*:9", "5663")], id="but for its own"),
        pytest.param({}, {"publish": "tcp://*:9"}, {"publish": "none"}, [("none", "5661"), ("none", "5663")],
                     id="a flag is for all"),
        pytest.param({"publish": "tcp://127.0.0.1:*"}, {}, {}, [(":*", "5661"), (":*", "5663")], id="the system's"),
        pytest.param({"publish": "ipc:///tmp/p"}, {}, {}, [("/p", "5661"), ("/p-side", "5663")], id="not TCP"),
    ],
)  # fmt: skip
def test_each_camera_has_its_own_pair_of_endpoints(
    tmp_path: Path,
    common: dict[str, str],
    of_side: dict[str, str],
    flags: dict[str, str],
    expected: list[tuple[str, str]],
) -> None:
    content = {
        **common,
        "insecure": True,
        "cameras": {"top": {"source": "a.mp4"}, "side": {"source": "b.mp4", **of_side}},
    }
    for given, wanted in zip(endpoints(load(tmp_path, content, **flags)), expected, strict=True):
        assert [g.endswith(w) for g, w in zip(given, wanted, strict=True)] == [True, True], given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("auto", ["auto", "auto"]),
        ("none", ["none", "none"]),
        ("tcp://127.0.0.1:7000", ["tcp://127.0.0.1:7000", "tcp://127.0.0.1:7002"]),
        ("tcp://127.0.0.1:*", ["tcp://127.0.0.1:*", "tcp://127.0.0.1:*"]),
    ],
)
def test_each_camera_has_its_own_clock_echo(tmp_path: Path, given: str, expected: list[str]) -> None:
    cameras = load(tmp_path, {**TWO, "publish_echo": given})
    assert [settings.publish_echo for settings in cameras.settings.values()] == expected


def test_an_endpoint_in_the_environment_is_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPZOOM_PUBLISH", "tcp://127.0.0.1:7000")
    assert [one for one, _ in endpoints(load(tmp_path, TWO))] == ["tcp://127.0.0.1:7000", "tcp://127.0.0.1:7002"]


def test_all_settings_written_as_yaml_are_read_back_equal(tmp_path: Path) -> None:
    cameras = load(tmp_path, {**TWO, "crop_size": 96, "detector_max_fps": 12.5, "stop_together": True})
    assert load(tmp_path, cameras.to_yaml()) == cameras


def side(**settings: object) -> dict[str, Any]:
    return {"cameras": {"top": {"source": "a.mp4"}, "side": {"source": "b.mp4", **settings}}}


@pytest.mark.parametrize(
    ("content", "flags", "says"),
    [
        pytest.param("cameras:\n  top: {source: a}\n  top: {source: b}\n", {}, "line 3: top occurs twice", id="name"),
        pytest.param({"cameras": {"top": {"source": "a"}, "Top": {"source": "b"}}}, {}, "share a folder", id="case"),
        pytest.param(side(source="a.mp4"), {}, "top and side have the same source", id="one source twice"),
        pytest.param(side(publish="tcp://*:5660", insecure=True), {}, "top and side would both use", id="a port"),
        pytest.param(side(publish="tcp://127.0.0.1:5661"), {}, "top and side would both use", id="latest port"),
        pytest.param(side(publish="tcp://127.0.0.1:5663"), {}, "publish and publish_latest are both", id="its own"),
        pytest.param(
            side(publish_echo="tcp://127.0.0.1:5660"), {}, "top and side would both use tcp://", id="its echo"
        ),
        pytest.param(side(cropsize=3), {}, "camera side: cropsize: not a setting", id="misspelt in a camera"),
        pytest.param({**TWO, "cropsize": 3}, {}, r"two\.yaml: cropsize: not a setting", id="misspelt above"),
        pytest.param(side(crop_size=0), {}, "camera side: crop_size: got 0", id="a value that makes no sense"),
        pytest.param(side(out="x"), {}, "camera side: out .* above cameras", id="a folder of its own"),
        pytest.param(side(camera="x"), {}, "camera side: camera .* before its settings", id="two names"),
        pytest.param({"cameras": {"a/b": {"source": "a"}}}, {}, "camera a/b: it has '/', which no name", id="a path"),
        pytest.param({"cameras": {"..": {"source": "a"}}}, {}, "begins with a letter", id="the folder above"),
        pytest.param({"cameras": {"summary.json": {"source": "a"}}}, {}, "expected a name", id="a file of the session"),
        pytest.param({"cameras": {1: {"source": "a"}}}, {}, "put a number in quotes", id="a number"),
        pytest.param({"cameras": {"top": None}}, {}, "camera top: it has no source", id="nothing in it"),
        pytest.param({"cameras": {}}, {}, "cameras: expected names", id="none"),
        pytest.param({"cameras": ["a", "b"]}, {}, "cameras: expected names", id="a list"),
        pytest.param({**TWO, "stop_together": "no way"}, {}, "stop_together: got 'no way'", id="not yes or no"),
        pytest.param({**TWO, "source": "c"}, {}, "source is given above cameras", id="a common source"),
        pytest.param(TWO, {"source": "c"}, "source is given on the command line", id="a source as a flag"),
        pytest.param(TWO, {"camera": "c"}, "camera is given as a flag", id="a name as a flag"),
    ],
)
def test_invalid_camera_files_are_refused_in_one_line(
    tmp_path: Path, content: dict[str, Any] | str, flags: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_cameras(flags, write(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_source_in_the_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPZOOM_SOURCE", "c.mp4")
    with pytest.raises(ConfigError, match=r"source is given in the environment \(CROPZOOM_SOURCE\)"):
        load_cameras({}, write(tmp_path, TWO))


def test_commands_for_one_camera_refuse_several(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got several cameras, expected one"):
        load_settings({}, write(tmp_path, TWO))


def test_the_command_line_refuses_a_source_with_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a.mp4", "--config", str(write(tmp_path, TWO))]) == 2
    assert capfd.readouterr().err.startswith("cropzoom: source is given on the command line")


class Session:
    """A session of several cameras below a test's folder."""

    def __init__(self, folder: Path, cameras: dict[str, dict[str, Any]], **common: Any) -> None:
        self.out = folder / "out"
        settings = {**tiny_models(folder / "models"), "crop_size": 64, "publish": "none", "publish_latest": "none"}
        self.config = write(folder, {**settings, "out": str(self.out), **common, "cameras": cameras})

    def start(self, *more: object) -> subprocess.Popen[str]:
        return start_process("run", "--config", self.config, *more)

    @property
    def folder(self) -> Path:
        (folder,) = self.out.iterdir()
        assert folder.name.startswith("two_")
        return folder

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary

    def rows(self, camera: str, at_least: int = 20) -> Callable[[], bool]:
        def check() -> bool:
            return any(p.read_bytes().count(b"\n") > at_least for p in self.out.glob(f"*/{camera}/*_timing.csv"))

        return check


@contextmanager
def ended_at_last(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever a test does, nothing is left of the process; its cameras then end by themselves."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            finish(process)


def cameras_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of the cameras, in their order."""
    return sorted(psutil.Process(process.pid).children(), key=lambda p: p.create_time())


def test_two_cameras_are_tracked_at_once_each_with_its_subscriber(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    session = Session(
        tmp_path,
        {
            "top": {"source": ENDLESS, "publish": f"tcp://127.0.0.1:{ports[0]}", "frames": 90},
            "side": {"source": f"{ENDLESS},seed=2", "publish": f"tcp://127.0.0.1:{ports[1]}", "frames": 100},
        },
    )
    process = session.start()
    received: dict[str, list[PoseMessage]] = {}
    with ended_at_last(process), Subscriber(f"tcp://127.0.0.1:{ports[0]}") as top:
        with Subscriber(f"tcp://127.0.0.1:{ports[1]}") as low:
            for name, subscriber in (("top", top), ("side", low)):
                received[name] = poses_until_the_end(subscriber)
        done = finish(process)
    assert done.returncode == 0, done.stderr
    assert "publishing at" in done.stderr
    assert any(f"{name:5} frame" in done.stderr for name in ("top", "side"))  # a line of progress
    for name, poses in received.items():
        assert {m.camera for m in poses} == {name}
        files = check_complete(session.folder / name)
        assert [m.frame for m in poses] == sorted({m.frame for m in poses})
        assert len(load_session(session.folder / name)) == 3 * files.summary["counts"]["captured"]
    with pytest.raises(
        DataError, match=r"holds 2 cameras: side, top\. Give the folder of one, as in 'cropzoom draw .*side'$"
    ):
        load_session(session.folder)
    summary = session.summary
    assert (summary["reason"], summary["exit"]) == ("finished", 0)
    assert summary["totals"]["captured"] == 190
    check_counts(summary["totals"])
    anchors = {m.time.unix_offset_ns for poses in received.values() for m in poses}
    anchors |= {c["summary"]["unix_offset_ns"] for c in summary["cameras"].values()}
    assert anchors == {summary["unix_offset_ns"]}
    again = load_cameras({}, session.folder / "config.yaml")
    assert again is not None
    assert again.settings == load_cameras({}, session.config).settings  # type: ignore[union-attr]


def poses_until_the_end(subscriber: Subscriber) -> list[PoseMessage]:
    poses = []
    while not isinstance(message := subscriber.receive(LONG_S), EndMessage):
        assert message is not None, "nothing came"
        if isinstance(message, PoseMessage):
            poses.append(message)
    return poses


def test_a_camera_that_cannot_start_does_not_stop_the_other(tmp_path: Path) -> None:
    """Its port is taken by somebody else."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        cameras = {
            "top": {"source": SHORT, "publish": f"tcp://127.0.0.1:{port}"},
            "side": {"source": f"{SHORT},seed=2"},
        }
        session = Session(tmp_path, cameras)
        done = cropzoom("run", "--config", session.config, "--quiet")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cropzoom: top: the endpoint tcp://127.0.0.1:{port} is in use")
    assert line.endswith("; the other cameras continue")
    assert check_complete(session.folder / "side").summary["counts"]["captured"] == 30
    assert not (session.folder / "top").exists()
    top = session.summary["cameras"]["top"]
    assert (top["exit"], top["counts"], top["folder"]) == (2, None, None)


def test_if_no_camera_can_start_no_session_is_left(tmp_path: Path) -> None:
    session = Session(tmp_path, {"top": {"source": "none.mp4"}, "side": {"source": "neither.mp4"}})
    done = cropzoom("run", "--config", session.config, "--quiet")
    assert done.returncode == 2
    lines = sorted(done.stderr.splitlines())
    assert [line.split(";")[0] for line in lines] == [
        "cropzoom: side: no video at neither.mp4",
        "cropzoom: top: no video at none.mp4",
    ]
    assert not list(session.out.iterdir())


def test_with_stop_together_a_camera_that_fails_stops_the_other(tmp_path: Path) -> None:
    session = Session(tmp_path, {"top": {"source": ENDLESS}, "side": {"source": "none.mp4"}}, stop_together=True)
    done = cropzoom("run", "--config", session.config, "--quiet")
    assert done.returncode == 2
    assert done.stderr.startswith("cropzoom: side: no video at none.mp4")
    assert done.stderr.strip().endswith("; the other cameras stop, too")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_with_everything_closed(tmp_path: Path, number: signal.Signals) -> None:
    session = Session(tmp_path, {"top": {"source": ENDLESS}, "side": {"source": f"{ENDLESS},seed=2"}})
    process = session.start("--quiet")
    with ended_at_last(process):
        wait_for(session.rows("top"), "rows of top")
        wait_for(session.rows("side"), "rows of side")
        children = cameras_of(process)
        began = time.monotonic()
        process.send_signal(number)
        done = finish(process)
        assert time.monotonic() - began < SOON_S
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr == ""
    assert not any(child.is_running() for child in children)
    for name in ("top", "side"):
        assert check_complete(session.folder / name).summary["reason"] == f"stopped by {number.name}"
    assert session.summary["reason"] == f"stopped by {number.name}"


def test_a_camera_that_is_killed_is_reported_and_the_other_continues(tmp_path: Path) -> None:
    """Then the process that runs them is killed too, and the other does not go on for ever."""
    session = Session(tmp_path, {"top": {"source": ENDLESS}, "side": {"source": f"{ENDLESS},seed=2"}})
    process = session.start("--quiet")
    with ended_at_last(process):
        wait_for(session.rows("top"), "rows of top")
        wait_for(session.rows("side"), "rows of side")
        top, low = cameras_of(process)
        assert process.stderr is not None
        os.kill(top.pid, signal.SIGKILL)
        assert process.stderr.readline() == "cropzoom: top: killed by SIGKILL; the other cameras continue\n"
        assert low.is_running()
        process.kill()
        low.wait(SOON_S)
        finish(process)
    assert json.loads((session.folder / "side" / "summary.json").read_text())["reason"].endswith("is gone")
    check_complete(session.folder / "side")
    assert session.summary["reason"] == "running"
    assert len(load_session(session.folder / "top")) > 20


def test_the_summary_has_the_last_counts_of_a_killed_camera(tmp_path: Path) -> None:
    session = Session(
        tmp_path, {"top": {"source": ENDLESS}, "side": {"source": f"{ENDLESS},seed=2"}}, stop_together=True
    )
    process = session.start("--quiet")
    with ended_at_last(process):
        wait_for(session.rows("top", 90), "rows of top")  # by then it has said how it goes
        os.kill(cameras_of(process)[0].pid, signal.SIGKILL)
        done = finish(process)
    assert done.returncode == 2
    assert done.stderr == "cropzoom: top: killed by SIGKILL; the other cameras stop, too\n"
    cameras = session.summary["cameras"]
    assert (cameras["top"]["exit"], cameras["top"]["summary"]) == (137, None)
    assert cameras["top"]["counts"]["captured"] > 0
    assert cameras["side"]["reason"] == "stopped because top failed"
    assert check_complete(session.folder / "side").summary["reason"] == "stopped because top failed"


def test_the_example_runs(tmp_path: Path) -> None:
    config = CONFIGS / "two_cameras.yaml"
    done = cropzoom("run", "--config", config, "--frames", 5, "--out", tmp_path / "out", "--publish", "none")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    for name in ("top", "side"):
        assert check_complete(folder / name).summary["counts"]["captured"] == 5

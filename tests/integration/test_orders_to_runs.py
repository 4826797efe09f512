"""Orders to runs that are processes of their own: who finds them, who cannot, and what is left of a killed one."""

from __future__ import annotations

import csv
import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
import yaml
from support.orders import post_by_http
from support.pipelines import finish, free_port, start_process, the_session, wait_for

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.control.address import running_processes
from realtime_cropzoom.control.client import give_order
from realtime_cropzoom.errors import EXIT_INCOMPLETE, ConfigError, SinkError

ARENA = "synthetic:arena,size=320x240,fps=60,seconds=endless"
ENDED = (0, EXIT_INCOMPLETE)
"""Exit codes of a run that an order ends, perhaps before the animal was found."""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="without Unix sockets names have a number of the process")


@contextmanager
def running(folder: Path, *flags: object) -> Iterator[subprocess.Popen[str]]:
    """A run of the arena, which is killed in the end if it still goes on."""
    free = ("--publish", "tcp://127.0.0.1:*", "--publish-latest", "none", "--quiet")
    process = start_process("run", ARENA, *free, "--out", folder, *flags)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def tracked(name: str) -> dict[str, Any]:
    """Wait until a run has tracked frames, and return its state."""

    def state() -> dict[str, Any] | None:
        try:
            answer = give_order("state", to=name)
        except SinkError:
            return None
        return answer if answer.get("counts", {}).get("processed", 0) > 5 else None

    found: dict[str, Any] = wait_for(state, f"poses of {name}")
    return found


def test_two_runs_of_a_camera_have_two_names_and_a_killed_one_gives_its_back(tmp_path: Path, runtime: Path) -> None:
    with running(tmp_path / "first") as first:
        assert tracked("run-cam0")["folder"] == str(the_session(tmp_path / "first"))
        with running(tmp_path / "second") as second:
            assert tracked("run-cam0-2")["folder"] == str(the_session(tmp_path / "second"))
            with pytest.raises(ConfigError, match="2 programs take this order: run-cam0-2, run-cam0; choose one"):
                give_order("stop")
            first.kill()
            wait_for(lambda: list(running_processes(runtime / "cropzoom")) == ["run-cam0-2"], "the end of the first")
            with running(tmp_path / "third") as third:
                assert tracked("run-cam0")["folder"] == str(the_session(tmp_path / "third"))
                assert give_order("stop", to="run-cam0")["ok"]
                assert finish(third).returncode in ENDED
            assert give_order("stop")["name"] == "run-cam0-2"
            assert finish(second).returncode in ENDED
    summary = json.loads((the_session(tmp_path / "third") / "summary.json").read_text())
    assert summary["reason"].startswith("stopped by script (")


def test_orders_are_done_and_are_in_the_files_with_who_gave_them(
    tmp_path: Path, runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path / "out") as process:
        state = tracked("run-cam0")
        assert main(["ctl", "record", "baseline"]) == 0
        assert "recording baseline" in capsys.readouterr().out
        assert main(["ctl", "marker", "light", "on"]) == 0
        assert main(["ctl", "pause"]) == 0
        assert ", publishing paused, recording baseline" in capsys.readouterr().out
        assert main(["ctl", "resume"]) == 0
        assert main(["ctl", "detect"]) == 0
        crop = state["settable"]["crop_size"]["value"] + 10
        assert main(["ctl", "set", "crop_size", str(crop)]) == 0
        wait_for(lambda: tracked("run-cam0")["settable"]["crop_size"]["value"] == crop, "the new size")
        assert main(["ctl", "set", "crop_size", "0"]) == 2
        assert "crop_size: got 0, expected a number from " in capsys.readouterr().err
        frames = tracked("run-cam0")["counts"]["captured"]
        wait_for(lambda: tracked("run-cam0")["counts"]["captured"] > frames + 30, "frames in the recording")
        assert main(["ctl", "stop-recording"]) == 0
        assert main(["ctl", "stop-recording"]) == 2
        assert main(["ctl", "stop"]) == 0
        assert finish(process).returncode in ENDED
    folder = the_session(tmp_path / "out")
    with next(folder.glob("*_events.csv")).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["by"].startswith("ctl (")]
    assert [row["kind"] for row in rows] == [
        *("recording_started", "marker", "publishing_paused", "publishing_resumed", "detect_now", "setting_changed"),
        *("recording_stopped", "stop_asked"),
    ]
    assert rows[1]["text"] == "light on"
    assert {row["by"] for row in rows} == {f"ctl ({pwd.getpwuid(os.getuid()).pw_name}, process {os.getpid()})"}
    given = [int(row["frame"]) for row in rows if row["kind"] != "setting_changed"]  # that one waits for the poses
    assert given == sorted(given)
    with av.open(str(next(folder.glob("baseline*.mp4")))) as video:
        assert sum(1 for _ in video.decode(video=0)) > 30


def test_no_other_user_reaches_the_socket(tmp_path: Path, runtime: Path) -> None:
    with running(tmp_path / "out"):
        tracked("run-cam0")
        folder = runtime / "cropzoom"
        assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (os.getuid(), 0o700)
        assert (folder / "run-cam0.sock.lock").stat().st_mode & 0o777 == 0o600
        code = "import os, socket, sys; os.setuid(65534); socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        if os.getuid() == 0:  # only then a test can be another user
            runtime.chmod(0o755)  # that of a system is open no further than this
            other = start_process(folder / "run-cam0.sock", code=code)
            assert "PermissionError" in finish(other).stderr


def test_a_web_page_changes_nothing_at_any_port_of_a_run(tmp_path: Path, runtime: Path) -> None:
    with running(tmp_path / "out", "--publish-latest", f"tcp://127.0.0.1:{free_port()}") as process:
        tracked("run-cam0")
        ports = {
            connection.laddr.port
            for connection in psutil.Process(process.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert len(ports) >= 3
        for port in ports:
            assert b"ok" not in post_by_http(port, "stop")
        before = tracked("run-cam0")["counts"]["processed"]
        wait_for(lambda: tracked("run-cam0")["counts"]["processed"] > before + 10, "further poses")
        assert process.poll() is None


def test_each_of_several_cameras_takes_orders(tmp_path: Path, runtime: Path) -> None:
    config = tmp_path / "two.yaml"
    cameras = {"top": {"source": ARENA}, "side": {"source": f"{ARENA},seed=2"}}
    common = {"publish": "tcp://127.0.0.1:*", "publish_latest": "none", "out": str(tmp_path / "out")}
    config.write_text(yaml.safe_dump({**common, "cameras": cameras}))
    process = start_process("run", "--config", config, "--quiet")
    try:
        for camera in cameras:
            assert tracked(f"run-{camera}")["camera"] == camera
        for camera in cameras:
            assert give_order("stop", to=f"run-{camera}")["ok"]
        ended = finish(process)
        assert ended.returncode == 0, ended.stderr
    finally:
        process.kill()

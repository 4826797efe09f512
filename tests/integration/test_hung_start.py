"""A disk that does not answer while something starts: a line, and an end."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.pipelines import LONG_S, Film, cropzoom_threads, make_settings, wait_for

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.multi_camera import load_cameras
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.multicamera.supervisor import CameraGroup
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.runtime import started
from realtime_cropzoom.runtime.started import in_time


@pytest.fixture
def hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Folders of the test cannot be made until this is set: mkdir does not come back, as on a dead mount."""
    thaws, mkdir = threading.Event(), Path.mkdir

    def hang(path: Path, *given: Any, **flags: Any) -> None:
        if not path.is_relative_to(tmp_path):
            return mkdir(path, *given, **flags)
        thaws.wait(LONG_S)
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "mkdir", hang)
    for module in ("pipeline.run_folder", "multicamera.supervisor", "runtime.started"):
        monkeypatch.setattr(f"realtime_cropzoom.{module}.in_time", partial(in_time, timeout_s=0.3))
    yield thaws
    thaws.set()
    wait_for(lambda: "cropzoom-start" not in cropzoom_threads(), "the thread that hung")


def test_a_run_whose_folder_cannot_be_made_ends_with_one_line(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = make_settings(tmp_path)
    request.getfixturevalue("hung")
    pipeline = Pipeline(settings, lambda: Film(8))
    with pytest.raises(
        SinkError, match=r"did not answer within 0\.3 s; is it on a disk or a share that hangs\?"
    ) as caught:
        pipeline.start()
    assert f"the folder {settings.out}" in str(caught.value)
    wait_for(lambda: cropzoom_threads() == {"cropzoom-start"}, "the threads of the run to end")


def test_triggers_whose_folder_cannot_be_made_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    rules = tmp_path / "rules.yaml"
    outputs = 'outputs: {laser: {zmq_publish: "tcp://127.0.0.1:*"}}'
    rules.write_text(f"{outputs}\nrules: {{a: {{when: {{state: [tracking]}}, hold: true, fire: laser}}}}\n")
    request.getfixturevalue("hung")
    assert main(["trigger", str(rules), "--control", "none", "--out", str(tmp_path / "out")]) == 2
    assert "did not answer within 0.3 s" in capsys.readouterr().err


def test_in_time_returns_the_result_or_raises_the_error(caplog: pytest.LogCaptureFixture) -> None:
    assert in_time("it", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        in_time("it", lambda: 1 / 0)
    assert not caplog.records


def test_a_start_that_waits_for_long_logs_what_it_waits_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started, "_LOG_AFTER_S", 0.0)
    thaws = threading.Event()
    with caplog.at_level(logging.WARNING), pytest.raises(SinkError, match="stopped before the folder out was ready"):
        in_time("the folder out", lambda: thaws.wait(LONG_S), stopped=lambda: bool(caplog.records))
    thaws.set()
    assert caplog.messages == ["the folder out does not answer yet; trying for 10 s"]


def test_a_session_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    config = tmp_path / "cameras.yaml"
    sources = {"top": {"source": "synthetic:arena"}, "side": {"source": "synthetic:arena,seed=1"}}
    config.write_text(json.dumps({"cameras": sources}))
    cameras = load_cameras({}, config)
    assert cameras is not None
    group = CameraGroup(cameras)
    group.folder = tmp_path / "gone"
    group._save("config.yaml", "x")
    (line,) = group.problems
    assert line.startswith(f"cropzoom: {tmp_path / 'gone'}")
    assert group._summary("finished")["exit"] == 3

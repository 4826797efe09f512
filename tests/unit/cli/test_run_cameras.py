"""Progress of several cameras."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from support.pose_streams import status_message

from realtime_cropzoom.cli.run_cameras import CameraProgress
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.multicamera.supervisor import CameraRun


def camera(name: str) -> CameraRun:
    return cast(CameraRun, SimpleNamespace(name=name, status=None, frame_count=None))


def test_a_log_file_gets_a_line_when_the_state_of_a_camera_changes(capsys: pytest.CaptureFixture[str]) -> None:
    top, side = camera("top"), camera("side")
    progress = CameraProgress({"top": load_settings({}), "side": load_settings({})})

    def lines() -> list[str]:
        progress.show([top, side])
        return capsys.readouterr().err.splitlines()

    assert lines() == ["top   starting", "side  starting"]
    assert lines() == []
    top.status = status_message("live", 0)
    (line,) = lines()
    assert line.startswith("top   frame 0  tracking")
    assert lines() == []
    top.status = status_message("stalled", 1)
    (line,) = lines()
    assert line.startswith("top   frame 0  stalled")
    top.status = status_message("live", 2)
    (line,) = lines()
    assert "tracking" in line

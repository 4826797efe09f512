"""``cropzoom cameras``."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from realtime_cropzoom.cli import cameras
from realtime_cropzoom.cli.cameras import _MACHINE_VISION
from realtime_cropzoom.cli.main import main


def test_modules_of_machine_vision_cameras_exist() -> None:
    for kind in _MACHINE_VISION:
        assert find_spec(f"realtime_cropzoom.sources.machine_vision.{kind}") is not None


def test_missing_library_of_a_vendor_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cameras"]) == 0
    assert "No module named 'realtime_cropzoom" not in capsys.readouterr().err


def test_libraries_are_asked_where_they_are_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)
    assert cameras._asked() == ["genicam", "basler"]
    monkeypatch.setenv("GENICAM_GENTL64_PATH", "/opt/vendor")
    assert cameras._asked() == ["genicam", "basler", "gentl"]
    monkeypatch.setattr(sys, "platform", "win32")
    assert cameras._asked() == ["basler", "gentl"]

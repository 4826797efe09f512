"""Names of machine-vision cameras."""

from __future__ import annotations

import pytest

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.machine_vision.spec import CameraSpec, parse_camera, run_name


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("", CameraSpec(None)),
        ("Basler-21234567", CameraSpec("Basler-21234567")),
        ("192.168.1.20,line=Line2", CameraSpec("192.168.1.20", "Line2")),
        (",line=Line0", CameraSpec(None, "Line0")),
    ],
)
def test_a_camera_is_named_with_its_trigger_line(rest: str, expected: CameraSpec) -> None:
    assert parse_camera(rest, "genicam") == expected


@pytest.mark.parametrize("rest", ["cam,lin=1", "cam,line=", "cam,Line1"])
def test_an_unknown_part_of_a_camera_name_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError, match="is not understood; expected genicam:NAME"):
        parse_camera(rest, "genicam")


def test_names_for_the_files_of_a_run() -> None:
    assert run_name("acA1300-60gm", "21 23/4567") == "acA1300-60gm-21-23-4567"
    assert run_name("", "") == "camera"

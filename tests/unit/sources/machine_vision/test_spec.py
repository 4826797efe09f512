"""Machine-vision setup: camera names, the region of the sensor, and the number of buffers."""

from __future__ import annotations

import pytest

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.machine_vision.spec import (
    CameraSpec,
    buffers,
    differs,
    parse_camera,
    place_region,
    run_name,
)


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


class Sensor:
    """Integer features of a camera: a larger offset leaves less room for the size."""

    def __init__(self, width: int = 1920, height: int = 1200, step: int = 16, offsets: bool = True) -> None:
        self.whole = {"X": width, "Y": height}
        self.values = {"Width": width, "Height": height, "OffsetX": 0, "OffsetY": 0}
        self.step, self.offsets = step, offsets

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        if feature.startswith("Offset"):
            if not self.offsets:
                return None
            axis = feature[-1]
            return 0, self.whole[axis] - self.values["Width" if axis == "X" else "Height"], self.step
        axis = "X" if feature == "Width" else "Y"
        return self.step, self.whole[axis] - self.values[f"Offset{axis}"], self.step

    def set_integer(self, feature: str, value: int) -> None:
        least, most, step = self.bounds(feature) or (0, 0, 1)
        assert least <= value <= most
        assert value % step == 0
        self.values[feature] = value


@pytest.mark.parametrize(
    ("asked", "got", "notes"),
    [
        ({}, (0, 0, 1920, 1200), []),
        ({"size": (640, 480)}, (640, 352, 640, 480), ["640x480 is cut from the middle of 1920x1200; --roi selects an"]),
        ({"size": (1920, 1200)}, (0, 0, 1920, 1200), []),
        ({"size": (650, 490)}, (640, 352, 640, 480), ["asked for 650x490, got 640x480", "640x480 is cut"]),
        ({"size": (9000, 480)}, (0, 352, 1920, 480), ["asked for 9000x480, got 1920x480", "1920x480 is cut"]),
        ({"roi": (32, 16, 640, 480)}, (32, 16, 640, 480), []),
        ({"roi": (40, 5000, 641, 480)}, (32, 720, 640, 480), ["asked for roi (40, 5000, 641, 480), got (32, 720,"]),
    ],
    ids=str,
)
def test_the_region_is_the_nearest_possible_one(
    asked: dict[str, tuple[int, ...]], got: tuple[int, ...], notes: list[str]
) -> None:
    sensor = Sensor()
    sensor.values |= {"Width": 160, "Height": 160, "OffsetX": 1600, "OffsetY": 800}  # left so by another program
    if not asked:
        sensor = Sensor()
    said = place_region(sensor, SourceOptions(**asked))  # type: ignore[arg-type]
    assert tuple(sensor.values[k] for k in ("OffsetX", "OffsetY", "Width", "Height")) == got
    assert [line.startswith(note) for line, note in zip(said, notes, strict=True)] == [True] * len(notes)


def test_a_camera_without_regions_is_reported() -> None:
    sensor = Sensor(offsets=False)
    assert place_region(sensor, SourceOptions(roi=(64, 64, 640, 480))) == [
        "asked for roi (64, 64, 640, 480), got (0, 0, 640, 480)"
    ]
    with pytest.raises(ConfigError, match="request two sizes"):
        place_region(sensor, SourceOptions(size=(1, 2), roi=(0, 0, 3, 4)))


def test_run_names_differences_and_buffers() -> None:
    assert differs("gain", 3.0, 3.01, "dB") == []
    assert differs("gain", 3.0, 6.0, "dB") == ["asked for gain 3 dB, got 6 dB"]
    assert run_name("acA1300-60gm", "21 23/4567") == "acA1300-60gm-21-23-4567"
    assert run_name("", "") == "camera"
    assert buffers(None, 10**6) == 16
    assert buffers(500, 10**6) == 250
    assert buffers(500, 10**8) == 4

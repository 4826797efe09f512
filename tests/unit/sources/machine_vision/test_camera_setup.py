"""Setup of machine-vision cameras: region, exposure, gain, rate and trigger, and what the user is told."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_cropzoom.errors import ConfigError, SourceError
from realtime_cropzoom.sources.base import SourceInfo, SourceOptions
from realtime_cropzoom.sources.machine_vision.camera_setup import buffers, differs, place_region, set_up
from realtime_cropzoom.sources.machine_vision.feature_nodes import FeatureNodes


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


def test_differences_and_buffers() -> None:
    assert differs("gain", 3.0, 3.01, "dB") == []
    assert differs("gain", 3.0, 6.0, "dB") == ["asked for gain 3 dB, got 6 dB"]
    assert buffers(None, 10**6) == 16
    assert buffers(500, 10**6) == 250
    assert buffers(500, 10**8) == 4


LIMITS: dict[str, tuple[Any, Any]] = {
    "Width": (16, 640), "Height": (16, 480), "ExposureTime": (20.0, 1e5), "ExposureTimeAbs": (20.0, 1e5),
    "Gain": (0.0, 24.0), "GainRaw": (0, 500), "AcquisitionFrameRate": (1.0, 200.0),
}  # fmt: skip
ENTRIES = {
    "PixelFormat": ["Mono8", "Mono12"], "AcquisitionMode": ["SingleFrame", "Continuous"],
    "ExposureAuto": ["Off", "Continuous"], "GainAuto": ["Off", "Continuous"],
    "TriggerSelector": ["AcquisitionStart", "FrameStart"], "TriggerMode": ["Off", "On"],
    "TriggerSource": ["Software", "Line1", "Line2"], "TriggerActivation": ["RisingEdge", "FallingEdge"],
}  # fmt: skip


class Nodes(FeatureNodes):
    """The nodes of a camera: values, limits of numbers, and entries. Each kind of trigger has a mode of its own."""

    def __init__(self, **values: Any) -> None:
        super().__init__("Old 1")
        self.values: dict[str, Any] = {"Width": 640, "Height": 480, "PixelFormat": "Mono8", **values}
        self.modes = {kind: values.get("TriggerMode") for kind in ENTRIES["TriggerSelector"]}
        self.order: list[str] = []

    def has(self, feature: str) -> bool:
        return feature in self.values

    def value(self, feature: str) -> Any:
        if feature == "TriggerMode" and self.has("TriggerSelector"):
            return self.modes[self.values["TriggerSelector"]]
        return self.values[feature]

    def set_value(self, feature: str, value: Any) -> None:
        if feature in LIMITS:
            least, most = LIMITS[feature]
            assert least <= value <= most
            assert type(value) is type(least)
        elif feature in ENTRIES:
            assert value in ENTRIES[feature]
        self.order.append(feature)
        if feature == "TriggerMode" and self.has("TriggerSelector"):
            self.modes[self.values["TriggerSelector"]] = value
        else:
            self.values[feature] = value

    def limits(self, feature: str) -> tuple[Any, Any]:
        return LIMITS[feature]

    def step(self, feature: str) -> int:
        return 16

    def entries(self, feature: str) -> list[str]:
        return ENTRIES[feature]

    def execute(self, command: str) -> None:
        raise AssertionError(command)


def done(camera: Nodes, line: str | None = None, **asked: Any) -> SourceInfo:
    return set_up(camera, line, SourceOptions(**asked), "old-1")[1]


def test_a_camera_without_options_keeps_its_features() -> None:
    camera = Nodes(ExposureTime=5000.0, Gain=3.0, AcquisitionFrameRate=30.0)
    info = done(camera)
    assert camera.order == []
    assert (info.name, info.width, info.height, info.fps, info.asked_fps) == ("old-1", 640, 480, 30.0, None)
    assert info.live
    assert info.notes == ()


def test_automatic_control_is_switched_off_before_a_value_is_fixed() -> None:
    camera = Nodes(ExposureTime=5000.0, ExposureAuto="Continuous", Gain=3.0, GainAuto="Continuous")
    assert done(camera, exposure_ms=4.0, gain=60.0).notes == ("asked for gain 60 dB, got 24 dB",)
    assert camera.order == ["ExposureAuto", "ExposureTime", "GainAuto", "Gain"]
    assert (camera.values["ExposureTime"], camera.values["Gain"]) == (4000.0, 24.0)


def test_the_names_and_units_of_old_cameras_are_used() -> None:
    camera = Nodes(ExposureTimeAbs=5000.0, GainRaw=300, ResultingFrameRateAbs=25.0)
    info = done(camera, exposure_ms=200.0, gain=600.4)
    assert info.notes == (
        "asked for exposure 200 ms, got 100 ms",
        "asked for gain 600.4 (raw units), got 500 (raw units)",
    )
    assert (camera.values["ExposureTimeAbs"], camera.values["GainRaw"], info.fps) == (1e5, 500, 25.0)


def test_the_expected_rate_is_what_exposure_and_cable_allow() -> None:
    camera = Nodes(AcquisitionFrameRateEnable=False, AcquisitionFrameRate=30.0, ResultingFrameRate=48.0)
    info = done(camera, fps=60.0)
    assert camera.order == ["AcquisitionFrameRateEnable", "AcquisitionFrameRate"]
    assert camera.values["AcquisitionFrameRateEnable"] is True
    assert camera.values["AcquisitionFrameRate"] == 60.0
    assert (info.fps, info.asked_fps, info.notes) == (48.0, 60.0, ("asked for frame rate 60 fps, got 48 fps",))


def test_a_camera_that_lets_nobody_choose_its_rate_is_used_all_the_same() -> None:
    info = done(Nodes(), fps=60.0)
    assert (info.fps, info.asked_fps) == (None, 60.0)
    assert info.notes == ("asked for 60 fps, but the camera has no setting for it",)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"exposure_ms": 3.0}, "Old 1 has no setting ExposureTime; leave it out"),
        ({"gain": 3.0}, "Old 1 has no setting Gain; leave it out"),
        ({"trigger": True}, "Old 1 has no trigger line; it has none"),
        ({"pixel_format": "RGB8"}, "Old 1: pixel format RGB8 is not available; expected one of Mono8, Mono12"),
    ],
)
def test_what_a_camera_does_not_have_is_one_line(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceError) as refused:
        done(Nodes(), **asked)
    assert str(refused.value) == says


TRIGGER = {"TriggerSelector": "FrameStart", "TriggerMode": "On", "TriggerSource": "Software"}


def test_a_trigger_that_another_program_has_left_on_is_switched_off() -> None:
    """Each kind: a camera that waits for the start of an acquisition sends no frame either."""
    camera = Nodes(**TRIGGER, AcquisitionMode="SingleFrame", AcquisitionFrameRate=30.0)
    done(camera, fps=50.0)
    assert camera.modes == {"AcquisitionStart": "Off", "FrameStart": "Off"}
    assert camera.values["AcquisitionMode"] == "Continuous"

    camera = Nodes(TriggerMode="On")  # one kind alone, without a name
    done(camera)
    assert camera.values["TriggerMode"] == "Off"


@pytest.mark.parametrize(("line", "used"), [(None, "Line1"), ("Line2", "Line2"), ("Software", "Software")])
def test_each_frame_waits_for_a_rising_edge_on_the_line(line: str | None, used: str) -> None:
    camera = Nodes(**TRIGGER, TriggerActivation="FallingEdge", AcquisitionFrameRate=30.0)
    info = done(camera, line, trigger=True, fps=50.0)
    assert camera.modes == {"AcquisitionStart": "Off", "FrameStart": "On"}
    assert (camera.values["TriggerSource"], camera.values["TriggerActivation"]) == (used, "RisingEdge")
    assert info.notes == (f"each frame waits for a pulse on {used}",)
    assert (info.fps, info.asked_fps, camera.values["AcquisitionFrameRate"]) == (50.0, 50.0, 30.0)


def test_a_line_that_the_camera_has_not_is_refused_before_frames_wait_for_it() -> None:
    camera = Nodes(**TRIGGER)
    with pytest.raises(SourceError, match=r"^Old 1 has no trigger line Line7; it has Software, Line1, Line2$"):
        done(camera, "Line7", trigger=True)
    assert set(camera.modes.values()) == {"Off"}

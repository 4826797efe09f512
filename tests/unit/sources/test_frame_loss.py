"""Frame ids and timestamps of a camera: what was lost is counted once, and frame time never goes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.machine_vision.frame_loss import FrameLossCounter
from realtime_cropzoom.sources.machine_vision.spec import (
    CameraSpec,
    buffers,
    differs,
    parse_camera,
    place_region,
    run_name,
)

MS = 1_000_000
GOOD, INCOMPLETE, NEVER = "good", "incomplete", "never came"
HOUR = 3600 * 10**9


@given(
    first_id=st.sampled_from([0, 1, 5, 65530, 65535, 65536, 2**40]),
    outcomes=st.lists(st.sampled_from([GOOD, GOOD, INCOMPLETE, NEVER]), max_size=60),
)
def test_every_counted_frame_is_good_or_lost(first_id: int, outcomes: list[str]) -> None:
    """Ids of 16 bits go from 65535 to 1; longer ones just go on."""
    tally, frame_id, lost, good = FrameLossCounter(), first_id, 0, 1
    tally.take(first_id, None, 0)
    pending = 0
    for index, outcome in enumerate(outcomes, 1):
        frame_id = 1 if frame_id == 65535 and first_id != 65536 else frame_id + 1
        pending += outcome != GOOD
        if outcome == INCOMPLETE:
            tally.fail()
            assert tally.failing
        if outcome == GOOD:
            pts_ns, lost_before = tally.take(frame_id, None, index * 10 * MS)
            assert lost_before == pending
            assert pts_ns == index * 10 * MS
            assert not tally.failing
            lost, good, pending = lost + lost_before, good + 1, 0
    assert good + lost + pending == 1 + len(outcomes)
    assert tally.incomplete == outcomes.count(INCOMPLETE)


def test_without_ids_only_incomplete_frames_count_as_lost() -> None:
    tally = FrameLossCounter()
    tally.take(None, None, 0)
    tally.fail()
    tally.fail()
    assert tally.take(None, None, 30 * MS) == (30 * MS, 2)
    assert tally.problems("cam") == ["cam: 2 frames arrived incomplete and were left out"]


def test_restarted_ids_count_no_loss() -> None:
    tally = FrameLossCounter()
    tally.take(5000, None, 0)
    assert tally.take(3, None, 10 * MS)[1] == 0
    assert tally.take(6, None, 20 * MS)[1] == 2
    assert tally.problems("cam") == ["cam: 2 frames never arrived, by the camera's own count"]


def test_frame_time_follows_the_camera() -> None:
    tally = FrameLossCounter()
    times = [tally.take(i, 5 * HOUR + i * 10 * MS, 77 * HOUR + i * 10 * MS + (i % 3) * 4 * MS)[0] for i in range(9)]
    assert times == [i * 10 * MS for i in range(9)]
    assert tally.problems("cam") == []


@pytest.mark.parametrize("jump_ns", [-HOUR, 50 * 365 * 24 * HOUR], ids=["set back", "set to the time of day"])
def test_frame_time_follows_the_host_when_the_camera_clock_is_set(jump_ns: int) -> None:
    tally = FrameLossCounter()
    times = [tally.take(i, 5 * HOUR + i * 10 * MS + (jump_ns if i > 3 else 0), HOUR + i * 10 * MS)[0] for i in range(8)]
    assert times == [i * 10 * MS for i in range(8)]
    assert tally.problems("cam") == ["cam: its clock jumped 1 times; there, frame time follows the host's clock"]


def test_frame_time_always_increases() -> None:
    tally = FrameLossCounter()
    times = [tally.take(None, device_ns, 0)[0] for device_ns in (7, 7, 7, None, None, 8)]
    assert times == sorted(set(times))


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
    """Integer features as cameras have them: a larger offset leaves less to take."""

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

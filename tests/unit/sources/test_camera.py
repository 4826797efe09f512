"""Cameras without one: a driver played by the test, the rate measured, frames that are old, and what the list says."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from support.pipelines import LONG_S, check_complete, cropzoom, make_settings, run_to_end, wait_for

from realtime_cropzoom.cli.cameras import table
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.source_reader import CaptureOptions
from realtime_cropzoom.runtime.ring import EndOfStream, OrderedReader, Ring
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo, SourceOptions
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.live import camera, v4l2
from realtime_cropzoom.sources.live.reconnect import RateCheck, ReconnectingSource, ReconnectPolicy
from realtime_cropzoom.sources.live.staleness import FrameClock, StalenessFilter

MS, S = 1_000_000, 1_000_000_000


class Driver:
    """Answers ioctl as a webcam's driver does, for the device files in a folder."""

    MODES = (("MJPG", (1280, 720), (30, 15)), ("MJPG", (640, 480), (60,)), ("YUYV", (640, 480), (30,)))

    def __init__(self) -> None:
        self.controls = {v4l2._EXPOSURE_AUTO: 3, v4l2._EXPOSURE_ABSOLUTE: 157, v4l2._GAIN: 0}
        self.gain_limit = 100

    def ioctl(self, fd: int, request: int, buffer: bytearray) -> int:
        if b"not a camera" in os.pread(fd, 100, 0):
            raise OSError(errno.ENOTTY, "no")
        layout, answer = {
            v4l2._QUERYCAP: (v4l2._CAPABILITY, self._capability),
            v4l2._ENUM_FMT: (v4l2._FORMAT, self._format),
            v4l2._ENUM_FRAMESIZES: (v4l2._FRAME_SIZE, self._size),
            v4l2._ENUM_FRAMEINTERVALS: (v4l2._INTERVAL, self._interval),
            v4l2._S_CTRL: (v4l2._CONTROL, self._set),
            v4l2._G_CTRL: (v4l2._CONTROL, lambda control, _: (control, self.controls[control])),
        }[request]
        try:
            buffer[:] = layout.pack(*answer(*layout.unpack(buffer)))
        except (IndexError, KeyError):
            raise OSError(errno.EINVAL, "Invalid argument") from None
        return 0

    def _capability(self, *_: Any) -> tuple[Any, ...]:
        return b"uvcvideo", b"Webcam", b"usb-1", 6, 0x84A00001, 0x04200001

    def _format(self, index: int, *_: Any) -> tuple[Any, ...]:
        names = list(dict.fromkeys(name for name, _, _ in self.MODES))
        return index, 1, 0, b"", int.from_bytes(names[index].encode(), "little")

    def _sizes(self, fourcc: int) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
        name = fourcc.to_bytes(4, "little").decode()
        return [(size, rates) for n, size, rates in self.MODES if n == name]

    def _size(self, index: int, fourcc: int, *_: Any) -> tuple[Any, ...]:
        return index, fourcc, 1, *self._sizes(fourcc)[index][0], 0, 0, 0, 0

    def _interval(self, index: int, fourcc: int, width: int, height: int, *_: Any) -> tuple[Any, ...]:
        rates = dict(self._sizes(fourcc))[width, height]
        return index, fourcc, width, height, 1, 1, rates[index], 0, 0, 0, 0

    def _set(self, control: int, value: int) -> tuple[int, int]:
        self.controls[control]  # KeyError: the driver lacks it
        self.controls[control] = min(value, self.gain_limit) if control == v4l2._GAIN else value
        return control, value


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Three nodes: two cameras, the second of which cannot be asked."""
    played = Driver()
    for number, name in ((0, "Integrated Webcam"), (2, "Side Camera"), (10, "Top Camera")):
        (tmp_path / "sys" / f"video{number}").mkdir(parents=True)
        (tmp_path / "sys" / f"video{number}" / "name").write_text(name + "\n")
        (tmp_path / f"video{number}").write_bytes(b"a camera" if number != 10 else b"not a camera")
    monkeypatch.setattr(v4l2, "_SYSTEM", tmp_path / "sys")
    monkeypatch.setattr(v4l2, "_DEVICES", tmp_path)
    monkeypatch.setattr(fcntl, "ioctl", played.ioctl)
    return played


@pytest.mark.usefixtures("driver")
def test_cameras_are_listed_with_their_modes(tmp_path: Path) -> None:
    first, second, third = camera.list_cameras()
    assert (first.spec, first.name) == (f"camera:{tmp_path}/video0", "Integrated Webcam")
    assert first.modes == (
        v4l2.Mode("mjpeg", 1280, 720, (30.0, 15.0)),
        v4l2.Mode("mjpeg", 640, 480, (60.0,)),
        v4l2.Mode("yuyv422", 640, 480, (30.0,)),
    )
    assert second.name == "Side Camera"
    assert (third.modes, third.problem) == ((), "no")


@pytest.mark.parametrize(
    ("which", "path"),
    [
        ("1", "/dev/video1"),
        ("/dev/v4l/by-id/usb", "/dev/v4l/by-id/usb"),
        ("side camera", "video2"),
        ("Webcam", "video0"),
    ],
)
@pytest.mark.usefixtures("driver")
def test_a_camera_is_a_number_a_path_or_a_name(which: str, path: str, tmp_path: Path) -> None:
    assert camera._linux_url(which) == (path if path.startswith("/") else str(tmp_path / path))


@pytest.mark.usefixtures("driver")
def test_a_name_that_no_camera_has_says_which_there_are() -> None:
    with pytest.raises(SourceError, match=r"no camera has that name; there is Integrated Webcam \(.*video0\), Side"):
        camera._linux_url("Ceiling")


def test_exposure_and_gain_are_set(driver: Driver, tmp_path: Path) -> None:
    assert v4l2.set_controls(tmp_path / "video0", exposure_ms=5.0, gain=20) == []
    assert driver.controls == {v4l2._EXPOSURE_AUTO: 1, v4l2._EXPOSURE_ABSOLUTE: 50, v4l2._GAIN: 20}


def test_what_cannot_be_set_is_said(driver: Driver, tmp_path: Path) -> None:
    del driver.controls[v4l2._EXPOSURE_ABSOLUTE]
    exposure, gain = v4l2.set_controls(tmp_path / "video0", exposure_ms=5.0, gain=500)
    assert exposure.startswith("exposure could not be set to 5 ms")
    assert gain == "asked for gain 500, got 100"


def test_what_was_asked_is_held_against_what_came() -> None:
    info = SourceInfo("cam", 640, 480, 60.0, None, live=True)
    assert camera.compare(info, "mjpeg", SourceOptions((640, 480), 60.0, "MJPEG")) == []
    assert camera.compare(info, "yuyv422", SourceOptions((1280, 720), 100.0, "mjpeg")) == [
        "asked for 1280x720, got 640x480",
        "asked for 100 fps, got 60",
        "asked for pixel format mjpeg, got yuyv422",
    ]
    assert len(camera.compare(info, "mjpeg", SourceOptions(roi=(0, 0, 10, 10), trigger=True))) == 2


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("v4l2", {"video_size": "1280x720", "framerate": "60", "input_format": "mjpeg"}),
        ("dshow", {"video_size": "1280x720", "framerate": "60", "vcodec": "mjpeg"}),
        ("avfoundation", {"video_size": "1280x720", "framerate": "60", "pixel_format": "mjpeg"}),
    ],
)
def test_each_system_has_its_own_words(system: str, options: dict[str, str]) -> None:
    asked = camera._asked(system, SourceOptions((1280, 720), 60.0, "MJPEG"))
    assert {key: asked[key] for key in options} == options


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOENT, "there is no such camera; plug it in"),
        (errno.EBUSY, "another program uses it"),
        (errno.EACCES, "add yourself to the group 'video'"),
        (errno.ENODEV, "has been unplugged"),
    ],
)
def test_each_failure_says_what_to_do(number: int, says: str) -> None:
    assert says in camera._explain(OSError(number, "x"))


@pytest.mark.skipif(os.path.exists("/dev/video250"), reason="there is a camera")
def test_a_camera_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = cropzoom("run", "camera:250", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "cropzoom: camera:250 cannot be opened: there is no such camera; plug it in, "
        "'cropzoom cameras' lists what is there\n"
    )


def test_the_list_is_json_too() -> None:
    done = cropzoom("cameras", "--json")
    assert done.returncode == 0
    assert all({"source", "name", "modes", "problem"} <= set(found) for found in json.loads(done.stdout))


def test_no_camera_says_what_to_do_and_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from realtime_cropzoom.cli import cameras, main

    monkeypatch.setattr(v4l2, "_SYSTEM", tmp_path)
    monkeypatch.setattr(cameras, "_MACHINE_VISION", ())
    assert main.main(["cameras"]) == 0
    assert capsys.readouterr().out.startswith("no camera found. Plug one in")


def test_the_table_has_a_line_a_mode() -> None:
    modes = [
        {"pixel_format": "mjpeg", "width": 1280, "height": 720, "fps": [30.0, 15.0]},
        {"pixel_format": "gray", "width": 64, "height": 48, "fps": []},
    ]
    lines = table(
        [
            {"source": "camera:/dev/video0", "name": "Webcam", "modes": modes, "problem": ""},
            {"source": "genicam:A", "name": "B", "modes": [], "problem": "in use"},
        ]
    ).splitlines()
    assert lines == [
        "SOURCE              NAME    MODES",
        "camera:/dev/video0  Webcam  mjpeg 1280x720 at 30, 15 fps",
        "                            gray 64x48",
        "genicam:A           B       in use",
    ]


def warnings_of(info: SourceInfo, fps: float, caplog: pytest.LogCaptureFixture, seconds: float = 3.0) -> list[str]:
    return warnings_at(info, [round(index * S / fps) for index in range(round(seconds * fps))], caplog)


def warnings_at(info: SourceInfo, times_ns: Sequence[int], caplog: pytest.LogCaptureFixture) -> list[str]:
    check = RateCheck(info)
    with caplog.at_level(logging.WARNING):
        for time_ns in times_ns:
            check.add(time_ns)
    return [record.getMessage() for record in caplog.records]


def test_a_rate_that_is_not_the_one_asked_for_cannot_be_missed(caplog: pytest.LogCaptureFixture) -> None:
    info = SourceInfo("cam", 640, 480, 60.0, None, live=True, asked_fps=100.0)
    (warning,) = warnings_of(info, 60.0, caplog)
    assert warning.startswith("cam GIVES 60.0 FRAMES A SECOND; asked for 100.")


def test_a_rate_that_is_not_the_one_announced_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = warnings_of(SourceInfo("cam", 640, 480, 60.0, None, live=True), 15.0, caplog)
    assert "GIVES 15.0 FRAMES A SECOND; it announces 60" in warning


@pytest.mark.parametrize(("fps", "asked", "seconds"), [(58.0, 60.0, 3.0), (30.0, None, 3.0), (15.0, 60.0, 1.9)])
def test_a_rate_that_is_right_or_not_yet_known_is_no_warning(
    fps: float, asked: float | None, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    info = SourceInfo("cam", 640, 480, asked and fps, None, live=True, asked_fps=asked)
    assert warnings_of(info, fps, caplog, seconds) == []


@pytest.mark.parametrize("at", [1, 10, 50], ids=["after the first frame", "early", "late"])
@pytest.mark.parametrize("burst", [False, True], ids=["", "with a burst of what it held up"])
def test_a_rate_is_not_judged_across_a_stall(at: int, burst: bool, caplog: pytest.LogCaptureFixture) -> None:
    info = SourceInfo("cam", 640, 480, 30.0, None, live=True)
    before = [i * S // 30 for i in range(at)]
    goes_on_ns = before[-1] + 3 * S
    held_up = [goes_on_ns + i * MS for i in range(90)] if burst else []
    after = [goes_on_ns + S // 10 + i * S // 30 for i in range(120)]
    assert warnings_at(info, before + held_up + after, caplog) == []


def test_a_source_that_is_slow_all_the_time_does_not_pass_for_one_that_stalls(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = warnings_of(SourceInfo("cam", 640, 480, 30.0, None, live=True), 1.0, caplog, seconds=12)
    assert "GIVES 1.0 FRAMES A SECOND; it announces 30" in warning


def test_what_waits_at_the_start_is_old() -> None:
    fresh = StalenessFilter(30.0)
    assert [fresh.is_stale(i * MS, 100_000) for i in range(5)] == [True] * 5
    assert not fresh.is_stale(35 * MS, 30 * MS)
    assert not fresh.is_stale(36 * MS, 1 * MS), "a frame that comes early is no old one"


def test_what_a_stall_has_held_up_is_old() -> None:
    fresh = StalenessFilter(30.0)
    assert not fresh.is_stale(0, 30 * MS)
    assert not fresh.is_stale(33 * MS, 30 * MS)
    assert not fresh.is_stale(900 * MS, 860 * MS), "a hiccup loses nothing"
    assert fresh.is_stale(2500 * MS, 1600 * MS)
    assert fresh.is_stale(2501 * MS, MS)
    assert not fresh.is_stale(2530 * MS, 29 * MS)


def test_a_slow_stream_does_not_stall_all_the_time() -> None:
    fresh = StalenessFilter(0.5)
    assert not any(fresh.is_stale(i * 2 * S, 2 * S) for i in range(1, 10))


def test_by_the_streams_own_clock_a_frame_may_be_old_though_it_was_waited_for() -> None:
    fresh = StalenessFilter(30.0)
    assert not fresh.is_stale(100 * MS, 33 * MS, 0)
    assert fresh.is_stale(3000 * MS, 2900 * MS, 33 * MS)
    assert fresh.is_stale(3030 * MS, 30 * MS, 66 * MS)
    assert not fresh.is_stale(3060 * MS, 30 * MS, 2960 * MS)


def test_a_burst_that_pauses_is_still_a_burst() -> None:
    """As a server's that keeps half a second: the network paused for 12 ms within it."""
    fresh = StalenessFilter(30.0)
    came = [0, 1, 2, 3, 15, 16, 17, 50, 83, 116]
    waited = [0, 0, 0, 0, 12, 0, 0, 33, 33, 33]
    old = [
        fresh.is_stale(at * MS, wait * MS, i * 33 * MS) for i, (at, wait) in enumerate(zip(came, waited, strict=True))
    ]
    assert old == [True] * 8 + [False] * 2


def test_frames_are_not_old_for_ever() -> None:
    """A sender whose clock has stood still, or frames that are never waited for: after two seconds they count."""
    fresh = StalenessFilter(30.0)
    assert fresh.is_stale(0, 0)
    assert fresh.is_stale(1999 * MS, 0)
    assert [fresh.is_stale(5000 * MS + i * 500 * MS, 0) for i in range(6)] == [True] * 4 + [False] * 2


def test_frame_time_is_the_streams_own() -> None:
    clock = FrameClock()
    times = [clock.frame_time_ns(1_000 * S + i * 33 * MS, 5 * S + i * 33 * MS + i % 3 * 10 * MS) for i in range(50)]
    assert times == [i * 33 * MS for i in range(50)]


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(lambda i: None, id="no clock"),
        pytest.param(lambda i: 7, id="a clock that stands still"),
        pytest.param(lambda i: -i * 40 * MS, id="a clock that goes back"),
        pytest.param(lambda i: i * 80 * MS, id="a clock twice as fast"),
    ],
)
def test_frame_time_is_when_it_came_where_the_clock_is_none(own: Any) -> None:
    clock = FrameClock()
    times = [clock.frame_time_ns(own(i), 5 * S + i * 40 * MS) for i in range(100)]
    assert times[-1] == 99 * 40 * MS
    assert all(a < b for a, b in pairwise(times))


def test_a_clock_that_drifts_is_followed() -> None:
    """200 ppm for ten hours: seven seconds apart in the end."""
    clock = FrameClock()
    for minute in range(600):
        own_ns = round(minute * 60 * S * 1.0002)
        assert clock.frame_time_ns(own_ns, minute * 60 * S) == own_ns


def test_test_pictures_are_a_camera(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = make_settings(tmp_path, source="lavfi:testsrc2=size=160x120:rate=60", frames=150, camera_fps=100)
    pipeline = run_to_end(settings)
    check_complete(pipeline.folder)
    assert pipeline.info.live
    assert pipeline.notes[0] == "lavfi:testsrc2=size=160x120:rate=60 gives 160x120 yuv420p at 60 fps"
    assert pipeline.summary["problems"] == []
    assert any("FRAMES A SECOND; asked for 100" in record.getMessage() for record in caplog.records)


def test_a_graph_that_ffmpeg_does_not_know_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"lavfi:nonsense cannot be opened: .*expected a filter graph"):
        open_source("lavfi:nonsense")


class Flaky:
    """A live source of a few frames, which then breaks off."""

    def __init__(self, frames: int = 3, size: tuple[int, int] = (8, 6)) -> None:
        self.info = SourceInfo("flaky", *size, None, None, live=True)
        self._frames, self.closed = frames, 0

    def frames(self) -> Iterator[CapturedFrame]:
        for index in range(self._frames):
            yield CapturedFrame(index * MS, None, self.info.width, self.info.height, lambda out: out.fill(200))
        raise SourceError("unplugged")

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        self.closed += 1


@pytest.mark.slow
def test_time_goes_on_over_a_break_and_the_segment_counts() -> None:
    cameras = [Flaky(), Flaky(), Flaky()]
    rest = iter(cameras[1:])
    stop = Event()
    frames = list(islice(ReconnectingSource(cameras[0], lambda: next(rest), ReconnectPolicy(), stop).frames(), 9))
    assert [c.segment for c in frames] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert all(a.pts_ns < b.pts_ns for a, b in pairwise(frames))
    assert [s.closed for s in cameras] == [1, 1, 0]


def test_the_limit_ends_it_and_says_how_long_it_was_gone() -> None:
    def refuse() -> Flaky:
        raise SourceError("no such camera")

    source = ReconnectingSource(Flaky(), refuse, ReconnectPolicy(give_up_after_s=0.2), Event())
    with pytest.raises(SourceError, match=r"flaky has been gone for 0 s \(no such camera\); giving up"):
        list(source.frames())


def test_frames_of_another_size_are_scaled_where_that_is_wanted() -> None:
    for adapt, expected in ((True, (8, 6)), (False, (16, 12))):
        source = ReconnectingSource(Flaky(), lambda: Flaky(size=(16, 12)), ReconnectPolicy(adapt=adapt), Event())
        last = list(islice(source.frames(), 4))[-1]
        assert (last.width, last.height) == expected
        out = np.zeros((last.height, last.width, 3), np.uint8)
        last.copy_to(out)
        assert (out == 200).all()


def test_stop_ends_it_while_it_waits_to_come_back() -> None:
    stop = Event()

    def refuse() -> Flaky:
        stop.set()
        raise SourceError("no such camera")

    assert len(list(ReconnectingSource(Flaky(), refuse, ReconnectPolicy(), stop).frames())) == 3


class Ticking(Flaky):
    """Frames for ever, as fast as they are taken, each of which says its number."""

    taken = 0

    def frames(self) -> Iterator[CapturedFrame]:
        while True:
            number = Ticking.taken = Ticking.taken + 1
            time.sleep(0.002)
            yield CapturedFrame(number * MS, None, 8, 6, lambda out, n=number: out.fill(n % 256))


def test_frames_that_come_while_models_load_are_thrown_away_and_the_first_after_is_the_first() -> None:
    Ticking.taken = 0
    control = RunControl()
    capture = CaptureStage(Ticking, control, CaptureOptions(realtime=True, frames=5))
    capture.start()
    capture.wait_open()
    wait_for(lambda: Ticking.taken > 50, "frames that nobody wants")
    ring = Ring(8, 6, 8)
    reader = OrderedReader(ring, None)
    taken = Ticking.taken
    capture.begin(ring)
    lease = wait_for(lambda: reader.take(0.1), "a frame")
    assert (lease.frame.stamp.index, lease.frame.stamp.pts_ns) == (0, 0)
    assert Ticking.taken >= taken > 50
    lease.release()
    capture.join(LONG_S)
    assert control.error is None
    assert capture.seconds() > 0


def test_a_source_given_up_before_there_is_a_ring_ends_the_readers_all_the_same() -> None:
    opened = iter([Flaky()])

    def open_once() -> Flaky:
        source = next(opened, None)
        if source is None:
            raise SourceError("no such camera")
        return source

    control = RunControl()
    capture = CaptureStage(
        open_once, control, CaptureOptions(realtime=True, reconnect=ReconnectPolicy(give_up_after_s=0.05))
    )
    capture.start()
    capture.join(LONG_S)
    ring = Ring(8, 6, 8)
    reader = OrderedReader(ring, None)
    capture.begin(ring)
    with pytest.raises(EndOfStream):
        reader.take(1.0)
    assert "giving up" in str(control.error)

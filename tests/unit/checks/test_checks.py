"""``cropzoom check``: each thing that is wrong makes its line red, and no other; and nothing is left behind."""

from __future__ import annotations

import itertools
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zmq
from support.dark_animals import write_dark_animals
from support.pipelines import Film, at_least, cropzoom, free_port, hold_models, make_settings, tiny_models
from support.several import ANIMALS, BOXES, REGIONS

from realtime_cropzoom.checks.checks import CheckResult, check
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.types import UInt8

ARENA = "synthetic:arena,size=160x120,fps=30,seconds=2"
SHORT_S = 0.2
"""Long enough to measure a rate by, where nobody is to be convinced."""


@pytest.fixture(autouse=True)
def _plenty_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has: only the test of it is about that."""
    monkeypatch.setattr("realtime_cropzoom.checks.machine.usable_cores", lambda: 8)


@pytest.fixture(autouse=True)
def _brief_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of models and disk, too: what is wrong here is wrong by far."""
    monkeypatch.setattr("realtime_cropzoom.checks.models._RUNS", (3, 5))
    monkeypatch.setattr("realtime_cropzoom.checks.machine._TRIAL_BYTES", 1 << 20)


class Wrong:
    """One camera whose settings are fine, and whatever a test makes wrong with it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, monkeypatch
        self.chosen: dict[str, Any] = {"source": ARENA}
        self.hours = 1.0

    def lines(self) -> list[CheckResult]:
        settings = make_settings(self.folder, **self.chosen)
        before = sorted(self.folder.rglob("*"))
        lines = list(check({"cam0": settings}, hours=self.hours, measure_s=SHORT_S))
        assert sorted(self.folder.rglob("*")) == before, "something was left behind"
        return lines


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wrong:
    return Wrong(tmp_path, monkeypatch)


class LiveFilm(Film):
    """A camera, or a recording, that announces 100 frames a second and gives ``fps`` of them."""

    def __init__(self, fps: float, frames: int = 10**6, *, live: bool = True) -> None:
        super().__init__(frames, fps)
        self.info = SourceInfo("film", 160, 96, 100.0, None, live=live)
        self._frames, self._interval_s = frames, 1 / fps

    def frames(self) -> Iterator[CapturedFrame]:
        image = self.draw(0)
        for index in range(self._frames):
            time.sleep(self._interval_s)
            yield CapturedFrame(index * 10**7, None, 160, 96, partial(_copy, image))


def _copy(image: UInt8, out: UInt8) -> None:
    np.copyto(out, image)


def film(wrong: Wrong, **options: Any) -> None:
    wrong.patch.setattr("realtime_cropzoom.checks.source.open_source", lambda *_: LiveFilm(**options))


def hang(wrong: Wrong) -> None:
    never = threading.Event()
    wrong.patch.setattr("realtime_cropzoom.checks.source.open_source", lambda *_: never.wait(5))
    wrong.chosen |= {"open_timeout_s": 0.1, "read_timeout_s": 0.1}


def choose(wrong: Wrong, **settings: Any) -> None:
    wrong.chosen |= {name: v.format(folder=wrong.folder) if isinstance(v, str) else v for name, v in settings.items()}


def hold(wrong: Wrong, role: str, seconds: float) -> None:
    hold_models(wrong.patch, **{role: at_least(seconds)})


def slow_for_four(wrong: Wrong) -> None:
    """One pose is quick enough; a frame has four."""
    hold(wrong, "pose", 0.01)
    cores(wrong, 8)
    parts = itertools.product((0, 80), (0, 60))
    choose(wrong, regions={f"box{n}": {"rectangle_px": [x, y, 80, 60]} for n, (x, y) in enumerate(parts)})


def swapped(wrong: Wrong) -> None:
    wrong.chosen["detector"] = tiny_models(wrong.folder / "models")["pose"]


def below_a_file(wrong: Wrong) -> None:
    (wrong.folder / "file").touch()
    wrong.chosen["out"] = wrong.folder / "file" / "sessions"


def step_the_clock(wrong: Wrong) -> None:
    wrong.patch.setattr("realtime_cropzoom.checks.machine.unix_offset_ns", lambda: time.time_ns())


def encode_slowly(wrong: Wrong) -> None:
    wrong.patch.setattr("realtime_cropzoom.checks.recording._time_encoder", lambda *_: (50.0, 1000.0))
    wrong.chosen["record"] = "ffv1"


def cores(wrong: Wrong, there: int) -> None:
    wrong.patch.setattr("realtime_cropzoom.checks.machine.usable_cores", lambda: there)


def too_much_to_record(wrong: Wrong) -> None:
    """Fast enough for a thread of its own, but there is none."""
    cores(wrong, 1)
    wrong.patch.setattr("realtime_cropzoom.checks.recording._time_encoder", lambda *_: (29.0, 1000.0))
    hold(wrong, "detector", 0.03)
    choose(wrong, record="h264")


def slow_disk(wrong: Wrong) -> None:
    wrong.patch.setattr("realtime_cropzoom.checks.machine._write_speed", lambda _: 100.0)


def for_ages(wrong: Wrong) -> None:
    wrong.hours = 9e5


KINDS: dict[str, tuple[Callable[[Wrong], None], str, str]] = {
    "no source": (partial(choose, source="{folder}/none.mp4"), "source", "no video at .*none.mp4"),
    "a slow camera": (
        partial(film, fps=30),
        "source",
        "gives [123].* per second, 100 expected; shorten the expos",
    ),
    "a camera that gives nothing": (partial(film, fps=30, frames=0), "source", "opens, but no frame comes"),
    "a camera that hangs": (hang, "source", "did not answer within 2 s; check the cable"),
    "a recording too large to read": (partial(film, fps=30, live=False), "source", "100 expected; this machine cannot"),
    "no pose model": (partial(choose, pose="{folder}/none.onnx"), "pose", "no pose model at"),
    "no detector": (partial(choose, detector="{folder}/none.onnx"), "detector", "no detector model at"),
    "models swapped": (swapped, "detector", "is a pose model.*swap"),
    "a slow pose model": (partial(hold, role="pose", seconds=0.04), "speed", "frames will be skipped; take a smaller"),
    "a pose model too slow for four": (slow_for_four, "speed", "those of 4 animals .* ms, .*frames will be skipped"),
    "a slow detector": (partial(hold, role="detector", seconds=0.26), "speed", "the state will never be tracking"),
    "no such keypoint": (partial(choose, anchor_keypoints="nose"), "box", "the detector has no nose; it has middle"),
    "a box beyond the frame": (partial(choose, crop_size=4000), "box", "crop_size is 4000, but frames are 160x120"),
    "no schedule": (partial(choose, schedule="{folder}/none.csv"), "schedule", "cannot read the schedule"),
    "an endpoint that is none": (
        partial(choose, publish="tcp://nowhere0:5660", insecure=True),
        "endpoints",
        "nowhere0:5660 cannot be bound",
    ),
    "orders at a bare port": (
        partial(choose, control="tcp://127.0.0.1:5690"),
        "orders",
        "a web page or another user could give orders; leave out --control",
    ),
    "an output below a file": (below_a_file, "output", "file is a file; give a folder"),
    "too long for the disk": (for_ages, "disk", "for 900000 h, .* free.*; free some space"),
    "a slow disk": (slow_disk, "disk", "per second are needed; give a faster disk"),
    "a slow encoder": (encode_slowly, "recording", "too slow for 30 frames per second; record h264"),
    "too few cores": (partial(cores, there=0), "cores", "of 0 cores busy; frames will be skipped"),
    "too few cores to record": (too_much_to_record, "cores", "reading, models and recording keep [12].* of 1 cores"),
    "a clock that is set meanwhile": (step_the_clock, "clock", "the wall clock jumped by .* s during the check"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_line_of_the_problem_is_red(wrong: Wrong, kind: str) -> None:
    make_wrong, red, words = KINDS[kind]
    make_wrong(wrong)
    (line,) = [line for line in wrong.lines() if not line.ok]
    assert line.check == red
    assert re.search(words, line.text), line.text
    assert line.camera == ("cam0" if red not in ("output", "disk", "cores", "clock") else None)


def test_a_port_in_use_is_red_unless_publishing_is_optional(wrong: Wrong) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        wrong.chosen |= {"publish": f"tcp://127.0.0.1:{port}", "publish_latest": f"tcp://127.0.0.1:{free_port()}"}
        (line,) = [line for line in wrong.lines() if not line.ok]
        assert line.check == "endpoints"
        assert f"{port} is in use, perhaps by another run; end it, or give another" in line.text
        wrong.chosen["publish_optional"] = True
        assert all(line.ok for line in wrong.lines())


def test_a_port_of_the_clock_echo_in_use_is_red(wrong: Wrong) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as other:
        endpoint = f"tcp://127.0.0.1:{other.bind_to_random_port('tcp://127.0.0.1')}"
        wrong.chosen |= {"publish": "tcp://127.0.0.1:*", "publish_latest": "none", "publish_echo": endpoint}
        (line,) = [line for line in wrong.lines() if not line.ok]
        assert f"{endpoint} is in use, perhaps by another run; end it, or give another with --publish-echo" in line.text


def test_all_lines_are_green_for_a_camera_at_its_announced_rate(wrong: Wrong) -> None:
    film(wrong, fps=30)
    wrong.chosen |= {"camera_fps": 10, "record": "h264", "record_crops": True}
    lines = {line.check: line for line in wrong.lines()}
    assert [line.text for line in lines.values() if not line.ok] == []
    assert list(lines) == [
        *("source", "pose", "detector", "speed", "animal", "recording", "endpoints", "orders"),
        *("output", "disk", "cores", "clock"),
    ]
    assert lines["source"].values["wanted_fps"] == 10
    assert lines["pose"].values["provider"] == "cpu"
    assert float(lines["disk"].values["bytes_a_second"] or 0) > 1000


@pytest.mark.parametrize("crops", [False, True])
def test_a_copied_stream_needs_disk_space_but_no_encoder(
    wrong: Wrong, make_video: Callable[..., Path], crops: bool
) -> None:
    played = make_video("clip.avi", frames=60, codec="mjpeg", pix_fmt="yuvj420p")
    wrong.chosen |= {"source": str(played), "record": "copy", "record_crops": crops}
    lines = {line.check: line for line in wrong.lines()}
    assert [line.text for line in lines.values() if not line.ok] == []
    assert ("crops as h264" if crops else "compressed frames are copied") in lines["recording"].text
    copied = 30 * played.stat().st_size / 60
    assert copied / 2 < float(lines["disk"].values["bytes_a_second"] or 0) < copied * (4 if crops else 1.5)


def test_a_stream_that_cannot_be_copied(wrong: Wrong) -> None:
    wrong.chosen["record"] = "copy"
    (line,) = [line for line in wrong.lines() if not line.ok]
    assert (line.check, "--record h264" in line.text) == ("recording", True)


@pytest.mark.slow
def test_a_lockstep_run_needs_no_frame_rate(wrong: Wrong) -> None:
    wrong.chosen["pace"] = "fast"
    hold(wrong, "pose", 0.04)
    assert all(line.ok for line in wrong.lines())
    film(wrong, fps=30)
    (line,) = [line for line in wrong.lines() if not line.ok]
    assert "pace fast is for recordings" in line.text


class Busy(LiveFilm):
    """A camera whose frames keep the core that reads them busy for most of the time between two."""

    def frames(self) -> Iterator[CapturedFrame]:
        for captured in super().frames():
            until = time.thread_time() + 0.02
            while time.thread_time() < until:
                pass
            yield captured


def test_reading_frames_counts_as_busy_cores(wrong: Wrong) -> None:
    wrong.patch.setattr("realtime_cropzoom.checks.source.open_source", lambda *_: Busy(fps=1000))
    wrong.chosen["camera_fps"] = 10
    (line,) = [line for line in wrong.lines() if line.check == "cores"]
    assert float(line.values["needed"] or 0) > 0.1, "where the tiny models take a hundredth"


def two_cameras(folder: Path, **of_side: Any) -> Path:
    ports = [free_port() for _ in range(4)]
    cameras = {
        name: {"source": f"{ARENA},seed={i}", "publish": f"tcp://127.0.0.1:{ports[2 * i]}",
               "publish_latest": f"tcp://127.0.0.1:{ports[2 * i + 1]}"}
        for i, name in enumerate(("top", "side"))
    }  # fmt: skip
    cameras["side"] |= of_side
    path = folder / "two.yaml"
    path.write_text(
        yaml.safe_dump(
            {**tiny_models(folder / "models"), "pose_min_likelihood": 0, "out": str(folder / "out"), "cameras": cameras}
        )
    )
    return path


def test_two_cameras_have_one_line_each_and_no_files_remain(tmp_path: Path) -> None:
    config = two_cameras(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = cropzoom("check", config, "--hours", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.startswith("Next: ")
    assert done.stderr.endswith(f"cropzoom run --config {config}\n")
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * 7 + 4
    assert all(line.startswith("ok    ") for line in lines)
    assert [sum(f"  {name}  " in line for line in lines) for name in ("top     ", "side    ")] == [7, 7]
    assert " for 2 h, " in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_one_red_line_is_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = two_cameras(tmp_path, publish=f"tcp://127.0.0.1:{other.getsockname()[1]}")
        assert main(["check", str(config), "--json"]) == 2
    printed = json.loads(capfd.readouterr().out)
    assert not printed["ok"]
    assert [(line["camera"], line["check"]) for line in printed["lines"] if not line["ok"]] == [("side", "endpoints")]
    assert {line["wanted_fps"] for line in printed["lines"] if line["check"] == "source"} == {30.0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["none.yaml"], "cannot read the config file none.yaml", id="no config"),
        pytest.param([], "got no source", id="nothing"),
        pytest.param([ARENA, "--crop-size", "0", "--edge", "wrap"], "crop_size: got '0'", id="two bad settings"),
        pytest.param([ARENA, "--hours", "long"], "hours: got 'long'", id="no hours"),
        pytest.param(["a.yaml", "--config", "b.yaml"], "got two config files", id="two configs"),
    ],
)
def test_wrong_settings_are_red_lines(
    arguments: list[str], words: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["check", *arguments]) == 2
    shown = capfd.readouterr().out
    assert max(len(line.replace("\x1b[31m", "").replace("\x1b[0m", "")) for line in shown.splitlines()) <= 80
    assert shown.count("\x1b[31mFAIL\x1b[0m  config     ") == (2 if "wrap" in arguments else 1)
    assert shown.startswith("\x1b[31mFAIL\x1b[0m  config     ")
    assert words in " ".join(shown.split())


def line_about(wrong: Wrong, what: str) -> CheckResult:
    (line,) = [line for line in wrong.lines() if line.check == what]
    return line


def test_the_animal_of_each_region_is_looked_for_in_it_and_an_empty_box_is_no_fault(wrong: Wrong) -> None:
    """In the whole frame, the models of one animal see none: a frame of eight boxes is no frame of a mouse."""
    shipped = {"detector": "shipped", "pose": "shipped"}
    wrong.chosen |= {"source": BOXES, "regions": REGIONS, "crop_size": 60, **shipped}
    line = line_about(wrong, "animal")
    assert line.ok, line.text
    assert "by region: box1 100 %, box2 100 %, box3 never" in line.text
    wrong.chosen["source"] = BOXES.replace("empty=1", "empty=3")
    line = line_about(wrong, "animal")
    assert not line.ok
    assert "The animal was found in no frame" in line.text


def test_each_region_has_rows_on_the_disk(wrong: Wrong) -> None:
    wrong.chosen |= {"source": BOXES, "crop_size": 60}
    alone = float(line_about(wrong, "disk").values["bytes_a_second"] or 0)
    wrong.chosen["regions"] = REGIONS
    assert line_about(wrong, "disk").values["bytes_a_second"] == len(REGIONS) * alone > 0


def test_regions_that_the_run_refuses_are_red(wrong: Wrong) -> None:
    wrong.chosen |= {"source": BOXES, "regions": REGIONS, "crop_size": 400}
    assert "regions.box1: got 160x120 pixels, expected sides of at least 200" in line_about(wrong, "box").text


def test_each_of_several_animals_is_looked_for(wrong: Wrong) -> None:
    pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")
    detector = write_dark_animals(wrong.folder / "dark_animals.onnx", 24)
    wrong.chosen |= {"source": ANIMALS, "animals": 2, "detector": str(detector), "pose": "shipped", "crop_size": 120}
    line = line_about(wrong, "animal")
    assert line.ok, line.text
    assert "at most 2 of 2 animals found in one frame" in line.text
    assert 50 < float(line.values["length_px"] or 0) < 70, "of one animal, and not of two"

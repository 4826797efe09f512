"""``cropzoom quantize``: the report, and errors before any frame is decoded."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from support.offline_fixtures import Workplace

from realtime_cropzoom.offline import quantization
from realtime_cropzoom.offline.quantization import Speed


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.setattr(quantization, "_measure_speed", lambda *_: Speed(3.0, 1.0))
    return Workplace(tmp_path, capfd)


def test_the_report_fits_a_terminal_and_names_the_next_command(
    make_model: Callable[..., Path], work: Workplace
) -> None:
    done = work.did("quantize", make_model("detector"), "--calibrate", work.video(frames=40), "--max-shift", "1000")
    lines = done.out.splitlines()
    assert lines[0] == "calibrated on 20 frames; compared with fp32 on 20 others"
    assert [line.split()[0] for line in lines[2:6]] == ["middle", "right", "low", "all"]
    assert lines[-2] == "network alone, one thread: 3.0 ms fp32, 1.0 ms int8 (3.0 times as fast)"
    assert lines[-1].endswith("detector_int8.onnx")
    assert max(map(len, lines[:-1])) <= 80
    assert "--detector" in done.err
    assert "--precision int8" in done.err


def next_command(err: str) -> list[str]:
    (line,) = (line for line in err.splitlines() if line.startswith("Next: "))
    return shlex.split(line.partition("cropzoom ")[2])


def test_the_next_command_runs_what_was_made_with_the_detector_and_box_given(
    make_model: Callable[..., Path], work: Workplace
) -> None:
    pose, detector, video = make_model("pose"), make_model("detector"), work.video(frames=40)
    given = ["quantize", pose, "--calibrate", video, "--detector", detector, "--crop-size", 64, "--max-shift", "1000"]
    done = work.did(*given)
    assert [line for line in done.err.splitlines() if not line.startswith("Next")] == [
        "reading 200 frames",
        "calibrating on 20 frames",
        "comparing with fp32 on 20 other frames",
        "measuring the time of both networks",
    ]
    made = pose.with_name("pose_int8.onnx")
    boxes = ["--detector", str(detector), "--pose", str(made), "--crop-size", "64"]
    assert next_command(done.err) == ["run", "VIDEO", *boxes]
    work.did(
        "run", video, *next_command(done.err)[2:], "--pace", "fast", "--publish", "none", "--out", work.folder / "s"
    )
    work.did("quantize", detector, "--calibrate", video, "--max-shift", "1000")
    both = ["--detector", str(detector), "--pose", str(pose), "--crop-size", "64", "--precision", "int8"]
    assert next_command(work.did(*given, "--overwrite").err) == ["run", "VIDEO", *both]


def test_what_is_there_is_replaced_only_when_asked(make_model: Callable[..., Path], work: Workplace) -> None:
    given = ["quantize", make_model("detector"), "--calibrate", work.video(frames=40), "--max-shift", "1000"]
    work.did(*given)
    assert "detector_int8.onnx exists already; add --overwrite" in work.refused(*given)
    work.did(*given, "--overwrite")


def test_a_pose_model_needs_its_detector(make_model: Callable[..., Path], work: Workplace) -> None:
    pose, video = make_model("pose"), work.video()
    said = work.refused("quantize", pose, "--calibrate", video)
    assert "is a pose model, which sees crops; give the detector that makes them: --detector MODEL" in said
    said = work.refused("quantize", pose, "--calibrate", video, "--detector", "shipped")
    assert "does not say the size of the boxes of its training; give --crop-size" in said


def test_wrong_inputs_are_one_line(make_model: Callable[..., Path], work: Workplace) -> None:
    detector = make_model("detector")
    assert "no file at" in work.refused("quantize", detector, "--calibrate", work.folder / "none.mp4")
    assert "--calibrate is missing" in work.refused("quantize", detector)
    assert "no model at" in work.refused("quantize", work.folder / "none", "--calibrate", work.video())

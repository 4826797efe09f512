"""What does not serve several animals is refused: one line, exit code 2, and nothing is left behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from support.dark_animals import write_dark_animals
from support.pipelines import ANY_PORT, Film, tiny_models, write_video

from realtime_cropzoom.cli.main import main

pytest.importorskip("scipy", reason="several animals need scipy, of the extra animals")

SPEC = "synthetic:arena,animals=2,size=320x240,seconds=2"
RULES = """\
zones: {{left: {{rectangle_px: [0, 0, 160, 240]}}}}
outputs: {{laser: {{zmq_publish: "tcp://127.0.0.1:*"}}}}
rules: {{r: {{when: {when}, fire: laser, pulse_ms: 5, {keys}}}}}
"""


class Files(NamedTuple):
    """What the commands are given."""

    folder: Path
    detector: Path
    """One that finds several animals."""
    pose: str
    context: str
    """A pose model that sees five frames."""
    video: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("animals")
    models = tiny_models(folder / "models")
    context = tiny_models(folder / "context", pose="heatmap_mhcrnn")
    (folder / "boxes.yaml").write_text("regions: {a: {rectangle_px: [0, 0, 160, 240]}}\n")
    (folder / "two.yaml").write_text("animals: 2\n")
    (folder / "some_bbox.csv").write_text("")
    video = write_video(folder / "film.mp4", Film(5))
    return Files(folder, write_dark_animals(folder / "dark.onnx", 24), models["pose"], context["pose"], video)


def refused(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    """Run a command that must be refused; return its line."""
    assert main([str(part) for part in command]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def run_of(files: Files, out: Path, *further: object) -> list[object]:
    return [
        *("run", SPEC, "--animals", 2, "--detector", files.detector, "--pose", files.pose, "--crop-size", 120),
        *("--frames", 5, "--out", out, "--publish", ANY_PORT, "--publish-latest", "none", "--control", "none"),
        *further,
    ]


NOT_FOR_SEVERAL = [
    (["--pose", "{context}"], "animals is 2, but a context model sees five frames of one animal; give another"),
    (["--detector", "shipped"], "animals is 2, but the detector"),
    (["--detector", "none"], "animals is 2, but there is no detector; expected one that finds each of them"),
    (["--regions", "{folder}/boxes.yaml"], "animals is 2, and regions are set: a region holds one animal"),
    (["--schedule", "{folder}/some_bbox.csv"], "animals is 2, and schedule is"),
    (["--box-from", "pose"], "animals is 2, and box_from is pose, which could follow another animal"),
    (["--record-crops"], "animals is 2, and record_crops is set, which records the crops of one"),
    (["--animals", "0"], "animals: got '0', expected 1 or more"),
    (["--animals", "17"], "animals: got '17', expected 16 or less"),
    (["--animals", "two"], "animals: got 'two', expected"),
]


def filled(files: Files, options: list[str]) -> list[str]:
    return [option.format(context=files.context, folder=files.folder) for option in options]


@pytest.mark.parametrize(("options", "said"), NOT_FOR_SEVERAL, ids=lambda value: " ".join(value)[:40])
def test_run_refuses_what_is_for_one_animal(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert said in refused(capsys, *run_of(files, tmp_path / "out", *filled(files, options)))
    assert not list(tmp_path.glob("out/*")), "no session is begun"


@pytest.mark.parametrize(("options", "said"), NOT_FOR_SEVERAL, ids=lambda value: " ".join(value)[:40])
def test_check_refuses_what_run_refuses(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    command = ["check", SPEC, "--animals", 2, "--detector", files.detector, "--pose", files.pose, "--crop-size", 120]
    further = ["--out", tmp_path / "out", "--publish", ANY_PORT, "--publish-latest", "none", "--control", "none"]
    assert main([str(part) for part in (*command, *further, *filled(files, options))]) == 2
    printed = capsys.readouterr()
    (line,) = [line for line in (printed.out + printed.err).splitlines() if said in line]
    assert line.startswith("FAIL") or line.startswith("cropzoom: ")


def test_several_animals_without_scipy_say_what_to_install(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    said = refused(capsys, *run_of(files, tmp_path / "out"))
    assert "several animals: scipy is not installed" in said
    assert not list(tmp_path.glob("out/*"))


def test_pipeline_refuses_several_animals(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    models = ["--detector", files.detector, "--pose", files.pose]
    command = ["pipeline", files.video, *models, "--config", files.folder / "two.yaml", "--out", out]
    assert main([str(part) for part in command]) == 2
    *_, line = capsys.readouterr().err.splitlines()  # the others say which models run
    assert "animals is 2: pipeline tracks one; expected 1. Use: cropzoom run VIDEO --pace fast" in line
    assert not out.exists()


@pytest.mark.parametrize("command", ["pipeline", "predict", "bench", "demo", "doctor", "latency", "draw"])
def test_commands_for_one_animal_have_no_such_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{command} has no --animals" in refused(capsys, command, "x", "--animals", 2)


@pytest.mark.parametrize(
    ("when", "keys", "said"),
    [
        ("{inside: left, keypoint: snout}", "animal: any", "rules.r: says animal: any, but the run follows one"),
        ("{inside: left, keypoint: snout}", "animal: all", "rules.r: says animal: all, but the run follows one"),
        (
            "{inside: left, keypoint: snout}",
            "animal: both",
            "but expected any, all, or a number from 1 to 16",
        ),
        ("{inside: left, keypoint: snout}", "animal: 0", "but expected any, all, or a number from 1 to 16"),
        ("{inside: left, keypoint: snout}", "animal: true", "expected any, all, or a number from 1 to 16"),
        (
            "{distance_between_animals_px: [snout, snout], below: 9}",
            "repeat: false",
            "rules.r: has distance_between_animals_px, but the run follows one animal",
        ),
        ("{distance_between_animals_px: [snout, [1, 2]], below: 9}", "animal: any", "distance_between_animals_px"),
        (
            "{distance_between_animals_px: [snout, snout], below: 0}",
            "animal: any",
            "never holds: there is nothing below 0",
        ),
        ("{distance_between_animals_cm: [snout, snout], below: 9}", "animal: any", "needs a calibration"),
    ],
)
def test_rules_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], when: str, keys: str, said: str
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES.format(when=when, keys=keys))
    poses = tmp_path / "poses.csv"
    poses.write_text("scorer,m,m,m\nbodyparts,snout,snout,snout\ncoords,x,y,likelihood\n0,1.0,2.0,0.9\n1,1.0,2.0,0.9\n")
    (tmp_path / "poses_timing.csv").write_text(
        "frame,outcome,seq,pts_ns,device_ns,captured_ns,box_frame,detected_ns,cropped_ns,inferred_ns,published_ns,segment,"
        "plausible\n0,processed,0,0,,1,0,1,1,1,2,0,yes\n1,processed,1,33000000,,33000001,0,1,1,1,33000002,0,yes\n"
    )
    assert said in refused(capsys, "trigger", tmp_path / "rules.yaml", "--replay", poses, "--log", tmp_path / "log")
    assert not (tmp_path / "log").exists()

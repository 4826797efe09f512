"""Training of a project, as users run it: one command that can be killed, and never costs a finished model."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.judged_projects import make_project, put_model, write_frames, write_labels

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.project_messages import Progress
from realtime_cropzoom.train.project_training import ProjectReport, train_project
from realtime_cropzoom.train.training_state import TrainingFolder, read_split, write_split

NAMES = ("nose", "ear_l", "ear_r")
PROJECT_FILE = """
keypoints: [nose, ear_l, ear_r]
skeleton: [[nose, ear_l], [nose, ear_r]]
symmetric: [[ear_l, ear_r]]
training: {minutes: 0.1, crop_size: 48, detector_input: 64, pose_input: 64}
"""


def dotted_frame(i: int) -> LabelledFrame:
    """A small picture of a bright animal with three dots."""
    rng = np.random.default_rng(i)
    angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(24, 56, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    xy = (place + np.array([[10, 0], [-8, 6], [-8, -6]]) @ turn.T).astype(np.float32)
    image = np.full((80, 96, 3), 40, np.uint8)
    for point, colour in zip(xy, ((250, 60, 60), (60, 250, 60), (60, 60, 250)), strict=True):
        cv2.circle(image, [int(v) for v in point], 4, colour, -1)
    return LabelledFrame("", image, xy)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "my rat"
    folder.mkdir()
    (folder / "project.yaml").write_text(PROJECT_FILE)
    add_frames(folder, 16)
    return load_project(folder)


def add_frames(folder: Path, count: int) -> None:
    images = [f"frames/day {i % 4}/img{100 * i:08d}.png" for i in range(count)]
    frames = [dotted_frame(i) for i in range(count)]
    write_frames(folder, images, frames)
    write_labels(folder / "labels/CollectedData.csv", images, frames, NAMES)


def begin(project: Project) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own, as a shell does."""
    command = [sys.executable, "-m", "realtime_cropzoom", "train", str(project.folder)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(condition: object, seconds: float = 100) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def workers(project: Project) -> list[int]:
    """Processes that train models of a project."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"realtime_cropzoom.train.project_worker" in words and str(project.folder).encode() in words:
            found.append(int(entry.name))
    return found


needs_torch = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "onnx", "onnxscript")),
    reason="torch, onnx or onnxscript is not installed: training needs the train extra",
)


@needs_torch
@pytest.mark.slow
def test_one_command_trains_judges_and_says_what_comes_next(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(project.folder)]) == 0
    out, err = capfd.readouterr()
    assert "the animal is 19 px long (" in err
    assert "held out to measure the error: the whole of day " in err
    assert "training 100%" in err or "training 9" in err
    assert f"models: {project.detector} and {project.pose}; 12 frames trained on, 4 held out" in out
    assert f"look at {project.models_folder / 'curves.png'} and {project.evaluation_folder / 'report.html'}" in out
    assert f"cropzoom run camera:0 --project '{project.folder}'" in err
    assert err.count("Next: ") == 1, "the evaluation has run already"

    from realtime_cropzoom.inference.model import Model

    for model in (Model(project.detector, "detector"), Model(project.pose, "pose")):
        manifest = model.manifest
        assert (manifest.keypoint_names, manifest.skeleton) == (NAMES, ((0, 1), (0, 2)))
        assert manifest.crop_size == 48
        assert manifest.presence is not None
        assert manifest.trained is not None
        assert manifest.trained.frame_size == (96, 80)
        assert manifest.trained_on == "12 frames of the project my rat"
    assert (project.models_folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (project.pose / "loss.csv").read_text().startswith("epoch,loss,held_out_px,seconds\n1,")
    first = read_split(project.split_file)
    assert sorted(first.values()) == ["held_out"] * 4 + ["train"] * 12
    assert not project.training_folder.exists()


@needs_torch
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the processes in /proc, which is not here")
def test_a_killed_training_leaves_no_process_and_goes_on(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    (project.folder / "project.yaml").write_text(PROJECT_FILE.replace("0.1,", "0.4,"))
    state = project.training_folder / "pose.state"
    killed = begin(project)
    wait_for(state.exists)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_for(lambda: not workers(project))
    assert not project.pose.exists()

    assert main(["train", str(project.folder)]) == 2
    refused = capfd.readouterr().err
    assert "was interrupted, or still runs. Go on with: cropzoom train '" in refused
    staged = TrainingFolder(project).is_staged("pose")  # on a slow machine it may have been at its end
    assert state.exists() or staged, "nothing is lost"

    assert main(["train", str(project.folder), "--resume"]) == 0
    assert staged or "pose: goes on after epoch " in capfd.readouterr().err
    rows = (project.pose / "loss.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, len(rows) + 1)), "all epochs, also those before"


@needs_torch
def test_ctrl_c_says_how_to_go_on(project: Project) -> None:
    running = begin(project)
    wait_for((project.training_folder / "training.json").exists)
    wait_for(lambda: len(workers(project)) == 2)
    os.killpg(running.pid, signal.SIGINT)  # the terminal sends it to all in the foreground
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.decode().splitlines()[-2:] == [
        "cropzoom: stopped",
        f"Go on with: cropzoom train '{project.folder}' --resume",
    ]
    wait_for(lambda: not workers(project))


@needs_torch
def test_a_full_disk_is_one_line_that_says_how_to_go_on() -> None:
    from realtime_cropzoom.train.project_worker import failure

    assert failure(OSError(28, "No space left on device", "models/training/pose.partial/x.onnx")).text == (
        "cannot write models/training/pose.partial/x.onnx: No space left on device; free some space, or give another "
        "folder; the training then goes on with --resume"
    )
    assert failure(ConfigError("as it is")).text == "as it is"


def never(*_: object) -> None:
    raise AssertionError("nothing is trained")


def refused(project: Project, monkeypatch: pytest.MonkeyPatch, **how: bool) -> str:
    monkeypatch.setattr("realtime_cropzoom.train.project_training.run_processes", never)
    monkeypatch.setattr("realtime_cropzoom.train.project_training._check_installed", lambda: None)
    flags = {"resume": False, "overwrite": False, **how}
    with pytest.raises(ConfigError) as raised:
        train_project(project, say=lambda line: None, show=never, **flags)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def begun(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a training that was interrupted before its first state."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("realtime_cropzoom.train.project_training.run_processes", interrupted)
    monkeypatch.setattr("realtime_cropzoom.train.project_training._check_installed", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        train_project(project, resume=False, overwrite=True, say=lambda line: None, show=never)


def test_a_second_round_holds_out_the_same_frames(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(project, monkeypatch)
    first = TrainingFolder(project).read_job()
    assert first is not None
    write_split(project.split_file, first.sets)
    add_frames(project.folder, 24)
    begun(project, monkeypatch)
    second = TrainingFolder(project).read_job()
    assert second is not None
    assert {image: second.sets[image] for image in first.sets} == first.sets
    assert sorted(second.sets.values()) == ["held_out"] * 6 + ["train"] * 18, "new frames of a held-out recording, too"


def test_there_must_be_something_to_go_on_with(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "got no interrupted training, expected one. Leave out --resume" in refused(project, monkeypatch, resume=True)


def test_other_labels_or_settings_are_another_training(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(project, monkeypatch)
    add_frames(project.folder, 18)
    said = refused(project, monkeypatch, resume=True)
    assert "got another CollectedData.csv than the interrupted training had" in said
    begun(project, monkeypatch)
    (project.folder / "project.yaml").write_text(PROJECT_FILE.replace("pose_input: 64", "pose_input: 96"))
    said = refused(load_project(project.folder), monkeypatch, resume=True)
    assert "got another project.yaml than the interrupted training had" in said
    assert said.endswith("Begin again with --overwrite")


def test_the_command_says_first_that_the_new_models_are_worse_and_that_the_training_was_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    judged = make_project(tmp_path / "my mouse")
    assert main(["evaluate", str(judged.folder)]) == 0
    for name, role in (("detector", "detector"), ("pose", "pose")):
        put_model(judged.models_folder / "previous/2026-01-02T03-04-05" / name, role)
    models, errors = judged.evaluation_folder / "models.json", judged.evaluation_folder / "errors.csv"
    models.write_text(models.read_text().replace('"pose": "', '"pose": "other'))
    errors.write_text(re.sub(r",[0-9.]+,yes", ",0.001,yes", errors.read_text()))
    short = "the training was short: pose model 3 epochs"
    report = ProjectReport(judged, 2, 6, judged.models_folder / "curves.png", judged.models_folder / "previous", short)
    monkeypatch.setattr("realtime_cropzoom.train.project_training.train_project", lambda *_, **__: report)
    capfd.readouterr()
    assert main(["train", str(judged.folder)]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("worse than the models before, on the same 6 frames")
    assert "mv previous/2026-01-02T03-04-05/detector previous/2026-01-02T03-04-05/pose ." in lines[1]
    assert short in lines
    assert [line.partition("cropzoom ")[2].split()[0] for line in err.splitlines() if "Next: " in line] == ["run"]


def test_comments_recordings_and_lines_may_change(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(project, monkeypatch)
    (project.folder / "project.yaml").write_text(
        "# mine\nrecordings: [a.mp4]\n" + PROJECT_FILE.replace("[nose, ear_r]", "")
    )
    seen: list[object] = []
    monkeypatch.setattr("realtime_cropzoom.train.project_training.run_processes", lambda *given: seen.append(given[2]))
    monkeypatch.setattr(TrainingFolder, "install", lambda self, job: None)
    monkeypatch.setattr("realtime_cropzoom.train.project_training.write_pair_of_curves", lambda *_: Path("curves.png"))
    other = load_project(project.folder)
    report = train_project(other, resume=True, overwrite=False, say=lambda line: None, show=never)
    assert seen == [["detector", "pose"]]
    assert (report.trained, report.held_out) == (12, 4)


def test_empty_frames_show_no_animal_only_if_the_project_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = LabelledFrame("", np.zeros((80, 96, 3), np.uint8), np.full((3, 2), np.nan, np.float32))
    images = [f"frames/day {i % 4}/img{100 * i:08d}.png" for i in range(17)]
    frames = [*(dotted_frame(i) for i in range(16)), nothing]
    write_frames(project.folder, images, frames)
    write_labels(project.labels_file, images, frames, NAMES)
    for setting, expected in (("ignore", ()), ("no_animal", (images[16],))):
        text = PROJECT_FILE.replace("minutes", f"empty_frames: {setting}, minutes")
        (project.folder / "project.yaml").write_text(text)
        begun(load_project(project.folder), monkeypatch)
        job = TrainingFolder(project).read_job()
        assert job is not None
        assert job.empty == expected
        assert images[16] not in job.sets


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output-dir", "out"], "--output-dir is for a Lightning Pose config, and .* is a project"),
        (["--overrides", "training.max_epochs=3"], "--overrides is for a Lightning Pose config"),
    ],
)
def test_flags_of_the_other_way_are_refused(
    project: Project, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(project.folder), *flags]) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_a_folder_that_is_no_project_and_a_config_with_resume_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(tmp_path)]) == 2
    assert "cropzoom init" in capsys.readouterr().err
    assert main(["train", "config.yaml", "--resume"]) == 2
    assert "cannot go on, only that of a project can" in " ".join(capsys.readouterr().err.split())


def test_progress_is_one_line_for_both(capsys: pytest.CaptureFixture[str]) -> None:
    from realtime_cropzoom.cli.train_progress import PairProgress

    with PairProgress() as shown:
        shown.show("pose", Progress(0.1, 300.0, 0, None, None))
        shown.show("detector", Progress(0.2, 100.0, 3, 1.234, 5.67))
        shown.show("pose", Progress(0.3, 200.0, 4, 2.0, None))
    assert capsys.readouterr().err.splitlines() == [
        "training 10%, about 5 min left; pose: begins",
        "training 20%, about 3 min left; detector: loss 1.23, held-out error 5.7 px; pose: loss 2.00",
    ]


def test_the_job_is_plain_json(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(project, monkeypatch)
    job = json.loads((project.training_folder / "training.json").read_text())
    assert job["plan"]["crop_size"] == 48
    assert job["trained"]["frame_size"] == [96, 80]

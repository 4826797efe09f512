"""Processes of a training: what they say arrives, none is left behind, and a failure is one line."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime_cropzoom.errors import StageError
from realtime_cropzoom.files.atomic import Say
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train import project_processes
from realtime_cropzoom.train.project_messages import Progress
from realtime_cropzoom.train.project_processes import Show, run_processes
from realtime_cropzoom.train.training_state import ROLES, TrainingFolder

BEGIN = """
import os, sys, time
folder, role, threads = sys.argv[1:]
def tell(line): os.write(1, line.encode() + b"\\n")
def said(text): tell('{"type":"said","text":"%s"}' % text)
def wait():
    while os.read(0, 1): pass
said(f"{role} {os.getpid()} {threads}")
"""
FINISH = """tell('{"type":"progress","share":0.5,"seconds_left":9,"epoch":1,"loss":2.0,"held_out_px":null}')
tell('{"type":"finished"}')
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "my rat"
    (folder / "models/training").mkdir(parents=True)
    (folder / "project.yaml").write_text("keypoints: [nose]\n")
    return load_project(folder)


Run = Callable[..., list[str]]


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run processes that do as a script says, and return what was said."""

    def ran(script: str, say: Say | None = None, show: Show = lambda role, progress: None) -> list[str]:
        monkeypatch.setattr(project_processes, "_WORKER", [sys.executable, "-c", BEGIN + script])
        lines: list[str] = []
        before = threading.active_count()
        try:
            run_processes(project, TrainingFolder(project), ROLES, say or lines.append, show)
        finally:
            assert threading.active_count() == before
        return lines

    return ran


def test_both_are_heard_to_their_end(run: Run) -> None:
    seen: list[tuple[str, Progress]] = []
    lines = run("print('a library prints', flush=True)\n" + FINISH, show=lambda role, p: seen.append((role, p)))
    assert sorted(line.split()[0] for line in lines) == ["detector", "pose"]
    assert {int(line.split()[2]) for line in lines} == {project_processes._threads(2)}
    assert sorted(role for role, _ in seen) == ["detector", "pose"]
    assert seen[0][1] == Progress(0.5, 9.0, 1, 2.0, None)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "sys.exit('no torch here')",
            r"the training of the pose ended early \(exit code 1\)\. .*pose\.log has the details",
        ),
        ("os.kill(os.getpid(), 9)", r"ended early \(killed by SIGKILL; is there enough memory\?\)"),
        ('tell(\'{"type":"failed","text":"the disk is full"}\')', "^the disk is full$"),
    ],
    ids=["error", "killed", "reason"],
)
def test_if_one_fails_the_other_ends_and_the_reason_is_one_line(
    run: Run, project: Project, script: str, message: str
) -> None:
    lines: list[str] = []
    with pytest.raises(StageError, match=message) as raised:
        run(f"if role == 'detector': wait()\nelse: {script}\n", say=lines.append)
    assert "\n" not in str(raised.value)
    assert not any(alive(int(line.split()[1])) for line in lines)


def test_what_a_process_wrote_to_its_terminal_is_kept(run: Run, project: Project) -> None:
    with pytest.raises(StageError):
        run("sys.exit('no torch here')")
    assert any("no torch here" in path.read_text() for path in project.training_folder.glob("*.log"))


def test_ctrl_c_ends_both_and_says_how_to_go_on(run: Run) -> None:
    """Also if they have much to say meanwhile."""
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        if len(lines) > 5:
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as raised:
        run(
            "import threading\nthreading.Thread(target=lambda: [said('1 2') for _ in range(20000)]).start()\nwait()\n",
            stop,
        )
    assert time.monotonic() - begun < 9, "no process had to be killed"
    (note,) = raised.value.__notes__
    assert note.startswith("Go on with: cropzoom train '")
    assert note.endswith("my rat' --resume")

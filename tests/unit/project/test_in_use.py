"""Two commands on one project: the second is refused in one line, whatever becomes of the first."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.offline_fixtures import nothing_changes_in
from support.pipelines import cropzoom, finish, start_process

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.labelling.exporting import export_labels
from realtime_cropzoom.labelling.importing import import_labels
from realtime_cropzoom.labelling.rounds import Plan, write_round
from realtime_cropzoom.project.edit import save_recordings
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.project.in_use import Part, project_in_use
from realtime_cropzoom.project.template import make_project
from realtime_cropzoom.train.project_training import train_project

TORCH = all(find_spec(name) for name in ("torch", "onnxscript"))
HOLDS = """
import sys
from realtime_cropzoom.project.in_use import project_in_use
with project_in_use(sys.argv[1], sys.argv[2], sys.argv[3]):
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rat arena"
    make_project(folder, ["nose", "tail"], [], [])
    return folder


def _train(project: Project) -> None:
    train_project(project, resume=False, overwrite=False, say=print, show=lambda role, progress: None)


@contextmanager
def held(folder: Path, command: str, part: str) -> Iterator[int]:
    """Another process that works on the project; it is killed at the end."""
    process = start_process(folder, command, part, code=HOLDS, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    yield process.pid
    process.send_signal(signal.SIGKILL)
    finish(process)


@pytest.mark.parametrize(
    ("part", "command"),
    [
        ("labelling", ["frames", "{}", "a.mp4"]),
        ("labelling", ["labels", "import", "{}", "a.csv"]),
        ("labelling", ["labels", "export", "{}", "--to", "coco"]),
        ("training", ["train", "{}"]),
        ("training", ["train", "{}", "--resume"]),
        ("training", ["train", "{}", "--overwrite"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_second_command_is_refused_in_one_line(folder: Path, part: str, command: list[str]) -> None:
    with held(folder, "frames", part) as pid:
        done = cropzoom(*(word.format(folder) for word in command))
    assert done.returncode == 2
    assert done.stderr == (
        f"cropzoom: project {folder}: another cropzoom command is working on it (frames, process {pid}). "
        "Wait until it has ended\n"
    )


def test_a_killed_process_and_the_other_part_block_nothing(folder: Path) -> None:
    with held(folder, "train", "training"), project_in_use(folder, "frames"):
        pass
    assert (folder / ".training.lock").exists(), "the killed one has left it"
    with project_in_use(folder, "train", "training"):
        assert (folder / ".training.lock").exists()
    assert not list(folder.glob(".*.lock"))


def test_a_thread_may_take_it_again_and_another_may_not(folder: Path) -> None:
    def take() -> str:
        with project_in_use(folder, "other", "training"):
            return "taken"

    with ThreadPoolExecutor(1) as other:
        with project_in_use(folder, "train", "training"):
            assert take() == "taken"
            assert (folder / ".training.lock").exists(), "the inner one frees nothing"
            with pytest.raises(ConfigError, match=f"train, process {os.getpid()}"):
                other.submit(take).result()
        assert other.submit(take).result() == "taken"
    assert not list(folder.glob(".*.lock"))


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("labelling", lambda project: save_recordings(project, ["a.mp4"])),
        ("labelling", lambda project: write_round(project, Plan([], []))),
        ("labelling", lambda project: import_labels(project, project.folder / "a.csv")),
        ("labelling", lambda project: export_labels(project, "coco", project.folder / "out")),
        pytest.param("training", _train, marks=pytest.mark.skipif(not TORCH, reason="no torch (extra train)")),
    ],
    ids=["project.yaml", "frames", "import", "export", "train"],
)
def test_what_changes_a_project_is_refused_to_a_notebook_too(
    folder: Path, part: Part, change: Callable[[Project], object]
) -> None:
    project = load_project(folder)
    with held(folder, "labels import", part) as pid, nothing_changes_in(folder):
        refused = rf"another cropzoom command is working on it \(labels import, process {pid}\)"
        with pytest.raises(ConfigError, match=refused):
            change(project)


def test_frames_of_many_at_once_are_all_there_or_refused(folder: Path) -> None:
    """Each process adds a recording to ``project.yaml``: none that said it was done is lost."""
    adds = """
import sys
from realtime_cropzoom.project.edit import save_recordings
from realtime_cropzoom.project.in_use import project_in_use
from realtime_cropzoom.errors import ConfigError
for n in range(20):
    try:
        with project_in_use(sys.argv[1], "frames") as project:
            save_recordings(project, [*project.file.recordings, f"{sys.argv[2]}{n}"])
    except ConfigError:
        continue
    print(f"{sys.argv[2]}{n}")
"""
    done = [finish(process) for process in [start_process(folder, name, code=adds) for name in "abc"]]
    said = [line for one in done for line in one.stdout.split()]
    assert [one.returncode for one in done] == [0, 0, 0], done[0].stderr
    with project_in_use(folder, "check") as project:
        assert sorted(project.file.recordings) == sorted(said)
    assert said

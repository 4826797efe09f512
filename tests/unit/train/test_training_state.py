"""State of a training on disk: nothing of a finished model is lost, and an interruption anywhere can be repaired."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_cropzoom.errors import DataError, SinkError
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.train.project_plan import Plan
from realtime_cropzoom.train.training_state import ROLES, TrainingFolder, TrainingJob, read_split, way_back, write_split

JOB = TrainingJob(
    labels_sha256="ab",
    settings="{}",
    plan=Plan(240, (192, 128), (160, 160), 6.0, ("why",)),
    sets={"frames/a b/img1.png": "train", "frames/a,b/img2.png": "held_out"},
    empty=(),
    trained=None,
    started="2026-01-02T03:04:05",
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "my rat"
    folder.mkdir()
    (folder / "project.yaml").write_text("keypoints: [nose]\n")
    return load_project(folder)


def put(directory: Path, content: str) -> None:
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(content)


def test_what_is_trained_is_read_as_it_was_written(project: Project) -> None:
    folder = TrainingFolder(project)
    assert folder.read_job() is None
    folder.begin(JOB)
    assert folder.read_job() == JOB
    assert folder.read_state("pose") is None
    folder.write_state("pose", b"one")
    folder.write_state("pose", b"two")
    assert folder.read_state("pose") == b"two"
    folder.begin(JOB)
    assert folder.read_state("pose") is None, "another training begins with nothing"


def test_a_full_disk_leaves_the_state_before(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = TrainingFolder(project)
    folder.begin(JOB)
    folder.write_state("detector", b"before")

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SinkError, match=r"No space left on device; free some space.* goes on with --resume") as raised:
        folder.write_state("detector", b"after")
    assert "\n" not in str(raised.value)
    assert folder.read_state("detector") == b"before"


@pytest.mark.parametrize("content", [b"", b"{", b'{"sets": 3}', b"\xff\xfe"])
def test_a_damaged_job_is_refused_in_one_line(project: Project, content: bytes) -> None:
    folder = TrainingFolder(project)
    folder.begin(JOB)
    folder.job_file.write_bytes(content)
    with pytest.raises(DataError, match="begin the training again with --overwrite") as raised:
        folder.read_job()
    assert "\n" not in str(raised.value)


def stage_both(project: Project) -> TrainingFolder:
    """Finished models of an earlier training, and complete ones of a new one."""
    folder = TrainingFolder(project)
    folder.begin(JOB)
    for role in ROLES:
        put(project.models_folder / role, f"old {role}")
        put(folder.folder / f"{role}.partial", f"new {role}")
        folder.write_state(role, b"state")
        folder.stage(role, folder.folder / f"{role}.partial")
        assert folder.is_staged(role)
        assert folder.read_state(role) is None
    write_split(project.split_file, {"old.png": "train"})
    return folder


def check_installed(project: Project) -> None:
    for role in ROLES:
        assert (project.models_folder / role / "config.yaml").read_text() == f"new {role}"
        earlier = project.models_folder / "previous" / "2026-01-02T03-04-05"
        assert (earlier / role / "config.yaml").read_text() == f"old {role}"
        assert read_split(earlier / "split.csv") == {"old.png": "train"}
    assert read_split(project.split_file) == JOB.sets
    assert not project.training_folder.exists()


def test_new_models_take_the_place_of_earlier_ones_which_are_kept(project: Project) -> None:
    folder = stage_both(project)
    assert folder.install(JOB) == project.models_folder / "previous" / "2026-01-02T03-04-05"
    check_installed(project)


def test_the_first_models_have_no_earlier_ones(project: Project) -> None:
    folder = TrainingFolder(project)
    folder.begin(JOB)
    for role in ROLES:
        put(folder.staged(role), "new")
    assert folder.install(JOB) is None
    assert not (project.models_folder / "previous").exists()


class Killed(BaseException):
    """The process ends here, as with SIGKILL."""


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the renaming of files and folders end the process the given time."""
    calls: Iterator[int] = iter(range(1, 1000))
    real = os.replace

    def replace(source: object, target: object) -> None:
        if next(calls) == number:
            raise Killed
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("number", range(1, 8))
def test_an_installation_that_is_killed_anywhere_is_finished_by_the_next_one(
    project: Project, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stage_both(project)
    with monkeypatch.context() as patch:
        killed_at(number, patch)
        try:
            folder.install(JOB)
        except Killed:
            assert folder.read_job() == JOB
            assert number == 1 or folder.is_complete
            folder.install(JOB)
        else:
            assert number == 7, "all renamings were tried"
    check_installed(project)


def test_no_split_is_no_error_and_another_table_is(tmp_path: Path) -> None:
    assert read_split(tmp_path / "split.csv") == {}
    (tmp_path / "split.csv").write_text("frame,kind\na,b\n")
    with pytest.raises(DataError, match="got the columns frame, kind, expected image and set"):
        read_split(tmp_path / "split.csv")


def test_the_way_back_is_a_command_that_puts_the_newest_earlier_models_in_their_place(project: Project) -> None:
    assert way_back(project) == ""
    models = project.models_folder
    for name, folder in (
        ("new", ""),
        ("old", "previous/2026-01-01T00-00-00"),
        ("before", "previous/2026-01-02T00-00-00"),
    ):
        for role in ROLES:
            put(models / folder / role, f"{name} {role}")
        write_split(models / folder / "split.csv", {name: "train"})
    for before, after in (("before", "new"), ("old", "before")):
        subprocess.run(way_back(project), shell=True, check=True)
        assert [(models / role / "config.yaml").read_text() for role in ROLES] == [f"{before} {role}" for role in ROLES]
        assert read_split(project.split_file) == {before: "train"}
        aside = max((models / "previous").glob("set_aside*"), key=lambda path: len(path.name))
        assert (aside / "pose" / "config.yaml").read_text() == f"{after} pose", "nothing is lost"
    assert way_back(project) == ""

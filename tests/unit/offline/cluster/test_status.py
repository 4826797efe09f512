"""How far a task is, from its record and from the queue; and the table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.offline.cluster import slurm
from realtime_cropzoom.offline.cluster.job import ClusterJob, JobFolder, TaskRecord, find_job
from realtime_cropzoom.offline.cluster.status import read_status, table


def make_job(folder: Path, recordings: int = 1) -> tuple[JobFolder, ClusterJob]:
    job = ClusterJob(
        kind="slurm", number="7", host="elsewhere", out=str(folder), limit=1, minutes=60,
        recordings=tuple(str(folder / f"r{index}.mp4") for index in range(recordings)),
    )  # fmt: skip
    files = JobFolder(folder / "cluster" / "job_1")
    files.path.mkdir(parents=True)
    files.write(job)
    return files, job


@pytest.mark.parametrize(
    ("record", "queue", "expected"),
    [
        (None, {0: "waiting"}, "waiting"),
        (None, {0: "running"}, "running"),  # it loads its modules
        (None, {}, "not started"),
        (None, None, "unknown"),
        ("running", {0: "running"}, "running"),
        ("running", {0: "waiting"}, "waiting"),  # requeued
        ("running", {}, "killed"),
        ("running", None, "unknown"),
        ("stopped", {0: "waiting"}, "waiting"),
        ("stopped", {}, "stopped"),
        ("failed", {0: "running"}, "failed"),  # SLURM has not noticed yet
        ("failed", {0: "waiting"}, "waiting"),  # somebody requeued it
        ("failed", None, "failed"),
        ("done", {0: "running"}, "done"),
        ("incomplete", {}, "incomplete"),
    ],
)
def test_the_state_of_a_task(
    record: Any, queue: Any, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, job = make_job(tmp_path)
    if record is not None:
        folder.write_record(job.recordings[0], TaskRecord(state=record, starts=1, node="n", frames_before=0))
    monkeypatch.setattr(slurm, "queued", lambda job: queue)
    (task,) = read_status(folder, job)
    assert task.state == expected


def test_the_rate_counts_only_what_the_task_has_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, job = make_job(tmp_path, recordings=3)
    monkeypatch.setattr(slurm, "queued", lambda job: {1: "running", 2: "waiting"})
    (tmp_path / "r0.csv").write_text("h\nh\nh\n" + "row\n" * 100)
    (tmp_path / "r1.csv.partial").write_text("h\nh\nh\n" + "row\n" * 70)
    before: dict[str, Any] = {"starts": 2, "node": "n", "frames_before": 60}
    folder.write_record(job.recordings[0], TaskRecord(state="done", seconds=20.0, **before))
    folder.write_record(job.recordings[1], TaskRecord(state="running", seconds=0.5, **before))
    lines = table(read_status(folder, job)).splitlines()
    assert [line.split()[:5] for line in lines] == [
        ["recording", "frames", "seconds", "fps", "state"],
        ["r0.mp4", "100", "20.0", "2.0", "done"],
        ["r1.mp4", "70", "0.5", "20.0", "running"],
        ["r2.mp4", "0", "–", "–", "waiting"],
    ]


def test_a_task_without_a_log_asks_whether_the_nodes_see_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, job = make_job(tmp_path)
    monkeypatch.setattr(slurm, "queued", lambda job: {})
    monkeypatch.setattr(slurm, "why_gone", lambda job, index: "")
    assert read_status(folder, job)[0].reason == f"it left no log; can the nodes see {folder.path}?"


def test_a_damaged_job_is_one_line(tmp_path: Path) -> None:
    folder, _ = make_job(tmp_path)
    (folder.path / "job.json").write_text('{"kind": "slurm"')
    assert find_job(tmp_path).path == folder.path
    for damage in ('{"kind": "slurm"', "", "{}", "[]", "\x00" * 9):
        (folder.path / "job.json").write_text(damage)
        with pytest.raises(DataError, match=r"job\.json is damaged: .*If no task of it runs, delete .*job_1"):
            find_job(folder.path).read()


def test_a_full_disk_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, job = make_job(tmp_path, recordings=2)
    monkeypatch.setattr(slurm, "queued", lambda job: {})
    monkeypatch.setattr(slurm, "why_gone", lambda job, index: "")
    folder.write_record(job.recordings[1], TaskRecord(state="running", starts=1, node="n", frames_before=0))
    assert [task.reason for task in read_status(folder, job)][1] == ""
    used = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: used._replace(free=4096))
    for task in read_status(folder, job):
        assert task.reason == f"the disk of {folder.path} is full"


def test_the_state_of_many_tasks_reads_no_poses_and_asks_no_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that waits looks every few seconds, perhaps at 500 tables of an hour each."""
    folder, job = make_job(tmp_path, recordings=3)
    monkeypatch.setattr(slurm, "queued", lambda job: {})
    asked: list[int] = []

    def why_gone(job: ClusterJob, index: int) -> str:
        asked.append(index)
        return "it was cancelled"

    monkeypatch.setattr(slurm, "why_gone", why_gone)
    for name in ("r0", "r1", "r2"):
        (tmp_path / f"{name}.csv").write_text("h\nh\nh\nrow\n")
    tasks = read_status(folder, job)
    assert [task.state for task in tasks] == ["not started"] * 3
    assert not asked
    (tmp_path / "r1.csv").write_text("h\nh\nh\nrow\nrow\n")
    assert [task.frames for task in tasks] == [1, 2, 1]
    assert tasks[2].reason == "it was cancelled"
    assert asked == [2]

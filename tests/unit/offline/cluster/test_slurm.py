"""What SLURM's programs say, and what follows. ``tests/integration/test_slurm.py`` asks a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.offline.cluster import slurm
from realtime_cropzoom.offline.cluster.job import ClusterJob


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs that stand in for SLURM's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for name in ("sbatch", "srun"):
        write(folder / name, "exit 0")
    return folder


def write(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def job_of(tasks: int) -> ClusterJob:
    names = tuple(f"r{index}.mp4" for index in range(tasks))
    return ClusterJob(kind="slurm", number="7", host="here", recordings=names, out=".", limit=1, minutes=60)


def test_the_queue_says_which_tasks_wait_and_run(programs: Path) -> None:
    write(programs / "squeue", 'echo "7_0 COMPLETING"; echo "7_2 PENDING"; echo "7_10 RUNNING"')
    assert slurm.queued(job_of(11)) == {0: "running", 2: "waiting", 10: "running"}
    write(programs / "squeue", 'echo "7 CONFIGURING"')
    assert slurm.queued(job_of(1)) == {0: "waiting"}


def test_a_job_that_slurm_has_forgotten_is_over_and_a_silent_slurm_is_not(programs: Path) -> None:
    write(programs / "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm.queued(job_of(1)) == {}
    write(programs / "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert slurm.queued(job_of(1)) is None
    assert slurm.queued(replace(job_of(1), number="")) == {}  # killed while it was handed over: SLURM is not asked


def test_why_tasks_wait_is_said_once_for_each_reason(programs: Path) -> None:
    write(programs / "squeue", 'echo Priority; echo "ReqNodeNotAvail, UnavailableNodes:n1"; echo None; echo Priority')
    assert slurm.why_waiting(job_of(4)) == {"Priority", "ReqNodeNotAvail, UnavailableNodes:n1"}
    write(programs / "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm.why_waiting(job_of(1)) == set()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("echo 'CANCELLED by 1000'", "it was cancelled"),
        ("echo OUT_OF_MEMORY", "it needed more memory than SLURM gives; set SBATCH_MEM_PER_NODE"),
        ("echo 'Slurm accounting storage is disabled' >&2; exit 1", ""),
    ],
)
def test_accounts_say_why_a_task_is_gone(programs: Path, said: str, reason: str) -> None:
    write(programs / "sacct", said)
    assert slurm.why_gone(job_of(2), 1) == reason


def test_a_slurm_that_does_not_answer_is_one_line(programs: Path) -> None:
    write(programs / "squeue", "exit 0")
    write(programs / "sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(ConfigError, match="SLURM does not answer: slurm_load_partitions: Unable to contact"):
        slurm.node_names()
    (programs / "srun").unlink()
    if not Path("/usr/bin/srun").exists():
        with pytest.raises(ConfigError, match="no srun"):
            slurm.node_names()

"""SLURM: hands tasks over as one array job, and asks what became of them."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from realtime_cropzoom.errors import ConfigError, first_line
from realtime_cropzoom.offline.cluster.job import ClusterJob, JobFolder
from realtime_cropzoom.offline.cluster.task import RESTARTS, PipelineTask

_LAST_WORDS_S = 90
"""Time (s) before the limit at which a task is told to end: SLURM's clock is coarse, and the rows are on a far disk."""
_ANSWERS_WITHIN_S = 60.0
Waits = Literal["waiting", "running"]


@dataclass(frozen=True)
class Resources:
    """What a task gets of a cluster."""

    cores: int
    gpus: int | None = None
    partition: str | None = None
    account: str | None = None


def node_names() -> set[str]:
    """Return the names of the machines of the cluster.

    Raises:
        ConfigError: if there is no SLURM here, or it does not answer.
    """
    if missing := next((name for name in ("sbatch", "srun", "squeue", "sinfo") if shutil.which(name) is None), None):
        raise ConfigError(
            f"--cluster: got slurm, but this machine has no {missing}, which SLURM brings. Give the command on a login "
            "node of your cluster, or --cluster local"
        )
    done = _ask("sinfo", "--noheader", "--Node", "--format", "%n")
    if done.returncode:
        raise ConfigError(f"SLURM does not answer: {_reason(done.stderr)}. Try sinfo, then give the command again")
    return set(done.stdout.split())


def submit(folder: JobFolder, job: ClusterJob, resources: Resources) -> str:
    """Hand the tasks over, and return SLURM's number of the job.

    Raises:
        ConfigError: if SLURM refuses them.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    executor = submitit.SlurmExecutor(folder=folder.submitit, max_num_timeout=RESTARTS)
    executor.update_parameters(
        job_name="cropzoom",
        time=job.minutes,
        array_parallelism=job.limit,
        cpus_per_task=resources.cores,
        srun_args=[f"--cpus-per-task={resources.cores}"],  # SLURM 22.05 and newer: srun does not take it from sbatch
        gpus_per_node=resources.gpus,
        partition=resources.partition,
        account=resources.account,
        setup=list(job.setup) or None,
        signal_delay_s=min(_LAST_WORDS_S, job.minutes * 15),
        wckey=None,
    )
    try:
        with contextlib.redirect_stderr(io.StringIO()), executor.batch():  # submitit prints what sbatch says
            tasks = [executor.submit(PipelineTask(str(folder.path), index)) for index in range(len(job.recordings))]
    except FailedJobError as error:
        raise ConfigError(f"SLURM refuses the job: {_reason(str(error))}") from None
    except UnicodeEncodeError:
        raise ConfigError(
            f"{folder.path}: a script of SLURM can name only what is UTF-8, and this folder or a flag is not. Give "
            "another folder with --out"
        ) from None
    return str(tasks[0].job_id).partition("_")[0]


def queued(job: ClusterJob) -> dict[int, Waits] | None:
    """Return the tasks that wait or run, by their place in the job; None if SLURM does not answer."""
    if not job.number:  # the command that handed it over was killed before it knew the number
        return {}
    done = _ask("squeue", "--noheader", "--array", "--jobs", job.number, "--format", "%i %T")
    if done.returncode and "Invalid job id" not in done.stderr:  # it forgets a job that ended a while ago
        return None
    found: dict[int, Waits] = {}
    for line in done.stdout.splitlines():
        name, state = line.split()
        found[int(name.partition("_")[2] or 0)] = "waiting" if state in _WAITING else "running"
    return found


def why_waiting(job: ClusterJob) -> set[str]:
    """Return why tasks wait, in the words of SLURM such as ``Priority``; empty if it does not say."""
    if not job.number:
        return set()
    done = _ask("squeue", "--noheader", "--array", "--states", "PENDING", "--jobs", job.number, "--format", "%r")
    return {line.strip() for line in done.stdout.splitlines()} - {"None", ""}


PASSES = {"BeginTime", "Dependency", "JobArrayTaskLimit", "Licenses", "Priority", "Resources"}
"""Reasons to wait that pass while other jobs end."""
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_GONE: Mapping[str, str] = {
    "CANCELLED": "it was cancelled",
    "TIMEOUT": "its time was over; give a longer --time",
    "OUT_OF_MEMORY": "it needed more memory than SLURM gives; set SBATCH_MEM_PER_NODE",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "another job took its place",
}


def why_gone(job: ClusterJob, index: int) -> str:
    """Return why a task ended without a word, as far as SLURM keeps accounts; else ""."""
    if shutil.which("sacct") is None:
        return ""
    name = job.number if len(job.recordings) == 1 else f"{job.number}_{index}"
    done = _ask("sacct", "--noheader", "--allocations", "--parsable2", "--format", "State", "--jobs", name)
    state = next(iter(done.stdout.split()), "")  # CANCELLED by 1000
    return _GONE.get(state, "")


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", first_line(error))


def _reason(said: str) -> str:
    """Return the last thing that a program of SLURM has said, without its name."""
    lines: Sequence[str] = said.strip().splitlines() or ["no reason given"]
    return lines[-1].rpartition("error: ")[2]

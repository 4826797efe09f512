"""Submission: checks what the user gave, writes the folder of the job, and hands the tasks over."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, SinkError, install_advice
from realtime_cropzoom.files.atomic import write_whole
from realtime_cropzoom.files.locks import wait_for_lock
from realtime_cropzoom.inference.model_paths import SHIPPED
from realtime_cropzoom.offline.cluster import local_queue, slurm
from realtime_cropzoom.offline.cluster.job import JOBS, ClusterJob, JobFolder, jobs_in, poses_file
from realtime_cropzoom.offline.cluster.status import UNFINISHED, cancel_command, read_status
from realtime_cropzoom.sessions.folder import make_session_folder

_OF_THIS_MACHINE = ("/tmp", "/var/tmp", "/dev/shm", "/run")
"""Folders that no cluster shares."""


@dataclass(frozen=True)
class Inputs:
    """What the tasks read and write."""

    recordings: Sequence[Path]
    out: Path
    """Folder of the results."""
    settings: Settings


def check_can_submit(kind: str, inputs: Inputs) -> None:
    """Raise ConfigError if this machine cannot hand tasks over, or the nodes do not see what the tasks need."""
    if not hasattr(os, "fork"):
        raise ConfigError("--cluster works on Linux and macOS only. Leave it out, or give the command there")
    nodes = slurm.node_names() if kind == "slurm" else set()
    if find_spec("submitit") is None:
        raise ConfigError(f"--cluster: {install_advice('submitit')}")
    if nodes - {socket.gethostname(), socket.gethostname().partition(".")[0]}:
        _check_seen(_needed(inputs))
    if "%" in str(inputs.out.absolute()):
        raise ConfigError(
            f"{inputs.out}: got a folder with a % in its name, which SLURM replaces. Give another with --out"
        )
    _check_free(inputs.recordings, inputs.out)


def submit(job: ClusterJob, settings: Settings, resources: slurm.Resources) -> tuple[JobFolder, ClusterJob]:
    """Write the folder of a job and hand its tasks over.

    Returns:
        The folder, and the job with its number.

    Raises:
        ConfigError: if SLURM refuses the job, or another one works on a recording.
        SinkError: if the folder cannot be written.
    """
    with _alone(Path(job.out) / JOBS):
        _check_free([Path(recording) for recording in job.recordings], Path(job.out))
        folder = JobFolder(make_session_folder(Path(job.out) / JOBS, "job").absolute())
        try:
            write_whole(folder.settings, settings.to_yaml())
            folder.write(job)
            number = slurm.submit(folder, job, resources) if job.kind == "slurm" else local_queue.start(folder)
        except BaseException:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise
        job = replace(job, number=number)
        try:
            folder.write(job)
        except SinkError:  # nobody would find its tasks again
            subprocess.run(shlex.split(cancel_command(job)), check=False, capture_output=True)
            raise
    return folder, job


@contextlib.contextmanager
def _alone(jobs: Path) -> Iterator[None]:
    """Let one command at a time hand tasks over: two at once would not see each other's."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a folder that cannot be written is refused next; a disk without locks
            jobs.mkdir(parents=True, exist_ok=True)
            wait_for_lock(stack.enter_context((jobs / ".lock").open("ab")).fileno())
        yield


def _needed(inputs: Inputs) -> Iterable[Path]:
    yield inputs.out
    yield from inputs.recordings
    settings = inputs.settings
    for given in (settings.project, settings.detector, settings.pose, settings.schedule, settings.calibration):
        if given is not None and str(given) != SHIPPED and (path := Path(given)).exists():
            yield path
    yield Path(sys.prefix)


def _check_seen(paths: Iterable[Path]) -> None:
    own = {Path(folder).resolve() for folder in (*_OF_THIS_MACHINE, tempfile.gettempdir())}
    for path in paths:
        if own & {path.resolve(), *path.resolve().parents}:
            raise ConfigError(
                f"{path}: got a place that only this machine sees, expected one that all nodes of the cluster see. "
                "Recordings, models, --out and the Python environment must be on a disk that they share"
            )


def _check_free(recordings: Sequence[Path], out: Path) -> None:
    """Raise ConfigError if a task of another job still works on a recording: two would write the same file."""
    wanted = {out.absolute() / f"{path.stem}.csv": path for path in recordings}
    for folder in jobs_in(out):
        job = folder.read()
        for task in read_status(folder, job):
            taken = wanted.get(poses_file(job, task.recording))
            if taken is not None and task.state in UNFINISHED:
                raise ConfigError(f"{taken}: {_why_taken(folder, job, task.state)}")


def _why_taken(folder: JobFolder, job: ClusterJob, state: str) -> str:
    if state != "unknown":
        return (
            "a job that has not ended works on it already. Look at it with "
            f"'cropzoom pipeline --cluster-status {folder.path}', or end it with '{cancel_command(job)}'"
        )
    silent = "SLURM does not answer" if job.kind == "slurm" else f"only {job.host} can tell"
    return f"perhaps a job works on it: {silent}. If that job has ended, delete its folder {folder.path}"

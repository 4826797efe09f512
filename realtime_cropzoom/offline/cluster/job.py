"""Folder of a job: ``job.json`` says what its tasks are, and each task has a log and a record of how it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import msgspec

from realtime_cropzoom.errors import DataError
from realtime_cropzoom.files.atomic import write_whole

Kind = Literal["slurm", "local"]
Ended = Literal["done", "incomplete", "failed"]
JOBS = "cluster"
"""Folder in the folder of the results that holds a folder for each job."""
_JOB = "job.json"
_SETTINGS = "settings.yaml"


class ClusterJob(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. Nothing of it changes while the tasks run."""

    kind: Kind
    """Who starts the tasks: SLURM, or a process of this machine."""
    number: str = ""
    """SLURM's number of the job, or the id of the process; "" until the tasks have been handed over."""
    host: str
    """Name of the machine on which the command was given."""
    recordings: tuple[str, ...]
    """Absolute paths, one a task."""
    out: str
    """Absolute path of the folder of the results."""
    flags: tuple[str, ...] = ()
    """Flags of each ``cropzoom pipeline`` besides settings and folder."""
    can_resume: bool = True
    """Whether a task that starts again goes on where it stopped."""
    limit: int
    """Maximum number of tasks at once."""
    minutes: int
    """Time limit of one start of a task (min)."""
    setup: tuple[str, ...] = ()
    """Lines of the shell that run before each task."""
    visible_gpus: str | None = None
    """``CUDA_VISIBLE_DEVICES`` of the user, for tasks on this machine: submitit hides all GPUs from them."""


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a task goes. The task replaces it every few seconds."""

    state: Ended | Literal["running", "stopped"]
    """``stopped``: a signal ended it, and a new start goes on."""
    starts: int
    node: str
    """Name of the machine of the last start."""
    frames_before: int
    """Number of frames that were done before the first start."""
    seconds: float = 0.0
    """Time (s) of all starts together, without the waiting."""
    reason: str = ""
    """Why it failed or is incomplete, in one line."""


class JobFolder:
    """The files of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / _SETTINGS
        """Settings of all tasks: later changes of the user's files do not reach tasks that still wait."""
        self.submitit = path / "submitit"
        """Files of submitit: the batch script, and what tasks say before they begin."""
        self.queue_log = path / "queue.log"
        """Which file of submitit belongs to which recording, with tasks on this machine."""
        self.queue_lock = path / "queue.lock"
        """Locked by the process that starts tasks on this machine, while it lives."""

    def has_queue(self) -> bool:
        """Return whether the process that starts tasks on this machine lives."""
        import fcntl

        try:
            with self.queue_lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def read(self) -> ClusterJob:
        """Return the job. Raises DataError if the folder holds none, or it is damaged."""
        file = self.path / _JOB
        try:
            return msgspec.convert(json.loads(file.read_bytes()), ClusterJob)
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}; expected the folder of a job") from None
        except ValueError as error:
            raise DataError(
                f"{file} is damaged: {error}. If no task of it runs, delete the folder {self.path}"
            ) from None

    def write(self, job: ClusterJob) -> None:
        """Write the job. Raises SinkError if that fails."""
        # The names of files may hold bytes that are no UTF-8. msgspec refuses them; json escapes them.
        write_whole(self.path / _JOB, json.dumps(msgspec.to_builtins(job), indent=2))

    def read_record(self, recording: str) -> TaskRecord | None:
        """Return how a task goes, or None if it has not begun."""
        try:
            return msgspec.json.decode(self._record(recording).read_bytes(), type=TaskRecord)
        except (OSError, msgspec.DecodeError):
            return None

    def write_record(self, recording: str, record: TaskRecord) -> None:
        """Replace the record of a task. Raises SinkError if that fails."""
        self._record(recording).parent.mkdir(exist_ok=True)
        write_whole(self._record(recording), msgspec.json.encode(record))

    def _record(self, recording: str) -> Path:
        return self.path / "records" / f"{Path(recording).stem}.json"

    def log(self, recording: str) -> Path:
        """Return the file with what ``cropzoom pipeline`` says of a recording."""
        return self.path / "logs" / f"{Path(recording).stem}.log"


def poses_file(job: ClusterJob, recording: str) -> Path:
    """Return the file of the poses of a recording."""
    return Path(job.out) / f"{Path(recording).stem}.csv"


def find_job(folder: Path) -> JobFolder:
    """Return the job of a folder: its own, or the newest one in a folder of results.

    Raises:
        DataError: if there is none.
    """
    if (folder / _JOB).is_file():
        return JobFolder(folder)
    found = jobs_in(folder)
    if not found:
        given = "a folder without a job" if folder.is_dir() else "a file" if folder.exists() else "nothing there"
        raise DataError(
            f"{folder}: got {given}, expected a folder that 'cropzoom pipeline --cluster' has named, "
            "or the folder of the results"
        )
    return found[-1]


def jobs_in(results: Path) -> list[JobFolder]:
    """Return the jobs of a folder of results, from the oldest to the newest."""
    return [JobFolder(file.parent) for file in sorted((results / JOBS).glob(f"*/{_JOB}"))]

"""Status of a job: how far each task is, from its record and from who starts the tasks."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from realtime_cropzoom.offline.cluster import slurm
from realtime_cropzoom.offline.cluster.job import ClusterJob, JobFolder, TaskRecord, poses_file
from realtime_cropzoom.offline.cluster.task import count_frames

UNFINISHED = ("waiting", "running", "unknown")
GOOD = ("done", "incomplete")
_ROOM_BYTES = 1 << 20
"""Free space (bytes) below which a disk counts as full."""
_COLUMNS = ("recording", "frames", "seconds", "fps", "state", "log")
_NUMBERS = {"frames", "seconds", "fps"}


@dataclass(frozen=True)
class TaskStatus:
    """One task. What takes long to find out is found out when somebody asks for it."""

    folder: JobFolder
    job: ClusterJob
    index: int
    """Its place in the job."""
    state: str
    """``waiting``, ``running``, ``done``, ``incomplete``, ``failed``, ``stopped``, ``killed``, ``not started``; or
    ``unknown``, if SLURM does not answer."""
    record: TaskRecord | None

    @property
    def recording(self) -> str:
        """Path of the recording."""
        return self.job.recordings[self.index]

    @property
    def name(self) -> str:
        """File name of the recording."""
        return Path(self.recording).name

    @property
    def starts(self) -> int:
        """Number of starts so far."""
        return 0 if self.record is None else self.record.starts

    @property
    def seconds(self) -> float:
        """Time (s) that the task has worked."""
        return 0.0 if self.record is None else self.record.seconds

    @cached_property
    def frames(self) -> int:
        """Number of frames that are done. Reads the file of the poses."""
        return count_frames(poses_file(self.job, self.recording), is_done=self.state in GOOD)

    @property
    def fps(self) -> float | None:
        """Frames a second of the time that the task has worked; None if it has done none."""
        new = 0 if self.record is None else self.frames - self.record.frames_before
        return new / self.seconds if new > 0 and self.seconds else None

    @property
    def log(self) -> Path:
        """The log; before the recording is begun, what submitit has from the task."""
        log, early = self.folder.log(self.recording), self.folder.queue_log
        if self.job.kind == "slurm":
            name = self.job.number if len(self.job.recordings) == 1 else f"{self.job.number}_{self.index}"
            early = self.folder.submitit / f"{name}_0_log.err"
        return early if not log.exists() and early.exists() else log

    @cached_property
    def reason(self) -> str:
        """Why it has no result, in one line; "" if it has one or is not known. May ask SLURM."""
        if self.state in ("waiting", "running", "done", "unknown"):
            return ""
        if self.state in ("incomplete", "failed") and self.record is not None:
            return self.record.reason
        told = slurm.why_gone(self.job, self.index) if self.job.kind == "slurm" else ""
        noted = "" if self.record is None else self.record.reason
        if told or noted or (full := _full_disk(self.folder.path)):
            return told or noted or full
        if self.record is not None:
            return ""
        if self.job.kind == "slurm" and not self.log.exists():
            return f"it left no log; can the nodes see {self.folder.path}?"
        return "it ended before it began with the recording; its log says more"


def read_status(folder: JobFolder, job: ClusterJob) -> list[TaskStatus]:
    """Return the status of each task."""
    queued = _queued(folder, job)  # first: a task that has left the queue has written its record
    return [_status(folder, job, index, queued) for index in range(len(job.recordings))]


def cancel_command(job: ClusterJob) -> str:
    """Return the command that ends a job."""
    return f"scancel {job.number}" if job.kind == "slurm" else f"kill {job.number}"


def table(tasks: Sequence[TaskStatus]) -> str:
    """Return the tasks as a table for people."""
    rows = [_COLUMNS, *map(_cells, tasks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for cell, width, name in zip(row, widths, _COLUMNS, strict=True)
        ).rstrip()
        for row in rows
    )


def _cells(task: TaskStatus) -> tuple[str, ...]:
    log, here = task.log, Path.cwd()
    shown = str(log.relative_to(here) if log.is_relative_to(here) else log) if log.exists() else "–"
    rate = "–" if task.fps is None else f"{task.fps:.1f}"
    seconds = f"{task.seconds:.1f}" if task.seconds else "–"
    return task.name, str(task.frames), seconds, rate, task.state, shown


def _queued(folder: JobFolder, job: ClusterJob) -> Mapping[int, str] | None:
    """Return the state of each task that has not ended, as far as its starter knows; None if SLURM does not answer."""
    if job.kind == "slurm":
        return slurm.queued(job)
    if job.host != socket.gethostname():
        return None
    return dict.fromkeys(range(len(job.recordings)), "here") if folder.has_queue() else {}


def _status(folder: JobFolder, job: ClusterJob, index: int, queued: Mapping[int, str] | None) -> TaskStatus:
    record = folder.read_record(job.recordings[index])
    state = _state(record, None if queued is None else queued.get(index, "gone"))
    return TaskStatus(folder, job, index, state, record)


def _state(record: TaskRecord | None, queue: str | None) -> str:
    if record is not None and record.state in GOOD:
        return record.state
    if queue == "waiting":  # SLURM starts it again, whatever its record says
        return "waiting"
    if record is not None and record.state == "failed":
        return "failed"
    if queue is None:
        return "unknown"
    if queue == "gone":
        return "not started" if record is None else "killed" if record.state == "running" else record.state
    return "waiting" if queue == "here" and record is None else "running"


def _full_disk(path: Path) -> str:
    """Return that the disk of a folder is full; else ""."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(path).free < _ROOM_BYTES:
            return f"the disk of {path} is full"
    return ""

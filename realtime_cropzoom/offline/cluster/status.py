"""Status of a job: how far each task is, from its record and from who starts the tasks."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.offline.cluster import local_queue, slurm
from realtime_cropzoom.offline.cluster.job import ClusterJob, JobFolder, TaskRecord, poses_file
from realtime_cropzoom.offline.cluster.task import count_frames

UNFINISHED = ("waiting", "running", "unknown")
GOOD = ("done", "incomplete")
_COLUMNS = ("recording", "frames", "seconds", "fps", "state", "log")
_NUMBERS = {"frames", "seconds", "fps"}


@dataclass(frozen=True)
class TaskStatus:
    """One task."""

    recording: str
    """Its path."""
    state: str
    """``waiting``, ``running``, ``done``, ``incomplete``, ``failed``, ``stopped``, ``killed``, ``not started``; or
    ``unknown``, if SLURM does not answer."""
    frames: int
    """Number of frames that are done."""
    seconds: float
    """Time (s) that the task has worked."""
    fps: float | None
    """Frames a second of that time; None if it has done none."""
    log: Path
    reason: str = ""
    """Why it has no result, in one line; "" if it has one or is not known."""
    starts: int = 0

    @property
    def name(self) -> str:
        """File name of the recording."""
        return Path(self.recording).name


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
    return dict.fromkeys(range(len(job.recordings)), "here") if local_queue.is_alive(folder) else {}


def _status(folder: JobFolder, job: ClusterJob, index: int, queued: Mapping[int, str] | None) -> TaskStatus:
    recording = job.recordings[index]
    record = folder.read_record(recording)
    state = _state(record, None if queued is None else queued.get(index, "gone"))
    frames, seconds = count_frames(poses_file(job, recording)), 0.0 if record is None else record.seconds
    new = 0 if record is None else frames - record.frames_before
    return TaskStatus(
        recording, state, frames, seconds, new / seconds if new > 0 and seconds else None,
        _log(folder, job, index), _reason(folder, job, index, state, record), 0 if record is None else record.starts,
    )  # fmt: skip


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


def _log(folder: JobFolder, job: ClusterJob, index: int) -> Path:
    """Return the log of a task; before the recording is begun, what submitit has from it."""
    log = folder.log(job.recordings[index])
    name = job.number if len(job.recordings) == 1 else f"{job.number}_{index}"
    early = folder.submitit / f"{name}_0_log.err"
    return early if job.kind == "slurm" and not log.exists() and early.exists() else log


def _reason(folder: JobFolder, job: ClusterJob, index: int, state: str, record: TaskRecord | None) -> str:
    if state in ("waiting", "running", "done", "unknown"):
        return ""
    if state in ("incomplete", "failed") and record is not None:
        return record.reason
    told = slurm.why_gone(job, index) if job.kind == "slurm" else ""
    if told or record is not None:
        return told or record.reason if record is not None else told
    if job.kind == "slurm" and not _log(folder, job, index).exists():
        return f"it left no log; can the nodes see {folder.path}?"
    return "it ended before it began with the recording; its log says more"

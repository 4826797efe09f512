"""Task of a job: runs ``cropzoom pipeline`` on one recording, and keeps a record of it.

The pipeline is a process of its own, as if the user had called it: with its own log, and with the signals that it
knows. A task may be stopped at any moment and started again, by a time limit, by SLURM or by the user. The rows that
were written stay, and the next start goes on after them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.config.group import ENV_PREFIX
from realtime_cropzoom.errors import EXIT_INCOMPLETE, SinkError
from realtime_cropzoom.files.atomic import partial_path
from realtime_cropzoom.offline.cluster.job import ClusterJob, JobFolder, TaskRecord, poses_file
from realtime_cropzoom.runtime.processes import wait_or_kill
from realtime_cropzoom.runtime.signals import signal_name

RESTARTS = 3
"""Number of times that a task which needs longer than its time limit is started again."""
_RECORD_EVERY_S = 3.0
_ENDS_WITHIN_S = 20.0
"""Time (s) after which a pipeline that was asked to end is killed. SLURM kills the task after 30 s."""
_HEADER_ROWS = 3
_SAID = "cropzoom: "


@dataclass(frozen=True)
class PipelineTask:
    """What submitit calls on a node. It holds no settings: the folder has them."""

    folder: str
    index: int

    def __call__(self) -> None:
        """Do the recording. Raises SystemExit, with the pipeline's code, if it has no result."""
        folder = JobFolder(Path(self.folder))
        job = folder.read()
        code = _Start(folder, job, job.recordings[self.index]).run()
        if code not in (0, EXIT_INCOMPLETE):
            raise SystemExit(code if code > 0 else 128 - code)

    def checkpoint(self) -> Any:
        """Return what a new start runs. submitit asks for it before the time limit, and has the task started again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _QueueIsGone(Exception):
    """The process that starts tasks on this machine has ended, and nobody would know of this one."""


class _Start:
    """One start of a task."""

    def __init__(self, folder: JobFolder, job: ClusterJob, recording: str) -> None:
        self._folder, self._job, self._recording = folder, job, recording
        self._log = folder.log(recording)
        self._began_s = now_s()
        before = folder.read_record(recording)
        self._is_first = before is None
        self._before = before or TaskRecord(
            state="running", starts=0, node="", frames_before=_frames_that_stay(job, poses_file(job, recording))
        )

    def run(self) -> int:
        """Run the pipeline, and return its exit code. A signal that ends the task ends the pipeline, too."""
        self._note("running")
        self._log.parent.mkdir(exist_ok=True)
        with self._log.open("ab", buffering=0) as log:
            begin = log.tell()
            with contextlib.suppress(OSError):  # a full disk
                log.write(f"--- start {self._before.starts + 1} on {socket.gethostname()}\n".encode())
            with _process(self._command(), self._environment(), log) as process:
                try:
                    code = self._wait(process)
                except _QueueIsGone:
                    self._note("stopped", "stopped, because the process that started it has ended")
                    raise
                except BaseException:  # submitit leaves this way if the time is over
                    self._note("stopped", "stopped by the time limit, or by an order")
                    raise
        self._note_end(code, self._last_said(begin))
        return code

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return process.wait(_RECORD_EVERY_S)
            except subprocess.TimeoutExpired:
                self._note("running")
                if self._job.kind == "local" and not self._folder.has_queue():
                    raise _QueueIsGone from None

    def _note_end(self, code: int, said: str) -> None:
        if code in (0, EXIT_INCOMPLETE):
            self._note("incomplete" if code else "done", said if code else "")
        elif code < 0 or code > 128:
            number = -code if code < 0 else code - 128
            memory = "; is there enough memory?" if number == getattr(signal, "SIGKILL", 9) else ""
            self._note("stopped", f"stopped by {signal_name(number)}{memory}")
        else:
            self._note("failed", said)

    def _note(self, state: Any, reason: str = "") -> None:
        seconds = self._before.seconds + now_s() - self._began_s
        starts, node = self._before.starts + 1, socket.gethostname()
        record = replace(self._before, state=state, starts=starts, node=node, seconds=seconds, reason=reason)
        with contextlib.suppress(OSError, SinkError):  # a full disk: the pipeline itself finds out whether its rows fit
            self._folder.write_record(self._recording, record)

    def _command(self) -> list[str]:
        """Return the command. Whatever the user said, a new start goes on with the rows of the one before."""
        resume = not self._is_first and self._job.can_resume and "--resume" not in self._job.flags
        return [
            *(sys.executable, "-m", "realtime_cropzoom", "pipeline"),
            *("--config", str(self._folder.settings), "--out", self._job.out, *self._job.flags),
            *(["--resume"] if resume else []),
            *("--", self._recording),
        ]

    def _environment(self) -> dict[str, str]:
        """Return the environment without variables for settings: the file has all, and they would change it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        if self._job.kind == "local":
            kept.pop("CUDA_VISIBLE_DEVICES", None)
            if self._job.visible_gpus is not None:
                kept["CUDA_VISIBLE_DEVICES"] = self._job.visible_gpus
        return kept

    def _last_said(self, begin: int) -> str:
        """Return the last line of the pipeline about itself."""
        with self._log.open("rb") as log:
            log.seek(begin)
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.removeprefix(_SAID) for line in reversed(lines) if line.startswith(_SAID)), "")


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a running process; when the block is left, ask it to end, and wait for that."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        wait_or_kill(process, _ENDS_WITHIN_S)


def _frames_that_stay(job: ClusterJob, poses: Path) -> int:
    """Return the number of frames that the first start of a task does not do again."""
    kept = [partial_path(poses)] if "--resume" in job.flags else []
    return _count_rows(*kept, *([] if "--overwrite" in job.flags else [poses]))


def count_frames(poses: Path, *, is_done: bool) -> int:
    """Return the number of frames in the file of the poses; before it is done, in its partial file if there is one."""
    return _count_rows(*([] if is_done else [partial_path(poses)]), poses)


def _count_rows(*paths: Path) -> int:
    """Return the number of frames in the first of the files that is there; 0 without one."""
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb") as file:
            return max(0, sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - _HEADER_ROWS)
    return 0

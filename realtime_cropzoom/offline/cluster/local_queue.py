"""Queue on this machine: a process of its own that starts the tasks of a job, some at once, until all have ended.

    python -m realtime_cropzoom.offline.cluster.local_queue FOLDER

It belongs to no terminal, so that Ctrl-C and the end of a shell do not reach it. It holds a lock while it lives: who
can take the lock knows that it is gone. SIGTERM ends it and its tasks.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from realtime_cropzoom.offline.cluster.job import ClusterJob, JobFolder
from realtime_cropzoom.offline.cluster.task import RESTARTS, PipelineTask

_LOOK_EVERY_S = 0.2
_LAST_WORDS_S = 30


def start(folder: JobFolder) -> str:
    """Start the queue, and return the id of its process."""
    import fcntl

    with folder.queue_lock.open("wb") as lock, folder.queue_log.open("ab") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-m", "realtime_cropzoom.offline.cluster.local_queue", str(folder.path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            pass_fds=[lock.fileno()],  # the process holds the lock from its first moment
        )  # fmt: skip
    process.returncode = 0  # it outlives this process, which must not warn of that
    return str(process.pid)


def main() -> None:
    """Start the tasks of the folder in ``sys.argv``, and end with the last of them."""
    folder = JobFolder(Path(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the tasks inherit it: submitit cancels them with SIGINT
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the command holds signals back while it starts this process
    _run_all(folder, folder.read())


def _run_all(folder: JobFolder, job: ClusterJob) -> None:
    import submitit

    executor = submitit.LocalExecutor(folder=folder.submitit, max_num_timeout=RESTARTS, python=_python(job.setup))
    executor.update_parameters(timeout_min=job.minutes, signal_delay_s=min(_LAST_WORDS_S, job.minutes * 15))
    waiting = [PipelineTask(str(folder.path), index) for index in range(len(job.recordings))]
    running: list[Any] = []
    with _cancelled_at_end(running):
        while waiting or running:
            running[:] = [task for task in running if not task.done()]
            while waiting and len(running) < job.limit:
                task = waiting.pop(0)
                running.append(executor.submit(task))
                _note_begin(folder, job.recordings[task.index], running[-1].paths.stderr)
            time.sleep(_LOOK_EVERY_S)


def _note_begin(folder: JobFolder, recording: str, early_log: Path) -> None:
    """Note where a task says why it ended, if it ends before it has a log of its own."""
    line = f"{Path(recording).name}: what it says before it begins is in {early_log}\n"
    with contextlib.suppress(OSError), folder.queue_log.open("a", encoding="utf-8", errors="surrogateescape") as log:
        log.write(line)


def _python(setup: Sequence[str]) -> str:
    """Return the command that runs Python after the lines of ``--setup``.

    The lines are those of a script, as with SLURM, and the shell becomes the task, so that signals reach it. submitit's
    own parameter puts ``&&`` between the lines and keeps the shell.
    """
    shell = shutil.which("bash") or "/bin/sh"
    before = [shell, "-c", "\n".join([*setup, 'exec "$@"']), shell] if setup else []
    return shlex.join([*before, sys.executable])


@contextlib.contextmanager
def _cancelled_at_end(running: list[Any]) -> Iterator[None]:
    """Cancel what still runs when the block is left, and wait until it has ended."""
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        while any(not task.done() for task in running):
            time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    main()

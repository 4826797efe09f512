"""Processes that train the models of a project: starts one for each, shows what they say, and ends them together."""

from __future__ import annotations

import contextlib
import queue
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec

from realtime_cropzoom.errors import StageError
from realtime_cropzoom.files.atomic import Say
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.runtime.processes import apart, violent_end, wait_or_kill
from realtime_cropzoom.runtime.tuning import usable_cores
from realtime_cropzoom.train.project_messages import Failed, Finished, Message, Progress, Said, decode
from realtime_cropzoom.train.training_state import Role, TrainingFolder

_WORKER = [sys.executable, "-m", "realtime_cropzoom.train.project_worker"]
_WAITING = 1000
"""Maximum number of messages that wait to be shown; then a process waits."""
_ENDS_WITHIN_S = 10.0
"""Time (s) after a stop at which a process is killed. It stops after the batch in hand."""
_LISTENS_S = 0.5
"""Time (s) after which a wait for messages begins again: on Windows, Ctrl-C does not end it."""

Show = Callable[[Role, Progress], None]


class _Ended(msgspec.Struct, frozen=True):
    """The stdout of a process is closed."""


_Heard = queue.Queue[tuple["_ModelProcess", Message | _Ended]]


class _ModelProcess:
    """The process that trains one model, seen from outside. A thread reads what it says."""

    def __init__(self, command: Sequence[str], role: Role, folder: TrainingFolder, heard: _Heard) -> None:
        self.role = role
        self.finished = False
        self._log_file = folder.log_file(role)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                **apart(),  # else Ctrl-C in a terminal would reach it, too
            )  # fmt: skip
        self._heard, self._leaving = heard, False
        self._reader = threading.Thread(target=self._read, name=f"cropzoom-{role}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not self._leaving:
                with contextlib.suppress(msgspec.DecodeError):
                    self._heard.put((self, decode(line)))
        if not self._leaving:
            self._heard.put((self, _Ended()))

    def failure(self) -> StageError:
        """Return the error for a process that ended without a reason."""
        code = self._process.wait()
        by = violent_end(code)
        reason = f"exit code {code}" if by is None else f"killed by {by}; is there enough memory?"
        return StageError(
            f"the training of the {self.role} ended early ({reason}). {self._log_file} has the details; "
            "--resume goes on with it"
        )

    def ask_to_end(self) -> None:
        """Close the stdin of the process, which then ends after the batch in hand."""
        self._leaving = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def wait(self) -> None:
        """Wait for its end, and kill it if that takes too long."""
        wait_or_kill(self._process, _ENDS_WITHIN_S)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def run_processes(project: Project, folder: TrainingFolder, roles: Sequence[Role], say: Say, show: Show) -> None:
    """Train models side by side, each in a process with its share of the cores, until all are complete.

    Args:
        project: The project.
        folder: State of its training.
        roles: The models that are not complete.
        say: Shows a line.
        show: Is called with the progress of each model.

    Raises:
        StageError: if a process fails; the others end, too. The training can then go on.
        KeyboardInterrupt: after the processes have ended, with a note how to go on.
    """
    heard: _Heard = queue.Queue(_WAITING)
    processes: list[_ModelProcess] = []
    try:
        for role in roles:
            command = [*_WORKER, str(project.folder), role, str(_threads(len(roles)))]
            processes.append(_ModelProcess(command, role, folder, heard))
        _listen(len(roles), heard, say, show)
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"Go on with: cropzoom train {shlex.quote(str(project.folder))} --resume")
        raise
    finally:
        for process in processes:
            process.ask_to_end()
        while not heard.empty():  # a reader may wait for a place in the queue
            heard.get_nowait()
        for process in processes:
            process.wait()


def _listen(running: int, heard: _Heard, say: Say, show: Show) -> None:
    """Show what the processes say until all have ended. Raises StageError if one fails."""
    while running:
        try:
            process, message = heard.get(timeout=_LISTENS_S)
        except queue.Empty:
            continue
        match message:
            case Said(text):
                say(text)
            case Progress():
                show(process.role, message)
            case Finished():
                process.finished = True
            case Failed(text):
                raise StageError(text)
            case _Ended():
                running -= 1
                if not process.finished:
                    raise process.failure()


def _threads(processes: int) -> int:
    """Return the number of threads of each process."""
    return max(1, usable_cores() // processes)

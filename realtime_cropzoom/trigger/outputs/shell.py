"""Shell output: starts a command. No shell interprets it, and nothing from a message becomes part of it."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
from typing import Any

from pydantic import Field, field_validator

from realtime_cropzoom.clock import now_ns, now_s
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.runtime.processes import apart
from realtime_cropzoom.trigger.engine.events import ActionType
from realtime_cropzoom.trigger.outputs import guardian, windows_job
from realtime_cropzoom.trigger.outputs.base import Job, Output, OutputSettings, ReceiverGone, WriteResult

_TERMINATE_TIMEOUT_S = 0.5

logger = logging.getLogger(__name__)


class ShellSettings(OutputSettings):
    """``bell: {shell: "aplay bell.wav"}``."""

    shell: str
    """Command and arguments, quoted as in a shell. Pipes and variables have no meaning."""
    at_once: int = Field(4, ge=1, le=64)
    """Maximum number of commands that run at the same time. Further ones are not started."""

    @field_validator("shell")
    @classmethod
    def _words(cls, given: str) -> str:
        if not split_command(given):
            raise ValueError("expected a command, such as aplay bell.wav")
        return given

    def make(self, name: str, shared: dict[str, Any]) -> Shell:
        """Return the output."""
        return Shell(split_command(self.shell), self.at_once)


def split_command(command: str) -> list[str]:
    """Return the words of a command, quoted as in a shell. On Windows, a backslash is a part of a path."""
    words = shlex.shlex(command, posix=True, punctuation_chars=False)
    words.whitespace_split, words.commenters = True, ""
    if sys.platform == "win32":
        words.escape = ""
    return list(words)


class Shell(Output):
    """A command: pulse and on start it; off and safe end those that run, with all processes they have started."""

    beat_every_s = 0.2

    def __init__(self, command: list[str], at_once: int) -> None:
        super().__init__()
        self._command, self._at_once = command, at_once
        self._running: list[subprocess.Popen[bytes]] = []
        self._guardian: subprocess.Popen[bytes] | None = None
        self._windows_job: windows_job.Job | None = None

    def open(self) -> None:
        """Start the guardian, which ends the commands if this program is killed. On Windows, a job object does so.

        Raises:
            SinkError: if there is no such command, or the guardian does not start.
        """
        if shutil.which(self._command[0]) is None:
            raise SinkError(
                f"there is no command {self._command[0]} that can be run; give its whole path, or install it"
            )
        try:
            if sys.platform == "win32":
                self._windows_job = windows_job.Job()
                return
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise SinkError(f"cannot start the guardian of {self._command[0]}: {error.strerror}") from error

    def perform(self, job: Job) -> WriteResult:
        """Start the command, or end those that run.

        Raises:
            SinkError: if the command cannot be started, or too many run.
        """
        failed, idle = self._reap(), False
        if job.act in (ActionType.OFF, ActionType.SAFE):
            idle = not self._running
            self._end_all()
        elif len(self._running) >= self._at_once:
            raise SinkError(f"{len(self._running)} of {self._command[0]} still run; not started")
        else:
            self._start(job)
        if failed:
            logger.warning("%s ended with exit code %d", self._command[0], failed)
        return WriteResult(now_ns(), idle=idle)

    def beat(self, job: Job) -> None:
        """Look whether the command still runs. One that has ended without an error is done.

        Raises:
            ReceiverGone: if it has failed.
        """
        failed = self._reap()
        if failed and not self._running:
            raise ReceiverGone(f"{self._command[0]} ended with exit code {failed}")

    def close(self) -> None:
        """End the commands that run, and the guardian."""
        self._end_all()
        if self._guardian is not None:
            self._guardian.communicate()
            self._guardian = None
        if self._windows_job is not None:
            self._windows_job.close()
            self._windows_job = None

    def _start(self, job: Job) -> None:
        self.check(job)
        fields = job.fields().items()
        environment = {f"TRIGGER_{key.upper()}": "" if value is None else str(value) for key, value in fields}
        try:
            process = subprocess.Popen(
                self._command,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                **apart(),  # Ctrl-C reaches this program alone; all processes of the command are one group
            )
            if self._windows_job is not None:
                self._windows_job.add(process)
        except OSError as error:
            raise SinkError(f"cannot run {self._command[0]}: {error.strerror}") from error
        self._running.append(process)
        self._tell_guardian(b"+%d\n" % process.pid)

    def _reap(self) -> int:
        """Forget the processes that have ended; return the last exit code that is not 0, else 0."""
        codes = [code for process in self._running if (code := process.poll()) is not None]
        for process in self._running:
            if process.returncode is not None:
                self._tell_guardian(b"-%d\n" % process.pid)
        self._running = [process for process in self._running if process.returncode is None]
        return next((code for code in reversed(codes) if code), 0)

    def _end_all(self) -> None:
        if self._windows_job is not None:
            self._windows_job.end()
        for process in self._running:
            _signal(process, signal.SIGTERM)
        deadline = now_s() + _TERMINATE_TIMEOUT_S
        for process in self._running:
            try:
                process.wait(max(0.0, deadline - now_s()))
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()
            self._tell_guardian(b"-%d\n" % process.pid)
        self._running.clear()

    def _tell_guardian(self, line: bytes) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            with contextlib.suppress(OSError):  # the guardian has ended; this program still ends the commands itself
                self._guardian.stdin.write(line)
                self._guardian.stdin.flush()


def _signal(process: subprocess.Popen[bytes], which: signal.Signals) -> None:
    if sys.platform != "win32":  # there, the job object has ended it already
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, which)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        _signal(process, signal.SIGKILL)

"""Supervisor of several cameras: starts one process per camera, watches them, and ends them together.

All cameras share one session folder, with a folder per camera in it, and one clock: the monotonic clock of the
machine, whose Unix offset is measured once, here. Each process is connected by its stdin. When this process ends, for
whatever reason, the pipe closes and the camera processes end, too.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, TextIO

import msgspec

from realtime_cropzoom import __version__
from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.config.multi_camera import Cameras
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import EXIT_FAILED, EXIT_INCOMPLETE
from realtime_cropzoom.files.atomic import to_json, try_write_whole
from realtime_cropzoom.messaging.message import StatusMessage
from realtime_cropzoom.multicamera.messages import (
    End,
    FrameCount,
    Heartbeat,
    Job,
    Note,
    Order,
    Problem,
    Report,
    Stop,
    decode_report,
    encode,
)
from realtime_cropzoom.runtime.processes import apart, violent_end
from realtime_cropzoom.runtime.signals import ending_signals
from realtime_cropzoom.runtime.started import in_time
from realtime_cropzoom.sessions.folder import make_session_folder

_NO_FAILURE = (0, EXIT_INCOMPLETE, *(128 + number for number in ending_signals()))
"""Exit codes of a process that came to its end or was stopped."""
_KILL_AFTER_S = 3.0
"""Time (s) after a stop at which a process that still runs is killed. A pipeline ends within 2 s."""
_LINES_KEPT = 1000
"""Maximum number of lines that wait to be shown."""
_WORKER = [sys.executable, "-m", "realtime_cropzoom.multicamera.worker"]
"""Command that runs one camera."""


class CameraRun:
    """The process of one camera, seen from outside.

    Two threads read its stdout and stderr and never wait, so the process never waits for a full pipe.
    """

    def __init__(self, name: str, settings: Settings, folder: Path, anchor_ns: int) -> None:
        """Start the process and send it its job.

        Args:
            name: Name of the camera.
            settings: Settings of the camera.
            folder: Folder for its files.
            anchor_ns: Unix time minus monotonic time (ns), shared by all cameras.
        """
        self.name, self.folder = name, folder
        self.problems: deque[str] = deque(maxlen=_LINES_KEPT)
        """Lines that the user sees in any case, oldest first."""
        self.notes: deque[str] = deque(maxlen=_LINES_KEPT)
        """Lines for the user, hidden by ``--quiet``."""
        self.status: StatusMessage | None = None
        """The last heartbeat; None before the first."""
        self.frame_count: int | None = None
        """Number of frames in the source; None if unknown."""
        self.end: End | None = None
        """The last report of the process; None if it could not send one."""
        self.killed = False
        """Whether the process did not end in time and was killed."""
        self.process = subprocess.Popen(
            _WORKER,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
            **apart(),  # else Ctrl-C in a terminal would reach it, too; this process passes the stop on
        )  # fmt: skip
        self._readers = [
            threading.Thread(target=reader, args=(stream,), name=f"cropzoom-{name}", daemon=True)
            for reader, stream in ((self._read, self.process.stdout), (self._read_stderr, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        settings_given = settings.model_dump(mode="json")
        self._send(Job(settings_given, str(folder), anchor_ns))

    @property
    def running(self) -> bool:
        """Whether the process runs, or some of its output is not read yet."""
        return self.process.poll() is None or any(reader.is_alive() for reader in self._readers)

    @property
    def outcome(self) -> tuple[int, str]:
        """Exit code and reason. Valid once the process has ended."""
        code = self.process.returncode
        if self.end is not None:
            return self.end.exit, self.end.reason
        if self.killed:
            return 128 + 9, "did not end in time and was killed"
        if (by := violent_end(code)) is not None:
            return 128 - code if code < 0 else EXIT_FAILED, f"killed by {by}"
        return code or EXIT_FAILED, f"ended with exit code {code} without a reason"

    @property
    def failed(self) -> bool:
        """Whether the process neither came to its end nor was stopped. Valid once it has ended."""
        return self.outcome[0] not in _NO_FAILURE

    def stop(self, reason: str, code: int) -> None:
        """Ask the process to end, for a reason and with an exit code."""
        self._send(Stop(reason, code))

    def kill(self) -> None:
        """Kill the process."""
        self.killed = True
        self.process.kill()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # an order that the process never read
                    pipe.close()

    def to_summary(self) -> dict[str, Any]:
        """Return the entry of this camera in the summary. Valid once the process has ended."""
        code, reason = self.outcome
        summary = self.end and self.end.summary
        last_counts = self.status and msgspec.to_builtins(self.status.counts)
        counts = summary["counts"] if summary else last_counts  # of the last heartbeat, if it was killed
        folder = str(self.folder) if self.folder.is_dir() else None
        return {"exit": code, "reason": reason, "folder": folder, "counts": counts, "summary": summary or None}

    def _send(self, order: Order) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # the process has just ended, which the next check finds
            self.process.stdin.write(encode(order))
            self.process.stdin.flush()

    def _read(self, stdout: TextIO) -> None:
        """Read all reports to the end of the pipe. A worker would wait forever for a full pipe."""
        for line in stdout:
            try:
                self._handle(decode_report(line))
            except msgspec.ValidationError as error:
                self.problems.append(
                    f"cropzoom: {self.name}: ignored an unknown message from the camera's process: {error}"
                )
            except ValueError:  # part of a line, from a process that was killed
                continue

    def _handle(self, report: Report) -> None:
        match report:
            case Note(text):
                self.notes.append(f"{self.name}: {text}")
            case Problem(text):
                self.problems.append(f"cropzoom: {self.name}: {text}")
            case Heartbeat(status):
                self.status = status
            case FrameCount(frames):
                self.frame_count = frames
            case End():
                self.end = report

    def _read_stderr(self, stderr: TextIO) -> None:
        for line in stderr:
            self.problems.append(f"{self.name}: {line.rstrip()}")


class CameraGroup:
    """All cameras of a session. Call ``start``, then ``supervise`` while ``running``, then ``close``."""

    def __init__(self, cameras: Cameras) -> None:
        self.cameras = cameras
        self.runs: list[CameraRun] = []
        self.folder: Path | None = None
        self.problems: deque[str] = deque(maxlen=_LINES_KEPT)
        """Lines about the cameras that the user sees in any case, oldest first."""
        self.notes: deque[str] = deque(maxlen=_LINES_KEPT)
        """Lines for the user, hidden by ``--quiet``."""
        self._anchor_ns = unix_offset_ns()
        self._began_ns, self._started_unix_s = now_ns(), round(time.time(), 3)
        self._ended: set[str] = set()
        """Names of the cameras whose end was reported."""
        self._unsaved = False
        """Whether a file of the session as a whole could not be written."""
        self._stop: tuple[str, int] | None = None
        """Reason and exit code of the first stop; None before it."""
        self._stop_sent = self._kill_now = False
        self._deadline_ns = 0
        """Time (monotonic, ns) at which processes that still run are killed."""

    @property
    def running(self) -> bool:
        """Whether any camera still runs."""
        return len(self._ended) < len(self.runs)

    def start(self) -> None:
        """Make the session folder and start all processes.

        Raises:
            SinkError: if the folder cannot be made.
        """
        out, name = self.cameras.out, self.cameras.name
        self.folder = in_time(f"the folder {out}", lambda: make_session_folder(out, name))
        self._save("config.yaml", self.cameras.to_yaml())
        self._save("summary.json", to_json(self._summary("running")))
        for name, settings in self.cameras.settings.items():
            self.runs.append(CameraRun(name, settings, self.folder / name, self._anchor_ns))

    def stop(self, reason: str, code: int) -> None:
        """Stop all cameras at the next ``supervise``; a second call kills them. A signal handler may call this."""
        self._kill_now = self._stop is not None
        self._stop = self._stop or (reason, code)

    def supervise(self) -> None:
        """Check all cameras once: report which have ended, pass on a stop, and kill those that do not end in time."""
        for run in self.runs:
            if run.name not in self._ended and not run.running:
                self._ended.add(run.name)
                self._report_exit(run)
        if self._stop is not None and not self._stop_sent:
            self._stop_sent = True
            self._deadline_ns = now_ns() + round(_KILL_AFTER_S * 1e9)
            for run in self.runs:
                run.stop(*self._stop)
        if self._stop_sent and (self._kill_now or now_ns() > self._deadline_ns):
            for run in self.runs:
                if run.process.poll() is None:
                    run.kill()

    def close(self) -> dict[str, Any]:
        """End all cameras and write the summary of the session.

        Returns:
            The summary. If no camera made its folder, the session folder is removed.
        """
        if self.running and self._stop is None:
            self.stop("stopped", EXIT_FAILED)
        while self.running:
            self.supervise()
            time.sleep(0.05)
        for run in self.runs:
            run.close()
        summary = self._summary(self._stop[0] if self._stop else "finished")
        if self.folder is not None:
            if any(run.folder.is_dir() for run in self.runs):
                self._save("summary.json", to_json(summary))
                summary["exit"] = self._exit_code()
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
        return summary

    def _save(self, name: str, text: str) -> None:
        """Write a small file of the session. If that fails, report it, and the exit code becomes 3."""
        assert self.folder is not None
        if (problem := try_write_whole(self.folder / name, text)) is not None:
            self._unsaved = True
            self.problems.append(f"cropzoom: {problem}")

    def _report_exit(self, run: CameraRun) -> None:
        _, reason = run.outcome
        if not run.failed:
            self.notes.append(f"{run.name}: {reason}")
        elif self.cameras.stop_together and self._stop is None:
            self.problems.append(f"cropzoom: {run.name}: {reason}; the other cameras stop, too")
            self._stop = (f"stopped because {run.name} failed", 0)
        else:
            others = "; the other cameras continue" if self.running and self._stop is None else ""
            self.problems.append(f"cropzoom: {run.name}: {reason}{others}")

    def _summary(self, reason: str) -> dict[str, Any]:
        cameras = {run.name: run.to_summary() for run in self.runs}
        counts = [camera["counts"] for camera in cameras.values() if camera["counts"]]
        return {
            "version": __version__,
            "reason": reason,
            "exit": self._exit_code(),
            "unix_offset_ns": self._anchor_ns,
            "started_unix_s": self._started_unix_s,
            "seconds": round((now_ns() - self._began_ns) / 1e9, 3),
            "totals": {name: sum(c[name] for c in counts) for name in (counts[0] if counts else ())},
            "cameras": cameras,
            "folder": str(self.folder),
        }

    def _exit_code(self) -> int:
        """Return the exit code of the session: that of a failure, else of the stop, else 3 if something is missing."""
        codes = [run.outcome[0] for run in self.runs]
        if any(code not in _NO_FAILURE for code in codes):
            return EXIT_FAILED
        missing = EXIT_INCOMPLETE if self._unsaved else 0
        return (self._stop[1] if self._stop else 0) or max([*codes, missing])

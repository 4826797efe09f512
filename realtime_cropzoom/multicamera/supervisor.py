"""Several cameras, each in its own process: started together, watched, and ended together.

They share one session folder, with a folder a camera in it, and one clock: the monotonic clock is the
machine's, and the Unix anchor is measured once, here, and given to all. The processes hang on a pipe
each: when this one is gone, however it went, they end.
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
from realtime_cropzoom.clock import unix_offset_ns
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
from realtime_cropzoom.runtime.signals import ending_signals, signal_name
from realtime_cropzoom.runtime.started import in_time
from realtime_cropzoom.sessions.folder import make_session_folder

_NO_FAILURE = (0, EXIT_INCOMPLETE, *(128 + number for number in ending_signals()))
_END_WITHIN_S = 3.0
"""A pipeline ends within 2 s, whatever is stuck in it; what still runs then is killed."""
_LINES_KEPT = 1000
_WORKER = [sys.executable, "-m", "realtime_cropzoom.multicamera.worker"]
"""Command that runs one camera."""


class CameraRun:
    """One camera's process, from outside. Reader threads never wait for anybody, so neither does the process."""

    def __init__(self, name: str, settings: Settings, folder: Path, anchor_ns: int) -> None:
        """Start the process."""
        self.name, self.folder = name, folder
        self.said: deque[str] = deque(maxlen=_LINES_KEPT)
        """What is to be shown in any case, oldest first."""
        self.notes: deque[str] = deque(maxlen=_LINES_KEPT)
        """What a user may want to know."""
        self.status: StatusMessage | None = None
        """The last heartbeat."""
        self.frame_count: int | None = None
        self.end: End | None = None
        """Its last report; None if it could not send one."""
        self.gave_up = False
        """Whether it did not end in time and was killed for it."""
        self.process = subprocess.Popen(
            _WORKER,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
            start_new_session=True,  # Ctrl-C goes to all of a terminal's processes, but this one tells the others
        )  # fmt: skip
        self._readers = [
            threading.Thread(target=reader, args=(stream,), name=f"cropzoom-{name}", daemon=True)
            for reader, stream in ((self._read, self.process.stdout), (self._read_stderr, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        settings_given = settings.model_dump(mode="json")
        self._tell(Job(settings_given, str(folder), anchor_ns))

    @property
    def running(self) -> bool:
        """Whether it has not ended yet, or something it said is still on the way."""
        return self.process.poll() is None or any(reader.is_alive() for reader in self._readers)

    @property
    def outcome(self) -> tuple[int, str]:
        """Exit code and reason. Only once it has ended."""
        code = self.process.returncode
        if self.end is not None:
            return self.end.exit, self.end.reason
        if self.gave_up:
            return 128 + 9, "did not end in time and was killed"
        if code < 0:
            return 128 - code, f"killed by {signal_name(-code)}"
        return code or EXIT_FAILED, f"ended with exit code {code} and did not say why"

    @property
    def failed(self) -> bool:
        """Whether it neither came to its end nor was stopped. Only once it has ended."""
        return self.outcome[0] not in _NO_FAILURE

    def stop(self, reason: str, code: int) -> None:
        """Ask it to end."""
        self._tell(Stop(reason, code))

    def kill(self) -> None:
        """End it the hard way."""
        self.gave_up = True
        self.process.kill()

    def close(self) -> None:
        """Close the pipes of a process that has ended."""
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it was told last, and never heard
                    pipe.close()

    def account(self) -> dict[str, Any]:
        """Return what the summary says of this camera. Only once it has ended."""
        code, reason = self.outcome
        summary = self.end and self.end.summary
        heard = self.status and msgspec.to_builtins(self.status.counts)
        counts = summary["counts"] if summary else heard  # of the last heartbeat, where it was killed
        folder = str(self.folder) if self.folder.is_dir() else None
        return {"exit": code, "reason": reason, "folder": folder, "counts": counts, "summary": summary or None}

    def _tell(self, order: Order) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended in this moment, which is seen next
            self.process.stdin.write(encode(order))
            self.process.stdin.flush()

    def _read(self, stdout: TextIO) -> None:
        """Take all reports to the end of the pipe: a worker whose pipe is full would wait for ever."""
        for line in stdout:
            try:
                self._take(decode_report(line))
            except msgspec.ValidationError as error:
                self.said.append(
                    f"cropzoom: {self.name}: ignored an unknown message from the camera's process: {error}"
                )
            except ValueError:  # half a line of a process that was killed
                continue

    def _take(self, report: Report) -> None:
        match report:
            case Note(text):
                self.notes.append(f"{self.name}: {text}")
            case Problem(text):
                self.said.append(f"cropzoom: {self.name}: {text}")
            case Heartbeat(status):
                self.status = status
            case FrameCount(frames):
                self.frame_count = frames
            case End():
                self.end = report

    def _read_stderr(self, stderr: TextIO) -> None:
        for line in stderr:
            self.said.append(f"{self.name}: {line.rstrip()}")


class CameraGroup:
    """All cameras of a session. ``start`` them, call ``supervise`` until ``running`` is over, then ``close``."""

    def __init__(self, cameras: Cameras) -> None:
        self.cameras = cameras
        self.runs: list[CameraRun] = []
        self.folder: Path | None = None
        self.said: deque[str] = deque(maxlen=_LINES_KEPT)
        """What happened to the cameras, to be shown in any case."""
        self.notes: deque[str] = deque(maxlen=_LINES_KEPT)
        """What a user may want to know of them."""
        self._anchor_ns = unix_offset_ns()
        self._began_ns, self._started_unix_s = time.monotonic_ns(), round(time.time(), 3)
        self._ended: set[str] = set()
        self._unsaved = False
        """Whether a file of the session as a whole could not be written."""
        self._stop: tuple[str, int] | None = None
        self._told_to_stop = self._at_once = False
        self._deadline_ns = 0

    @property
    def running(self) -> bool:
        """Whether any camera still runs."""
        return len(self._ended) < len(self.runs)

    def start(self) -> None:
        """Make the session folder and start all processes. Raises SinkError."""
        out, name = self.cameras.out, self.cameras.name
        self.folder = in_time(f"the folder {out}", lambda: make_session_folder(out, name))
        self._save("config.yaml", self.cameras.to_yaml())
        self._save("summary.json", to_json(self._summary("running")))
        for name, settings in self.cameras.settings.items():
            self.runs.append(CameraRun(name, settings, self.folder / name, self._anchor_ns))

    def stop(self, reason: str, code: int) -> None:
        """Ask all to end; from a signal handler too, because ``supervise`` does it. A second time kills them."""
        self._at_once = self._stop is not None
        self._stop = self._stop or (reason, code)

    def supervise(self) -> None:
        """Look at all cameras: say which have ended, pass on that they are to stop, and kill what does not."""
        for run in self.runs:
            if run.name not in self._ended and not run.running:
                self._ended.add(run.name)
                self._see_off(run)
        if self._stop is not None and not self._told_to_stop:
            self._told_to_stop = True
            self._deadline_ns = time.monotonic_ns() + round(_END_WITHIN_S * 1e9)
            for run in self.runs:
                run.stop(*self._stop)
        if self._told_to_stop and (self._at_once or time.monotonic_ns() > self._deadline_ns):
            for run in self.runs:
                if run.process.poll() is None:
                    run.kill()

    def close(self) -> dict[str, Any]:
        """End what still runs, write the summary of all and return it; a session nobody began is removed."""
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
                summary["exit"] = self._worst()
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
        return summary

    def _save(self, name: str, text: str) -> None:
        """Write a small file of the session; one that cannot be written is said, and the exit code is 3."""
        assert self.folder is not None
        if (problem := try_write_whole(self.folder / name, text)) is not None:
            self._unsaved = True
            self.said.append(f"cropzoom: {problem}")

    def _see_off(self, run: CameraRun) -> None:
        _, reason = run.outcome
        if not run.failed:
            self.notes.append(f"{run.name}: {reason}")
        elif self.cameras.stop_together and self._stop is None:
            self.said.append(f"cropzoom: {run.name}: {reason}; the others stop too")
            self._stop = (f"stopped because {run.name} failed", 0)
        else:
            others = "; the others go on" if self.running and self._stop is None else ""
            self.said.append(f"cropzoom: {run.name}: {reason}{others}")

    def _summary(self, reason: str) -> dict[str, Any]:
        cameras = {run.name: run.account() for run in self.runs}
        counts = [camera["counts"] for camera in cameras.values() if camera["counts"]]
        return {
            "version": __version__,
            "reason": reason,
            "exit": self._worst(),
            "unix_offset_ns": self._anchor_ns,
            "started_unix_s": self._started_unix_s,
            "seconds": round((time.monotonic_ns() - self._began_ns) / 1e9, 3),
            "totals": {name: sum(c[name] for c in counts) for name in (counts[0] if counts else ())},
            "cameras": cameras,
            "folder": str(self.folder),
        }

    def _worst(self) -> int:
        """A failure of one is one of the session; then comes what stopped it, then what is missing in the files."""
        codes = [run.outcome[0] for run in self.runs]
        if any(code not in _NO_FAILURE for code in codes):
            return EXIT_FAILED
        missing = EXIT_INCOMPLETE if self._unsaved else 0
        return (self._stop[1] if self._stop else 0) or max([*codes, missing])

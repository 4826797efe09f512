"""Aravis' fake GigE Vision camera on loopback, which loses packets, falls silent and dies where a test says so."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.machine_vision.aravis import library

ADDRESS = "127.0.0.1"
_COMMAND = "arv-fake-gv-camera-0.8"
_PORT = 3956


def why_not() -> str | None:
    """Why there is no fake camera on this machine."""
    if shutil.which(_COMMAND) is None:
        return f"{_COMMAND} is not installed: apt install aravis-tools"
    try:
        library()
    except SourceError as error:
        return str(error)
    return None


class FakeCamera:
    """The camera's process, started anew at will."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, lost_per_thousand: int = 0) -> None:
        """Start it and wait until it can be asked."""
        command = [_COMMAND, "-i", ADDRESS, "-r", str(lost_per_thousand)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not is_taken():
            assert self._process.poll() is None
            assert time.monotonic() < deadline, "the fake camera does not start"
            time.sleep(0.01)

    def fall_silent(self) -> None:
        """Stop it in the middle of whatever it does: nothing answers any more, nothing refuses."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it, as if it were unplugged."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def is_taken() -> bool:
    """Whether something listens at the address of cameras."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ADDRESS, _PORT))
        except OSError:
            return True
        return False


@contextlib.contextmanager
def only_one() -> Iterator[FakeCamera]:
    """A fake camera that is not running yet. They all have one address, so two test runs take turns."""
    path = Path(tempfile.gettempdir()) / "cropzoom-fake-gige.lock"
    if not path.exists():
        path.touch()
    with path.open() as lock:  # to read, so that the tests of two users can share it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_taken():
            pytest.skip(f"another program has port {_PORT} of {ADDRESS}")
        camera = FakeCamera()
        try:
            yield camera
        finally:
            camera.kill()

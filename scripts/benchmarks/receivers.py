"""Receivers: the other ends of outputs while these are measured."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import zmq

_OUTPUTS = ("first", "second")
_BOARD = [sys.executable, "-m", "realtime_cropzoom.trigger.outputs.simulated_board"]
_PATIENCE_S = 20.0


class Listener:
    """A subscriber to the messages of ``zmq_publish``."""

    what = "messages received at the other end"

    def __init__(self, folder: Path) -> None:
        """``folder`` is not used."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.subscribe(b"")
        self._heard = 0
        self.outputs = {name: {"zmq_publish": free_endpoint(self._context)} for name in _OUTPUTS}
        for output in self.outputs.values():
            self._socket.connect(output["zmq_publish"])

    def attend(self, seconds: float) -> None:
        """Receive for ``seconds``."""
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            if self._socket.poll(max(1, round(left_s * 1000))):
                self._socket.recv_multipart()
                self._heard += 1

    def heard(self) -> int:
        """Return the number of messages."""
        self.attend(0.2)
        return self._heard

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close(linger=0)
        self._context.term()


class SimulatedBoard:
    """A trigger board on a pseudo-terminal, in a process of its own, with two channels in use."""

    what = "changes of its channels, of which a pulse within a hold makes none"

    def __init__(self, folder: Path) -> None:
        """Start the board. It prints a line per change of a channel, to a file in ``folder``."""
        self._printed = folder / "board.txt"
        with self._printed.open("w", encoding="utf-8") as file:
            self._process = subprocess.Popen(_BOARD, stdout=file)
        deadline = time.monotonic() + _PATIENCE_S
        while not (text := self._printed.read_text(encoding="utf-8")).endswith("\n"):
            if time.monotonic() > deadline:
                raise TimeoutError("the simulated board does not start")
            time.sleep(0.02)
        self.outputs = {name: {"serial": text.strip(), "channel": i} for i, name in enumerate(_OUTPUTS, start=1)}

    def attend(self, seconds: float) -> None:
        """Wait for ``seconds``; the board receives by itself."""
        time.sleep(seconds)

    def heard(self) -> int:
        """Return the number of changes of the channels."""
        return len(self._printed.read_text(encoding="utf-8").splitlines()) - 1

    def __enter__(self) -> SimulatedBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


RECEIVERS: dict[str, type[Listener] | type[SimulatedBoard]] = {"zmq_publish": Listener, "serial": SimulatedBoard}
"""Receivers by the kind of output."""


def free_endpoint(context: zmq.Context[zmq.Socket[bytes]]) -> str:
    """Return an endpoint that is free."""
    with context.socket(zmq.PUB) as socket:
        return f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"

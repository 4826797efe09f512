"""For tests of ``cropzoom trigger`` and of subscribers: a stream of poses without cameras or models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
import zmq

from realtime_cropzoom.messaging.message import HelloMessage, PoseMessage, encode, topic
from support.publisher import hello, pose


class Feed(threading.Thread):
    """Publishes a hello now and then, and a pose every so often, each captured at the moment it is sent."""

    def __init__(self, fps: float = 100.0, x_of: Callable[[int], float] = lambda frame: 1.0, run: str = "r") -> None:
        """``x_of`` says where the snout is in each frame; its y is 2, its likelihood 0.99."""
        super().__init__(daemon=True)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.fps, self.run_id, self.sent = fps, run, 0
        self.paused = threading.Event()
        self.over = threading.Event()
        self._x_of = x_of

    def run(self) -> None:
        begin = time.monotonic()
        for frame in range(10**9):
            if self.over.wait(max(0.0, begin + frame / self.fps - time.monotonic())):
                break
            if frame % max(1, round(self.fps / 4)) == 0:
                self._send(msgspec.structs.replace(hello(self.run_id), fps=self.fps))
            if not self.paused.is_set():
                message = pose(frame, run=self.run_id)
                self._send(msgspec.structs.replace(message, keypoints={"snout": (self._x_of(frame), 2.0, 0.99)}))
                self.sent = frame + 1
        self._socket.close(linger=0)
        self._context.term()

    def _send(self, message: HelloMessage | PoseMessage) -> None:
        self._socket.send_multipart([topic(message, message.camera), encode(message)])

    def __enter__(self) -> Feed:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

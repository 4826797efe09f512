"""Blocking subscriber: receives the messages of a run in the script of an experiment.

::

    from realtime_cropzoom import Subscriber

    try:
        with Subscriber() as poses:
            while poses.stream != "ended":
                message = poses.newest(timeout_s=0.02)
                x = message.keypoints["snout"][0] if message and message.state == "tracking" else None
                laser.set(x is not None and x > 320)
    finally:
        laser.set(False)

The module imports pyzmq and msgspec, but no inference or video library. ``AsyncSubscriber`` is the same for asyncio.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import zmq

from realtime_cropzoom.client.base import DEFAULT_ENDPOINT, MAX_BATCH, SubscriberBase
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.messaging.limits import NEEDED_TO_LISTEN, check_open_files
from realtime_cropzoom.messaging.message import AnimalsMessage, EndMessage, FrameMessage, Message, PoseMessage
from realtime_cropzoom.messaging.sockets import new_socket

_WINDOWS_POLL_MS = 500
"""Maximum time (ms) of one wait on Windows, where Ctrl-C does not end it."""

__all__ = ["DEFAULT_ENDPOINT", "Subscriber"]


class Subscriber(SubscriberBase):
    """Receives the messages of one endpoint. Use it from one thread.

    Iterate over it, call ``receive`` for the next message, or call ``newest`` for the current pose. Its properties
    report every loss: ``missed``, ``late``, ``restarts``, ``malformed``, ``oversize``, ``stream`` and ``clock``.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        camera: str | None = None,
        *,
        follow: bool = False,
        keys: str | Path | None = None,
        region: str | None = None,
    ) -> None:
        """Connect to an endpoint. The publisher may start later, and the connection recovers when it restarts.

        Args:
            endpoint: ZeroMQ endpoint of the run, such as ``tcp://127.0.0.1:5660``.
            camera: Receive only the messages of this camera. None receives all cameras.
            follow: When a run ends, continue to iterate with the next run.
            keys: The file that ``cropzoom keys`` made for this client. Needed only if the run uses keys.
            region: Receive only the poses of this region, of a run with several. ``newest`` needs it there.

        Raises:
            ConfigError: if ``endpoint`` is not an endpoint, or the key file cannot be used.
        """
        check_open_files(NEEDED_TO_LISTEN)  # ZeroMQ aborts the process if it cannot open a file
        context = zmq.Context()
        self._socket = new_socket(context, zmq.SUB, endpoint)
        super().__init__(context, self._socket, endpoint, camera, keys, region)
        self._follow = follow
        self._poller = zmq.Poller()
        for socket in (self._socket, self._handshake.events):
            self._poller.register(socket, zmq.POLLIN)

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message of any kind, or None if no message came in time.

        Anything that is not a message of schema version 1 is counted and dropped.

        Args:
            timeout_s: Maximum time to wait (s). None waits without limit.

        Raises:
            ConfigError: if the endpoint refuses this client, has no keys although ``keys`` are given, or has no such
                region. No message would ever arrive.
        """
        deadline = math.inf if timeout_s is None else now_s() + timeout_s
        while (ready := dict(self._poller.poll(poll_ms(deadline)))) or now_s() < deadline:
            if self._socket not in ready:  # messages that came before a refusal are returned first
                self._check_handshake()
            message = self._take(self._socket.recv_multipart()) if self._socket in ready else None
            if message is not None or now_s() >= deadline:  # also while other bytes keep arriving
                return message
        return None

    def newest(self, max_age_ms: float | None = None, timeout_s: float = 0.0) -> PoseMessage | None:
        """Return the newest pose if it is no older than ``max_age_ms``, or None.

        The method first receives all waiting messages. Without a new pose it waits up to ``timeout_s`` for one. Then
        it returns the last pose again (with the same ``seq``) if that pose is young enough and the stream is live.

        Args:
            max_age_ms: Maximum age of the pose (ms), as ``age_ms`` computes it. None uses ``default_max_age_ms``, which
                follows the stream. A value shorter than the interval between poses gives None between two poses; the
                subscriber warns of it once.
            timeout_s: Maximum time to wait for a new pose (s).

        Returns:
            The newest pose; None if there is no pose, if it is too old, if its age is unknown, or if it is not new and
            the stream is not live.

        Raises:
            ConfigError: as ``receive``; also if the run has several regions and ``region`` names none of them, or if
                it follows several animals.
        """
        pose = self._wait_for_newest(max_age_ms, timeout_s)
        return None if pose is None else self._one_animal(pose)

    def newest_animals(self, max_age_ms: float | None = None, timeout_s: float = 0.0) -> AnimalsMessage | None:
        """Return the newest frame of a run with several animals, as ``newest`` does with the pose of one."""
        frame = self._wait_for_newest(max_age_ms, timeout_s)
        return None if frame is None else self._all_animals(frame)

    def _wait_for_newest(self, max_age_ms: float | None, timeout_s: float) -> FrameMessage | None:
        deadline = now_s() + timeout_s
        while True:
            pose = self._newest(self._all_waiting(), max_age_ms)
            if pose is not None:
                return pose
            if self._socket not in dict(self._poller.poll(poll_ms(deadline))):
                self._check_handshake()  # also without a timeout, so that a caller that never waits learns of a refusal
            if now_s() >= deadline:
                return self._still_young(max_age_ms)

    def messages(self) -> Iterator[Message]:
        """Yield the messages of all kinds, without end: also after a run ended or restarted."""
        while True:
            message = self.receive()
            if message is not None:
                yield message

    def __iter__(self) -> Iterator[PoseMessage]:
        """Yield the poses of a run until its end message; with ``follow``, the poses of all runs without end."""
        for message in self._frames():
            yield self._one_animal(message)

    def animals(self) -> Iterator[AnimalsMessage]:
        """Yield the frames of a run with several animals, as iteration does with the poses of one.

        Raises:
            ConfigError: if the run follows one animal.
        """
        for message in self._frames():
            yield self._all_animals(message)

    def _frames(self) -> Iterator[FrameMessage]:
        for message in self.messages():
            if isinstance(message, FrameMessage):
                yield message
            elif isinstance(message, EndMessage) and not self._follow:
                return

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _all_waiting(self) -> Iterator[Message | None]:
        for _ in range(MAX_BATCH):
            if not self.has_message():
                return
            yield self._take(self._socket.recv_multipart())


def ms_until(deadline: float) -> int | None:
    """Return the timeout for ``poll`` until ``deadline`` (s, ``clock.now_s``): whole ms, None for no limit."""
    return None if deadline == math.inf else max(0, math.ceil((deadline - now_s()) * 1000))


def poll_ms(deadline: float) -> int | None:
    """Return the timeout for one of the polls until ``deadline``. On Windows, Ctrl-C ends a script between two."""
    left = ms_until(deadline)
    return left if sys.platform != "win32" else _WINDOWS_POLL_MS if left is None else min(left, _WINDOWS_POLL_MS)

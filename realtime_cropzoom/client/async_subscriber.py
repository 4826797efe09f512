"""Asyncio subscriber: the methods of ``Subscriber``, awaited.

::

    from realtime_cropzoom import AsyncSubscriber

    async with AsyncSubscriber() as poses:
        async for message in poses:
            ...
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import zmq
import zmq.asyncio

from realtime_cropzoom.client.base import DEFAULT_ENDPOINT, MAX_BATCH, SubscriberBase
from realtime_cropzoom.client.subscriber import ms_until
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.messaging.limits import NEEDED_TO_LISTEN, check_open_files
from realtime_cropzoom.messaging.message import AnimalsMessage, EndMessage, FrameMessage, Message, PoseMessage
from realtime_cropzoom.messaging.sockets import new_socket


class AsyncSubscriber(SubscriberBase):
    """Receives the messages of one endpoint in one event loop. Arguments and results are as in ``Subscriber``."""

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        camera: str | None = None,
        *,
        follow: bool = False,
        keys: str | Path | None = None,
        region: str | None = None,
    ) -> None:
        """Connect to an endpoint, with the arguments of ``Subscriber``.

        Raises:
            ConfigError: if ``endpoint`` is not an endpoint, or the key file cannot be used.
        """
        check_open_files(NEEDED_TO_LISTEN)  # ZeroMQ aborts the process if it cannot open a file
        context = zmq.Context()
        self._socket = new_socket(zmq.asyncio.Context.shadow(context), zmq.SUB, endpoint)
        super().__init__(context, self._socket, endpoint, camera, keys, region)
        self._follow = follow
        self._poller = zmq.asyncio.Poller()
        for socket in (self._socket, self._handshake.events):
            self._poller.register(socket, zmq.POLLIN)

    async def receive(self, timeout_s: float | None = None) -> Message | None:
        """Return the next message of any kind, or None if no message came in time.

        Args:
            timeout_s: Maximum time to wait (s). None waits without limit.

        Raises:
            ConfigError: if the endpoint refuses this client.
        """
        deadline = math.inf if timeout_s is None else now_s() + timeout_s
        while ready := dict(await self._poller.poll(ms_until(deadline))):
            if self._socket not in ready:
                self._check_handshake()
            message = self._take(await self._socket.recv_multipart()) if self._socket in ready else None
            await asyncio.sleep(0)  # with many waiting messages nothing above yields to the other tasks
            if message is not None or now_s() >= deadline:
                return message
        return None

    async def newest(self, max_age_ms: float | None = None, timeout_s: float = 0.0) -> PoseMessage | None:
        """Return the newest pose if it is no older than ``max_age_ms``, or None. See ``Subscriber.newest``."""
        pose = await self._wait_for_newest(max_age_ms, timeout_s)
        return None if pose is None else self._one_animal(pose)

    async def newest_animals(self, max_age_ms: float | None = None, timeout_s: float = 0.0) -> AnimalsMessage | None:
        """Return the newest frame of a run with several animals, as ``newest`` does with the pose of one."""
        frame = await self._wait_for_newest(max_age_ms, timeout_s)
        return None if frame is None else self._all_animals(frame)

    async def _wait_for_newest(self, max_age_ms: float | None, timeout_s: float) -> FrameMessage | None:
        deadline = now_s() + timeout_s
        while True:
            pose = self._newest([message async for message in self._all_waiting()], max_age_ms)
            if pose is not None:
                return pose
            if self._socket not in dict(await self._poller.poll(ms_until(deadline))):
                self._check_handshake()  # also without a timeout, so that a caller that never waits learns of a refusal
            if now_s() >= deadline:
                return self._still_young(max_age_ms)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield the messages of all kinds, without end: also after a run ended or restarted."""
        while True:
            message = await self.receive()
            if message is not None:
                yield message

    async def __aiter__(self) -> AsyncIterator[PoseMessage]:
        """Yield the poses of a run until its end message; with ``follow``, the poses of all runs without end."""
        async for message in self._frames():
            yield self._one_animal(message)

    async def animals(self) -> AsyncIterator[AnimalsMessage]:
        """Yield the frames of a run with several animals, as iteration does with the poses of one.

        Raises:
            ConfigError: if the run follows one animal.
        """
        async for message in self._frames():
            yield self._all_animals(message)

    async def _frames(self) -> AsyncIterator[FrameMessage]:
        async for message in self.messages():
            if isinstance(message, FrameMessage):
                yield message
            elif isinstance(message, EndMessage) and not self._follow:
                return

    async def __aenter__(self) -> AsyncSubscriber:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _all_waiting(self) -> AsyncIterator[Message | None]:
        for _ in range(MAX_BATCH):
            if not self.has_message():
                return
            yield self._take(await self._socket.recv_multipart())

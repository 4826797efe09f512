"""Base class of both subscribers: sets the socket options, keeps the counters and computes the age of a pose."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zmq

from realtime_cropzoom.client.message_tracker import LARGEST_BYTES, MessageTracker
from realtime_cropzoom.client.pose_rate import PoseRate
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, explain
from realtime_cropzoom.filters.pose_filter import MAX_HORIZON_MS, predict
from realtime_cropzoom.messaging.endpoints import check_transport
from realtime_cropzoom.messaging.keys import read_client_keys
from realtime_cropzoom.messaging.message import (
    AnimalsMessage,
    FrameMessage,
    HelloMessage,
    Message,
    PoseMessage,
    StatusMessage,
)
from realtime_cropzoom.messaging.security import HandshakeMonitor
from realtime_cropzoom.messaging.sockets import use_client_keys
from realtime_cropzoom.messaging.time_sync import ClockOffset, ClockSync

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5660"
"""Endpoint of a run with default settings, on this machine."""
MAX_BATCH = 4096
"""Maximum number of messages that one call of ``newest`` receives in a row. A flood must not block the caller."""
_MAX_WAITING = 1000
"""Maximum number of messages that wait at the socket. ZeroMQ drops further ones; ``missed`` counts them."""
_MAX_CAMERAS = 64
"""Maximum number of cameras whose rate is kept, so that invented names do not fill the memory."""
_LIVE = "live"
_MAX_FRAME_BYTES = 16 * LARGEST_BYTES
"""Maximum size (bytes) of a message part. ZeroMQ disconnects a peer that sends a larger one."""

logger = logging.getLogger(__name__)


class SubscriberBase:
    """Counts, hellos and clocks of one endpoint. ``Subscriber`` and ``AsyncSubscriber`` add the waiting."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        socket: zmq.Socket[Any],
        endpoint: str,
        camera: str | None,
        keys: str | Path | None,
        region: str | None = None,
    ) -> None:
        """Connect ``socket``, the only socket of ``context``.

        Raises:
            ConfigError: if ``endpoint`` or ``keys`` cannot be used. Socket and context are then closed.
        """
        self.endpoint = endpoint
        """The endpoint that it is connected to."""
        self._context, self._sub = context, socket
        self._handshake = HandshakeMonitor(context, socket, endpoint, with_keys=keys is not None)
        self.camera = camera
        """The only camera whose messages are received; None for all cameras."""
        self.region = region
        """The only region whose poses are received; None for all regions."""
        self._tracker = MessageTracker(camera, region)
        self._rates: dict[str, PoseRate] = {}
        self._last: FrameMessage | None = None
        """The newest pose, or the newest frame with several animals."""
        self._last_is_new = False
        self._warned = False
        try:
            client_keys = None if keys is None else read_client_keys(Path(keys))
            self._clocks = ClockSync(endpoint, client_keys)
            if client_keys is not None:
                use_client_keys(socket, client_keys)
            _connect(socket, endpoint)
        except BaseException:
            self._disconnect()
            raise

    def close(self) -> None:
        """Disconnect. May be called more than once."""
        self._clocks.close()
        self._disconnect()

    def select_camera(self, camera: str) -> None:
        """Receive only the messages of ``camera`` from now on, as if it had been given at the start."""
        self.camera = camera
        self._tracker.select_camera(camera)

    @property
    def hello(self) -> HelloMessage | None:
        """The last hello message, which describes the run: keypoint names, frame size, hashes. None before the first.

        A new run sends another.
        """
        return self._tracker.hello

    @property
    def last_status(self) -> StatusMessage | None:
        """The last status message; None before the first."""
        return self._tracker.last_status

    @property
    def missed(self) -> int:
        """Number of poses that were published after the first received pose and never arrived (gaps in ``seq``)."""
        return self._tracker.missed

    @property
    def late(self) -> int:
        """Number of poses that the run published before the first received pose. It belongs to the run joined last."""
        return self._tracker.late

    @property
    def restarts(self) -> int:
        """Number of times that a new run began for a camera that had sent messages before."""
        return self._tracker.restarts

    @property
    def malformed(self) -> int:
        """Number of payloads that were not a message of schema version 1."""
        return self._tracker.malformed

    @property
    def oversize(self) -> int:
        """Number of payloads that were larger than any message (1 MiB)."""
        return self._tracker.oversize

    @property
    def others(self) -> tuple[str, ...]:
        """The cameras at the endpoint whose messages are dropped because ``camera`` names another camera."""
        return tuple(self._tracker.others)

    @property
    def connected(self) -> bool:
        """Whether a ZeroMQ peer at the endpoint completed the handshake, with the right keys if keys are given."""
        return self._handshake.succeeded

    @property
    def stream(self) -> str:
        """State of the stream in the last message: ``live``, ``stalled``, ``reconnecting``, ``ended``; or ``silent``.

        ``silent`` means that no message came for 3 s, not even a heartbeat, and that none waits to be received: there
        is no publisher, or the network is down.
        """
        if self.has_message():
            return self._tracker.stream(0)
        return self._tracker.stream(now_ns())

    @property
    def clock(self) -> ClockOffset | None:
        """Offset of the publisher's clock from ours: 0 ± 0 on the same machine, None while it is unknown."""
        return None if self.hello is None else self._clocks.offset_to(self.hello.clock)

    def age_ms(self, message: FrameMessage, at_ns: int | None = None) -> float:
        """Return the age of the frame of ``message`` (ms): an upper bound that includes the clock's uncertainty.

        Args:
            message: A pose of this endpoint, or a frame with several animals.
            at_ns: Time at which the age is asked (ns, monotonic clock of this machine). None means now.

        Returns:
            The age in ms. Infinite if it is unknown: before the hello message of the run arrived, while the clock of
            another machine is not measured, or if the frame would have been captured after ``at_ns``.
        """
        offset = self._offset(message)
        if offset is None:
            return math.inf
        at_ns = now_ns() if at_ns is None else at_ns
        age_ns = at_ns + offset.offset_ns - message.time.captured_ns + offset.uncertainty_at_ns(at_ns)
        return age_ns / 1e6 if age_ns >= 0 else math.inf

    def default_max_age_ms(self, camera: str | None = None) -> float:
        """Return the default maximum age of ``newest`` (ms): 2.5 intervals between poses plus the usual latency.

        Args:
            camera: Name of the camera. None means the camera of the newest pose.

        Returns:
            50 ms to 2750 ms; 100 ms while the rate is unknown.
        """
        if camera is None and self._last is not None:
            camera = self._last.camera
        return self._rates.get(camera or "", PoseRate()).default_max_age_ms

    def predict(
        self, message: PoseMessage, keypoint: str, at_ns: int | None = None, max_horizon_ms: float = MAX_HORIZON_MS
    ) -> tuple[float, float] | None:
        """Return where the filter predicts ``keypoint`` at a given time: (x, y) in frame pixels.

        Args:
            message: A pose of this endpoint.
            keypoint: Name of the keypoint.
            at_ns: Time of the prediction (ns, monotonic clock of this machine). None means now.
            max_horizon_ms: Maximum age of the pose (ms).

        Returns:
            (x, y), or None: if the run sets no ``filter``, before the first usable pose, if the age is unknown, or if
            it is larger than ``max_horizon_ms``.

        Raises:
            KeyError: if there is no such keypoint.
        """
        at_ns = now_ns() if at_ns is None else at_ns
        offset = self._offset(message)
        if offset is None or message.filtered is None or not self.age_ms(message, at_ns) <= max_horizon_ms:
            return None
        ahead_ms = (at_ns + offset.offset_ns - message.time.captured_ns) / 1e6
        x, y = predict(message.filtered[keypoint], ahead_ms, max_horizon_ms=max_horizon_ms)
        return None if x is None or y is None or not math.isfinite(x + y) else (x, y)

    def _offset(self, message: FrameMessage) -> ClockOffset | None:
        hello = self._tracker.find_hello(message)
        return None if hello is None else self._clocks.offset_to(hello.clock)

    def _take(self, parts: list[bytes]) -> Message | None:
        message = self._tracker.take_parts(parts, now_ns())
        if isinstance(message, HelloMessage):
            self._check_region(message)
            self._clocks.follow(message)
            self._rate(message.camera).nominal_fps = message.fps
        elif isinstance(message, FrameMessage):
            self._rate(message.camera).note(message.run, message.time.captured_ns, self.age_ms(message))
            last = self._last
            if last is None or message.run != last.run or message.time.captured_ns >= last.time.captured_ns:
                self._last, self._last_is_new = message, True
        return message

    def _check_region(self, hello: HelloMessage) -> None:
        """Raise ConfigError if a run has no such region: none of its poses would ever arrive."""
        if self.region is None or self.region in hello.regions:
            return
        there = f"it has {', '.join(hello.regions)}" if hello.regions else "it has none"
        raise ConfigError(
            f"region {self.region}: the run of {hello.camera} has no such region; {there}. Give one that it has"
        )

    def _rate(self, camera: str) -> PoseRate:
        if camera not in self._rates and len(self._rates) >= _MAX_CAMERAS:
            del self._rates[next(iter(self._rates))]
        return self._rates.setdefault(camera, PoseRate())

    def _newest(self, messages: Iterable[Message | None], max_age_ms: float | None) -> FrameMessage | None:
        """Take ``messages`` and return the newest pose if it is new and young enough, else None."""
        for _ in messages:  # _take keeps the newest pose
            pass
        is_new, self._last_is_new = self._last_is_new, False
        return self._young(max_age_ms) if is_new else None

    def _still_young(self, max_age_ms: float | None) -> FrameMessage | None:
        """Return the newest pose again; None if it is too old or the stream is not live."""
        return self._young(max_age_ms) if self._tracker.stream(0) == _LIVE else None

    def _young(self, max_age_ms: float | None) -> FrameMessage | None:
        pose = self._last
        if pose is None:
            return None
        if isinstance(pose, PoseMessage) and pose.region is not None and self.region is None:
            raise ConfigError(
                f"newest(): the poses of {pose.camera} are of several regions, such as {pose.region}; expected one "
                f"region. Give it: Subscriber(…, region={pose.region!r})"
            )
        limit_ms = self.default_max_age_ms(pose.camera) if max_age_ms is None else max_age_ms
        if max_age_ms is not None:
            self._warn_if_short(pose.camera, max_age_ms)
        return pose if self.age_ms(pose) <= limit_ms else None

    def _warn_if_short(self, camera: str, max_age_ms: float) -> None:
        interval_ms = self._rate(camera).interval_ms
        if not self._warned and interval_ms is not None and max_age_ms < interval_ms:
            self._warned = True
            logger.warning(
                "newest(max_age_ms=%g): poses arrive every %.0f ms, and None is returned in between; leave "
                "max_age_ms out, or give at least %.0f",
                *(max_age_ms, interval_ms, self.default_max_age_ms(camera)),
            )

    def _one_animal(self, message: FrameMessage) -> PoseMessage:
        """Return a pose. Raises ConfigError if it is a frame with several animals, which a pose cannot stand for."""
        if isinstance(message, AnimalsMessage):
            raise ConfigError(
                f"{self.endpoint}: the run of {message.camera} follows {len(message.animals)} animals; "
                "expected one. Use animals() and newest_animals() of the subscriber for several"
            )
        return message

    def _all_animals(self, message: FrameMessage) -> AnimalsMessage:
        """Return a frame with several animals. Raises ConfigError if it is the pose of one."""
        if isinstance(message, PoseMessage):
            raise ConfigError(
                f"{self.endpoint}: the run of {message.camera} follows one animal; expected several. Iterate over the "
                "subscriber, and use newest(); or start the run with several animals"
            )
        return message

    def has_message(self) -> bool:
        """Return whether a message waits to be received."""
        return bool(int(self._sub.get(zmq.EVENTS)) & zmq.POLLIN)

    def _check_handshake(self) -> None:
        reason = self._handshake.check()
        if reason is not None:
            raise ConfigError(reason)

    def _disconnect(self) -> None:
        self._handshake.close()
        self._sub.close(linger=0)
        self._context.term()


def _connect(socket: zmq.Socket[Any], endpoint: str) -> None:
    """Subscribe to all topics at ``endpoint``. Raises ConfigError if it is not an endpoint."""
    socket.set(zmq.RECONNECT_IVL_MAX, 1000)
    socket.set(zmq.RCVHWM, _MAX_WAITING)
    socket.set(zmq.MAXMSGSIZE, _MAX_FRAME_BYTES)  # a larger one is refused before it is all in memory
    check_transport("endpoint", endpoint)
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        reason = f": {explain(error)}" if error.errno == errno.EMFILE else ", which is not an endpoint"
        raise ConfigError(f"cannot connect to {endpoint!r}{reason}; expected one such as {DEFAULT_ENDPOINT}") from error
    socket.subscribe(b"")

"""What both flavours of subscriber share: the socket's options, the counters, and how old a pose is."""

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
from realtime_cropzoom.errors import ConfigError, plainly
from realtime_cropzoom.filters.pose_filter import MAX_HORIZON_MS, predict
from realtime_cropzoom.messaging.keys import read_client_keys
from realtime_cropzoom.messaging.message import HelloMessage, Message, PoseMessage, StatusMessage
from realtime_cropzoom.messaging.security import HandshakeMonitor, use_client_keys
from realtime_cropzoom.messaging.time_sync import ClockOffset, ClockSync

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5660"
AT_ONCE = 4096
"""So many messages are looked through in one go, at most: a flood must not keep anybody for ever."""
_HIGH_WATER_MARK = 1000
_CAMERAS_KEPT = 64
_LIVE = "live"
_FAR_TOO_LARGE = 16 * LARGEST_BYTES

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
    ) -> None:
        """Connect ``socket``, which is the context's only one. Raises ConfigError, and has closed both then."""
        self.endpoint = endpoint
        """Where it listens."""
        self._context, self._sub = context, socket
        self._handshake = HandshakeMonitor(context, socket, endpoint, with_keys=keys is not None)
        self.camera = camera
        """The only camera that is listened to; None for all."""
        self._inbox = MessageTracker(camera)
        self._rates: dict[str, PoseRate] = {}
        self._last: PoseMessage | None = None
        """The newest pose."""
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
        """Disconnect; may be called twice."""
        self._clocks.close()
        self._disconnect()

    def keep_to(self, camera: str) -> None:
        """Listen to one camera alone from now on, as if it had been named at the start."""
        self.camera = camera
        self._inbox.keep_to(camera)

    @property
    def hello(self) -> HelloMessage | None:
        """The last hello: keypoint names, frame size, hashes. A new run at the endpoint says another."""
        return self._inbox.hello

    @property
    def last_status(self) -> StatusMessage | None:
        """The last heartbeat."""
        return self._inbox.last_status

    @property
    def missed(self) -> int:
        """Poses that were published after the first one that arrived, and never arrived: gaps in ``seq``."""
        return self._inbox.missed

    @property
    def late(self) -> int:
        """Poses that the run had published before the first one that arrived; of the run that was joined last."""
        return self._inbox.late

    @property
    def restarts(self) -> int:
        """How often a new run has begun at the endpoint, at a camera that was heard before."""
        return self._inbox.restarts

    @property
    def malformed(self) -> int:
        """What arrived and was no message of schema version 1."""
        return self._inbox.malformed

    @property
    def oversize(self) -> int:
        """What arrived and was larger than any message: 1 MiB."""
        return self._inbox.oversize

    @property
    def others(self) -> tuple[str, ...]:
        """The cameras that publish at the endpoint and are passed over, because ``camera`` is another one."""
        return tuple(self._inbox.others)

    @property
    def connected(self) -> bool:
        """Whether something that speaks as a run does has answered at the endpoint."""
        return self._handshake.succeeded

    @property
    def stream(self) -> str:
        """``live``, ``stalled``, ``reconnecting`` or ``ended``, as the last message received has it; or ``silent``.

        Silent is when not even a heartbeat has come for 3 s and none waits to be received: nobody publishes, or the
        network is down.
        """
        if self._waiting():
            return self._inbox.stream(0)
        return self._inbox.stream(now_ns())

    @property
    def clock(self) -> ClockOffset | None:
        """How far the publisher's clock is ahead of ours: 0 ± 0 on the same machine, None while it is not known."""
        return None if self.hello is None else self._clocks.offset_to(self.hello.clock)

    def age_ms(self, message: PoseMessage, at_ns: int | None = None) -> float:
        """Return how long ago the frame of ``message`` was captured: at most so long, the clock's uncertainty added.

        ``at_ns`` is a time of this machine's monotonic clock, now if not given. The age is infinite where it cannot
        be told: before the hello of the run has come, while another machine's clock is not measured, and where the
        frame would have been captured later than that.
        """
        offset = self._offset(message)
        if offset is None:
            return math.inf
        at_ns = now_ns() if at_ns is None else at_ns
        age_ns = at_ns + offset.offset_ns - message.time.captured_ns + offset.uncertainty_at_ns(at_ns)
        return age_ns / 1e6 if age_ns >= 0 else math.inf

    def usual_age_ms(self, camera: str | None = None) -> float:
        """Return the age up to which ``newest`` takes a pose if it is given none: 2.5 intervals and the usual latency.

        Of the newest pose's camera if none is named. 50 ms at least, 2.75 s at most, 100 ms while nothing is known.
        """
        if camera is None and self._last is not None:
            camera = self._last.camera
        return self._rates.get(camera or "", PoseRate()).usual_age_ms

    def predict(
        self, message: PoseMessage, keypoint: str, at_ns: int | None = None, max_horizon_ms: float = MAX_HORIZON_MS
    ) -> tuple[float, float] | None:
        """Return where ``keypoint`` is at ``at_ns`` (now, if not given) as its filter sees it: (x, y), frame pixels.

        None where the run sets no ``filter``, before the first usable pose, where the age cannot be told, and where
        it is more than ``max_horizon_ms``. Raises KeyError where there is no such keypoint.
        """
        at_ns = now_ns() if at_ns is None else at_ns
        offset = self._offset(message)
        if offset is None or message.filtered is None or not self.age_ms(message, at_ns) <= max_horizon_ms:
            return None
        ahead_ms = (at_ns + offset.offset_ns - message.time.captured_ns) / 1e6
        x, y = predict(message.filtered[keypoint], ahead_ms, max_horizon_ms=max_horizon_ms)
        return None if x is None or y is None or not math.isfinite(x + y) else (x, y)

    def _offset(self, message: PoseMessage) -> ClockOffset | None:
        hello = self._inbox.hello_of(message)
        return None if hello is None else self._clocks.offset_to(hello.clock)

    def _take(self, parts: list[bytes]) -> Message | None:
        message = self._inbox.take_parts(parts, now_ns())
        if isinstance(message, HelloMessage):
            self._clocks.attend(message)
            self._rate(message.camera).nominal_fps = message.fps
        elif isinstance(message, PoseMessage):
            self._rate(message.camera).note(message.run, message.time.captured_ns, self.age_ms(message))
            last = self._last
            if last is None or message.run != last.run or message.time.captured_ns >= last.time.captured_ns:
                self._last, self._last_is_new = message, True
        return message

    def _rate(self, camera: str) -> PoseRate:
        if camera not in self._rates and len(self._rates) >= _CAMERAS_KEPT:
            del self._rates[next(iter(self._rates))]
        return self._rates.setdefault(camera, PoseRate())

    def _newest(self, messages: Iterable[Message | None], max_age_ms: float | None) -> PoseMessage | None:
        """The newest pose, if it is new with ``messages`` and young enough."""
        for _ in messages:  # taking them has told which one is the newest
            pass
        is_new, self._last_is_new = self._last_is_new, False
        return self._young(max_age_ms) if is_new else None

    def _still_young(self, max_age_ms: float | None) -> PoseMessage | None:
        """The newest pose again, unless it has become too old, or nothing may follow it."""
        return self._young(max_age_ms) if self._inbox.stream(0) == _LIVE else None

    def _young(self, max_age_ms: float | None) -> PoseMessage | None:
        pose = self._last
        if pose is None:
            return None
        limit_ms = self.usual_age_ms(pose.camera) if max_age_ms is None else max_age_ms
        if max_age_ms is not None:
            self._warn_if_short(pose.camera, max_age_ms)
        return pose if self.age_ms(pose) <= limit_ms else None

    def _warn_if_short(self, camera: str, max_age_ms: float) -> None:
        interval_ms = self._rate(camera).interval_ms
        if not self._warned and interval_ms is not None and max_age_ms < interval_ms:
            self._warned = True
            logger.warning(
                "newest(max_age_ms=%g): poses come every %.0f ms, so that there is none between two of them; leave "
                "max_age_ms out, or give at least %.0f",
                *(max_age_ms, interval_ms, self.usual_age_ms(camera)),
            )

    def _waiting(self) -> bool:
        """Whether a message waits to be received."""
        return bool(int(self._sub.get(zmq.EVENTS)) & zmq.POLLIN)

    def _check_handshake(self) -> None:
        why = self._handshake.judge()
        if why is not None:
            raise ConfigError(why)

    def _disconnect(self) -> None:
        self._handshake.close()
        self._sub.close(linger=0)
        self._context.term()


def _connect(socket: zmq.Socket[Any], endpoint: str) -> None:
    """Subscribe to everything at ``endpoint``. Raises ConfigError where it is none."""
    socket.set(zmq.IPV6, int("[" in endpoint))
    socket.set(zmq.RECONNECT_IVL_MAX, 1000)
    socket.set(zmq.RCVHWM, _HIGH_WATER_MARK)
    socket.set(zmq.MAXMSGSIZE, _FAR_TOO_LARGE)  # beyond it the connection is dropped before it is all in memory
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        why = f": {plainly(error)}" if error.errno == errno.EMFILE else ", which is no endpoint"
        raise ConfigError(f"cannot listen to {endpoint or 'nothing'}{why}; expected {DEFAULT_ENDPOINT}") from error
    socket.subscribe(b"")

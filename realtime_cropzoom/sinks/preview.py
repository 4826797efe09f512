"""Previews: small pictures of the newest frame, for people who look at a run.

They never get into the way of a pose. Nothing is made while nobody subscribes. A picture is begun when the pose stage
has finished a frame, as a detection is; the thread and those of its ZeroMQ context yield to all others; and a picture
that took too long, or for which a subscriber is too slow, is dropped. They have a socket of their own, so that whoever
subscribes to everything at the endpoint of the poses gets none.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import cv2
import msgspec
import zmq
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import one_line
from realtime_cropzoom.messaging.message import SCHEMA_VERSION, PreviewHeader
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.sockets import take_subscriptions_only
from realtime_cropzoom.pictures.small import Shrinker
from realtime_cropzoom.runtime.pauses import Pauses
from realtime_cropzoom.runtime.priority import lower_priority
from realtime_cropzoom.runtime.records import RunIdentity
from realtime_cropzoom.runtime.ring import EndOfStream, NewestReader
from realtime_cropzoom.runtime.server_thread import ServerThread
from realtime_cropzoom.runtime.stats import Rate
from realtime_cropzoom.types import FrameMeta

LONGEST_SIDE = 640
"""Maximum length of the longer side of a picture (pixels)."""
PER_SECOND = 15
"""Maximum number of pictures per second."""
MAX_AGE_NS = 250_000_000
"""Age (ns) of a frame above which its picture is not sent."""
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 75]
_INTERVAL_NS = 1_000_000_000 // PER_SECOND
_PATIENCE_S = 0.15
"""Maximum time (s) that a picture waits for the pose stage to have nothing to do. On a machine that is too slow for
its camera it never has, and the person who looks why still gets a picture."""
_MESSAGE_OUT_S = 0.0005
"""Time (s) for which a picture lets the message of the last pose go first, as a detection does."""
_POLL_S = 0.1
_IDLE_S = 0.01
"""Pause (s) if there is no new frame although one was to be expected."""
_HIGH_WATER_MARK = 2
"""Maximum number of pictures that ZeroMQ keeps for one slow subscriber."""
_SEND_BUFFER = 1 << 17
"""Size (bytes) of the system's send buffer for one subscriber: a few pictures, so that few of them get old in it."""
_UNREACHED_MS = 10_000
"""Time (ms) after which a connection is closed whose other end takes no data, such as that of a stopped program, so
that no picture is made for it. If the program continues, it connects again. Linux only, and tcp only."""
_SUBSCRIPTIONS_AT_ONCE = 1000
"""Maximum number of subscriptions read in a row."""
_JOIN_TIMEOUT_S = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Frames:
    """Where pictures come from."""

    reader: NewestReader
    pauses: Pauses | None
    """The times at which the pose stage has nothing to do; None in lockstep, where it always has."""


class PreviewServer(ServerThread):
    """Makes and sends pictures in a thread of its own. Only ``stop`` ends it."""

    def __init__(self, endpoint: str, identity: RunIdentity, *, security: Security | None = None) -> None:
        """Create the server without starting it.

        Args:
            endpoint: ZeroMQ endpoint to bind.
            identity: Identity of the run, which every header repeats.
            security: Keys of the run. Without them the endpoint must be local to this machine.
        """
        super().__init__("cropzoom-preview", "the server of previews", _JOIN_TIMEOUT_S)
        self.endpoint = endpoint
        """The bound endpoint once started: port 0 or * is replaced by the actual number."""
        self._identity = identity
        self._topic = f"frame/{identity.camera}".encode()
        self._security = security or Security()
        self._frames: _Frames | None = None
        self._shrinker, self._reformatter = Shrinker(LONGEST_SIDE), VideoReformatter()
        self._subscribed: set[bytes] = set()
        """The beginnings of our topic that are subscribed to."""
        self._rate = Rate()
        self.made = 0
        """Number of pictures that were encoded."""
        self.late = 0
        """Number of those that were not sent because their frame was too old by then."""
        self._warned = False

    def show(self, reader: NewestReader, pauses: Pauses | None) -> None:
        """Make pictures of these frames from now on.

        Args:
            reader: Reads the newest frame. No other thread may use it.
            pauses: The pauses of the pose stage; None in lockstep.
        """
        self._frames = _Frames(reader, pauses)

    @property
    def is_watched(self) -> bool:
        """Whether somebody subscribes to the pictures."""
        return bool(self._subscribed)

    def per_second(self, at_ns: int) -> int:
        """Return the number of pictures that were encoded in the second before ``at_ns`` (monotonic, ns)."""
        return round(self._rate.per_second(at_ns))

    def _run(self) -> None:
        lower_priority()  # first: the threads that ZeroMQ and the guard start inherit it
        with (
            self._started.reporting(),
            zmq.Context() as context,
            context.socket(zmq.XPUB) as socket,
            ConnectionGuard(context, self._security) as guard,
        ):
            self._bind(guard, socket)
            self._started.ready()
            due_ns = 0
            while not self._stop.wait(max(0, due_ns - now_ns()) / 1e9):
                begun_ns = now_ns()
                self._read_subscriptions(guard, socket)
                if not self.is_watched:
                    socket.poll(int(_POLL_S * 1000))
                elif self._send_next(socket):
                    due_ns = max(due_ns + _INTERVAL_NS, begun_ns + _INTERVAL_NS // 2)

    def _bind(self, guard: ConnectionGuard, socket: zmq.Socket[bytes]) -> None:
        take_subscriptions_only(socket)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, _HIGH_WATER_MARK)
        socket.set(zmq.SNDBUF, _SEND_BUFFER)
        socket.set(zmq.TCP_MAXRT, _UNREACHED_MS)
        self.endpoint = guard.bind(socket, "publish_preview", self.endpoint)
        guard.start()

    def _read_subscriptions(self, guard: ConnectionGuard, socket: zmq.Socket[bytes]) -> None:
        """Note who wants our pictures. If very many subscriptions wait, the rest is read at the next call."""
        for _ in range(_SUBSCRIPTIONS_AT_ONCE):
            if not int(socket.get(zmq.EVENTS)) & zmq.POLLIN:
                return
            frame = socket.recv(zmq.NOBLOCK, copy=False)
            guard.sent(frame)
            begins, wanted = frame.bytes[1:], frame.bytes[:1] == b"\x01"
            if self._topic.startswith(begins):
                (self._subscribed.add if wanted else self._subscribed.discard)(begins)

    def _send_next(self, socket: zmq.Socket[bytes]) -> bool:
        """Send a picture of the newest frame; return False if there is no new one."""
        frames = self._frames
        if frames is None:
            self._stop.wait(_POLL_S)
            return False
        try:
            parts = self._make(frames)
        except EndOfStream:
            self._frames = None
            return False
        except Exception as error:  # whatever it is, the run goes on without the picture
            self._warn(error)
            return True
        if parts:
            socket.send_multipart([self._topic, *parts], zmq.NOBLOCK)
        return parts is not None

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            logger.warning("a preview could not be made: %s; the run is not affected", one_line(error))
            logger.debug("preview", exc_info=error)
        self._warned = True

    def _make(self, frames: _Frames) -> list[bytes | memoryview] | None:
        """Return header and JPEG of the newest frame; nothing if they are late, and None if there is no new frame.

        Raises:
            EndOfStream: if no frame will follow.
        """
        if frames.pauses is not None and frames.pauses.wait_for(frames.pauses.done + 1, _PATIENCE_S):
            time.sleep(_MESSAGE_OUT_S)
        lease = frames.reader.take(_POLL_S if frames.pauses is None else 0.0)
        if lease is None:
            self._stop.wait(_IDLE_S)
            return None
        with lease:
            meta, of_size = lease.frame.meta, lease.frame.image.shape
            small = self._shrinker.shrink(lease.frame.image)
        pixels = small.bgr_or_gray(self._reformatter)
        _, jpeg = cv2.imencode(".jpg", pixels, _QUALITY)
        done_ns = now_ns()
        self.made += 1
        self._rate.add(done_ns)
        if done_ns - meta.captured_ns > MAX_AGE_NS:
            self.late += 1
            return []
        return [self._header(meta, pixels.shape, of_size), jpeg.data]

    def _header(self, meta: FrameMeta, shape: tuple[int, ...], of_shape: tuple[int, ...]) -> bytes:
        (height, width), (of_height, of_width) = shape[:2], of_shape[:2]
        header = PreviewHeader(
            schema=SCHEMA_VERSION,
            run=self._identity.run,
            camera=self._identity.camera,
            frame=meta.index,
            captured_ns=meta.captured_ns,
            width=width,
            height=height,
            of_width=of_width,
            of_height=of_height,
            segment=meta.segment,
        )
        return msgspec.json.encode(header)

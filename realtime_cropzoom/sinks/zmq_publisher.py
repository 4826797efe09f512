"""ZeroMQ publisher: sends poses, status, hello and end messages.

One socket carries all topics, as messages of two parts. A second socket conflates: it keeps only the newest
pose, as a single part, because ZMQ_CONFLATE does not support multipart messages. Neither socket blocks: a
slow subscriber loses messages at the socket and detects that by gaps in ``seq``.

The pose stage sends its poses itself, as soon as it has them: ZeroMQ hands them to its own I/O thread, and one more
thread between would only cost time. The thread of the publisher sends all other messages. A lock guards the sockets.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Protocol

import msgspec
import zmq

from realtime_cropzoom.clock import clock_id, now_ns
from realtime_cropzoom.errors import ConfigError, SinkError, advise, explain
from realtime_cropzoom.messaging.message import (
    Encoding,
    EndMessage,
    EventMessage,
    HelloMessage,
    Message,
    StatusMessage,
    encode,
    topic,
)
from realtime_cropzoom.messaging.security import ConnectionGuard, Security
from realtime_cropzoom.messaging.sockets import take_subscriptions_only
from realtime_cropzoom.runtime.priority import PRIORITY, missing_permission
from realtime_cropzoom.runtime.records import NOT_PUBLISHED, Record, RunIdentity, animals_message, pose_message
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.runtime.stats import Histogram
from realtime_cropzoom.runtime.worker import RunControl, Stage
from realtime_cropzoom.sinks.preview import PreviewServer
from realtime_cropzoom.sinks.time_sync_server import EchoServer
from realtime_cropzoom.types import StreamState

_HIGH_WATER_MARK = 256
"""Maximum number of messages that ZeroMQ keeps for one slow subscriber."""
_HEARTBEAT_NS = 1_000_000_000
"""Interval (ns) between two status messages."""
_GREET_S = 0.05
"""Interval (s) between two checks for new subscribers. Each receives a hello message, which describes the run."""
_LINGER_MS = 500
"""Maximum time (ms) for which a closed socket still sends."""
_SUBSCRIPTIONS_AT_ONCE = 1000
"""Maximum number of subscriptions read in one check: a client may send them without end."""


class StatusProvider(Protocol):
    """Provides the messages that describe a run."""

    @property
    def identity(self) -> RunIdentity:
        """The identity that every message repeats."""
        ...

    def hello(self) -> HelloMessage:
        """Return the message that a subscriber needs to interpret the poses."""
        ...

    def status(self) -> StatusMessage:
        """Return the current status message (heartbeat)."""
        ...

    def stream(self) -> StreamState:
        """Return the state of the stream: whether frames arrive."""
        ...

    def end_message(self) -> EndMessage:
        """Return the end message, once all records are published."""
        ...

    def take_events(self) -> list[EventMessage]:
        """Return the events since the last call, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """Options of the publisher."""

    endpoint: str
    """Endpoint of all topics."""
    latest_endpoint: str | None = None
    """Endpoint of the newest pose; None for no such socket."""
    echo_endpoint: str | None = None
    """Endpoint of the time sync server, which the hello message announces; None for no server."""
    preview_endpoint: str | None = None
    """Endpoint of the previews, which the hello message announces as well; None for no previews."""
    encoding: Encoding = "json"
    """Encoding of the messages."""
    urgent: bool = False
    """Whether ZeroMQ's I/O thread has real-time priority."""
    max_age_ms: float | None = None
    """Age (ms) of a frame above which its pose is not sent but counted as dropped; None for no limit."""


class ZmqPublisher(Stage):
    """Publishes poses, a status message once per second, and a hello message when a client subscribes."""

    def __init__(
        self,
        reporter: StatusProvider,
        control: RunControl,
        options: PublishOptions,
        *,
        security: Security | None = None,
    ) -> None:
        """Create the publisher without binding its sockets.

        Args:
            reporter: Provides the messages that describe the run.
            control: Control of the run.
            options: Options of the publisher.
            security: Keys for all endpoints. Without them the endpoints must be local to this machine.
        """
        super().__init__("publish", control)
        self._endpoints = (options.endpoint, options.latest_endpoint)
        self.reporter = reporter
        """Provides the messages that describe the run. Replaced once, when the stages exist."""
        self._identity = reporter.identity
        camera, regions = self._identity.camera, self._identity.regions
        self._animals_topic = f"animals/{camera}".encode()
        self._pose_topics = [f"pose/{camera}/{region}".encode() for region in regions] or [f"pose/{camera}".encode()]
        """Topics of the poses, by the number of the subject."""
        self._hello = msgspec.structs.replace(reporter.hello(), clock=clock_id())
        self._security = security or Security()
        self._echo = (
            None if options.echo_endpoint is None else EchoServer(options.echo_endpoint, security=self._security)
        )
        self.preview = (
            None
            if options.preview_endpoint is None
            else PreviewServer(options.preview_endpoint, self._identity, security=self._security)
        )
        """Sends previews; None without them. It runs as long as the publisher does."""
        self._encoding: Encoding = options.encoding
        self._urgent = options.urgent
        self._binding = Started()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        """Guards the sockets. No thread holds it for longer than one message takes."""
        self._poses: zmq.Socket[bytes] | None = None
        self._latest: zmq.Socket[bytes] | None = None
        self._max_age_ns = None if options.max_age_ms is None else round(options.max_age_ms * 1e6)
        self.too_old = 0
        """Number of poses that were not sent because of their age."""
        self.bound_to: list[str] = []
        """The bound endpoints of poses: port 0 or * is replaced by the actual number."""
        self.rejected = self._security.rejected
        """Rejected connections."""
        self.latency = Histogram()
        """Time (ms) from capture until the message is given to the socket, of frames with a pose."""

    @property
    def echo(self) -> str | None:
        """Endpoint of the time sync server once it is bound; None without one."""
        return self._hello.echo

    def previews(self, at_ns: int) -> int:
        """Return the number of previews encoded in the second before ``at_ns`` (monotonic, ns)."""
        return 0 if self.preview is None else self.preview.per_second(at_ns)

    def publish(self, *records: Record) -> int:
        """Send the pose of a processed frame. Called by the pose stage; never blocks.

        Args:
            records: The record of the frame; of several animals in one arena, the record of each.

        Returns:
            When the message was sent (monotonic, ns); NOT_PUBLISHED if it was too old, or the publisher has ended.
        """
        record = records[0]
        published_ns = now_ns()
        age_ns = published_ns - record.meta.captured_ns
        if self._max_age_ns is not None and age_ns > self._max_age_ns:
            self.too_old += 1
            return NOT_PUBLISHED
        if self._identity.animals > 1:
            animals = animals_message(records, self._identity, published_ns, self.too_old)
            topic_of_frame, payload = self._animals_topic, encode(animals, self._encoding)
        else:
            message = pose_message(record, self._identity, published_ns, self.too_old)
            topic_of_frame, payload = self._pose_topics[record.subject], encode(message, self._encoding)
        with self._lock:
            if self._poses is None:
                return NOT_PUBLISHED
            self._poses.send_multipart([topic_of_frame, payload], zmq.NOBLOCK)
            if self._latest is not None:
                self._latest.send(payload, zmq.NOBLOCK)
        if any(
            record.keypoints is not None for record in records
        ):  # a frame without a box passes at once and has no pose
            self.latency.add(age_ns / 1e6)
        return published_ns

    def end(self) -> None:
        """Announce that no further pose follows."""
        self._ended.set()

    def wait_bound(self) -> None:
        """Wait until the sockets are bound.

        Raises:
            SinkError: if an endpoint is in use or invalid.
        """
        try:
            self._binding.wait("what is published", stopped=self.control.stop.is_set)
        except zmq.ZMQError as error:
            raise SinkError(f"cannot publish ({explain(error)}); look at how many files are open") from error

    def work(self) -> None:
        """Publish until the last pose is sent. If the start fails, ``wait_bound`` raises its error."""
        with self._binding.reporting(), zmq.Context() as context:
            context.setsockopt(zmq.LINGER, _LINGER_MS)
            if self._urgent and missing_permission() is None:  # ZeroMQ aborts the process if it is refused
                context.set(zmq.THREAD_SCHED_POLICY, os.SCHED_FIFO)
                context.set(zmq.THREAD_PRIORITY, PRIORITY)
            with (
                context.socket(zmq.XPUB) as poses,
                context.socket(zmq.PUB) as latest,
                ConnectionGuard(context, self._security) as guard,  # closed before the sockets are
            ):
                try:
                    self._bind(guard, poses, latest)
                    self._start_servers()
                    self._poses, self._latest = poses, None if self._endpoints[1] is None else latest
                    self._binding.ready()
                    self._describe_run(guard, poses)
                finally:
                    with self._lock:
                        self._poses = self._latest = None
                    for server in self._servers():
                        server.stop()

    def _bind(self, guard: ConnectionGuard, poses: zmq.Socket[bytes], latest: zmq.Socket[bytes]) -> None:
        poses.set(zmq.XPUB_VERBOSE, 1)
        poses.set(zmq.SNDHWM, _HIGH_WATER_MARK)
        latest.set(zmq.CONFLATE, 1)
        for socket, name, endpoint in zip((poses, latest), ("publish", "publish_latest"), self._endpoints, strict=True):
            take_subscriptions_only(socket)
            if endpoint is None:
                continue
            try:
                self.bound_to.append(guard.bind(socket, name, endpoint))
            except (zmq.ZMQError, ConfigError) as error:
                raise SinkError(_bind_error_text(endpoint, error)) from error
        guard.start()

    def _servers(self) -> list[EchoServer | PreviewServer]:
        return [server for server in (self._echo, self.preview) if server is not None]

    def _start_servers(self) -> None:
        for server in self._servers():
            try:
                server.start()
            except (zmq.ZMQError, ConfigError) as error:
                raise SinkError(_bind_error_text(server.endpoint, error)) from error
        echo, preview = (server and server.endpoint for server in (self._echo, self.preview))
        self._hello = msgspec.structs.replace(self._hello, echo=echo, preview=preview)

    def _describe_run(self, guard: ConnectionGuard, poses: zmq.Socket[bytes]) -> None:
        """Send all messages but the poses, until ``end`` is called."""
        self._send(poses, self._hello)
        beat_ns, stream = now_ns() + _HEARTBEAT_NS, self.reporter.stream()
        while not self._ended.wait(_GREET_S):
            if self._has_new_subscriber(guard, poses):
                self._send(poses, self._hello)
            self._send_events(poses)
            before, stream = stream, self._stream(stream)
            if now_ns() >= beat_ns or stream is not before:  # report at once that frames stopped arriving
                self._send(poses, msgspec.structs.replace(self.reporter.status(), stream=stream.value))
                beat_ns = now_ns() + _HEARTBEAT_NS
        self._send_events(poses)
        self._send(poses, self.reporter.status())
        self._send(poses, self.reporter.end_message())

    def _send_events(self, poses: zmq.Socket[bytes]) -> None:
        for event in self.reporter.take_events():
            self._send(poses, event)

    def _stream(self, before: StreamState) -> StreamState:
        """Return the state of the stream, but not ENDED before the last poses are sent: they must not look old."""
        stream = self.reporter.stream()
        return before if stream is StreamState.ENDED else stream

    def _has_new_subscriber(self, guard: ConnectionGuard, poses: zmq.Socket[bytes]) -> bool:
        """Read the subscriptions; return whether there is one. Further ones wait for the next call."""
        subscribed = False
        for _ in range(_SUBSCRIPTIONS_AT_ONCE):
            with self._lock:
                if not int(poses.get(zmq.EVENTS)) & zmq.POLLIN:
                    break
                frame = poses.recv(zmq.NOBLOCK, copy=False)
            guard.sent(frame)
            subscribed |= frame.bytes[:1] == b"\x01"
        return subscribed

    def _send(self, poses: zmq.Socket[bytes], message: Message) -> None:
        payload = encode(message, self._encoding)
        with self._lock:
            poses.send_multipart([topic(message, self._identity.camera), payload], zmq.NOBLOCK)


def _bind_error_text(endpoint: str, error: zmq.ZMQError | ConfigError) -> str:
    if isinstance(error, ConfigError):
        return str(error)
    if error.errno == zmq.EADDRINUSE:
        return f"the endpoint {endpoint} is in use, perhaps by another run; " + advise(
            "give another one with --publish, --publish-latest, --publish-echo and --publish-preview, 'none', or "
            "--publish-optional to continue with files alone",
            "end that one first",
        )
    return f"cannot publish at {endpoint}: {explain(error)}; expected something like tcp://127.0.0.1:5660"

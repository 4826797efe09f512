"""Thread of one endpoint: receives the messages of its runs, and keeps what the pages show of each camera."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, explain
from realtime_cropzoom.messaging.message import (
    EndMessage,
    EventMessage,
    FrameMessage,
    HelloMessage,
    Message,
    StatusMessage,
)
from realtime_cropzoom.view.camera_view import CameraView
from realtime_cropzoom.view.follower import Follower
from realtime_cropzoom.view.protocol import Poses

if TYPE_CHECKING:
    from realtime_cropzoom.view.hub import Hub

_BATCH_S = 1 / 30
_LATENCY_EVERY_S = 1.0
_MAP_EVERY_S = 2.0
_SILENT_AFTER_S = 3.0
_LOOK_S = 0.2
_RETRY_S = 3.0
"""Time (s) after which an endpoint that refused is tried again: its run may have been started anew."""
_MAX_NAME = 200
"""Maximum length of the name of a camera. A message with a longer one is left out."""
logger = logging.getLogger(__name__)


class _Every:
    """Says when something is due that is done in intervals."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = round(interval_s * 1e9)
        self._due_ns = 0

    def is_due(self, at_ns: int) -> bool:
        if at_ns < self._due_ns:
            return False
        self._due_ns = at_ns + self._interval_ns
        return True


class EndpointFollower(Follower):
    """Follows the runs of one endpoint: it waits for the first, and goes on when one ends or another begins."""

    def __init__(self, endpoint: str, keys: Path | None, hub: Hub) -> None:
        super().__init__("cropzoom-follow")
        self.endpoint, self._keys, self._hub = endpoint, keys, hub
        self._cameras: dict[str, CameraView] = {}
        """Name of the camera in its run → camera."""
        self._batch, self._second, self._map = _Every(_BATCH_S), _Every(_LATENCY_EVERY_S), _Every(_MAP_EVERY_S)
        self._missed_before: dict[str, int] = {}

    def _run(self) -> None:
        self._hub.link(self.endpoint, "waiting")
        while not self._over.is_set():
            try:
                with Subscriber(self.endpoint, keys=self._keys) as subscriber:
                    self._follow(subscriber)
            except ConfigError as error:
                self._wait_refused(str(error))
            except Exception as error:  # a fault of ours must not leave the page with a pose that stands still
                logger.exception("cannot follow %s", self.endpoint)
                self._wait_refused(f"its messages cannot be shown: {explain(error)}")

    def _wait_refused(self, problem: str) -> None:
        """Wait until the next try. Meanwhile the cameras fall silent, as they do without messages."""
        until_ns = now_ns() + round(_RETRY_S * 1e9)
        while now_ns() < until_ns and not self._over.is_set():
            with self._hub.lock:
                self._tick(now_ns())
                self._hub.link(self.endpoint, "refused", problem)
            self._over.wait(_LOOK_S)

    def _follow(self, subscriber: Subscriber) -> None:
        while not self._over.is_set():
            message = subscriber.receive(timeout_s=_BATCH_S)
            at_ns = now_ns()
            with self._hub.lock:
                if message is not None:
                    self._take(message, subscriber, at_ns)
                self._tick(at_ns)

    def _take(self, message: Message, subscriber: Subscriber, at_ns: int) -> None:
        if isinstance(message, HelloMessage):
            self._take_hello(message, at_ns)
            return
        camera = self._cameras.get(message.camera)
        if camera is not None and camera.hello.run == message.run:  # otherwise its hello message follows
            self._take_for(camera, message, subscriber, at_ns)

    def _take_for(self, camera: CameraView, message: Message, subscriber: Subscriber, at_ns: int) -> None:
        before = camera.stream
        if isinstance(message, FrameMessage):
            camera.take_frame(message, subscriber.age_ms(message, at_ns), at_ns)
        elif isinstance(message, StatusMessage):
            camera.take_status(message, at_ns)
        elif isinstance(message, EndMessage):
            self._take_end(camera, message, at_ns)
        elif isinstance(message, EventMessage):
            camera.received_ns = at_ns
            self._take_event(camera, message)
        if camera.stream != before or isinstance(message, StatusMessage):
            self._publish_status(camera, at_ns)

    def _take_hello(self, hello: HelloMessage, at_ns: int) -> None:
        if len(hello.camera) > _MAX_NAME:
            return
        camera = self._cameras.get(hello.camera)
        is_new = camera is None or camera.hello.run != hello.run
        if camera is None:
            camera = CameraView(self._hub.name_of(hello.camera, self.endpoint), self.endpoint, hello)
            camera.received_ns = at_ns
            self._cameras[hello.camera] = camera
            self._hub.keep(camera)
        else:
            self._publish_poses(camera)  # of the run before
            if not camera.take_hello(hello, at_ns):
                return
        self._set_link(camera, "connected", announce=True)
        if is_new:
            self._hub.add_event("run_started", f"run {hello.run} of {hello.source}", camera=camera.camera)

    def _take_end(self, camera: CameraView, end: EndMessage, at_ns: int) -> None:
        camera.take_end(end, at_ns)
        self._set_link(camera, "waiting", announce=True)
        self._hub.add_event("run_ended", f"run {end.run} has ended: {end.reason}", camera=camera.camera)

    def _take_event(self, camera: CameraView, event: EventMessage) -> None:
        self._hub.add_event(
            event.kind,
            event.text,
            camera=camera.camera,
            t_unix_ms=round((event.time_ns + event.unix_offset_ns) / 1e6, 2),
            frame=event.frame,
            by=event.by,
        )

    def _tick(self, at_ns: int) -> None:
        self._forget_replaced()
        if self._batch.is_due(at_ns):
            for camera in self._cameras.values():
                self._publish_poses(camera)
        if self._second.is_due(at_ns):
            for camera in self._cameras.values():
                self._check_silence(camera, at_ns)
                self._report_missed(camera)
                self._hub.publish(("latency", camera.camera), camera.latencies.message(camera.camera, at_ns))
        if self._map.is_due(at_ns):
            for camera in self._cameras.values():
                self._hub.publish(("map", camera.camera), camera.map.message(camera.camera))

    def _publish_poses(self, camera: CameraView) -> None:
        if rows := camera.new_rows():
            self._hub.publish_poses(Poses(camera.camera, rows))

    def _forget_replaced(self) -> None:
        """Forget cameras whose name another endpoint has taken over."""
        kept = self._hub.cameras
        gone = [name for name, camera in self._cameras.items() if kept.get(camera.camera) is not camera]
        for name in gone:
            del self._cameras[name]

    def _check_silence(self, camera: CameraView, at_ns: int) -> None:
        silent = camera.received_ns is not None and at_ns - camera.received_ns > _SILENT_AFTER_S * 1e9
        if silent and camera.stream not in ("silent", "ended"):
            camera.stream = "silent"
            self._set_link(camera, "waiting", announce=True)
            self._hub.add_event("silent", f"no message for {_SILENT_AFTER_S:g} s", camera=camera.camera)
        elif not silent and camera.stream not in ("silent", "ended"):
            self._set_link(camera, "connected")
        if camera.stream == "silent":
            self._publish_status(camera, at_ns)

    def _report_missed(self, camera: CameraView) -> None:
        new = camera.missed - self._missed_before.get(camera.camera, 0)
        self._missed_before[camera.camera] = camera.missed
        if new > 0:
            self._hub.add_event("missed", f"{new} messages did not arrive here", camera=camera.camera)

    def _set_link(self, camera: CameraView, link: str, *, announce: bool = False) -> None:
        announce = announce or camera.link != link
        camera.link = link
        any_connected = any(other.link == "connected" for other in self._cameras.values())
        self._hub.link(self.endpoint, "connected" if any_connected else "waiting")
        if announce:
            self._hub.publish(("camera", camera.camera), self._hub.camera_message(camera))

    def _publish_status(self, camera: CameraView, at_ns: int) -> None:
        status = camera.status_message(at_ns)
        if status is not None:
            self._hub.publish(("status", camera.camera), status)

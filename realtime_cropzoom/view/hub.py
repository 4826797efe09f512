"""Hub: collects what runs and trigger processes send, and hands it to every page.

Each endpoint has a thread of its own (``view/endpoint.py``); each page has a queue of its own (``view/page_queue.py``).
The hub's lock makes what a joining page gets consistent: first all that is known, then all that is new.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from realtime_cropzoom import __version__
from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.view.camera_view import CameraView
from realtime_cropzoom.view.endpoint import EndpointFollower
from realtime_cropzoom.view.page_queue import MAX_EVENTS, PageQueue
from realtime_cropzoom.view.protocol import Endpoint, Event, Poses, ServerMessage, Welcome, encode

MAX_PAGES = 16
"""Maximum number of pages at the same time."""
MAX_CAMERAS = 64
"""Maximum number of cameras that are kept."""


class Hub:
    """All that the pages show. ``start`` it, and ``close`` it at the end."""

    def __init__(self, endpoints: Sequence[str], keys: Path | None = None, *, orders: bool = True) -> None:
        """Follow ``endpoints``, with the key file ``keys`` if one is given.

        Args:
            endpoints: ZeroMQ endpoints of runs.
            keys: Key file of this client; None without keys.
            orders: Whether pages may give orders.
        """
        self.lock = threading.RLock()
        """Held by who reads or changes what follows."""
        self.cameras: dict[str, CameraView] = {}
        """Unique name → camera."""
        self.links: dict[str, Endpoint] = {}
        """Endpoint → the connection to it."""
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self.pages: set[PageQueue] = set()
        self.orders = orders
        self._unix_offset_ns = unix_offset_ns()
        self._event_count = 0
        self._followers = {endpoint: EndpointFollower(endpoint, keys, self) for endpoint in dict.fromkeys(endpoints)}

    def start(self) -> None:
        """Begin to receive."""
        for follower in self._followers.values():
            follower.start()

    def close(self) -> None:
        """Stop receiving. May be called twice."""
        for follower in self._followers.values():
            follower.stop()
        for follower in self._followers.values():
            follower.join()

    def join(self, wake: Callable[[], object]) -> PageQueue:
        """Return the queue of a new page, with all that is known so far.

        Args:
            wake: Called in any thread when something waits in the queue.

        Raises:
            ConfigError: if there are too many pages.
        """
        with self.lock:
            if len(self.pages) >= MAX_PAGES:
                raise ConfigError(f"{MAX_PAGES} pages are open already; close one of them first")
            page = PageQueue(wake)
            for key, message in self._snapshot():
                page.put_state(key, encode(message))
            for event in self.events:
                page.put_event(encode(event))
            self.pages.add(page)
        return page

    def leave(self, page: PageQueue) -> None:
        """Forget a page."""
        with self.lock:
            self.pages.discard(page)

    def name_of(self, name: str, endpoint: str) -> str:
        """Return the unique name of a camera: ``name``, with the endpoint if another run has that name now."""
        owner = self.cameras.get(name)
        free = owner is None or owner.endpoint == endpoint or owner.link != "connected"
        return name if free else f"{name} ({endpoint})"

    def keep(self, camera: CameraView) -> None:
        """Keep a camera; the oldest is forgotten if there are too many."""
        self.cameras[camera.camera] = camera
        if len(self.cameras) > MAX_CAMERAS:
            del self.cameras[next(iter(self.cameras))]

    def link(self, endpoint: str, link: str, problem: str | None = None) -> None:
        """Note the connection to an endpoint, and tell the pages if it changed."""
        with self.lock:
            message = Endpoint(endpoint, link, problem)
            if self.links.get(endpoint) != message:
                self.links[endpoint] = message
                self.publish(("endpoint", endpoint), message)

    def publish(self, key: Hashable, message: ServerMessage) -> None:
        """Send a state to all pages. It replaces an earlier one with the same ``key`` that still waits."""
        with self.lock:
            text = encode(message) if self.pages else ""
            for page in self.pages:
                page.put_state(key, text)

    def publish_poses(self, message: Poses) -> None:
        """Send new poses to all pages."""
        with self.lock:
            text = encode(message) if self.pages else ""
            for page in self.pages:
                page.put_batch(text)

    def add_event(
        self,
        what: str,
        text: str,
        *,
        camera: str | None = None,
        trigger: str | None = None,
        t_unix_ms: float | None = None,
        frame: int | None = None,
        by: str | None = None,
    ) -> None:
        """Add an event to the list, and send it to all pages; see ``protocol.Event``. Without a time it is now."""
        with self.lock:
            at = self.now_unix_ms() if t_unix_ms is None else t_unix_ms
            event = Event(self._event_count, camera, trigger, at, what, text, frame, by)
            self._event_count += 1
            self.events.append(event)
            for page in self.pages:
                page.put_event(encode(event))

    def now_unix_ms(self) -> float:
        """Return the time now (Unix time, ms)."""
        return round((now_ns() + self._unix_offset_ns) / 1e6, 2)

    def _snapshot(self) -> list[tuple[Hashable, ServerMessage]]:
        at_ns = now_ns()
        parts: list[tuple[Hashable, ServerMessage]] = [
            ("welcome", Welcome(__version__, self.orders, self.now_unix_ms(), [*self._followers]))
        ]
        parts += [(("endpoint", endpoint), link) for endpoint, link in self.links.items()]
        for name, camera in self.cameras.items():
            status = camera.status_message(at_ns)
            parts.append((("camera", name), camera.camera_message()))
            parts += [] if status is None else [(("status", name), status)]
            parts.append((("history", name), camera.history_message()))
            parts.append((("latency", name), camera.latencies.message(name, at_ns)))
            parts.append((("map", name), camera.map.message(name)))
        return parts

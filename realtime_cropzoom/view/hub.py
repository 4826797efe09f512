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
from realtime_cropzoom.client.preview import Preview
from realtime_cropzoom.clock import now_ns, unix_offset_ns
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.endpoints import as_reached_here
from realtime_cropzoom.messaging.keys import ClientKeys
from realtime_cropzoom.view.camera_view import CameraView
from realtime_cropzoom.view.endpoint import EndpointFollower
from realtime_cropzoom.view.page_queue import MAX_EVENTS, PageQueue
from realtime_cropzoom.view.previews import Previews, Shown
from realtime_cropzoom.view.protocol import (
    Camera,
    Endpoint,
    Event,
    PictureHeader,
    Poses,
    ServerMessage,
    Trigger,
    Welcome,
    encode,
    encode_picture,
)
from realtime_cropzoom.view.trigger_feed import TriggerFollower

MAX_PAGES = 16
"""Maximum number of pages at the same time."""
MAX_ENDPOINTS, MAX_TRIGGERS = 64, 32
MAX_CAMERAS = 64
"""Maximum number of cameras that are kept."""
_MAX_TEXT = 4000
"""Maximum length of the text of an event. A longer one is cut off."""


class Hub:
    """All that the pages show. Let it ``follow`` endpoints, and ``close`` it at the end."""

    def __init__(self, keys: Path | None = None, *, orders: bool = True) -> None:
        """Create a hub that follows nothing yet.

        Args:
            keys: Key file of this client, for the endpoints of runs; None without keys.
            orders: Whether pages may give orders.
        """
        self.lock = threading.RLock()
        """Held by who reads or changes what follows."""
        self.cameras: dict[str, CameraView] = {}
        """Unique name → camera."""
        self.links: dict[str, Endpoint] = {}
        """Endpoint → the connection to it."""
        self.triggers: dict[str, Trigger] = {}
        """Name → newest state of the trigger process."""
        self._runs: dict[str, str] = {}
        """Name for orders → endpoint, of the runs of this user, as they say themselves."""
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self.pages: set[PageQueue] = set()
        self.orders = orders
        self._unix_offset_ns = unix_offset_ns()
        self._event_count = 0
        self._keys = keys
        self._previews = Previews(keys, self._take_picture)
        self._followers: dict[str, EndpointFollower] = {}
        self._feeds: dict[str, TriggerFollower] = {}

    def follow(self, endpoint: str) -> bool:
        """Follow the runs of an endpoint from now on; returns whether that is new."""
        with self.lock:
            if endpoint in self._followers or len(self._followers) >= MAX_ENDPOINTS:
                return False
            follower = self._followers[endpoint] = EndpointFollower(endpoint, self._keys, self)
            follower.start()
        return True

    def unfollow(self, endpoint: str) -> None:
        """Stop following an endpoint. What is known of its cameras stays."""
        with self.lock:
            follower = self._followers.pop(endpoint, None)
            self.links.pop(endpoint, None)
        if follower is not None:  # not under the lock, which its thread needs to end
            follower.stop()
            follower.join()

    def follow_trigger(self, name: str, feed: str, keys: ClientKeys | None) -> None:
        """Follow the feed of a trigger process, in place of an earlier one of that name."""
        self.leave_trigger(name)
        with self.lock:
            if len(self._feeds) < MAX_TRIGGERS:
                follower = self._feeds[name] = TriggerFollower(name, feed, keys, self)
                follower.start()

    def leave_trigger(self, name: str) -> None:
        """Stop following a trigger process. It stays in the list, as gone."""
        with self.lock:
            follower = self._feeds.pop(name, None)
        if follower is not None:
            follower.stop()
            follower.join()

    def close(self) -> None:
        """Stop receiving. May be called twice."""
        with self.lock:
            followers: list[EndpointFollower | TriggerFollower] = [*self._followers.values(), *self._feeds.values()]
        for follower in followers:
            follower.stop()
        for follower in followers:
            follower.join()
        self._previews.close()

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
            self._update_previews()

    def name_of(self, name: str, endpoint: str) -> str:
        """Return the unique name of a camera: ``name``, with the endpoint if another run has that name now."""
        owner = self.cameras.get(name)
        free = owner is None or owner.endpoint == endpoint or owner.link != "connected"
        return name if free else f"{name} ({endpoint})"

    def find_camera(self, endpoint: str, name: str | None) -> str | None:
        """Return the unique name of a camera from its endpoint and its name there; None if it is not known."""
        here = as_reached_here(endpoint)
        with self.lock:
            found = (one for one in self.cameras.values() if one.hello.camera == name and one.endpoint == here)
            return next((one.camera for one in found), None)

    def note_run(self, name: str, endpoint: str | None) -> None:
        """Note where a run of this user publishes, as the program itself says.

        Anybody can publish at a free port and name any run. The page gives orders only where the run agrees.

        Args:
            name: Name of the run for orders.
            endpoint: The endpoint as it is reached here; None once the run takes no orders any more.
        """
        with self.lock:
            self._runs.pop(name, None)
            if endpoint is not None:
                self._runs[name] = endpoint
            for camera in self.cameras.values():
                if camera.hello.control == name:
                    self.publish(("camera", camera.camera), self.camera_message(camera))

    def camera_message(self, camera: CameraView) -> Camera:
        """Return the description of a camera's run, with its name for orders if it is a run of this user."""
        named = self._runs.get(camera.hello.control or "")
        return camera.camera_message(takes_orders=named == as_reached_here(camera.endpoint))

    def keep(self, camera: CameraView) -> None:
        """Keep a camera; the oldest is forgotten if there are too many."""
        self.cameras[camera.camera] = camera
        if len(self.cameras) > MAX_CAMERAS:
            del self.cameras[next(iter(self.cameras))]
        self._update_previews()

    def link(self, endpoint: str, link: str, problem: str | None = None) -> None:
        """Note the connection to an endpoint, and tell the pages if it changed."""
        with self.lock:
            message = Endpoint(endpoint, link, problem)
            if self.links.get(endpoint) != message:
                self.links[endpoint] = message
                self.publish(("endpoint", endpoint), message)

    def set_trigger(self, state: Trigger) -> None:
        """Note the state of a trigger process, and send it to all pages."""
        with self.lock:
            self.triggers.pop(state.name, None)
            self.triggers[state.name] = state
            if len(self.triggers) > MAX_TRIGGERS:
                del self.triggers[next(iter(self.triggers))]
            self.publish(("trigger", state.name), state)

    def hears_trigger(self, name: str) -> bool:
        """Return whether the feed of a trigger process arrives here."""
        with self.lock:
            state = self.triggers.get(name)
            return state is not None and state.link == "connected"

    def show(self, page: PageQueue, previews: Sequence[str]) -> None:
        """Note the cameras whose pictures a page wants from now on."""
        with self.lock:
            page.shows = frozenset(previews[:MAX_CAMERAS])
            self._update_previews()

    def _update_previews(self) -> None:
        """Receive the pictures that pages want, and no others."""
        wanted = frozenset[str]().union(*(page.shows for page in self.pages))
        cameras = [self.cameras[name] for name in wanted if name in self.cameras]
        self._previews.show({Shown(one.camera, one.hello.camera, one.endpoint) for one in cameras})

    def _take_picture(self, shown: Shown, picture: Preview) -> None:
        """Send a picture to the pages that want it."""
        with self.lock:
            camera, header = self.cameras.get(shown.camera), picture.header
            if camera is None or header.run != camera.hello.run:  # of a run that has ended, or that is not known yet
                return
            t_unix_ms = round((header.captured_ns + camera.hello.unix_offset_ns) / 1e6, 2)
            size = (header.width, header.height, header.of_width, header.of_height)
            data = encode_picture(PictureHeader(shown.camera, header.run, header.frame, t_unix_ms, *size), picture.jpeg)
            for page in self.pages:
                if shown.camera in page.shows:
                    page.put_picture(shown.camera, data)

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
            event = Event(self._event_count, camera, trigger, at, what[:_MAX_TEXT], text[:_MAX_TEXT], frame, by)
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
            parts.append((("camera", name), self.camera_message(camera)))
            parts += [] if status is None else [(("status", name), status)]
            parts.append((("history", name), camera.history_message()))
            parts.append((("latency", name), camera.latencies.message(name, at_ns)))
            parts.append((("map", name), camera.map.message(name)))
        parts += [(("trigger", name), trigger) for name, trigger in self.triggers.items()]
        return parts

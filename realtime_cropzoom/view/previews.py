"""Pictures: receives those of the cameras that pages look at. A run makes none while no page does."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from realtime_cropzoom.client.preview import Preview, PreviewSubscriber
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.view.follower import Follower

_WAIT_S = 0.2
_RETRY_S = 3.0
"""Time (s) after which an endpoint that refused is tried again."""


class Shown(NamedTuple):
    """A camera that pages look at."""

    camera: str
    """Its unique name in the page."""
    name: str
    """Its name in its run."""
    endpoint: str
    """Endpoint of the poses of its run."""


class Previews:
    """Threads that receive pictures, one for each camera that is looked at."""

    def __init__(self, keys: Path | None, take: Callable[[Shown, Preview], object]) -> None:
        """Receive nothing yet.

        Args:
            keys: Key file of this client; None without keys.
            take: Called with each picture, in a thread of its camera.
        """
        self._keys, self._take = keys, take
        self._threads: dict[Shown, _PreviewThread] = {}

    def show(self, wanted: Collection[Shown]) -> None:
        """Receive the pictures of these cameras and no others, from now on; returns at once. Not thread-safe."""
        for shown in self._threads.keys() - wanted:
            self._threads.pop(shown).stop()
        for shown in wanted:
            if shown not in self._threads:
                self._threads[shown] = _PreviewThread(shown, self._keys, self._take)
                self._threads[shown].start()

    def close(self) -> None:
        """Receive nothing any more, and wait for the threads."""
        threads = [*self._threads.values()]
        self.show([])
        for thread in threads:
            thread.join()


class _PreviewThread(Follower):
    def __init__(self, shown: Shown, keys: Path | None, take: Callable[[Shown, Preview], object]) -> None:
        super().__init__("cropzoom-show")
        self._shown, self._keys, self._take = shown, keys, take

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with PreviewSubscriber(self._shown.endpoint, self._shown.name, keys=self._keys) as pictures:
                    self._receive(pictures)
            except ConfigError:  # the thread of the endpoint says why
                self._over.wait(_RETRY_S)

    def _receive(self, pictures: PreviewSubscriber) -> None:
        while not self._over.is_set():
            picture = pictures.receive(timeout_s=_WAIT_S)
            if picture is not None and not self._over.is_set():
                self._take(self._shown, picture)

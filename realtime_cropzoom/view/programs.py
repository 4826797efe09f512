"""Looks which runs and trigger processes of this user there are, so that the page shows them without being told."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from realtime_cropzoom.control.address import FEED, Target, control_folder, running_processes
from realtime_cropzoom.control.client import read_state
from realtime_cropzoom.control.protocol import RUN, TRIGGER
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.messaging.endpoints import as_reached_here
from realtime_cropzoom.view.follower import Follower
from realtime_cropzoom.view.hub import Hub

_EVERY_S = 1.0
_MAX_TRIES = 20
"""How often a program that does not say what it is yet, because it begins or hangs, is asked again."""
_ENDINGS = (".sock", ".port")
logger = logging.getLogger(__name__)
_Identity = tuple[int, int]
"""Which file a name has: another one after its program was started again."""


class ProgramLooker(Follower):
    """Thread that looks into the folder of this user's sockets once a second, and lets the hub follow what is there.

    A program is asked what it is once, when its socket is new: to look again must not cost a run anything.
    """

    def __init__(self, hub: Hub, only: Collection[str] | None = None) -> None:
        """Let ``hub`` follow runs and triggers.

        Args:
            hub: Follows them.
            only: The endpoints that the user gave: no other runs, and no triggers of others. None for all there are.
        """
        super().__init__("cropzoom-look")
        self._hub = hub
        self._only = None if only is None else {as_reached_here(endpoint) for endpoint in only}
        self._known: dict[str, _Identity] = {}
        self._tries: dict[tuple[str, _Identity], int] = {}
        self._endpoints: dict[str, str] = {}
        """Name of a run → its endpoint, which the hub follows because of it."""

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
            except Exception:  # the page goes on with what it follows
                logger.exception("cannot look for programs")
            self._over.wait(_EVERY_S)

    def look(self) -> None:
        """Look once."""
        try:
            folder = control_folder()
        except CropzoomError as error:
            logger.debug("%s", error)
            return
        there = _sockets(folder)
        self._leave(there)
        new = {name for name, identity in there.items() if self._known.get(name) != identity}
        if not new:
            return
        for name, target in running_processes(folder).items():
            if name in new and (self._take(name, target) or self._gives_up(name, there[name])):
                self._known[name] = there[name]

    def _leave(self, there: Collection[str]) -> None:
        """Forget the programs that are gone."""
        for name in self._known.keys() - there:
            del self._known[name]
            self._hub.leave_trigger(name)
            self._hub.note_run(name, None)
            endpoint = self._endpoints.pop(name, None)
            if endpoint is not None and endpoint not in self._endpoints.values():
                self._hub.unfollow(endpoint)
        self._tries = {(name, identity): n for (name, identity), n in self._tries.items() if name in there}

    def _gives_up(self, name: str, identity: _Identity) -> bool:
        self._tries[name, identity] = self._tries.get((name, identity), 0) + 1
        return self._tries[name, identity] >= _MAX_TRIES

    def _take(self, name: str, target: Target) -> bool:
        """Follow a program; returns whether it has said what it is."""
        state = read_state(target)
        if state.get("kind") == RUN:
            return self._take_run(name, state.get("publish"))
        if state.get("kind") == TRIGGER and isinstance(state.get("feed"), str):
            return self._take_trigger(name, target, state)
        return False

    def _take_run(self, name: str, publish: Any) -> bool:
        if not isinstance(publish, str) or publish.endswith("*"):  # it begins, or publishes nothing
            return False
        endpoint = as_reached_here(publish)
        self._hub.note_run(name, endpoint)
        if self._only is None and self._hub.follow(endpoint):
            self._endpoints[name] = endpoint
        return True

    def _take_trigger(self, name: str, target: Target, state: dict[str, Any]) -> bool:
        if self._only is None or as_reached_here(str(state.get("endpoint"))) in self._only:
            self._hub.follow_trigger(name, state["feed"], target.keys)
        return True


def _sockets(folder: Path) -> dict[str, _Identity]:
    """Return name → identity of each socket for orders in a folder."""
    found = {}
    for path in folder.iterdir():
        if path.suffix in _ENDINGS and not path.stem.endswith(FEED):
            with suppress(OSError):  # it is gone by now
                status = path.stat()
                found[path.stem] = (status.st_ino, status.st_mtime_ns)
    return found

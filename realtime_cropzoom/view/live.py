"""Live view: what ``cropzoom view`` and ``cropzoom run --view`` run, from the endpoints to the port of the page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from realtime_cropzoom.client.base import DEFAULT_ENDPOINT
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.programs import ProgramLooker

_NICENESS = 10


def stand_back() -> None:
    """Lower the priority of this process, so that a run on the same machine always goes first."""
    with suppress(AttributeError, OSError):  # Windows has no such call
        os.nice(_NICENESS)


@contextmanager
def following(endpoints: Sequence[str], keys: Path | None = None, *, orders: bool = True) -> Iterator[Hub]:
    """Follow runs and triggers inside the ``with`` block; yields the hub.

    Args:
        endpoints: The endpoints of the runs; none for the default one and all runs of this user on this machine.
        keys: Key file of this client; None without keys.
        orders: Whether pages may give orders.
    """
    hub = Hub(keys, orders=orders)
    looker = ProgramLooker(hub, endpoints or None)
    try:
        for endpoint in endpoints or [DEFAULT_ENDPOINT]:
            hub.follow(endpoint)
        looker.start()
        yield hub
    finally:
        looker.stop()
        looker.join()
        hub.close()

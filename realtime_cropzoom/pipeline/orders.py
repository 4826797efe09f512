"""Orders to a run: the table of them, and what each may say.

Every check of what an order says is here. What it does is in ``RunActions``.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import msgspec

from realtime_cropzoom.config.group import AUTO, NONE
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.control.address import take_address
from realtime_cropzoom.control.protocol import RUN, STATE, OrderError, Origin, Request, unknown_order
from realtime_cropzoom.control.server import ControlServer
from realtime_cropzoom.errors import CropzoomError, listed, one_line
from realtime_cropzoom.files.names import why_not_on_windows

logger = logging.getLogger(__name__)

_MAX_TEXT_LENGTH = 200
_NAME = re.compile(r"\w([\w .-]{0,58}[\w-])?")
"""Name of a recording: it becomes part of the name of a file on any system."""


class Settable(msgspec.Struct, frozen=True):
    """A setting that may change while the run goes on, with its safe limits."""

    value: float | list[float]
    """The present value; a list if the setting has several numbers, such as width and height."""
    least: float
    most: float
    unit: str = ""


class RunActions(Protocol):
    """What orders do in a run.

    The control thread calls all of it. A method never waits for a frame. It raises a CropzoomError, such as OrderError,
    if the run cannot do that now, for example stop a recording that does not run. ``by`` says in words who gave the
    order, for the events file.
    """

    def record(self, name: str | None, by: str) -> None:
        """Start a recording of the frames, and return when its files are open; a disk has 10 s for that.

        ``name`` is None if the run chooses it.
        """

    def stop_recording(self, by: str) -> None:
        """End the recording of the frames, and return when its files are closed; a disk has 10 s for that."""

    def marker(self, text: str, by: str) -> None:
        """Put a marker with a text into the events file, and publish it."""

    def pause(self, by: str) -> None:
        """Publish no poses until ``resume``; the files go on."""

    def resume(self, by: str) -> None:
        """Publish poses again."""

    def detect(self, by: str) -> None:
        """Let the detector look at the next frame."""

    def set(self, setting: str, value: float | list[float], by: str) -> None:
        """Change a setting of ``settable``; the value has its form and is within its limits."""

    def stop_asked(self, by: str) -> None:
        """Note who ends the run, which the caller does."""

    def recording(self) -> dict[str, Any] | None:
        """Return what is recorded now, such as ``{"file": …, "frames": …}``; None if nothing is."""

    def publishing(self) -> bool:
        """Return whether poses are published: false while paused, or if the run publishes nothing."""

    def settable(self) -> dict[str, Settable]:
        """Return what ``set`` may change."""


_Obey: TypeAlias = Callable[[RunActions, Request, str], None]


class RunOrders:
    """Obeys the orders to one run. Its thread is that of the control server."""

    def __init__(self, state: Callable[[], dict[str, Any]], stop: Callable[[str], None]) -> None:
        """``state`` returns what the run is and does, before it has begun too; ``stop`` ends it for a reason."""
        self._state, self._stop = state, stop
        self._actions: RunActions | None = None

    def ready(self, actions: RunActions) -> None:
        """Take all orders from now on. Before, a run takes ``state`` and ``stop`` only."""
        self._actions = actions

    def obey(self, request: Request, origin: Origin) -> dict[str, Any]:
        """Obey an order and return the state after it.

        Args:
            request: The order.
            origin: Who gave it.

        Raises:
            OrderError: if it is refused.
        """
        if request.order == STATE:
            return self._full_state()
        if request.order == "stop":
            if self._actions is not None:
                self._actions.stop_asked(str(origin))
            self._stop(f"stopped by {origin}")
            return self._full_state()
        obey = _TABLE.get(request.order)
        if obey is None:
            raise unknown_order(request, RUN)
        if self._actions is None:
            raise OrderError("the run has not begun yet; wait for its first frame")
        obey(self._actions, request, str(origin))
        return self._full_state()

    def _full_state(self) -> dict[str, Any]:
        actions, state = self._actions, {"kind": RUN, **self._state()}
        if actions is None:
            return {**state, "recording": None, "publishing": False, "settable": {}}
        settable = {name: msgspec.to_builtins(one) for name, one in actions.settable().items()}
        return {**state, "recording": actions.recording(), "publishing": actions.publishing(), "settable": settable}


def take_orders(settings: Settings, orders: RunOrders) -> ControlServer | None:
    """Open the socket of a run and let it answer. With ``control: auto`` a run goes on without one if it must.

    Args:
        settings: The settings of the run.
        orders: Obeys the orders.

    Returns:
        The server; None without one.

    Raises:
        ConfigError: if the given address is refused, or in use.
        SinkError: if it cannot be bound.
    """
    if settings.control == NONE:
        return None
    try:
        address = take_address(settings.control, f"{RUN}-{settings.camera}", settings.control_keys)
        server = ControlServer(address, orders.obey)
        server.start()
    except Exception as error:  # of any kind: nobody asked for the socket, so that no run may fail for want of it
        if settings.control != AUTO or settings.control_keys is not None:
            raise
        reason = str(error) if isinstance(error, CropzoomError) else one_line(error)
        logger.warning("%s; the run takes no orders", reason)
        return None
    return server


def _record(actions: RunActions, request: Request, by: str) -> None:
    value = {} if request.value is None else request.value
    name = value.get("name") if isinstance(value, dict) and value.keys() <= {"name"} else value
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise OrderError(f"record: got {_short(name)}, expected a name of letters, digits, spaces and _ . -")
    if name is not None and (why := why_not_on_windows(name)) is not None:
        raise OrderError(f"record: {name} {why}; give another name")
    actions.record(name, by)


def _marker(actions: RunActions, request: Request, by: str) -> None:
    text = request.value
    if not isinstance(text, str) or not text.strip():
        raise OrderError(f"marker: got {_short(text)}, expected a text")
    if len(text) > _MAX_TEXT_LENGTH or not text.isprintable():
        raise OrderError(f"marker: expected one line of at most {_MAX_TEXT_LENGTH} characters")
    actions.marker(text.strip(), by)


def _set(actions: RunActions, request: Request, by: str) -> None:
    may = actions.settable()
    if request.target not in may:
        raise OrderError(f"set: got {_short(request.target)}, expected one of {listed(list(may)) or 'nothing'}")
    actions.set(request.target, _checked(request.target, request.value, may[request.target]), by)


def _checked(name: str, value: Any, may: Settable) -> float | list[float]:
    """Return a value for a setting. Raises OrderError if it has another form or is outside its limits."""
    count = len(may.value) if isinstance(may.value, list) else 1
    numbers = value if isinstance(value, list) else [value]
    limits = f"{may.least:g} to {may.most:g}{may.unit and ' '}{may.unit}"
    expected = f"a number from {limits}" if count == 1 else f"{count} numbers from {limits}"
    if len(numbers) != count or not all(_is_within(number, may) for number in numbers):
        raise OrderError(f"{name}: got {_short(value)}, expected {expected}")
    return list(numbers) if isinstance(may.value, list) else numbers[0]


def _is_within(number: Any, may: Settable) -> bool:
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return is_number and math.isfinite(number) and may.least <= number <= may.most


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


_TABLE: dict[str, _Obey] = {
    "record": _record,
    "stop_recording": lambda actions, request, by: actions.stop_recording(by),
    "marker": _marker,
    "pause": lambda actions, request, by: actions.pause(by),
    "resume": lambda actions, request, by: actions.resume(by),
    "detect": lambda actions, request, by: actions.detect(by),
    "set": _set,
}

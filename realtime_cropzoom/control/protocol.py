"""Protocol of orders: a request in JSON, an answer in JSON, one after the other.

::

    {"order": "arm", "target": "RULE"}                    {"ok": true, "kind": "trigger", "armed": ["RULE"], …}
    {"order": "marker", "value": "light on"}              {"ok": true, "kind": "run", …}
    {"order": "dance"}                                    {"ok": false, "error": "there is no order dance; …"}

The answer to an order has the state after it. ``{"order": "state"}`` changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from realtime_cropzoom.errors import CropzoomError

RUN, TRIGGER = "run", "trigger"
STATE = "state"
ORDERS: dict[str, tuple[str, ...]] = {
    RUN: (STATE, "record", "stop_recording", "marker", "pause", "resume", "detect", "set", "stop"),
    TRIGGER: (STATE, "arm", "disarm", "test", "rules", "zones", "stop"),
}
"""Orders that each kind of program takes."""
MAX_REQUEST_BYTES = 1 << 18
"""Maximum size of a request: a rules file fits."""
MAX_ANSWER_BYTES = 1 << 20
_MAX_BY_LENGTH = 40


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One order."""

    order: str
    target: str | None = None
    """What the order is for, such as a rule, an output or a setting."""
    value: Any = None
    """What the order needs beside it, such as the text of a marker."""
    by: str | None = None
    """The program that gives the order, such as ``ctl`` or ``page``."""


class Origin(NamedTuple):
    """Who gave an order: what the sender says, and what the system knows about it."""

    program: str | None = None
    """Program, as the request says."""
    user: str | None = None
    """User whose process is connected to the Unix socket; None over TCP."""
    process: int | None = None
    """Number of that process; None if the system does not tell it."""
    key: str | None = None
    """Name of the key of the client; None at a Unix socket."""

    def __str__(self) -> str:
        process = "" if self.process is None else f", process {self.process}"
        known = f"key {self.key}" if self.key else f"{self.user}{process}" if self.user else ""
        return f"{self.program} ({known})" if self.program and known else self.program or known or "unknown"


class OrderError(CropzoomError):
    """An order that is refused. The text is the answer to the sender, in one line."""


Handler: TypeAlias = Callable[[Request, Origin], dict[str, Any]]
"""Obeys an order and returns the state after it. Raises OrderError to refuse the order."""


def decode_request(data: bytes) -> Request:
    """Return the request in a message.

    Raises:
        OrderError: if it is not a request.
    """
    try:
        request = msgspec.json.decode(data, type=Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise OrderError('expected JSON such as {"order": "state"}') from None
    if request.by is not None and not (request.by.isprintable() and 0 < len(request.by) <= _MAX_BY_LENGTH):
        raise OrderError(f"by: expected the name of a program, of at most {_MAX_BY_LENGTH} characters")
    return request


def encode_request(request: Request) -> bytes:
    """Return a request as bytes.

    Raises:
        OrderError: if it is too large, or its value is not of JSON.
    """
    try:
        data = msgspec.json.encode(request)
    except (TypeError, ValueError, RecursionError) as error:
        raise OrderError(f"order {request.order}: its value cannot be sent as JSON ({error})") from error
    if len(data) > MAX_REQUEST_BYTES:
        raise OrderError(f"order {request.order}: got {len(data)} bytes, expected at most {MAX_REQUEST_BYTES}")
    return data


def unknown_order(request: Request, kind: str) -> OrderError:
    """Return the error for an order that a kind of program does not take."""
    return OrderError(f"there is no order {request.order[:40]!r}; expected one of {', '.join(ORDERS[kind])}")

"""Line protocol of the trigger board. No I/O.

Lines are ASCII text and end with a newline. ``id`` counts up, and the answer repeats it.

::

    ?                          identify
    P id channel us            pulse of this duration (µs), timed by the board
    N id channel               on
    F id channel               off
    S id channel               safe: off, whatever runs
    W id ms                    watchdog: all channels go to the safe level after this time (ms) without a line
    H id                       heartbeat

    I cropzoom_trigger version channels     answer to ?
    A id device_us                          done, at this time of the board's own clock (wraps at 2³²)
    E id reason                             refused; id 0 if the line could not be read
    X watchdog                              no line came for too long; all channels are at the safe level

After power-up, a reset and ``X watchdog``, nothing can be switched on until the watchdog is set: the board refuses P,
N and H with ``no watchdog``. W with 0 ms brings it back to that state.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime_cropzoom.trigger.engine.events import ActionType

NAME = "cropzoom_trigger"
VERSION = 1
MAX_LINE = 48
"""Maximum length of a line (bytes), with its newline. The buffer of the board is not larger."""
MAX_US = 2_000_000_000
"""Maximum duration of a pulse (µs). It is half of the range of the board's clock."""
ID_RANGE = 1_000_000_000

IDENTIFY = b"?\n"
NO_WATCHDOG = "no watchdog"
_LETTERS = {ActionType.PULSE: "P", ActionType.ON: "N", ActionType.OFF: "F", ActionType.SAFE: "S"}


@dataclass(frozen=True, slots=True)
class Identity:
    """The board identifies itself."""

    version: int
    channels: int
    """Number of channels."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The board has done what it was asked."""

    id: int
    device_us: int
    """Time of the board's own clock (µs), in [0, 2³²)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The board has refused what it was asked."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """The board has gone to its safe level by itself."""

    reason: str


Answer = Identity | Acknowledged | Refused | Notice


def encode(act: ActionType, id: int, channel: int, ms: float = 0.0) -> bytes:
    """Return the line that asks for an action. A pulse lasts at least 1 µs and at most ``MAX_US``."""
    if act is ActionType.PULSE:
        return b"P %d %d %d\n" % (id, channel, min(max(1, round(ms * 1000)), MAX_US))
    return f"{_LETTERS[act]} {id} {channel}\n".encode("ascii")


def encode_watchdog(id: int, ms: int) -> bytes:
    """Return the line that sets the watchdog."""
    return b"W %d %d\n" % (id, ms)


def encode_heartbeat(id: int) -> bytes:
    """Return a heartbeat."""
    return b"H %d\n" % id


def parse(line: bytes) -> Answer | None:
    """Return the answer in a line from the board; None if the line is not of this protocol. It never raises."""
    words = line.strip().decode("ascii", "replace").split(" ")
    match words:
        case ["I", name, version, channels] if name == NAME and _numbers(version, channels):
            return Identity(int(version), int(channels))
        case ["A", id, device_us] if _numbers(id, device_us):
            return Acknowledged(int(id), int(device_us))
        case ["E", id, *reason] if _numbers(id):
            return Refused(int(id), " ".join(reason))
        case ["X", *reason]:
            return Notice(" ".join(reason))
    return None


def _numbers(*words: str) -> bool:
    """Return whether all are decimal numbers of up to ten digits; ``isdigit`` alone also accepts ²."""
    return all(word.isascii() and word.isdigit() and len(word) <= 10 for word in words)


class Lines:
    """Splits received bytes into lines. It keeps a limited part of a line that does not end."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take received bytes; return the lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-4 * MAX_LINE :]
        return lines

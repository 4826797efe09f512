"""Messages from the process that trains a model to the command: JSON, one to a line of its stdout."""

from __future__ import annotations

import msgspec


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A line for the user."""

    text: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far a training is, after a batch."""

    share: float
    """Part that is done, from 0 to 1."""
    seconds_left: float
    """Estimated time for the rest (s)."""
    epoch: int
    """Number of epochs done."""
    loss: float | None
    """Mean loss of the last epoch; None in the first."""
    held_out_px: float | None
    """Mean error on the held-out frames after it (frame pixels); None in the first, or without held-out frames."""


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The model is complete."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The training cannot go on."""

    text: str
    """One line."""


Message = Said | Progress | Finished | Failed

_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return a message as a line."""
    return _encoder.encode(message) + b"\n"


def decode(line: bytes) -> Message:
    """Return the message in a line. Raises ``msgspec.DecodeError`` if there is none."""
    message: Message = _decoder.decode(line)
    return message

"""Payloads that are no messages, or odd ones: random bytes, and messages spoilt in every way that comes to mind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

ABSURD = [
    *(b"1e308", b"-1e308", b"1e400", b"NaN", b"Infinity", b"null", b"-0", b"-1", b"true", b'"7"', b"[]", b"{}"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1" + b"0" * 400, b"0.5"),
]


def garbage(examples: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` payloads, most of them spoilt ``examples``."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choice(_WAYS)(rng, rng.choice(examples), rng.choice(examples))


def _random_bytes(rng: random.Random, one: bytes, other: bytes) -> bytes:
    return rng.randbytes(rng.randrange(200))


def _flipped(rng: random.Random, one: bytes, other: bytes) -> bytes:
    spoilt = bytearray(one)
    for _ in range(rng.randrange(1, 5)):
        spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt)


def _cut(rng: random.Random, one: bytes, other: bytes) -> bytes:
    return one[: rng.randrange(len(one))]


def _spliced(rng: random.Random, one: bytes, other: bytes) -> bytes:
    return one[: rng.randrange(len(one))] + other[rng.randrange(len(other)) :]


def _with_an_absurd_number(rng: random.Random, one: bytes, other: bytes) -> bytes:
    """Replace one run of digits."""
    start = rng.randrange(len(one))
    while start < len(one) and not one[start : start + 1].isdigit():
        start += 1
    end = start
    while end < len(one) and one[end : end + 1].isdigit():
        end += 1
    return one[:start] + rng.choice(ABSURD) + one[end:]


def _nested(rng: random.Random, one: bytes, other: bytes) -> bytes:
    opening = rng.choice([b'{"type":', b"[", b"\x81\xa4type", b"\x91"])
    return opening * rng.randrange(2000)


_WAYS: list[Callable[[random.Random, bytes, bytes], bytes]] = [
    *(_random_bytes, _flipped, _flipped, _cut, _spliced, _with_an_absurd_number, _with_an_absurd_number, _nested)
]

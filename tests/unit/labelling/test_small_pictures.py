"""How much two frames differ: noise and light do not count, an animal that moved does."""

from __future__ import annotations

import numpy as np
import pytest
from support.films import Footage

from realtime_cropzoom.labelling.small_pictures import DUPLICATE_LEVELS, Seen, difference, small_picture
from realtime_cropzoom.types import UInt8

RNG = np.random.default_rng(3)


def frame(x: int, size: tuple[int, int] = (640, 480), *, light: int = 0, noise: float = 0) -> UInt8:
    """Return a bright floor with a dark animal of 60×40 pixels whose left edge is at ``x``."""
    image = np.full((size[1], size[0], 3), 160.0 + light)
    image[200:240, x : x + 60] = 40 + light
    return np.clip(image + RNG.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def between(a: UInt8, b: UInt8) -> float:
    return float(difference(small_picture(a), small_picture(b)[None])[0])


@pytest.mark.parametrize(
    ("other", "is_duplicate"),
    [
        (frame(100), True),
        (frame(100, noise=15), True),
        (frame(100, light=30), True),
        (frame(102), True),
        (frame(116), False),
        (frame(400), False),
    ],
    ids=["same", "noise", "light", "2 px", "16 px", "elsewhere"],
)
def test_an_animal_that_moved_makes_the_difference(other: UInt8, is_duplicate: bool) -> None:
    assert (between(frame(100), other) < DUPLICATE_LEVELS) == is_duplicate


def test_frames_of_another_size_can_be_compared() -> None:
    small = frame(50, (320, 240))[::1]
    assert np.isfinite(between(frame(100), small))
    assert np.isfinite(between(frame(100), np.zeros((7, 3, 3), np.uint8)))


def test_what_was_seen_is_remembered() -> None:
    seen = Seen()
    picture = small_picture(frame(100))
    assert not seen.has(picture)
    assert seen.nearest(picture) == np.inf
    seen.add(picture)
    assert seen.has(picture)
    assert not seen.has(small_picture(frame(300)))
    assert Seen([picture]).nearest(picture) == 0


def test_neighbouring_frames_of_a_slow_film_are_near_duplicates() -> None:
    footage = Footage((640, 480))
    still = [footage.draw(0) for _ in range(2)]
    assert between(*still) == 0

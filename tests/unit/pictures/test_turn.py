"""Turn: a region of the turned picture, found before the turn."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.pictures.turn import Turn
from realtime_cropzoom.types import Box

TURNS = [Turn(*flags) for flags in itertools.product((False, True), (False, True), (False, True))]
PIXELS = np.random.default_rng(0).integers(0, 256, (23, 37, 3), np.uint8)


@given(st.sampled_from(TURNS), st.data())
def test_a_region_before_the_turn_shows_what_the_turned_picture_shows(turn: Turn, data: st.DataObject) -> None:
    turned = turn.apply(PIXELS)
    height, width, _ = turned.shape
    w, h = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    x, y = data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h))
    before = turn.before(Box(x, y, w, h), (width, height))
    shown = turn.apply(PIXELS[before.y : before.y + before.h, before.x : before.x + before.w])
    np.testing.assert_array_equal(shown, turned[y : y + h, x : x + w])

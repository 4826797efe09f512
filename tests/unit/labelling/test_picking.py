"""Which frames are picked: spread, different, never two that look alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_cropzoom.labelling.picking import Method, candidates, choose, features, groups
from realtime_cropzoom.labelling.small_pictures import DUPLICATE_LEVELS, LOOK, Seen, difference, small_picture
from realtime_cropzoom.types import Float32, UInt8

METHODS: list[Method] = ["kmeans", "uniform", "motion"]


@given(st.integers(1, 200_000), st.integers(1, 500), st.integers(1, 400), st.integers(0, 9))
@settings(deadline=None)
def test_candidates_are_frames_in_order_from_the_whole_recording(count: int, gop: int, picks: int, seed: int) -> None:
    keys = np.arange(0, count, gop)
    found = candidates(count, keys, picks)
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0
    assert found[-1] < count
    assert len(found) >= min(count, picks)
    if count > 1000:
        gaps = np.diff(np.concatenate([[0], found, [count]]))
        assert gaps.max() < count / 3, "every part of the recording is looked at"


def test_little_is_decoded_of_a_long_recording() -> None:
    count, gop = 30 * 3600, 250
    found = candidates(count, np.arange(0, count, gop), 20)
    assert (found % gop + 1)[np.append(np.diff(found // gop) > 0, True)].sum() <= 6500, "frames decoded from key frames"
    assert len(found) >= 300


def test_all_frames_are_decoded_if_there_is_one_key_frame() -> None:
    found = candidates(100_000, np.zeros(1, np.int64), 20)
    assert np.diff(found).max() < 400


def blobs(places: list[tuple[int, int]], angles: list[bool] | None = None) -> UInt8:
    """Return looks of a grey floor with a dark bar, 20 by 6 pixels, upright or not, at places."""
    pictures = np.full((len(places), LOOK[1], LOOK[0]), 150, np.uint8)
    for picture, (x, y), upright in zip(pictures, places, angles or [False] * len(places), strict=True):
        w, h = (6, 20) if upright else (20, 6)
        picture[y - h // 2 : y + h // 2, x - w // 2 : x + w // 2] = 30
    return pictures


def smalls_of(looks: UInt8) -> Float32:
    return np.array([small_picture(picture) for picture in looks])


def test_kmeans_takes_frames_of_rare_places_too() -> None:
    rng = np.random.default_rng(0)
    corners = [(30, 30), (130, 30), (30, 90), (130, 90)]
    of = rng.permutation(np.repeat(np.arange(4), [60, 3, 20, 2]))
    looks = blobs([(corners[k][0] + int(rng.integers(-2, 3)), corners[k][1] + int(rng.integers(-2, 3))) for k in of])
    found = choose(groups("kmeans", looks, np.zeros(len(of), np.float32), 10), smalls_of(looks), Seen(), 10)
    assert {*of[found].tolist()} == {0, 1, 2, 3}
    assert (of[found] == 0).sum() < 7, "less than its share of the frames"


def test_kmeans_tells_postures_apart_wherever_they_are() -> None:
    """An animal that is everywhere, and rarely upright: both postures are picked."""
    rng = np.random.default_rng(1)
    upright = rng.random(120) < 0.2
    looks = blobs([(int(x), int(y)) for x, y in rng.integers([20, 20], [140, 100], (120, 2))], list(upright))
    values = features(looks)
    groups_of = groups("kmeans", looks, np.zeros(120, np.float32), 12)
    pure = [abs(upright[group].mean() - 0.5) for group in groups_of]
    assert np.isfinite(values).all()
    assert np.mean(pure) > 0.4, "clusters hold one posture each"


@pytest.mark.parametrize("method", METHODS)
def test_near_duplicates_are_never_picked_twice(method: Method) -> None:
    looks = blobs([(30 + 40 * (k % 3), 60) for k in range(30)])
    smalls, seen = smalls_of(looks), Seen()
    found = choose(groups(method, looks, np.arange(30, dtype=np.float32), 10), smalls, seen, 10)
    assert sorted(found % 3) == [0, 1, 2], "there are three kinds of frames only"
    assert not len(choose(groups(method, looks, np.zeros(30, np.float32), 5), smalls, seen, 5)), "all were seen"


@pytest.mark.parametrize("method", METHODS)
@given(count=st.integers(1, 40), picks=st.integers(1, 40), seed=st.integers(0, 5))
@settings(deadline=None, max_examples=25)
def test_picks_are_different_frames_that_differ(method: Method, count: int, picks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    looks = rng.integers(0, 255, (count, *LOOK[::-1]), np.uint8)
    looks[: count // 2] = looks[0]
    smalls = smalls_of(looks) * 5
    found = choose(
        groups(method, looks, rng.random(count).astype(np.float32), min(picks, count)), smalls, Seen(), picks
    )
    assert len(found) == len(set(found.tolist())) <= picks
    assert list(found) == sorted(found)
    for i, a in enumerate(found):
        others = found[:i]
        assert not len(others) or difference(smalls[a], smalls[others]).min() >= DUPLICATE_LEVELS


def test_uniform_and_motion_take_a_frame_of_each_piece() -> None:
    looks = blobs([(20 + k, 60) for k in range(0, 120, 3)])
    smalls = smalls_of(looks)
    motion = np.zeros(40, np.float32)
    motion[[3, 17, 22, 38]] = 9
    assert list(choose(groups("motion", looks, motion, 4), smalls, Seen(), 4)) == [3, 17, 22, 38]
    assert np.diff(choose(groups("uniform", looks, motion, 4), smalls, Seen(), 4)).tolist() == [10, 10, 10]


def test_the_same_pictures_give_the_same_picks() -> None:
    rng = np.random.default_rng(5)
    looks = blobs([(int(x), int(y)) for x, y in rng.integers([20, 20], [140, 100], (80, 2))])
    first, again = (groups("kmeans", looks, np.zeros(80, np.float32), 9) for _ in range(2))
    assert [group.tolist() for group in first] == [group.tolist() for group in again]

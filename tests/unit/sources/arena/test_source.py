"""Synthetic arena: frames and keypoints agree, and depend only on settings and frame index."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suite import at_most

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings, parse_arena
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import UInt8

SNOUT, LEFT, RIGHT, TAIL = range(4)


@cache
def plain(seed: int) -> Arena:
    """Return an arena without noise and blur: each pixel that differs from the empty arena is animal or shadow."""
    return Arena(ArenaSettings(seed=seed, fps=10, seconds=60, noise=0, blur=0, exposure_ms=0))


@cache
def empty(seed: int) -> UInt8:
    """Return the arena without the animal."""
    return Arena(ArenaSettings(seed=seed, noise=0, animal=0)).render(0)


def difference(seed: int, index: int) -> np.ndarray:
    """Return the difference from the empty arena in gray levels, (H, W)."""
    change = np.abs(plain(seed).render(index).astype(int) - empty(seed))
    return np.asarray(change.mean(axis=2))


def value_at(image: np.ndarray, xy: np.ndarray) -> float:
    x, y = np.round(xy).astype(int)
    return float(image[y, x])


def test_any_order_gives_the_same_bytes() -> None:
    options = ArenaSettings(width=200, height=160, seed=4)
    ahead, back = Arena(options), Arena(options)
    indices = [0, 1, 500, 77, 400, 130]
    frames = {index: ahead.render(index) for index in indices}
    for index in sorted(indices, reverse=True):
        np.testing.assert_array_equal(back.render(index), frames[index])
        np.testing.assert_array_equal(back.truth(index), ahead.truth(index))


def test_frames_of_the_usual_settings_stay_as_they_are() -> None:
    """Benchmarks and goldens rest on them. Another processor, or OpenCV, may round a few pixels differently."""
    kept = read_image(Path(__file__).with_name("default_frames.png"))
    usual = [
        (ArenaSettings(128, 96, seed=0), 0),
        (ArenaSettings(128, 96, seed=3, noise=0), 250),
        (ArenaSettings(128, 96, seed=5, noise=0, scale=1.7), 99),
    ]
    frames = [Arena(settings).render(index) for settings, index in usual]
    off = np.abs(np.vstack(frames).astype(int) - kept)
    assert off.max() <= 4
    assert (off > 0).mean() < 0.05


def test_an_empty_arena_is_what_lies_behind_the_animal() -> None:
    for tilt in (0.0, 30.0):
        arena = Arena(ArenaSettings(fps=10, seconds=60, noise=0, tilt=tilt))
        behind = np.median([arena.render(index) for index in range(0, 600, 40)], axis=0)
        bare = Arena(ArenaSettings(noise=0, animal=0, tilt=tilt))
        np.testing.assert_array_equal(bare.render(0), behind)
        assert np.isnan(bare.truth(0)).all()
        assert bare.truth(0).shape == (4, 2)


def test_noise_differs_between_frames() -> None:
    arena = Arena(ArenaSettings(width=160, height=120))
    first, second = arena.render(0).astype(int), arena.render(1).astype(int)
    assert np.std(first - second) > arena.settings.noise


@pytest.mark.parametrize("fps", [200, 90, 7.5])
def test_the_path_does_not_depend_on_the_frame_rate(fps: float) -> None:
    slow, fast = Arena(ArenaSettings(128, 96, fps=2.5)), Arena(ArenaSettings(128, 96, fps=fps))
    for index in range(0, 50, 7):
        same_time = index / 2.5 * fps
        np.testing.assert_allclose(slow.truth(index), fast.truth(round(same_time)), atol=1e-9)


@settings(max_examples=at_most(40))
@given(
    width=st.integers(64, 300),
    height=st.integers(64, 300),
    seed=st.integers(0, 2**63 - 1),
    scale=st.floats(0.3, 2.5),
    index=st.integers(0, 2000),
)
def test_keypoints_are_inside_and_as_far_apart_as_in_a_mouse(
    width: int, height: int, seed: int, scale: float, index: int
) -> None:
    arena = Arena(ArenaSettings(width, height, seed=seed, scale=scale))
    truth = arena.truth(index)
    assert (truth >= 0).all()
    assert (truth <= (width - 1, height - 1)).all()
    body = 118 * scale * min(width / 640, height / 480)
    ears = (truth[LEFT] + truth[RIGHT]) / 2
    # The open field labels, in body lengths: ears 0.12 to 0.21 apart, snout to tail base 0.87 to 1.18.
    assert 0.12 < np.linalg.norm(truth[LEFT] - truth[RIGHT]) / body < 0.21
    assert 0.75 < np.linalg.norm(truth[SNOUT] - truth[TAIL]) / body < 1.18
    assert 0.04 < np.linalg.norm(truth[SNOUT] - ears) / body < 0.2


@settings(max_examples=at_most(40))
@given(
    size=st.sampled_from([(640, 480), (480, 640), (500, 90)]),
    seed=st.integers(0, 2**63 - 1),
    scale=st.floats(0.3, 2.5),
    build=st.sampled_from(["mouse", "rat"]),
    tilt=st.floats(-45, 45),
    index=st.integers(0, 2000),
)
def test_keypoints_of_any_animal_are_inside_at_any_angle_of_the_camera(
    size: tuple[int, int], seed: int, scale: float, build: str, tilt: float, index: int
) -> None:
    truth = Arena(ArenaSettings(*size, seed=seed, scale=scale, build=build, tilt=tilt)).truth(index)
    assert (truth >= 0).all()
    assert (truth <= np.array(size) - 1).all()


def test_left_ear_is_on_the_left() -> None:
    """Labels have the same rule: if the animal faces down in the picture, its left is at the right of the picture."""
    arena = plain(0)
    for index in range(0, 600, 25):
        truth = arena.truth(index)
        ahead = truth[SNOUT] - (truth[LEFT] + truth[RIGHT]) / 2
        leftwards = np.array([ahead[1], -ahead[0]])
        assert leftwards @ (truth[LEFT] - truth[RIGHT]) > 0


def test_it_rests_and_sprints_without_jumps() -> None:
    arena = Arena(ArenaSettings(160, 120, fps=200))
    path = np.array([arena.truth(index) for index in range(60 * 200)])
    body = 118 / 4
    speed = np.linalg.norm(np.diff(path[:, TAIL], axis=0), axis=1) * 200 / body
    assert (speed < 0.1).mean() > 0.03
    assert (speed > 2.5).mean() > 0.02
    steps = np.linalg.norm(np.diff(path, axis=0), axis=2) * 200 / body
    assert steps.max() < 9


@pytest.mark.parametrize(("seed", "index"), list(itertools.product([0, 3], [5, 111, 222, 333, 450])))
def test_the_animal_is_drawn_at_the_truth(seed: int, index: int) -> None:
    truth, change = plain(seed).truth(index), difference(seed, index)
    for keypoint in truth:
        assert value_at(change, keypoint) > 10
    ahead = truth[SNOUT] - (truth[LEFT] + truth[RIGHT]) / 2
    ahead /= np.linalg.norm(ahead)
    assert value_at(change, truth[SNOUT] - 2 * ahead) > 60
    assert value_at(change, truth[SNOUT] + 4 * ahead) < 60, "the nose ends at the snout"


@cache
def variant(spec: str) -> Arena:
    return Arena(parse_arena(f"synthetic:arena,size=1280x960,fps=10,seconds=60,noise=0,blur=0,exposure_ms=0{spec}"))


VARIANTS = ["", ",build=rat,coat=50", ",tilt=30", ",tilt=-40,build=rat,coat=50", ",scale=2.5", ",bedding=1,floor=200"]


@pytest.mark.parametrize("index", [5, 111, 222, 333, 450])
@pytest.mark.parametrize("spec", VARIANTS)
def test_ears_are_drawn_around_the_truth(index: int, spec: str) -> None:
    """The ears are the only red parts at the sides of the head, so that the centre of redness is the keypoint."""
    arena = variant(spec)
    image, truth = arena.render(index).astype(float), arena.truth(index)
    reach = 0.42 * np.linalg.norm(truth[LEFT] - truth[RIGHT])
    for ear in (LEFT, RIGHT):
        left, top = (truth[ear] - reach).astype(int)
        y, x = np.mgrid[top : top + int(2 * reach) + 2, left : left + int(2 * reach) + 2]
        red = np.clip(image[y, x, 0] - image[y, x, 1] - 15, 0, None)
        near = red * (np.hypot(x - truth[ear, 0], y - truth[ear, 1]) < reach)
        centre = np.array([(near * x).sum(), (near * y).sum()]) / near.sum()
        assert np.linalg.norm(centre - truth[ear]) < (0.5 if "scale" not in spec else 1.0)


@pytest.mark.parametrize("spec", ["coat=40,floor=220", "coat=235,floor=30", "coat=235,floor=30,build=rat,scale=1.5"])
def test_nose_and_tail_base_are_drawn_at_the_truth(spec: str) -> None:
    """The animal that jumps stands straight and faces right: the nose is its last column, the tail base its first."""
    base = f"synthetic:arena,size=1280x960,jump_s=5,noise=0,blur=0,exposure_ms=0,{spec}"
    image = Arena(parse_arena(base)).render(0).astype(float)
    truth = Arena(parse_arena(base)).truth(0)
    change = np.abs(image - Arena(parse_arena(base + ",animal=0")).render(0)).mean(axis=2)
    row = round(truth[SNOUT, 1])
    strong = 0.5 * change[row, round(truth[SNOUT, 0]) - 6]
    nose = np.nonzero(change[row] > strong)[0].max()
    assert abs(nose - truth[SNOUT, 0]) < 4, "half a nose"
    body = truth[SNOUT, 0] - truth[TAIL, 0]
    heights = (change[:, round(truth[TAIL, 0] - 0.06 * body) : round(truth[TAIL, 0] + 0.1 * body)] > strong).sum(axis=0)
    tail = heights[0]
    trunk_from = round(truth[TAIL, 0] - 0.06 * body) + int(np.nonzero(heights > 1.3 * tail)[0][0])
    assert abs(trunk_from - truth[TAIL, 0]) < 0.04 * body


@pytest.mark.parametrize(("coat", "floor"), [(235, 30), (235, 120), (150, 40), (30, 120)])
def test_light_and_dark_animals_stand_out_from_their_floor(coat: int, floor: int) -> None:
    settings = ArenaSettings(noise=0, coat=coat, floor=floor, build="rat", scale=1.5)
    arena, behind = Arena(settings), Arena(replace(settings, animal=0)).render(0)
    for index in (0, 200, 500):
        image, middle = arena.render(index), arena.truth(index).mean(axis=0)
        assert (value_at(image.mean(axis=2), middle) > value_at(behind.mean(axis=2), middle)) == (coat > floor)


def test_a_white_animal_has_white_fur_and_pink_eyes() -> None:
    arena = variant(",coat=235,floor=30,scale=1.7")
    image, truth = arena.render(0).astype(int), arena.truth(0)
    x, y = np.round(0.5 * truth[TAIL] + 0.5 * truth[[LEFT, RIGHT]].mean(axis=0)).astype(int)
    fur = image[y - 5 : y + 6, x - 5 : x + 6].mean(axis=(0, 1))
    assert fur.min() > 150
    assert np.ptp(fur) < 30, "hardly tinted"
    x, y = np.round(truth[SNOUT]).astype(int)
    head = image[y - 40 : y + 41, x - 40 : x + 41]
    assert ((head[..., 0] > 100) & (head[..., 1] < 80)).sum() > 10, "the pink eyes"


def test_bedding_is_a_texture_of_the_floor_and_keeps_its_brightness() -> None:
    bare = Arena(ArenaSettings(floor=120, animal=0, noise=0)).render(0)[100:380, 100:540].mean(axis=2)
    strewn = Arena(ArenaSettings(floor=120, animal=0, noise=0, bedding=1)).render(0)[100:380, 100:540].mean(axis=2)
    assert strewn.std() > 3 * bare.std()
    assert abs(strewn.mean() - bare.mean()) < 25


def test_things_lie_on_the_floor_and_the_animal_walks_over_them() -> None:
    bare, strewn = (Arena(ArenaSettings(animal=0, noise=0, objects=count)).render(0).astype(int) for count in (0, 8))
    changed = np.abs(strewn - bare).max(axis=2) > 20
    assert 0.002 < changed.mean() < 0.2
    assert not changed[:24].any(), "none on the walls"
    over = [(Arena(ArenaSettings(noise=0, objects=100)), Arena(ArenaSettings(noise=0)))[k].render(77) for k in (0, 1)]
    x, y = np.round(Arena(ArenaSettings()).truth(77).mean(axis=0)).astype(int)
    np.testing.assert_allclose(over[0][y - 3 : y + 4, x - 3 : x + 4], over[1][y - 3 : y + 4, x - 3 : x + 4], atol=1)


@pytest.mark.parametrize("index", [0, 150, 420])
def test_a_cable_goes_from_the_head_to_its_holder(index: int) -> None:
    without = Arena(ArenaSettings(noise=0, blur=0))
    over_edge = Arena(ArenaSettings(noise=0, blur=0, cable="edge"))
    to_middle = Arena(ArenaSettings(noise=0, blur=0, cable="middle"))
    np.testing.assert_array_equal(over_edge.truth(index), without.truth(index))
    change = np.abs(over_edge.render(index).astype(int) - without.render(index)).max(axis=2)
    assert change[0].max() > 30, "it leaves the picture at the top"
    stage = over_edge.truth(index)[[LEFT, RIGHT]].mean(axis=0)
    x, y = np.round(stage).astype(int)
    assert change[y - 12 : y + 13, x - 12 : x + 13].max() > 10
    change = np.abs(to_middle.render(index).astype(int) - without.render(index)).max(axis=2)
    assert change[0].max() == 0
    assert change[120:360, 160:480].max() > 30


def test_the_drawing_moves_with_the_truth() -> None:
    """The centre of all dark pixels moves with the centre of the keypoints."""
    centres, middles = [], []
    for index in range(0, 600, 50):
        y, x = np.nonzero(difference(0, index) > 80)
        centres.append((x.mean(), y.mean()))
        middles.append(plain(0).truth(index)[[SNOUT, TAIL]].mean(axis=0))
    off = np.array(centres) - np.array(middles)
    assert np.linalg.norm(off, axis=1).max() < 0.2 * 118
    assert np.ptp(middles, axis=0).min() > 118, "the animal walked"


def test_frames_are_evenly_spaced_and_as_many_as_asked_for() -> None:
    arena = Arena(ArenaSettings(64, 64, fps=29.97, seconds=1.5))
    captured = list(arena.frames())
    assert (arena.info.name, arena.info.width, arena.info.height, arena.info.fps) == ("arena", 64, 64, 29.97)
    assert arena.info.frame_count == len(captured) == round(1.5 * 29.97)
    assert [frame.pts_ns for frame in captured] == [round(index * 1e9 / 29.97) for index in range(len(captured))]
    assert all(frame.device_ns == frame.pts_ns for frame in captured)


def test_copy_to_fills_the_given_array_with_the_rendered_frame() -> None:
    arena = Arena(ArenaSettings(150, 101, fps=10, seconds=2))
    ring = np.full((2, 101, 150, 3), 255, np.uint8)
    for index, frame in enumerate(arena.frames()):
        frame.copy_to(ring[index % 2])
        np.testing.assert_array_equal(ring[index % 2], arena.render(index))


def test_an_endless_arena_does_not_end() -> None:
    arena = Arena(parse_arena("synthetic:arena,size=64x64,seconds=endless"))
    assert arena.info.frame_count is None
    assert len(list(itertools.islice(arena.frames(), 700))) == 700


def test_seeds_look_different_and_given_grays_are_kept() -> None:
    looks = [Arena(ArenaSettings(96, 72, seed=seed)).render(0).mean(axis=(0, 1)) for seed in range(6)]
    assert np.ptp(looks, axis=0).max() > 8
    night = Arena(ArenaSettings(320, 240, coat=215, floor=60, noise=0))
    assert value_at(night.render(0).mean(axis=2), night.truth(0).mean(axis=0)) > 130
    assert np.median(night.render(0)) < 90


def test_problems_and_close() -> None:
    arena = Arena(ArenaSettings(64, 64))
    assert arena.problems() == []
    arena.close()
    arena.close()


def test_negative_index() -> None:
    with pytest.raises(IndexError, match="frame -1: frames are counted from 0"):
        Arena(ArenaSettings(64, 64)).truth(-1)


def test_parse() -> None:
    assert parse_arena("synthetic:arena") == ArenaSettings()
    spec = "synthetic:arena,size=320x200,fps=100,seconds=5,seed=3,noise=0,coat=200,floor=40"
    assert parse_arena(spec) == ArenaSettings(320, 200, 100, 5, 3, 0, coat=200, floor=40)
    spec = "synthetic:arena,build=rat,animal=0,bedding=0.5,cable=edge,tilt=20"
    assert parse_arena(spec) == ArenaSettings(build="rat", animal=0, bedding=0.5, cable="edge", tilt=20)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("synthetic:maze", r"'synthetic:maze': expected synthetic:arena\[,key=value...\] with the keys size, fps"),
        ("synthetic:arena,speed=3", "'speed=3', expected key=value with one of the keys size, fps, seconds, seed"),
        ("synthetic:arena,fps", "'fps', expected key=value"),
        ("synthetic:arena,size=640", "size=640, expected WIDTHxHEIGHT in pixels, as 640x480"),
        ("synthetic:arena,seed=1.5", "seed=1.5, expected a whole number"),
        ("synthetic:arena,fps=fast", "fps=fast, expected a number"),
        ("synthetic:arena,seconds=long", "seconds=long, expected a number of seconds, or endless"),
        ("synthetic:arena,size=32x480", "width: got 32, expected 64 to 8192"),
        ("synthetic:arena,fps=0", "fps: got 0.0, expected 0.1 to 10000"),
        ("synthetic:arena,fps=nan", "fps: got nan, expected 0.1 to 10000"),
        ("synthetic:arena,seconds=-1", "seconds: got -1.0, expected 0.001 to"),
        ("synthetic:arena,build=cat", "build: got cat, expected mouse or rat"),
        ("synthetic:arena,cable=long", "cable: got long, expected none or middle or edge"),
        ("synthetic:arena,animal=yes", "animal=yes, expected a whole number"),
        ("synthetic:arena,tilt=60", "tilt: got 60.0, expected -45 to 45"),
        ("synthetic:arena,seed=-1", "seed: got -1, expected 0 to"),
    ],
)
def test_a_bad_spec_says_what_was_expected(spec: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as error:
        parse_arena(spec)
    assert "\n" not in str(error.value)


def test_a_jumping_animal_stands_between_its_jumps() -> None:
    arena = Arena(parse_arena("synthetic:arena,fps=50,seconds=12,seed=3,jump_s=0.5,jump_px=150"))
    snouts = np.array([arena.truth(i)[SNOUT] for i in range(600)])
    steps = np.linalg.norm(np.diff(snouts, axis=0), axis=1)
    assert set(np.round(steps)) == {0.0, 150.0}
    to_the_right = [i + 1 for i in range(599) if snouts[i + 1, 0] - snouts[i, 0] > 100]
    assert arena.arrivals() == to_the_right
    assert 10 <= len(to_the_right) <= 13
    assert len(set(np.diff(to_the_right))) > 3  # at no fixed phase


def test_jumps_need_room_and_arrivals_need_jumps() -> None:
    with pytest.raises(ConfigError, match="got jump_px=500, expected at most"):
        Arena(parse_arena("synthetic:arena,jump_s=1,jump_px=500"))
    with pytest.raises(ConfigError, match="give jump_s and seconds"):
        Arena(ArenaSettings()).arrivals()


def test_the_first_of_several_animals_goes_as_it_would_alone() -> None:
    alone, both = Arena(ArenaSettings(seed=3)), Arena(ArenaSettings(seed=3, animals=2))
    for index in (0, 90, 400):
        assert both.truth_of_all(index).shape == (2, 4, 2)
        np.testing.assert_array_equal(both.truth(index), alone.truth(index))
        np.testing.assert_array_equal(both.truth_of_all(index)[0], both.truth(index))


@pytest.mark.parametrize("tilt", [0.0, 20.0])
def test_all_animals_are_drawn_where_the_truth_says(tilt: float) -> None:
    settings = ArenaSettings(seed=1, animals=3, noise=0, blur=0, exposure_ms=0, fps=5, tilt=tilt)
    bare, arena = Arena(replace(settings, animals=1, animal=0)).render(0).astype(int), Arena(settings)
    for index in (0, 20, 60):
        change = np.abs(arena.render(index).astype(int) - bare).mean(axis=2)
        assert all(value_at(change, xy.mean(axis=0)) > 40 for xy in arena.truth_of_all(index))


def test_two_animals_meet_and_part() -> None:
    arena = Arena(ArenaSettings(seed=0, animals=2, fps=10, seconds=60))
    centres = np.array([arena.truth_of_all(index).mean(axis=1) for index in range(600)])
    apart = np.linalg.norm(centres[:, 0] - centres[:, 1], axis=1)
    assert apart.min() < 60
    assert apart.max() > 250


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("animals=0", "animals: got 0, expected 1 to 16"),
        ("animals=two", "got animals=two, expected a whole number"),
        ("animals=2,jump_s=1", "animals: got 2, expected 1 with jump_s or animal=0"),
        ("animals=2,animal=0", "animals: got 2, expected 1 with jump_s or animal=0"),
    ],
)
def test_a_number_of_animals_that_cannot_be_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_arena(f"synthetic:arena,{spec}")

"""Tracking means that the animal is believed to be there: what the shipped models make of pictures without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import av
import cv2
import numpy as np
import pytest
from support.pipelines import make_settings
from support.places import SHARED_DATA

from realtime_cropzoom.inference.heatmaps import sharpness
from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.inference.presence import Doubt, JudgeLimits, PoseJudge, Presence
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.types import ActiveBox, Box, Float32, FrameMeta, Keypoints, State, UInt8

OPENFIELD = SHARED_DATA / "openfield/videos/m3v1mp4.mp4"
SIZE = (640, 480)
FPS = 30

Pictures = Callable[[], Iterator[UInt8]]


class Slides:
    """A source object that shows pictures, one after the other."""

    def __init__(self, pictures: list[UInt8]) -> None:
        self._pictures = pictures
        self.info = SourceInfo("slides", *SIZE, FPS, len(pictures))

    def frames(self) -> Iterator[CapturedFrame]:
        for index, picture in enumerate(self._pictures):
            yield CapturedFrame(round(index * 1e9 / FPS), None, *SIZE, partial(_copy, picture))

    def missing(self) -> None:
        return None

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def _copy(picture: UInt8, out: UInt8) -> None:
    np.copyto(out, picture)


def states_of(folder: Path, pictures: Iterator[UInt8]) -> list[str]:
    """Run the shipped models over pictures, frame by frame, and return the state of each."""
    settings = make_settings(folder, pace="fast", detector="shipped", pose="shipped", crop_size=None)
    pipeline = Pipeline(settings, lambda: Slides(list(pictures)))
    pipeline.start(tracked=True)
    states = [message.state for message in pipeline.messages()]
    pipeline.join()
    return states


def decoded(path: str, *, every: int = 1, first: int = 0, count: int = 40, lavfi: bool = False) -> Iterator[UInt8]:
    with av.open(path, format="lavfi" if lavfi else None) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= first and (index - first) % every == 0:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                count -= 1
            if count == 0:
                return


def drawn(name: str) -> Iterator[UInt8]:
    return decoded(f"{name}=size={SIZE[0]}x{SIZE[1]}:rate={FPS}", every=5, count=25, lavfi=True)


def noise(grain: int) -> Iterator[UInt8]:
    rng = np.random.default_rng(grain)
    for _ in range(25):
        coarse = rng.integers(0, 256, (SIZE[1] // grain, SIZE[0] // grain), np.uint8)
        yield np.repeat(np.asarray(cv2.resize(coarse, SIZE), np.uint8)[:, :, None], 3, axis=2)


def arena(seeds: int = 4, frames: int = 10) -> Iterator[UInt8]:
    for seed in range(seeds):
        shown = Arena(ArenaSettings(seed=seed))
        yield from (shown.render(index) for index in range(frames))


def empty_arena() -> Iterator[UInt8]:
    rng = np.random.default_rng(0)
    for seed in range(4):
        shown = Arena(ArenaSettings(seed=seed))
        floor = np.median([shown.render(index) for index in range(0, 600, 24)], axis=0)
        for _ in range(5):
            yield np.clip(floor + rng.normal(0, 3, floor.shape), 0, 255).astype(np.uint8)


def inverted(pictures: Iterator[UInt8]) -> Iterator[UInt8]:
    return (np.asarray(255 - picture, np.uint8) for picture in pictures)


def openfield(**which: Any) -> Iterator[UInt8]:
    if not OPENFIELD.exists():
        pytest.skip(f"no {OPENFIELD}")
    return decoded(str(OPENFIELD), **which)


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param(lambda: drawn("smptebars"), id="colour bars"),
        pytest.param(lambda: drawn("smptehdbars"), id="colour bars of HD"),
        pytest.param(lambda: drawn("testsrc"), id="test pattern"),
        pytest.param(lambda: drawn("testsrc2"), id="another test pattern"),
        pytest.param(lambda: noise(1), id="noise"),
        pytest.param(lambda: noise(8), id="coarse noise"),
        pytest.param(empty_arena, id="empty arena"),
        pytest.param(lambda: inverted(empty_arena()), id="inverted empty arena"),
    ],
)
def test_a_picture_without_an_animal_is_never_tracking(tmp_path: Path, pictures: Pictures) -> None:
    states = states_of(tmp_path, pictures())
    assert len(states) > 15
    assert "tracking" not in states


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param(arena, id="built-in arena"),
        pytest.param(lambda: openfield(every=20, count=60), id="real recording"),
    ],
)
def test_the_animal_of_the_models_is_tracking_in_every_frame(tmp_path: Path, pictures: Pictures) -> None:
    assert set(states_of(tmp_path, pictures())) == {"tracking"}


def arena_of(**look: Any) -> Iterator[UInt8]:
    for seed in range(4):
        shown = Arena(ArenaSettings(seed=seed, **look))
        yield from (shown.render(index) for index in range(10))


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param(lambda: inverted(arena()), id="inverted arena"),
        pytest.param(lambda: arena_of(coat=225, floor=40), id="white mouse on a dark floor"),
        pytest.param(lambda: arena_of(scale=0.5), id="half the size"),
        pytest.param(lambda: arena_of(scale=2.0), id="twice the size"),
        pytest.param(lambda: inverted(openfield(every=20, count=60)), id="inverted recording"),
    ],
)
def test_animals_of_other_sizes_and_contrast_are_tracking_in_nearly_every_frame(
    tmp_path: Path, pictures: Pictures
) -> None:
    states = states_of(tmp_path, pictures())
    assert states.count("tracking") >= 0.95 * len(states)


BOX = Box(0, 0, 100, 100)
PAIR = Presence(min_likelihood=0.5, min_sharpness=0.8, share=0.75, distances=((0, 3, 0.4, 0.6),))


def meta(index: int, segment: int = 0) -> FrameMeta:
    return FrameMeta(index, index * 100_000_000, None, 0, segment)


def pose(length: float = 50.0, *, likelihood: float = 1.0, sharpness: float | None = 1.0, x: float = 10.0) -> Keypoints:
    """Four keypoints on a line."""
    xy = np.stack([x + np.linspace(0, length, 4), np.full(4, 50.0)], axis=1).astype(np.float32)
    sharp = None if sharpness is None else np.full(4, sharpness, np.float32)
    return Keypoints(xy, np.full(4, likelihood, np.float32), sharp)


def judge(presence: Presence = PAIR) -> PoseJudge:
    return PoseJudge(JudgeLimits(presence, 1000))


@pytest.mark.parametrize(
    ("found", "doubt"),
    [
        pytest.param(pose(), None, id="an animal"),
        pytest.param(pose(likelihood=0.49), Doubt.LIKELIHOOD, id="nothing is likely"),
        pytest.param(pose(likelihood=float("nan"), sharpness=None), None, id="a regression model knows none of it"),
        pytest.param(pose(sharpness=0.79), Doubt.SHARPNESS, id="heatmaps all over the picture"),
        pytest.param(pose(21.9), Doubt.SHAPE, id="shorter than 0.6 times the shortest, and 2 px"),
        pytest.param(pose(22.1), None, id="just long enough"),
        pytest.param(pose(86.1), Doubt.SHAPE, id="longer than 1.4 times the longest, and 2 px"),
    ],
)
def test_what_speaks_against_a_pose(found: Keypoints, doubt: Doubt | None) -> None:
    assert judge().doubt(meta(0), BOX, found) is doubt


def test_an_absent_keypoint_is_unlikely_and_has_no_place() -> None:
    """SLEAP gives NaN and likelihood 0 for a keypoint that it does not see."""
    xy = np.array([[10, 10], [40, 10], [11, 10], [np.nan, np.nan], [np.nan, np.nan]], np.float32)
    found = Keypoints(xy, np.array([1.07, 0.9, 0.9, 0, 0], np.float32))
    assert judge(Presence()).doubt(meta(0), BOX, found) is None, "half of the keypoints are likely"
    found.xy[:3] = found.xy[0]
    assert judge(Presence()).doubt(meta(0), BOX, found) is Doubt.SHAPE
    found.likelihood[1] = 0
    assert judge(Presence()).doubt(meta(0), BOX, found) is Doubt.LIKELIHOOD


def test_three_of_four_keypoints_are_enough() -> None:
    found = pose()
    found.likelihood[1] = 0
    assert judge().doubt(meta(0), BOX, found) is None
    found.likelihood[2] = 0
    assert judge().doubt(meta(1), BOX, found) is Doubt.LIKELIHOOD


def test_a_model_that_says_nothing_of_itself_is_asked_for_half_of_a_likelihood_of_a_tenth() -> None:
    unknown = judge(Presence())
    assert unknown.doubt(meta(0), BOX, pose(99, likelihood=0.1, sharpness=None)) is None
    assert unknown.doubt(meta(1), BOX, pose(likelihood=0.0)) is Doubt.LIKELIHOOD
    assert unknown.doubt(meta(2), BOX, pose(1.0)) is Doubt.SHAPE


def test_a_jump_is_further_than_an_animal_moves_in_the_time() -> None:
    """8 box sides a second and a tenth: 90 px in 100 ms; a box of 100 px."""
    moving = judge()
    assert moving.doubt(meta(0), BOX, pose()) is None
    assert moving.doubt(meta(1), BOX, pose(x=99)) is None
    assert moving.doubt(meta(2), BOX, pose(x=8)) is Doubt.JUMP
    assert moving.doubt(meta(3), BOX, pose(x=8)) is None, "it is there now"
    assert moving.doubt(meta(5), BOX, pose(x=168)) is None, "in twice the time twice the way"
    assert moving.doubt(meta(6, segment=1), BOX, pose(x=900)) is None, "the source had broken off"


def test_the_state_follows_from_box_and_pose() -> None:
    fresh = ActiveBox(BOX, 0, 0.0, State.TRACKING, 0)
    old = ActiveBox(BOX, 0, 300.0, State.COASTING, 0)
    keeper = judge()

    def state(index: int, active: ActiveBox, doubt: Doubt | None) -> State:
        return keeper.state(meta(index), active, doubt, posed=True)

    assert state(0, fresh, Doubt.SHARPNESS) is State.SEARCHING, "nothing was seen yet"
    assert state(1, fresh, None) is State.TRACKING
    assert state(2, fresh, Doubt.SHAPE) is State.COASTING, "at once"
    assert state(3, fresh, Doubt.JUMP) is State.TRACKING, "it is an animal, if another place"
    assert state(4, old, None) is State.COASTING
    assert state(14, fresh, Doubt.LIKELIHOOD) is State.LOST, "last seen 1100 ms ago"
    assert state(15, fresh, None) is State.TRACKING


def test_a_barely_trained_model_is_not_tracking() -> None:
    """Its likelihood is 0.00, which nobody has asked for until now."""
    found = judge(Presence()).doubt(meta(0), BOX, pose(likelihood=0.004, sharpness=None))
    assert found is Doubt.LIKELIHOOD


def test_presence_goes_through_the_metadata() -> None:
    names = ("snout", "leftear", "rightear", "tailbase")
    assert Presence.from_metadata(PAIR.to_metadata(names), names) == PAIR
    assert Presence.from_metadata(None, names) == Presence()


def test_the_shipped_models_say_what_an_animal_looks_like() -> None:
    roles: tuple[Role, ...] = get_args(Role)
    for role in roles:
        presence = Model(shipped_model(role), role).presence
        assert 0.6 < presence.min_sharpness < 0.85
    assert len(presence.distances) == 6


def test_sharpness_is_the_share_around_the_peak() -> None:
    maps = np.zeros((3, 12, 16), np.float32)
    maps[0, 6, 7] = 1
    maps[1, 0, 0], maps[1, 11, 15] = 0.6, 0.4
    maps[2] = 1 / maps[2].size
    assert sharpness(maps).tolist() == pytest.approx([1, 0.6, 25 / (12 * 16)])
    tiny: Float32 = np.full((2, 3, 4), 1 / 12, np.float32)
    assert sharpness(tiny).tolist() == [1, 1], "a map smaller than the window tells nothing"

"""Several animals in one arena: real models on the rendered arena, whose truth is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.dark_animals import write_dark_animals
from support.pipelines import ANY_PORT, LONG_S, make_settings, run_to_end

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.decoders.instances import Instance
from realtime_cropzoom.inference.decoders.rows import decode_all
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Rows
from realtime_cropzoom.inference.model import Outputs
from realtime_cropzoom.inference.tracks import Spotted
from realtime_cropzoom.messaging.message import AnimalsMessage, decode, encode, topic
from realtime_cropzoom.pipeline.animals import AnimalFinder, distinct
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.arena.source import Arena, parse_arena
from realtime_cropzoom.types import Box, FrameMeta

pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")

SPEC = "synthetic:arena,animals=2,size=320x240,seconds=4,seed=8"
"""Two mice that are apart at first, and walk over each other after two seconds."""
APART = 24
"""Number of frames in which they are apart."""
NEAR_PX = 4.0


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dark_animals(tmp_path_factory.mktemp("detector") / "dark_animals.onnx", 24)


def settings_of(folder: Path, detector: Path, /, **chosen: Any) -> Any:
    given = {"source": SPEC, "animals": 2, "detector": str(detector), "pose": "shipped", "crop_size": 120}
    return make_settings(folder, **{"pace": "fast", "frames": APART, **given, **chosen})


def tables_of(pipeline: Pipeline) -> tuple[np.ndarray, list[pd.DataFrame]]:
    """Return the poses of all animals, (frames, animals, keypoints, 3), and the boxes of each."""
    assert pipeline.folder is not None
    poses = pd.read_csv(pipeline.folder / "arena_animals.csv", header=[0, 1, 2, 3], index_col=0)
    assert poses.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    animals = list(dict.fromkeys(poses.columns.get_level_values("individuals")))
    boxes = [pd.read_csv(pipeline.folder / f"arena_{animal}_bbox.csv", index_col=0) for animal in animals]
    return poses.to_numpy(float).reshape(len(poses), len(animals), -1, 3), boxes


def test_two_animals_apart_are_followed_and_certain(tmp_path: Path, detector: Path) -> None:
    poses, boxes = tables_of(run_to_end(settings_of(tmp_path, detector)))
    arena = Arena(parse_arena(SPEC))
    truth = np.array([arena.truth_of_all(index) for index in range(APART)])
    if truth[0, 0, 0, 0] > truth[0, 1, 0, 0]:  # the left one is the first
        truth = truth[:, ::-1]
    assert np.nanmedian(np.linalg.norm(poses[..., :2] - truth, axis=-1)) < NEAR_PX
    assert all(set(table["uncertain"]) == {"no"} for table in boxes)
    assert all(set(table["meetings"]) == {0} for table in boxes)


def test_animals_that_meet_are_uncertain_and_no_pose_is_there_twice(tmp_path: Path, detector: Path) -> None:
    pipeline = run_to_end(settings_of(tmp_path, detector, frames=100))
    poses, boxes = tables_of(pipeline)
    arena = Arena(parse_arena(SPEC))
    middles = np.array([arena.truth_of_all(index).mean(axis=1) for index in range(100)])
    on_top = np.linalg.norm(middles[:, 0] - middles[:, 1], axis=1) < 30
    assert on_top.sum() > 3
    for table in boxes:
        assert set(table["uncertain"][on_top]) == {"yes"}
        assert table["meetings"].max() >= 1
    apart = np.linalg.norm(poses[:, 0, :, :2] - poses[:, 1, :, :2], axis=-1)
    assert not (np.nanmedian(apart[np.isfinite(apart).any(axis=1)], axis=1) < 12).any()


def test_a_missing_animal_is_missing(tmp_path: Path, detector: Path) -> None:
    """Three are asked for, and two are there."""
    poses, boxes = tables_of(run_to_end(settings_of(tmp_path, detector, animals=3)))
    assert np.isnan(poses[:, 2]).all()
    assert set(boxes[2]["state"]) == {"searching"}
    assert boxes[2]["x"].isna().all()


def test_a_run_over_a_recording_gives_the_same_numbers_again(tmp_path: Path, detector: Path) -> None:
    one, two = (tables_of(run_to_end(settings_of(tmp_path / name, detector))) for name in ("one", "two"))
    np.testing.assert_array_equal(one[0], two[0])
    for a, b in zip(one[1], two[1], strict=True):
        pd.testing.assert_frame_equal(a, b)


def test_one_message_a_frame_has_all_animals(tmp_path: Path, detector: Path) -> None:
    pipeline = Pipeline(
        settings_of(tmp_path, detector, publish=ANY_PORT, pace="realtime", frames=60, max_age_ms=600_000)
    )
    pipeline.start()
    with Subscriber(pipeline.endpoints[0]) as subscriber:
        frames = list(subscriber.animals())
    pipeline.join()
    numbers = [message.seq for message in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(frames)))
    assert subscriber.hello is not None
    assert subscriber.hello.animals == 2
    for message in frames:
        assert message.identity == "position"
        assert [animal.number for animal in message.animals] == [1, 2]
        assert topic(message, "cam0") == b"animals/cam0"
    assert any(animal.keypoints["snout"][0] is not None for message in frames for animal in message.animals)
    assert decode(encode(frames[-1], "msgpack")) == decode(encode(frames[-1], "json")) == frames[-1]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"detector": "shipped"}, "animals is 2, but the detector .* finds one animal; expected a centroid model"),
        ({"detector": "none"}, "animals is 2, but there is no detector"),
        ({"animals": 0}, "animals"),
        ({"animals": 17}, "animals"),
        ({"schedule": "somewhere_bbox.csv"}, "animals is 2, and schedule"),
        ({"box_from": "pose"}, "animals is 2, and box_from is pose"),
        ({"regions": {"a": {"rectangle_px": [0, 0, 160, 240]}}}, "animals is 2, and regions are set"),
        ({"record_crops": True}, "animals is 2, and record_crops is set"),
    ],
)
def test_what_does_not_go_with_several_animals_is_refused(
    tmp_path: Path, detector: Path, chosen: dict[str, Any], message: str
) -> None:
    (tmp_path / "somewhere_bbox.csv").write_text("")
    if "schedule" in chosen:
        chosen = {"schedule": tmp_path / "somewhere_bbox.csv"}
    with pytest.raises(ConfigError, match=message):
        run_to_end(settings_of(tmp_path, detector, **chosen))


def test_a_subscriber_for_one_animal_is_told(tmp_path: Path, detector: Path) -> None:
    pipeline = Pipeline(
        settings_of(tmp_path, detector, publish=ANY_PORT, pace="realtime", frames=60, max_age_ms=600_000)
    )
    pipeline.start()
    with Subscriber(pipeline.endpoints[0]) as subscriber:
        with pytest.raises(ConfigError, match=r"follows 2 animals; expected one. Use animals\(\)"):
            next(iter(subscriber))
        with pytest.raises(ConfigError, match="follows 2 animals"):
            subscriber.newest(1e9, LONG_S)
        assert isinstance(subscriber.newest_animals(1e9, LONG_S), AnimalsMessage)
    pipeline.stop()
    pipeline.join()


def test_a_script_for_one_animal_is_told(tmp_path: Path, detector: Path) -> None:
    pipeline = Pipeline(settings_of(tmp_path, detector))
    pipeline.start(tracked=True)
    with pytest.raises(ConfigError, match="this run follows several animals"):
        next(pipeline.messages())
    pipeline.stop()
    pipeline.join()


def test_detections_on_a_surer_one_are_the_same_animal() -> None:
    def at(x: float, score: float) -> Spotted:
        return Spotted(Box(x, 0, 100, 100), score)

    assert distinct([at(0, 0.5), at(5, 0.9), at(60, 0.4)]) == [at(5, 0.9), at(60, 0.4)]
    for order in itertools.permutations([at(0, 0.5), at(5, 0.9), at(60, 0.4)]):
        assert distinct(order) == [at(5, 0.9), at(60, 0.4)]


class FoundByRows:
    """A detector whose outputs are decoded as those of YOLO-pose."""

    def decode_all(self, outputs: Outputs, view: View) -> list[Instance]:
        return decode_all(Rows(form="final"), outputs, view.size, "fast")


numbers = st.one_of(st.floats(0, 640, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0]))
scores = st.one_of(st.floats(0, 1, width=32), st.sampled_from([np.nan, np.inf]))
rows = st.tuples(*[numbers] * 4, scores, st.just(0.0), *[numbers] * 6).map(list)


@given(st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_whatever_numbers_a_detector_gives_each_box_is_one_that_a_frame_can_have(
    frames: list[list[list[float]]],
) -> None:
    """Also not-a-number, infinite and huge ones."""
    finder = AnimalFinder(FoundByRows(), 2)  # type: ignore[arg-type]
    view = View.of(Box(0, 0, 640, 480), (640, 480))
    for index, found in enumerate(frames):
        meta = FrameMeta(index, index * 33_000_000, None, 0)
        tracks = finder(meta, (np.array(found, np.float32),), view, BoxRule(crop_size=120))
        boxes = [track.box for track in tracks if track.box is not None]
        assert [track.number for track in tracks] == [1, 2]
        assert len(boxes) == len(set(boxes)) <= len(found)
        assert np.isfinite([(box.x, box.y, box.w, box.h) for box in boxes]).all()

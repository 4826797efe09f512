"""Several animals with models of other makers that find several, on two real mice in one arena.

The recordings show one mouse. A mouse of another time of the same recording is put into its frames, so that what each
of the two does is known from a run over its own frames alone.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
from support.pipelines import cropzoom, finish, free_port, make_settings, run_to_end, start_process, the_session
from support.recordings import read_video

from realtime_cropzoom.types import UInt8

pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")
pytestmark = pytest.mark.slow

FRAMES, LATER = 30, 115
"""The two mice are those of frames 0 to 29 and 115 to 144, where they are 289 px apart at least."""
DARKER = 25
"""Gray levels by which the second mouse is darker than the floor."""
KEYPOINTS = 4
SHIPPED_POSE = {"pose": "shipped", "crop_size": 240}
MODELS: dict[str, dict[str, Any]] = {
    "two files of SLEAP": {"detector": "sleap/centroid", "pose": "sleap/centered_instance", "crop_size": None},
    "one file of SLEAP": {"detector": "auto", "pose": "sleap/topdown", "crop_size": None},
    **{
        f"YOLO-pose, {name}": {"detector": f"ultralytics/{name}.onnx", **SHIPPED_POSE}
        for name in ("yolo11_default", "yolo11_dynamic", "yolo11_nms", "yolo26_default", "yolo26_nms_false_end2end")
    },
}
"""Every kind of foreign model that finds several animals, with a pose model."""
EXACT = [name for name in MODELS if "SLEAP" in name]
FLICKERS = "YOLO-pose, yolo26_nms_false_end2end"
"""A weak model, which does not see the second mouse in every frame."""
LISTENER = """
import json, sys
from realtime_cropzoom import Subscriber

with Subscriber(sys.argv[1]) as run:
    for frame in run.animals():
        animals = [[animal.number, animal.uncertain, animal.keypoints] for animal in frame.animals]
        print(json.dumps([frame.frame, animals]), flush=True)
"""


@dataclass(frozen=True)
class Tracked:
    """What a run has written of its animals."""

    poses: np.ndarray
    """(animals, frames, keypoints, 2)"""
    boxes: list[pd.DataFrame]

    def is_certain(self) -> np.ndarray:
        """(animals, frames)"""
        return np.array([(table["uncertain"] == "no").to_numpy() for table in self.boxes])


@pytest.fixture(scope="module")
def films(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of each mouse alone, of both, and of both where they walk through each other."""
    clip, _ = read_video(shared_data / "litpose/openfield/clip.mp4")
    one, two = clip[:FRAMES], clip[LATER : LATER + FRAMES]
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "one.mkv", one)
    write_film(folder / "two.mkv", two)
    write_film(folder / "both.mkv", [with_mouse(*pair) for pair in zip(one, two, strict=True)])
    write_film(folder / "forwards.mkv", clip)
    write_film(folder / "meeting.mkv", [with_mouse(*pair) for pair in zip(clip, clip[::-1], strict=True)])
    return folder


def with_mouse(frame: UInt8, other: UInt8) -> UInt8:
    """The frame with the mouse of the other one. All its other pixels are as they were."""
    is_mouse = (other.astype(int) < frame.astype(int) - DARKER).any(axis=-1, keepdims=True)
    return np.where(is_mouse, other, frame)


def write_film(path: Path, frames: Sequence[UInt8]) -> None:
    """Encode without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "bgr0"
        for frame in [*map(av.VideoFrame.from_ndarray, frames), None]:
            container.mux(stream.encode(frame))


@pytest.fixture(scope="module")
def track(
    films: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str, int], Tracked]:
    """Run over a film in lockstep, once for all tests."""
    folder = shared_data / "foreign"
    if not folder.is_dir():
        pytest.skip(f"the models of other makers are not at {folder}")

    @cache
    def run(models: str, film: str, animals: int) -> Tracked:
        chosen = {key: found(folder, value) for key, value in MODELS[models].items()}
        source, out = str(films / f"{film}.mkv"), tmp_path_factory.mktemp("run")
        pipeline = run_to_end(make_settings(out, source=source, animals=animals, pace="fast", **chosen))
        assert pipeline.folder is not None
        return tracked(pipeline.folder, film, animals)

    return run


def found(folder: Path, value: object) -> object:
    return str(folder / value) if isinstance(value, str) and "/" in value else value


def tracked(session: Path, film: str, animals: int) -> Tracked:
    names = [film] if animals == 1 else [f"{film}_animal{number}" for number in range(1, animals + 1)]
    tables = [pd.read_csv(session / f"{name}.csv", header=[0, 1, 2], index_col=0) for name in names]
    poses = np.array([table.to_numpy(float).reshape(-1, KEYPOINTS, 3)[..., :2] for table in tables])
    return Tracked(poses, [pd.read_csv(session / f"{name}_bbox.csv", index_col=0) for name in names])


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances (px) of all keypoints that both have."""
    distances = np.linalg.norm(one - other, axis=-1)
    return np.asarray(distances[np.isfinite(distances)])


@pytest.mark.parametrize("animals", [2, 3])
@pytest.mark.parametrize("models", MODELS)
def test_each_mouse_has_the_pose_that_it_has_alone(
    track: Callable[[str, str, int], Tracked], models: str, animals: int
) -> None:
    """None is lost, none is copied, none changes its number, and an animal that is not there has no pose."""
    alone = [track(models, name, 1).poses[0] for name in ("one", "two")]
    both = track(models, "both", animals)
    mice = [index for index in range(animals) if np.isfinite(both.poses[index]).any()]
    assert len(mice) == 2, "the one mouse is left of the other, so its number is smaller"
    for index, truth in zip(mice, alone, strict=True):
        is_seen = both.boxes[index]["x"].notna().to_numpy()
        assert is_seen.mean() >= (0.7 if models == FLICKERS else 1)
        assert np.isfinite(both.poses[index, is_seen]).sum() >= 0.95 * np.isfinite(truth[is_seen]).sum()
        errors = apart(both.poses[index], truth)
        assert np.median(errors) < 1
        assert np.percentile(errors, 95) < 2
        assert errors.max() < 4
        assert set(both.boxes[index]["uncertain"]) == {"no"}
        assert set(both.boxes[index]["meetings"]) == {0}
    for index in set(range(animals)) - set(mice):
        assert set(both.boxes[index]["state"]) == {"searching"}


@pytest.mark.parametrize("models", EXACT)
def test_a_mouse_whose_pixels_are_the_same_has_the_same_numbers(
    track: Callable[[str, str, int], Tracked], models: str
) -> None:
    np.testing.assert_array_equal(track(models, "both", 2).poses[0], track(models, "one", 1).poses[0])


@pytest.mark.parametrize("models", MODELS)
def test_mice_that_walk_through_each_other_change_places_only_while_they_are_uncertain(
    track: Callable[[str, str, int], Tracked], models: str
) -> None:
    """The one walks the way of the other one backwards: they have the same place in the middle of the film."""
    there = track(models, "forwards", 1).poses[0]
    truth = np.array([middles_of(there), middles_of(there[::-1])])
    both = track(models, "meeting", 2)
    certain = both.is_certain()
    distances = np.linalg.norm(truth[0] - truth[1], axis=-1)
    assert (distances < 40).sum() > 5
    assert not certain[:, distances < 40].any()
    before = np.arange(len(distances)) < len(distances) / 2
    assert certain[:, before & np.isfinite(distances) & (distances > 150)].mean() > 0.9
    for poses, is_certain in zip(both.poses, certain, strict=True):
        assert swaps(middles_of(poses), truth, is_certain) == (1, 0)
    for one, other in itertools.combinations(both.poses, 2):
        poses_apart = np.linalg.norm(one - other, axis=-1)
        assert np.nanmedian(poses_apart[np.isfinite(poses_apart).any(axis=1)], axis=1).min() > 30


def middles_of(poses: np.ndarray) -> np.ndarray:
    """(frames, 2), NaN without a pose."""
    known = np.isfinite(poses).all(axis=-1, keepdims=True)
    number: np.ndarray = known.sum(axis=1)
    middles: np.ndarray = np.where(known, poses, 0).sum(axis=1) / np.where(number > 0, number, np.nan)
    return middles


def swaps(middles: np.ndarray, truth: np.ndarray, certain: np.ndarray) -> tuple[int, int]:
    """How often a track that is clearly on one animal was on the other before, and how often it was certain since."""
    animal, since, marked, unmarked = -1, 0, 0, 0
    for frame, middle in enumerate(middles):
        to_each = np.linalg.norm(truth[:, frame] - middle, axis=-1)
        if not (to_each.min() < 30 and to_each.max() > 100):  # also without a pose
            continue
        if animal not in (-1, to_each.argmin()):
            is_marked = not certain[since : frame + 1].all()
            marked, unmarked = marked + is_marked, unmarked + (not is_marked)
        animal, since = int(to_each.argmin()), frame
    return marked, unmarked


@pytest.mark.parametrize("models", ["two files of SLEAP", "YOLO-pose, yolo11_dynamic"])
def test_a_subscriber_in_another_process_sees_both_live(
    films: Path, shared_data: Path, track: Callable[[str, str, int], Tracked], tmp_path: Path, models: str
) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    given = {key: found(shared_data / "foreign", value) for key, value in MODELS[models].items() if value is not None}
    listener = start_process(endpoint, code=LISTENER)
    try:
        flags = ["--publish", endpoint, "--publish-latest", "none", "--control", "none", "--out", tmp_path]
        flags += list(itertools.chain(*((f"--{key.replace('_', '-')}", value) for key, value in given.items())))
        ran = cropzoom("run", films / "both.mkv", "--animals", 2, "--speed", 0.2, *flags)
        assert ran.returncode == 0, ran.stderr
        heard = [json.loads(line) for line in finish(listener).stdout.splitlines()]
    finally:
        listener.kill()
    files = tracked(the_session(tmp_path), "both", 2)
    assert len(heard) > FRAMES / 3
    alone = [track(models, name, 1).poses[0] for name in ("one", "two")]
    errors = []
    for frame, animals in heard:
        assert [number for number, _, _ in animals] == [1, 2]
        for index, (_, uncertain, keypoints) in enumerate(animals):
            sent = np.array([point[:2] for point in keypoints.values()], float)
            np.testing.assert_array_equal(np.round(sent, 3), np.round(files.poses[index, frame], 3))
            assert not uncertain
            errors.append(apart(sent, alone[index][frame]))
    assert np.median(np.concatenate(errors)) < 2
    assert np.percentile(np.concatenate(errors), 95) < 8


def test_yolo_as_the_only_model_is_told_what_it_can_be(films: Path, shared_data: Path, tmp_path: Path) -> None:
    yolo = shared_data / "foreign/ultralytics/yolo11_default.onnx"
    refused = cropzoom(
        "run", films / "both.mkv", "--animals", 2, "--pose", yolo, "--out", tmp_path, "--publish", "none"
    )
    assert refused.returncode == 2
    assert f"is one: --detector {yolo}, and a model that sees crops for --pose, such as shipped" in refused.stderr


def test_pipeline_says_where_several_animals_are_tracked(films: Path, tmp_path: Path) -> None:
    (tmp_path / "cropzoom.yaml").write_text("animals: 2\n")
    refused = cropzoom(
        "pipeline", films / "both.mkv", "--config", tmp_path / "cropzoom.yaml", "--out", tmp_path / "out"
    )
    assert refused.returncode == 2
    assert "cropzoom run VIDEO --pace fast" in refused.stderr
    assert not (tmp_path / "out").exists()

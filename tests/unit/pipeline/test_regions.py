"""Regions: the animal of each has its own boxes, poses and files, and never sees what lies outside of its region."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dark_animals import write_dark_animals
from support.live_film import listen
from support.pipelines import ANY_PORT, Film, _copy, make_settings, run_to_end, tiny_models

from realtime_cropzoom import load_session
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.regions import RegionShape
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.decoders.instances import Instance
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.messaging.message import topic
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.pipeline.region_plan import measure_calls, plan_calls
from realtime_cropzoom.pipeline.regions import InOneLook, make_region, make_regions
from realtime_cropzoom.pipeline.report import progress_line, report
from realtime_cropzoom.pipeline.startup import load_models
from realtime_cropzoom.sessions.files import Session, region_files
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.types import Box, FrameMeta, Keypoints, UInt8

W, H, FRAMES = 160, 96, 24
LEFT, RIGHT = {"rectangle_px": [0, 0, W, H]}, {"rectangle_px": [W, 0, W, H]}


class Rack:
    """Films side by side in one picture."""

    def __init__(self, *films: Film) -> None:
        self._films = films
        self._before: Callable[[int], None] = lambda index: None
        self.info = SourceInfo("rack", W * len(films), H, 60.0, FRAMES)

    def draw(self, index: int) -> UInt8:
        return np.concatenate([film.draw(index) for film in self._films], axis=1)

    def frames(self) -> Iterator[CapturedFrame]:
        for index in range(FRAMES):
            self._before(index)
            yield CapturedFrame(round(index * 1e9 / 60), None, self.info.width, H, partial(_copy, self.draw(index)))

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def along_the_wall(index: int) -> tuple[float, float]:
    """Return where a blob is that walks down along the right wall."""
    return 140.0, 30.0 + index


def films() -> tuple[Film, Film]:
    return Film(FRAMES, blob_at=along_the_wall), Film(FRAMES)


def run(folder: Path, source: Any, **settings: Any) -> Pipeline:
    return run_to_end(make_settings(folder, pace="fast", **settings), source)


def poses(pipeline: Pipeline, name: str) -> np.ndarray:
    assert pipeline.folder is not None
    table = pd.read_csv(pipeline.folder / f"{name}.csv", header=[0, 1, 2], index_col=0)
    return table.to_numpy(np.float64).reshape(FRAMES, -1, 3)


@pytest.mark.parametrize("right", [RIGHT, {"polygon_px": [[W, 0], [2 * W, 0], [2 * W, H], [W, H]]}])
def test_a_region_has_the_numbers_of_a_run_over_its_part_alone(tmp_path: Path, right: dict[str, Any]) -> None:
    both = run(tmp_path / "both", Rack(*films()), regions={"left": LEFT, "right": right})
    for name, film, x in zip(("left", "right"), films(), (0, W), strict=True):
        alone = run(tmp_path / name, film)
        expected = poses(alone, "film") + np.array([x, 0, 0])
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(poses(both, f"rack_{name}"), expected, rtol=0, atol=1e-4)


def test_each_region_has_files_of_its_own_and_the_run_says_which(tmp_path: Path) -> None:
    rack = Rack(Film(FRAMES, blob_at=along_the_wall), Film(FRAMES, hidden=range(FRAMES)))
    run_ = run(tmp_path, rack, regions={"left": LEFT, "right": RIGHT})
    assert run_.folder is not None
    assert {p.name for p in run_.folder.glob("*.csv")} == {
        *(f"rack_{region}{what}.csv" for region in ("left", "right") for what in ("", "_bbox", "_timing")),
        "rack_events.csv",
    }
    found = {name: summary["found"] for name, summary in run_.summary["regions"].items()}
    assert found == {"left": 1.0, "right": 0.0}
    assert run_.summary["counts"]["processed"] == FRAMES
    assert any("2 regions" in note for note in run_.notes)
    assert any("one by one" in note for note in run_.notes)
    assert run_.hello().regions["right"] == [(W, 0), (2 * W, 0), (2 * W, H), (W, H)]
    assert run_.progress().regions == {"left": "tracking", "right": "searching"}


def test_a_session_is_that_of_one_region(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(tmp_path, Rack(*films()), regions={"left": LEFT, "right": RIGHT}, record="ffv1")
    assert made.folder is not None
    assert [path.name for path in region_files(made.folder)] == ["rack_left.csv", "rack_right.csv"]
    session = Session.open(made.folder / "rack_right.csv")
    assert (session.region, session.outline[1]) == ("right", (2 * W, 0))
    assert session.events == made.folder / "rack_events.csv"
    assert [path.name for path in session.recordings] == ["rack_recording.csv"]
    with pytest.raises(DataError, match=r"holds 2 regions: rack_left, rack_right. Give the file"):
        Session.open(made.folder)
    assert set(load_session(made.folder / "rack_left.csv")["recording"]) == {"rack.mkv"}
    assert main(["draw", str(made.folder), "--frames", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(made.folder / "frames.png")
    assert "by region: left 100 %, right 100 %" in report(made.summary)
    looked = f"the detector looked for an animal {2 * FRAMES} times, and found it {2 * FRAMES} times"
    assert looked in report(made.summary)
    assert "tracking 2 of 2" in progress_line(msgspec.structs.replace(made.progress(), stream="live"), None)


def test_an_empty_region_never_shows_the_animal_at_its_wall(tmp_path: Path) -> None:
    """The box of a pose near the wall reaches far into the neighbour's region."""
    rack = Rack(Film(FRAMES, hidden=range(FRAMES)), Film(FRAMES, blob_at=lambda i: (12.0, 48.0)))
    run_ = run(tmp_path, rack, regions={"left": LEFT, "right": RIGHT})
    beside = poses(run_, "rack_left")[:, :, 0]
    assert not (beside > W - 1).any()
    assert (poses(run_, "rack_right")[:, 0, 0] > W).all()


def test_messages_and_the_script_say_the_region(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, pace="fast", regions={"left": LEFT, "right": RIGHT})
    pipeline = Pipeline(settings, lambda: Rack(*films()))
    pipeline.start(tracked=True)
    heard = list(pipeline.messages())
    pipeline.join()
    assert [m.region for m in heard[:4]] == ["left", "right", "left", "right"]
    for region in ("left", "right"):
        assert [m.seq for m in heard if m.region == region] == list(range(FRAMES))


def test_a_run_is_repeated_with_the_boxes_of_its_regions(tmp_path: Path) -> None:
    """Also if the settings would give other boxes now."""

    def rack() -> Rack:
        return Rack(*films())

    first = run(tmp_path / "first", rack(), regions={"left": LEFT, "right": RIGHT}, detector_every=5)
    assert first.folder is not None
    settings: dict[str, Any] = {"schedule": str(first.folder), "crop_size": 64}
    again = run(tmp_path / "again", rack(), regions=str(first.folder / "config.yaml"), **settings)
    for name in ("rack_left", "rack_right"):
        np.testing.assert_array_equal(poses(again, name), poses(first, name))
    for regions, said in (
        (None, "has the boxes of several regions"),
        ({"left": LEFT, "other": RIGHT}, "regions.other: .* has no boxes of it"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(tmp_path / "refused", rack(), regions=regions, **settings)
    boxes = first.folder / "rack_left_bbox.csv"
    with pytest.raises(ConfigError, match="has the boxes of one animal"):
        run(tmp_path / "refused", rack(), regions={"left": LEFT, "right": RIGHT}, schedule=str(boxes))


def test_a_live_run_is_repeated_number_for_number(tmp_path: Path) -> None:
    live = run_to_end(make_settings(tmp_path / "live", regions={"left": LEFT, "right": RIGHT}), Rack(*films()))
    assert live.folder is not None
    again = run(tmp_path / "again", Rack(*films()), regions=f"{live.folder}/config.yaml", schedule=str(live.folder))
    for name in ("rack_left", "rack_right"):
        timing = pd.read_csv(live.folder / f"{name}_timing.csv", index_col=0)
        assert (timing["outcome"] == "processed").any()
        np.testing.assert_array_equal(poses(again, name), poses(live, name))


def test_a_subscriber_hears_each_region_under_its_topic(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, regions={"left": LEFT, "right": RIGHT}, publish=ANY_PORT, pace="fast")
    heard = listen(settings, Rack(*films()))  # type: ignore[arg-type]
    assert heard.error is None
    for region in ("left", "right"):
        own = [pose for pose in heard.poses if pose.region == region]
        assert [pose.seq for pose in own] == list(range(FRAMES))
        assert {topic(pose, "cam0") for pose in own} == {f"pose/cam0/{region}".encode()}
    assert heard.statuses[-1].regions == {"left": "tracking", "right": "tracking"}


def info(width: int = 320, height: int = 96) -> SourceInfo:
    return SourceInfo("rack", width, height, 30.0, None)


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ({"a": LEFT, "b": {"rectangle_px": [150, 0, 100, 96]}}, r"regions.a and regions.b overlap by 960 pixels"),
        ({"a": {"rectangle_px": [300, 0, 100, 90]}}, r"regions.a: its corner \(400, 0\) is outside of the frame"),
        ({"a": {"rectangle_px": [0, 0, 20, 90]}}, r"regions.a: got 20x90 pixels, expected at least 32x32"),
        (
            {"a": {"polygon_px": [[0, 0], [90, 90], [90, 0], [0, 90]]}},
            r"regions.a: the polygon crosses .*in order",
        ),
        (
            {"a": {"polygon_px": [[0, 0], [90, 80], [90, 82]]}},
            r"regions.a: got 9\d pixels inside its outline",
        ),
        (
            {"a": {**LEFT, "frame_px": [640, 480]}},
            r"regions.a: it was drawn on a frame of 640x480 pixels, but the frames of this source have 320x96",
        ),
    ],
)
def test_regions_that_cannot_be_are_refused_in_one_line(regions: dict[str, Any], said: str) -> None:
    shapes = {name: RegionShape.model_validate(shape) for name, shape in regions.items()}
    with pytest.raises(ConfigError, match=said) as error:
        make_regions(shapes, info())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"edge": "clamp"}, "edge is clamp"),
        ({"record_crops": True}, "record_crops"),
        ({"crop_size": 400}, "regions.left: got 160x96 pixels, expected sides of at least 200"),
    ],
)
def test_settings_for_one_animal_are_refused(tmp_path: Path, chosen: dict[str, Any], said: str) -> None:
    settings = make_settings(tmp_path, **{"regions": {"left": LEFT, "right": RIGHT}, **chosen})
    with pytest.raises(ConfigError, match=said):
        Pipeline(settings, lambda: Rack(*films())).start()
    assert not list((tmp_path / "sessions").glob("*"))


@given(st.floats(33, 57), st.floats(33, 57))
def test_neighbours_that_share_a_side_share_no_pixel_and_leave_none_out(top: float, bottom: float) -> None:
    left = make_region("left", [(0, 0), (top, 0), (bottom, 90), (0, 90)])
    right = make_region("right", [(90, 0), (90, 90), (bottom, 90), (top, 0)])

    def mask(region: Any) -> np.ndarray:
        out = np.zeros((90, 90), int)
        x, y, end_x, end_y = region.bounds.pixels()
        out[y:end_y, x:end_x] = 1 if region.inside is None else region.inside
        return out

    assert (mask(left) + mask(right) == 1).all()


def test_a_polygon_hides_what_is_beside_it() -> None:
    image = np.full((90, 90, 3), 200, np.uint8)
    region = make_region("half", [(0, 0), (80, 0), (0, 80)])
    seen = region.shown(image, Box(0, 0, 90, 90))[0:90, 0:90]
    assert seen[10, 10].tolist() == [200] * 3
    assert not seen[60, 60].any()
    assert np.array_equal(seen, np.asarray(region.shown(image, Box(0, 0, 90, 90))))


class SeesAll:
    """A detector that has found animals at these places, the surest first."""

    def __init__(self, *places: tuple[float, float]) -> None:
        self._places = places

    def decode_all(self, outputs: Outputs, view: View) -> list[Instance]:
        def around(x: float, y: float) -> Keypoints:
            return Keypoints(np.array([[x - 5, y], [x + 5, y], [np.nan] * 2], np.float32), np.ones(3, np.float32))

        return [Instance(around(*place), 1 / (1 + i)) for i, place in enumerate(self._places)]


def test_of_all_animals_in_a_frame_each_region_takes_the_surest_of_its_own() -> None:
    right = [(100, 0), (200, 0), (200, 99), (100, 99)]
    regions = [make_region("left", [(0, 0), (99, 0), (0, 99)]), make_region("right", right)]
    meta, view = FrameMeta(0, 0, None, 0), View.of(Box(0, 0, 200, 99), (64, 64))

    def found(*places: tuple[float, float]) -> list[list[float] | None]:
        look = InOneLook(SeesAll(*places), regions)  # type: ignore[arg-type]
        return [None if one is None else np.nanmean(one.xy, axis=0).tolist() for one in look(meta, (), view, BoxRule())]

    assert found((150, 50), (20, 20), (160, 60)) == [[20, 20], [150, 50]]
    assert found((90, 90), (150, 50)) == [None, [150, 50]], "beside the slope of the left one"
    assert found() == [None, None]


@pytest.mark.parametrize(("took", "together"), [((10.0, 5.0), True), ((10.0, 9.5), False)])
def test_crops_are_a_batch_only_where_that_was_measured_to_be_quicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took: tuple[float, float], together: bool
) -> None:
    settings = make_settings(
        tmp_path, regions={"left": LEFT, "right": RIGHT}, **tiny_models(tmp_path / "batches", batches=True)
    )
    _, models = load_models(settings)
    regions = make_regions(settings.regions, info())
    assert min(measure_calls(models.pose, 2)) > 0
    monkeypatch.setattr("realtime_cropzoom.pipeline.region_plan.measure_calls", lambda *_: took)
    planned, notes = plan_calls(regions, settings, models)
    assert planned is together
    assert f"2 take 10.0 ms one by one, {took[1]:.1f} ms as a batch" in notes[-1]
    assert plan_calls(regions, settings.model_copy(update={"pace": "fast"}), models)[0] is False
    assert plan_calls((), settings, models) == (False, [])
    planned, notes = plan_calls((), settings.model_copy(update={"regions": None, "animals": 2}), models)
    assert planned is together
    (note,) = notes
    assert f"2 take 10.0 ms one by one, {took[1]:.1f} ms as a batch" in note


def test_the_recording_of_a_run_with_regions_is_repeated_exactly(tmp_path: Path) -> None:
    """Its frames have the times of the run, which each region has in its table."""
    made = run(
        tmp_path / "made", Rack(*films()), regions={"left": LEFT, "right": RIGHT}, record="ffv1", filter="kalman"
    )
    folder = made.folder
    assert folder is not None
    regions = {"regions": f"{folder}/config.yaml", "schedule": str(folder), "pace": "fast"}
    again = run_to_end(make_settings(tmp_path / "again", source=f"{folder}/rack.mkv", **regions))
    for name in ("rack_left", "rack_right"):
        np.testing.assert_array_equal(poses(again, name), poses(made, name))
        times = [pd.read_csv(r.folder / f"{name}_timing.csv")["pts_ns"].tolist() for r in (made, again) if r.folder]
        assert times[0] == times[1]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how often each model was called by a stage of the run."""
    calls: Counter[str] = Counter()
    infer_many = Model.infer_many

    def counted(self: Model, windows: Any) -> Any:
        calls[threading.current_thread().name] += 1
        return infer_many(self, windows)

    monkeypatch.setattr(Model, "infer_many", counted)
    return calls


@pytest.mark.parametrize(("box_from", "looks_at_the_other"), [("detection", FRAMES), ("pose", 1)])
def test_a_region_without_an_animal_costs_looks_of_the_detector_and_no_pose(
    tmp_path: Path, calls: Counter[str], box_from: str, looks_at_the_other: int
) -> None:
    """Also where boxes follow poses: there the detector looks at the empty region alone."""
    rack = Rack(Film(FRAMES, hidden=range(FRAMES)), Film(FRAMES))
    made = run(tmp_path, rack, regions={"left": LEFT, "right": RIGHT}, box_from=box_from)
    assert made.progress().regions == {"left": "searching", "right": "tracking"}
    assert calls["cropzoom-pose"] == FRAMES
    assert calls["cropzoom-detect"] == FRAMES + looks_at_the_other
    assert made.summary["detector"]["detections"] == FRAMES + looks_at_the_other


def test_a_detector_that_finds_several_looks_at_each_frame_once_for_all_regions(
    tmp_path: Path, calls: Counter[str]
) -> None:
    spec, frames = "synthetic:arena,boxes=2,size=640x240,empty=0", 12
    detector = write_dark_animals(tmp_path / "dark_animals.onnx", 24)
    regions = {"box1": {"rectangle_px": [0, 0, 320, 240]}, "box2": {"rectangle_px": [320, 0, 320, 240]}}
    made = run_to_end(
        make_settings(
            tmp_path, source=spec, regions=regions, frames=frames, pace="fast", crop_size=120, detector=str(detector),
            pose="shipped",
        )
    )  # fmt: skip
    assert any("looks at the whole frame, once for all regions" in note for note in made.notes)
    assert calls["cropzoom-detect"] == frames
    assert calls["cropzoom-pose"] == 2 * frames
    assert {name: found["found"] for name, found in made.summary["regions"].items()} == {"box1": 1.0, "box2": 1.0}

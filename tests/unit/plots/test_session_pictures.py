"""Pictures of a session: what was tracked is drawn where it was tracked."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures import colours_in
from support.pipelines import make_settings, run_to_end, tiny_models
from support.several import ANIMALS, BOXES, REGIONS, animals_session, boxes_session

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.offline.annotate import Drawing
from realtime_cropzoom.plots.comparison import draw_comparison
from realtime_cropzoom.plots.overlay import figure_palette, palette
from realtime_cropzoom.plots.session_pictures import contact_sheet, draw_frame
from realtime_cropzoom.plots.traces import draw_traces
from realtime_cropzoom.sessions.compare import compare
from realtime_cropzoom.sessions.files import region_files
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.sources.arena.source import Arena, parse_arena
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.types import UInt8

SOURCE = "synthetic:arena,size=320x240,fps=30,seconds=1,seed=3"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of the arena, tracked with whatever the tiny models make of it."""
    folder = tmp_path_factory.mktemp("draw")
    pipeline = run_to_end(make_settings(folder, source=SOURCE, pace="fast", crop_size=120))
    assert pipeline.folder is not None
    return pipeline.folder


def test_a_session_is_read_frame_by_frame(session: Path) -> None:
    tables = read_session(session)
    assert tables.source == SOURCE
    assert tables.keypoint_names == ("middle", "right", "low")
    assert tables.poses.shape == (30, 3, 3)
    assert tables.boxes.shape == (30, 4)
    assert (tables.boxes[:, 2:] == 120).all()
    assert set(tables.states) == {"tracking"}
    np.testing.assert_allclose(tables.seconds, np.arange(30) / 30, atol=1e-8)


def test_keypoints_are_drawn_where_they_are(session: Path) -> None:
    """A dot in the keypoint's own colour, around its place on the picture of twice the size."""
    tables = read_session(session)
    tables.poses[12, :, 2] = 1  # an unsure one is a ring
    image = Arena(parse_arena(SOURCE)).render(12)
    drawn = draw_frame(image, tables, 12).astype(int)
    assert drawn.shape == (480, 640, 3)
    places = tables.poses[12, :, :2]
    last = len(places) - 1  # drawn last, so nothing covers it
    x, y = np.round((places[last] + 0.5) * 2 - 0.5).astype(int)
    np.testing.assert_allclose(drawn[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1)), palette(3)[last], atol=12)
    plain = cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC).astype(int)
    for x, y in np.round((places + 0.5) * 2 - 0.5).astype(int):
        assert np.abs(drawn[y, x] - plain[y, x]).max() > 30


def test_a_keypoint_without_likelihood_is_no_unsure_one(session: Path) -> None:
    """A regression model gives none; only a low likelihood makes a ring."""
    tables = read_session(session)
    image = np.full((240, 320, 3), 200, np.uint8)
    drawn = {}
    for likelihood in (1.0, np.nan, 0.1):
        tables.poses[12, :, 2] = likelihood
        drawn[likelihood] = draw_frame(image, tables, 12)
    np.testing.assert_array_equal(drawn[np.nan], drawn[1.0])
    assert (drawn[0.1] != drawn[1.0]).any()


def test_the_box_is_drawn_around_the_crop(session: Path) -> None:
    tables = read_session(session)
    image = Arena(parse_arena(SOURCE)).render(5)
    drawn = draw_frame(image, tables, 5).astype(int)
    x, y, w, h = tables.boxes[5]
    changed = np.abs(drawn - cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC)).max(axis=2) > 40
    edges = [(x + w / 2, y), (x + w / 2, y + h), (x, y + h / 2), (x + w, y + h / 2)]
    inside = [(2 * u, 2 * v) for u, v in edges if 0 < 2 * u < 639 and 0 < 2 * v < 440]
    assert inside
    for u, v in inside:
        assert changed[round(v) - 3 : round(v) + 4, round(u) - 3 : round(u) + 4].any()


def test_frames_without_box_or_pose_can_be_drawn(session: Path) -> None:
    tables = read_session(session)
    tables.poses[:] = np.nan
    tables.frames[["box_x", "box_y", "box_w", "box_h"]] = np.nan
    image = Arena(parse_arena(SOURCE)).render(0)
    assert draw_frame(image, tables, 0).shape == (480, 640, 3)
    sheet = contact_sheet(tables, 3)  # a report that finds no animal says: look with 'cropzoom draw'
    assert sheet.shape == contact_sheet(read_session(session), 3).shape
    assert sheet[:612].std() > 10


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 1), (4, 2), (6, 2)])
def test_the_sheet_has_its_panels(session: Path, count: int, rows: int) -> None:
    sheet = contact_sheet(read_session(session), count)
    assert sheet.shape == (rows * 612 + 12 + 40, 3 * 812 + 12, 3), "a line of names is below"
    assert sheet.dtype == np.uint8


def test_the_command_writes_a_picture(session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sheet.png"
    assert main(["draw", str(session), "--frames", "3", "--out", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    picture = cv2.imread(str(path))
    assert picture is not None
    np.testing.assert_array_equal(picture[:, :, ::-1], contact_sheet(read_session(session), 3))
    assert main(["draw", str(session), "--out", str(path)]) == 2
    assert "sheet.png exists already; add --overwrite to replace it" in capsys.readouterr().err
    np.testing.assert_array_equal(cv2.imread(str(path)), picture)


def test_what_is_no_session_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_models(tmp_path)
    assert main(["draw", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"cropzoom: {tmp_path} is not a session folder")
    assert err.count("\n") == 1


@pytest.mark.parametrize("where", ["no/such/folder/sheet.png", "sheet.unknown"])
def test_a_picture_that_cannot_be_written_is_an_error(
    session: Path, tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draw", str(session), "--frames", "1", "--out", str(tmp_path / where)]) == 2
    assert "cannot write " in capsys.readouterr().err


def test_the_sheet_names_the_keypoints_in_their_colours(session: Path) -> None:
    sheet = contact_sheet(read_session(session), 3)
    assert colours_in(sheet[-40:]) >= set(palette(3))


def test_every_picture_gives_a_keypoint_the_same_colour(session: Path, tmp_path: Path) -> None:
    tables = read_session(session)
    traces = [line.get_color() for line in draw_traces(tables).axes[0].lines]
    assert traces == figure_palette(3)
    compared = draw_comparison(compare(session, session)).axes[0].lines
    assert [line.get_color() for line in compared] == traces
    labelled = Drawing((320, 240), tables.keypoint_names, 0.5)
    image, likelihood = np.zeros((240, 320, 3), np.uint8), np.ones(3, np.float32)
    xy = np.array([(50.0, 60), (150, 160), (250, 60)])
    drawn = labelled.draw(image, xy, likelihood, "frame 0")
    at = [tuple(drawn[int(y) * 2, int(x) * 2].tolist()) for x, y in xy]
    assert at == palette(3)
    assert colours_in(drawn[240 * 2 :]) >= set(palette(3))


def test_a_comparison_without_any_deviation_says_so_in_its_empty_picture(session: Path) -> None:
    same = compare(session, session)
    assert [text.get_text() for text in draw_comparison(same).axes[0].texts] == ["no deviation: each is 0"]
    other = same.poses[1].copy()
    other[0, 0, 0] += 0.5
    assert not draw_comparison(dataclasses.replace(same, poses=(same.poses[0], other))).axes[0].texts


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> list[SessionTables]:
    """Three animals, of which two are there and walk over each other."""
    pytest.importorskip("scipy", reason="assignment needs scipy, of the extra animals")
    return [read_session(poses) for poses in region_files(animals_session(tmp_path_factory.mktemp("animals")))]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> list[SessionTables]:
    return [read_session(poses) for poses in region_files(boxes_session(tmp_path_factory.mktemp("boxes")))]


def drawn(together: list[SessionTables], source: str, index: int) -> tuple[UInt8, UInt8]:
    """Return a frame at twice its size, and what is drawn of it."""
    opened = open_source(source)
    image = np.empty((opened.info.height, opened.info.width, 3), np.uint8)
    for captured in itertools.islice(opened.frames(), index, index + 1):
        captured.copy_to(image)
    opened.close()
    plain = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return np.asarray(plain, np.uint8), draw_frame(image, together[0], index, together[1:])


def test_each_animal_has_its_colour_and_a_missing_one_is_not_drawn(animals: list[SessionTables]) -> None:
    one, two, missing = palette(3)
    _, picture = drawn(animals, ANIMALS, 10)
    assert not any(tables.uncertain[10] for tables in animals)
    for tables, colour in zip(animals, (one, two), strict=False):
        x, y = np.round((tables.poses[10, 0, :2] + 0.5) * 2 - 0.5).astype(int)
        np.testing.assert_allclose(picture[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1)), colour, atol=12)
    assert {one, two} <= colours_in(picture)
    assert missing not in colours_in(picture)
    assert not np.isfinite(animals[2].boxes).any()


def plate_width(picture: UInt8, tables: SessionTables, colour: tuple[int, int, int], index: int) -> int:
    """Return how wide the plate of an animal is: it begins at the left edge of the box, above its top."""
    x, y = (2 * tables.boxes[index, :2]).astype(int)
    row = picture[max(3, y - 14), max(0, x) :]
    return int(np.abs(row.astype(int) - colour).max(axis=1).__lt__(40).sum())


def test_an_uncertain_animal_says_so(animals: list[SessionTables]) -> None:
    uncertain = np.flatnonzero(animals[0].uncertain & np.isfinite(animals[0].boxes[:, 0]))
    assert len(uncertain) > 3
    certain = 10
    colour = palette(1)[0]
    narrow, wide = (
        plate_width(drawn(animals[:1], ANIMALS, index)[1], animals[0], colour, index)
        for index in (certain, int(uncertain[0]))
    )
    assert 10 < narrow < 60
    assert wide > 2 * narrow


def test_an_animal_has_the_same_colour_in_a_picture_of_its_own(animals: list[SessionTables]) -> None:
    _, picture = drawn(animals[1:2], ANIMALS, 10)
    assert palette(2)[1] in colours_in(picture)
    assert palette(1)[0] not in colours_in(picture)


def test_the_legend_of_several_animals_names_them(animals: list[SessionTables]) -> None:
    sheet = contact_sheet(animals[0], 3, beside=animals[1:])
    assert colours_in(sheet[-40:]) >= {*palette(3), (255, 255, 255)}


def test_every_region_has_outline_name_state_and_pose(boxes: list[SessionTables]) -> None:
    index = 20
    plain, picture = drawn(boxes, BOXES, index)
    changed = np.abs(picture.astype(int) - plain).max(axis=2) > 60
    assert set(boxes[2].states) == {"searching"}
    for name, tables in zip(REGIONS, boxes, strict=True):
        x, y, _, h = (2 * v for v in REGIONS[name]["rectangle_px"])
        assert changed[y + h // 2, max(0, x - 2) : x + 3].any(), "the left edge"
        assert changed[y + 8 : y + 40, x + 12 : x + 150].mean() > 0.3, "name and state"
        places = np.round((tables.poses[index, :, :2] + 0.5) * 2 - 0.5)
        for px, py in places[np.isfinite(places).all(axis=1)].astype(int):  # an unsure one is a ring around its place
            assert changed[max(0, py - 9) : py + 10, max(0, px - 9) : px + 10].mean() > 0.2
    middle = changed[60:230, 2 * 320 + 20 : 2 * 480 - 20]
    assert not middle.any(), "no pose and no box in the empty region"
    assert all(np.isfinite(tables.poses[index]).all() for tables in boxes[:2])


def test_wide_frames_are_two_side_by_side(boxes: list[SessionTables]) -> None:
    assert contact_sheet(boxes[0], 3, beside=boxes[1:]).shape[1] == 2 * 1212 + 12


def test_the_command_draws_all_animals_of_a_session(
    animals: list[SessionTables], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all.png"
    folder = animals[0].session.folder
    assert main(["draw", str(folder), "--frames", "3", "--out", str(out)]) == 0
    picture = cv2.imread(str(out))
    assert picture is not None
    assert set(palette(2)) <= colours_in(np.asarray(picture[:, :, ::-1], np.uint8))
    capsys.readouterr()
    assert main(["draw", str(folder / "arena_animals.csv"), "--out", str(tmp_path / "no.png")]) == 2
    assert (
        "arena_animals.csv has the poses of several animals. Give the file of one, such as " in capsys.readouterr().err
    )

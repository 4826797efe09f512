"""Pictures of a session: what was tracked is drawn where it was tracked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures import colours_in
from support.pipelines import make_settings, run_to_end, tiny_models

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.offline.annotate import Drawing
from realtime_cropzoom.plots.comparison import draw_comparison
from realtime_cropzoom.plots.overlay import figure_palette, palette
from realtime_cropzoom.plots.session_pictures import contact_sheet, draw_frame
from realtime_cropzoom.plots.traces import draw_traces
from realtime_cropzoom.sessions.compare import compare
from realtime_cropzoom.sessions.table import read_session
from realtime_cropzoom.sources.arena.source import Arena, parse_arena

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

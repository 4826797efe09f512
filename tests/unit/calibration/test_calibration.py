"""Calibration: conversion between pixels and cm, how it is made and stored, and its use in commands and runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.pipelines import ANY_PORT, Film, cropzoom, make_settings, run_to_end

from realtime_cropzoom import load_session
from realtime_cropzoom.calibration.calibration import (
    Calibration,
    calibration_yaml,
    from_points,
    from_rectangle,
    from_scale,
    lens_yaml,
    read_calibration,
    read_lens,
)
from realtime_cropzoom.calibration.homography import fit_homography
from realtime_cropzoom.calibration.lens import Lens
from realtime_cropzoom.checks.checks import check
from realtime_cropzoom.cli.chessboard import find_board, fit_lens
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.multi_camera import load_cameras
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.plots.calibration_picture import draw_grid, spacing
from realtime_cropzoom.types import Float64, UInt8

SIZE = (640, 480)
CORNERS = [(60.0, 60.0), (570.0, 50.0), (590.0, 430.0), (45.0, 440.0)]
BARREL = Lens((620.0, 615.0), (322.0, 238.0), (-0.28, 0.09, 0.0005, -0.0004, 0.0))
lenses = pytest.mark.parametrize("lens", [None, BARREL], ids=["no lens", "lens"])


def tilted(lens: Lens | None = None) -> Calibration:
    return from_rectangle(CORNERS, 60, 40, SIZE, lens)


def pixels(count: int = 200) -> Float64:
    return np.random.default_rng(0).uniform((-20, -20), (660, 500), (count, 2))


coordinate = st.floats(-20, 20)


@given(
    moves=st.lists(st.tuples(coordinate, coordinate), min_size=4, max_size=4),
    k1=st.floats(-0.3, 0.3),
    k2=st.floats(0, 0.1),
    tangential=st.tuples(st.floats(-0.002, 0.002), st.floats(-0.002, 0.002)),
    focal=st.floats(500, 2000),
)
def test_to_frame_is_the_inverse_of_to_arena(
    moves: list[tuple[float, float]], k1: float, k2: float, tangential: tuple[float, float], focal: float
) -> None:
    lens = Lens((focal, focal * 1.01), (318.0, 243.0), (k1, k2, *tangential, 0.0))
    corners = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(CORNERS, moves, strict=True)]
    assume(lens.is_invertible(*SIZE))
    for calibration in (from_rectangle(corners, 60, 40, SIZE), from_rectangle(corners, 60, 40, SIZE, lens)):
        xy = np.random.default_rng(1).uniform((0, 0), (639, 479), (50, 2))
        np.testing.assert_allclose(calibration.to_frame(calibration.to_arena(xy)), xy, rtol=0, atol=1e-3)


@lenses
def test_one_point_and_many_give_identical_numbers(lens: Lens | None) -> None:
    calibration = tilted(lens)
    xy = pixels()
    one_by_one = [calibration.point_to_arena(x, y) for x, y in xy.tolist()]
    np.testing.assert_array_equal(calibration.to_arena(xy), one_by_one)
    np.testing.assert_array_equal(calibration.to_arena(xy.reshape(2, 100, 2)).reshape(-1, 2), one_by_one)


@lenses
def test_missing_points_stay_missing(lens: Lens | None) -> None:
    calibration = tilted(lens)
    assert np.isnan(calibration.to_arena([(np.nan, 5.0), (np.nan, np.nan)])).all()
    assert np.isnan(calibration.point_to_arena(np.nan, 5.0)).all()


def test_points_beyond_the_horizon_are_nan() -> None:
    """A camera that looks along the floor: the sides of the rectangle meet at y = 121.6."""
    calibration = from_rectangle([(250, 200), (390, 200), (640, 480), (0, 480)], 30, 60, SIZE)
    assert np.isfinite(calibration.to_arena([(320.0, 123.0), (0.0, 479.0)])).all()
    for sky in ((320.0, 120.0), (0.0, 0.0)):
        assert np.isnan(calibration.to_arena(sky)).all()
        assert np.isnan(calibration.point_to_arena(*sky)).all()
    assert draw_grid(np.zeros((480, 640, 3), np.uint8), calibration).any()


@lenses
def test_the_corners_of_a_rectangle_map_to_the_measured_lengths(lens: Lens | None) -> None:
    known = [(0, 0), (60, 0), (60, 40), (0, 40)]
    calibration = tilted(lens)
    np.testing.assert_allclose(calibration.to_arena(CORNERS), known, atol=1e-6)
    assert calibration.residual_cm is None
    assert calibration.px_per_cm() == pytest.approx(9, rel=0.15)


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("way", [1, -1], ids=["clockwise", "counterclockwise"])
def test_any_corner_may_be_the_first_and_either_way_around(first: int, way: int) -> None:
    corners = (CORNERS[first:] + CORNERS[:first])[::way]
    calibration = from_rectangle(corners, 60, 40, SIZE)
    np.testing.assert_allclose(calibration.to_arena(corners[1]), (60, 0), atol=1e-6)


def opencv_undistort(lens: Lens, xy: Float64) -> Float64:
    """Undistort (N, 2) points with OpenCV, until its iteration no longer moves them."""
    camera = np.array([[lens.focal_px[0], 0, lens.centre_px[0]], [0, lens.focal_px[1], lens.centre_px[1]], [0, 0, 1]])
    distortion, until = np.array(lens.distortion), (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 1000, 1e-12)
    if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
        points = cv2.undistortPointsIter(xy[:, None], camera, distortion, None, camera, until)
    else:
        points = cv2.undistortPoints(xy[:, None], camera, distortion, P=camera, criteria=until)
    return np.asarray(points, np.float64)[:, 0]


def test_undistortion_equals_opencv() -> None:
    xy = pixels()
    x, y = BARREL.undistort(xy[:, 0], xy[:, 1])
    np.testing.assert_allclose(np.stack([x, y], axis=-1), opencv_undistort(BARREL, xy), atol=1e-6)


def test_distortion_equals_opencv() -> None:
    (fx, fy), (cx, cy) = BARREL.focal_px, BARREL.centre_px
    xy = pixels()
    rays = np.column_stack([(xy[:, 0] - cx) / fx, (xy[:, 1] - cy) / fy, np.ones(len(xy))])
    camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    projected = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), camera, np.array(BARREL.distortion))[0][:, 0]
    np.testing.assert_allclose(np.stack(BARREL.distort(xy[:, 0], xy[:, 1]), axis=-1), projected, atol=1e-6)


@pytest.mark.parametrize("count", [4, 12])
def test_the_fitted_homography_equals_opencv_within_single_precision(count: int) -> None:
    draw = np.random.default_rng(count)
    frame = np.array(CORNERS) if count == 4 else draw.uniform((20, 20), (620, 460), (count, 2))
    noise = 0.0 if count == 4 else 0.2
    arena = tilted().to_arena(frame) + draw.normal(0, noise, frame.shape)
    ours, theirs = np.array(fit_homography(frame, arena)).reshape(3, 3), cv2.findHomography(frame, arena, method=0)[0]
    grid = cv2.perspectiveTransform(pixels()[:, None], np.asarray(ours))
    np.testing.assert_allclose(cv2.perspectiveTransform(pixels()[:, None], theirs), grid, atol=1e-3)


@lenses
def test_noisy_points_are_fitted_with_least_squares(lens: Lens | None) -> None:
    """No change of the map makes the sum of squares smaller, and the residual is that of the points."""
    draw = np.random.default_rng(5)
    frame = draw.uniform((20, 20), (620, 460), (12, 2))
    arena = tilted(lens).to_arena(frame) + draw.normal(0, 0.2, (12, 2))
    pairs = [(tuple(a), tuple(b)) for a, b in zip(frame.tolist(), arena.tolist(), strict=True)]
    best = from_points(pairs, SIZE, lens)

    def square(calibration: Calibration) -> float:
        return float(((calibration.to_arena(frame) - arena) ** 2).sum())

    assert best.residual_cm is not None
    assert best.residual_cm == pytest.approx(np.sqrt(square(best) / 12))
    assert 0.05 < best.residual_cm < 0.3
    for k in range(9):
        for factor in (1 - 1e-5, 1 + 1e-5):
            other = list(best.homography)
            other[k] *= factor
            assert square(Calibration(*SIZE, tuple(other), lens)) >= square(best) * (1 - 1e-9)  # type: ignore[arg-type]


@lenses
def test_a_scale_is_measured_from_its_origin(lens: Lens | None) -> None:
    calibration = from_scale(12.5, SIZE, lens, origin=(320.0, 240.0))
    np.testing.assert_allclose(calibration.to_arena((320.0, 240.0)), (0, 0), atol=1e-9)
    assert calibration.to_arena((332.5, 240.0))[0] == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: from_points([((0, 0), (0, 0))] * 3, SIZE), "got 3 points, expected at least four"),
        (lambda: from_points([((i, i), (i, 0)) for i in range(6)], SIZE), "lie on a line"),
        (lambda: from_points([((5, 5), (1, 1))] * 5, SIZE), "all points are the same"),
        (lambda: from_rectangle(CORNERS[:3], 60, 40, SIZE), "3 corners"),
        (lambda: from_rectangle(CORNERS, 0, 40, SIZE), "0 x 40 cm"),
        (lambda: from_rectangle([CORNERS[k] for k in (0, 2, 1, 3)], 60, 40, SIZE), "lines between the corners cross"),
        (lambda: from_scale(float("nan"), SIZE), "got nan pixels per cm"),
        (lambda: from_scale(-3, SIZE), "got -3 pixels per cm"),
        (lambda: from_scale(1e-300, SIZE), "got 1e-300 pixels per cm, expected a number from 0.001 to 1e"),
        (lambda: from_rectangle(CORNERS, 6e-8, 4e-8, SIZE), "1 cm is .*e.* pixels; expected 0.001 to 1e"),
        (lambda: Calibration(*SIZE, (1e7, 0, 0, 0, 1e7, 0, 0, 0, 1)), "1 cm is 1e-07 pixels"),
        (lambda: Calibration(*SIZE, (0.1, 0, 0, 0, 0.1, 0, 0, 0, -1)), "no pixel of the frame is on the floor"),
        (lambda: Calibration(*SIZE, (0.1, 0, 0, 0.1, 0, 0, 0, 0, 1)), "no inverse"),
        (lambda: tilted(Lens((200, 200), (320, 240), (-0.4, 0, 0, 0, 0))), "folds the frame over"),
    ],
)
def test_unusable_points_are_refused_in_one_line(make: Callable[[], Calibration], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def chessboard(seed: int, lens: Lens, board: tuple[int, int] = (9, 6)) -> UInt8:
    """A picture of a tilted chessboard, seen through a lens."""
    cell, draw = 40, np.random.default_rng(seed)
    flat = np.full(((board[1] + 3) * cell, (board[0] + 3) * cell), 235, np.uint8)
    for row in range(board[1] + 1):
        for column in range(row % 2, board[0] + 1, 2):
            flat[(row + 1) * cell : (row + 2) * cell, (column + 1) * cell : (column + 2) * cell] = 25
    height, width = flat.shape
    turn = cv2.Rodrigues(draw.uniform(-0.5, 0.5, 3))[0]
    place = np.column_stack([turn[:, 0], turn[:, 1], [draw.uniform(-0.3, 0.3), draw.uniform(-0.2, 0.2), 1.4]])
    metres = np.array([[1 / width, 0, -0.5], [0, 1 / width, -0.5 * height / width], [0, 0, 1]])
    camera = np.array([[lens.focal_px[0], 0, lens.centre_px[0]], [0, lens.focal_px[1], lens.centre_px[1]], [0, 0, 1]])
    x, y = lens.undistort(*np.meshgrid(np.arange(640.0), np.arange(480.0)))
    from_frame = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera @ place @ metres).T
    at = (from_frame[..., :2] / from_frame[..., 2:]).astype(np.float32)
    seen = cv2.remap(flat, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=140)
    return np.asarray(cv2.cvtColor(cv2.GaussianBlur(seen, (3, 3), 0), cv2.COLOR_GRAY2RGB), np.uint8)


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boards")
    for seed in range(10):
        cv2.imwrite(str(folder / f"{seed}.png"), chessboard(seed, BARREL))
    return folder


def test_the_lens_of_the_chessboard_pictures_is_found(boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = boards.parent / "lens.yaml"
    assert main(["calibrate", "lens", str(boards), "--board", "9x6", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "of 10 frames" in said
    assert "(root mean square)" in said
    lens, size = read_lens(out)
    assert size == SIZE
    assert lens.residual_px is not None
    assert lens.residual_px < 0.3
    x, y = np.meshgrid(np.linspace(60, 580, 9), np.linspace(40, 440, 9))
    off = np.subtract(lens.undistort(x, y), BARREL.undistort(x, y))
    assert np.abs(off).max() < 2  # 30 px at the corners without it
    picture = cv2.imread(str(out.with_suffix(".png")))
    assert picture is not None
    assert picture.shape == (960, 1280, 3)


def test_pictures_without_a_chessboard_are_reported(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((480, 640), 200, np.uint8))
    assert find_board(np.full((480, 640, 3), 200, np.uint8), (9, 6)) is None
    with pytest.raises(DataError, match=r"9x6 inner corners was found 0 times; expected at least 5"):
        fit_lens([], (9, 6), SIZE)
    done = cropzoom("calibrate", "lens", tmp_path, "--board", "9x6", "--out", tmp_path / "lens.yaml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "lens.yaml").exists()


@lenses
def test_a_file_is_read_back_exactly(lens: Lens | None, tmp_path: Path) -> None:
    path = tmp_path / "arena.yaml"
    path.write_text(calibration_yaml(tilted(lens)))
    assert read_calibration(path) == tilted(lens)
    if lens is not None:
        path.write_text(lens_yaml(lens, SIZE))
        assert read_lens(path) == (lens, SIZE)


GOOD = "unit: cm\nframe_size: [640, 480]\nhomography: [[0.1, 0, 0], [0, 0.1, 0], [0, 0, 1]]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a calibration: Object missing required field `frame_size`"),
        ("- 1\n", "holds a list"),
        (GOOD.replace("cm", "inch"), "unit is 'inch'; expected cm"),
        (GOOD.replace("[0, 0, 1]", "[0, 0]"), "is not a calibration: .*length 3"),
        (GOOD.replace("0.1", ".nan"), "numbers are not valid"),
        (GOOD.replace("[0, 0.1, 0]", "[0.1, 0, 0]"), "no inverse"),
        (GOOD.replace("640", "0"), "numbers are not valid"),
        (GOOD + "scale: 3\n", "unknown field `scale`"),
        (lens_yaml(BARREL, SIZE), "has a lens but no homography; continue with 'cropzoom calibrate"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "arena.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        read_calibration(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_without_a_lens_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        read_calibration(tmp_path / "nowhere.yaml")
    (tmp_path / "arena.yaml").write_text(GOOD)
    with pytest.raises(ConfigError, match="has no lens"):
        read_lens(tmp_path / "arena.yaml")


SOURCE = "synthetic:arena,seconds=1"


CORNER_WORDS = ["24,24", "615,24", "615,455", "24,455"]
POINTS = [f"--point={x},{y}={x / 10},{y / 10}" for x, y in ((9, 9), (600, 9), (600, 400), (9, 400), (99, 50))]


@pytest.mark.parametrize(
    ("way", "where", "cm"),
    [
        (["rectangle", "--corners", *CORNER_WORDS, "--size-cm", "60x43.7"], (615, 455), (60, 43.7)),
        (["points", *POINTS], (300, 200), (30, 20)),
        (["scale", "--px-per-cm", "12.5", "--origin", "20,30"], (145, 30), (10, 0)),
        (["scale", "--line", "100,100", "400,500", "--length-cm", "50"], (100, 200), (10, 20)),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_command_writes_a_file_and_a_picture(
    way: list[str],
    where: tuple[float, float],
    cm: tuple[float, float],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "arena.yaml"
    assert main(["calibrate", way[0], SOURCE, *way[1:], "--out", str(out)]) == 0
    np.testing.assert_allclose(read_calibration(out).to_arena(where), cm, atol=1e-6)
    picture = cv2.imread(str(tmp_path / "arena.png"))
    assert picture is not None
    assert picture.shape == (960 + 56, 1280, 3)
    said = capsys.readouterr().out
    assert "middle of the frame: " in said
    assert ("error of the points" in said) == (way[0] == "points")


@pytest.mark.parametrize("there", ["arena.yaml", "arena.png"])
def test_a_calibration_is_replaced_only_if_asked(
    there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The picture, too: it may be the very frame that the corners were read from."""
    (tmp_path / there).write_text("somebody's")
    command = ["calibrate", "scale", SOURCE, "--px-per-cm", "12.5", "--out", str(tmp_path / "arena.yaml")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"{there} exists already; add --overwrite to replace it" in error
    assert error.count("\n") == 1
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {there: "somebody's"}
    assert main([*command, "--overwrite"]) == 0
    assert read_calibration(tmp_path / "arena.yaml").px_per_cm() == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rectangle", SOURCE, "--corners", "1,1", "2,a", "3,3", "4,4", "--size-cm", "6x4"], "--corners: got '2,a'"),
        (["rectangle", SOURCE, "--corners", "1,1", "2,1", "2,2", "1,2", "--size-cm", "6"], "--size-cm: got '6'"),
        (["points", SOURCE, "--point", "1,1"], "--point: got '1,1', expected pixels and cm"),
        (["scale", SOURCE, "--line", "1,1", "2,2"], "--line needs --length-cm"),
        (["scale", SOURCE, "--px-per-cm", "10", "--length-cm", "3"], "--line needs --length-cm"),
        (["scale", "nowhere.mp4", "--px-per-cm", "10"], "nowhere.mp4"),
        (["scale", SOURCE, "--px-per-cm", "10", "--lens", "nowhere.yaml"], "nowhere.yaml"),
        (["lens", SOURCE, "--board", "9x2"], "--board: got '9x2'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", *arguments, "--out", str(tmp_path / "arena.yaml")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_lens_of_other_frames_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lens.yaml").write_text(lens_yaml(BARREL, (1280, 960)))
    flags = ["--px-per-cm", "10", "--lens", str(tmp_path / "lens.yaml"), "--out", str(tmp_path / "arena.yaml")]
    assert main(["calibrate", "scale", SOURCE, *flags]) == 2
    assert "got a lens for frames of 1280x960, expected 640x480" in capsys.readouterr().err


def test_the_grid_is_drawn_at_the_calibrated_positions() -> None:
    """The line at 20 cm has its colour at its own pixels and not 10 pixels beside them."""
    calibration = from_scale(10, SIZE)
    picture = draw_grid(np.full((480, 640, 3), 128, np.uint8), calibration).astype(int)
    on, beside = picture[301, round(2 * 200 + 0.5)], picture[301, round(2 * 200 + 0.5) + 20]
    assert on[2] - on[0] > 100
    assert beside.tolist() == [128, 128, 128]


@pytest.mark.parametrize(("extent", "step"), [(60, 10), (43, 5), (9.9, 1), (10, 1), (1.1, 0.2), (2000, 200)])
def test_lines_are_a_round_number_apart(extent: float, step: float) -> None:
    assert spacing(extent) == pytest.approx(step)


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    """A calibration of the film's frames, with a lens."""
    lens = Lens((150.0, 150.0), (80.0, 48.0), (-0.1, 0.02, 0, 0, 0))
    path = tmp_path / "arena.yaml"
    path.write_text(calibration_yaml(from_rectangle([(5, 5), (150, 8), (155, 90), (2, 88)], 30, 20, (160, 96), lens)))
    return path


def test_messages_and_tables_hold_the_same_cm(arena: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, pace="fast", calibration=arena, min_likelihood=0.5)
    pipeline = Pipeline(settings, lambda: Film(30, hidden=range(5)))
    pipeline.start(tracked=True)
    messages = list(pipeline.messages())
    pipeline.join()
    assert pipeline.folder is not None
    assert read_calibration(pipeline.folder / "calibration.yaml") == read_calibration(arena)
    arena.unlink()  # the session stands for itself
    table = load_session(pipeline.folder)
    published = [point for message in messages for point in (message.arena or {}).values()]
    np.testing.assert_array_equal(table[["x_cm", "y_cm"]].to_numpy(), np.array(published, np.float64))
    assert np.isnan(table["x_cm"]).tolist() == [frame < 5 for frame in table["frame"]]
    assert table["x_cm"].between(-5, 35).sum() == 75
    in_cm = pd.read_csv(pipeline.folder / "film_cm.csv", header=[0, 1, 2], index_col=0)
    in_px = pd.read_csv(pipeline.folder / "film.csv", header=[0, 1, 2], index_col=0)
    assert list(in_cm.columns) == list(in_px.columns)
    coords = in_cm.to_numpy().reshape(30, 3, 3)
    np.testing.assert_array_equal(coords[..., :2].reshape(-1, 2), table[["x_cm", "y_cm"]].to_numpy())
    np.testing.assert_array_equal(coords[..., 2], in_px.to_numpy().reshape(30, 3, 3)[..., 2])


def test_an_offline_pass_gives_the_same_cm_as_the_run(arena: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, pace="fast", calibration=arena, record="ffv1")
    live = run_to_end(settings, Film(12)).folder
    assert live is not None
    command = ["pipeline", str(live / "film.mkv"), "--pose", settings.pose, "--schedule", str(live / "film_bbox.csv")]
    command += ["--out", str(tmp_path / "out"), "--skip-viz", "--calibration", str(arena)]
    assert main(command) == 0
    assert (tmp_path / "out/film_cm.csv").read_text() == (live / "film_cm.csv").read_text()
    assert main(command) == 0, "the same again is skipped"
    poses, table = str(tmp_path / "out/film.csv"), tmp_path / "out/film_table.csv"
    assert main(["convert", poses, "--to", "csv", "--fps", "60", "--calibration", str(arena)]) == 0
    expected = load_session(live)[["x_cm", "y_cm"]].to_numpy()
    np.testing.assert_allclose(pd.read_csv(table)[["x_cm", "y_cm"]].to_numpy(), expected)


def test_without_a_calibration_no_cm_are_written(tmp_path: Path) -> None:
    pipeline = Pipeline(make_settings(tmp_path, pace="fast"), lambda: Film(3))
    pipeline.start(tracked=True)
    assert [message.arena for message in pipeline.messages()] == [None] * 3
    pipeline.join()
    assert "x_cm" not in load_session(pipeline.folder or "")


def test_the_hello_names_the_unit(arena: Path, tmp_path: Path) -> None:
    for calibration, unit in ((arena, "cm"), (None, None)):
        settings = make_settings(tmp_path, publish=ANY_PORT, publish_latest="none", calibration=calibration)
        pipeline = run_to_end(settings, Film(2))
        assert pipeline.hello().arena_unit == unit


def test_frames_of_another_size_are_refused_and_leave_no_file(arena: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, calibration=arena)
    with pytest.raises(ConfigError, match=r"arena\.yaml is for frames of 160x96, but these have 160x120; calibrate"):
        Pipeline(settings, lambda: Film(3, size=(160, 120))).start()
    assert not list(tmp_path.glob("sessions/*"))


def test_check_compares_the_calibration_with_the_frames(arena: Path, tmp_path: Path) -> None:
    for size, ok, says in (("160x96", True, "pixels per cm"), ("160x120", False, "is for frames of 160x96, but these")):
        settings = make_settings(tmp_path, source=f"synthetic:arena,size={size},seconds=1", calibration=arena)
        lines = check({"cam0": settings}, hours=0.1, measure_s=0.1)
        (line,) = [line for line in lines if line.check == "calibration"]
        assert (line.ok, says in line.text) == (ok, True)


def test_each_camera_has_its_own_calibration(tmp_path: Path) -> None:
    config = tmp_path / "two.yaml"
    config.write_text("cameras:\n  top: {source: a.mp4, calibration: top.yaml}\n  side: {source: b.mp4}\n")
    cameras = load_cameras({}, config)
    assert cameras is not None
    assert {name: s.calibration for name, s in cameras.settings.items()} == {"top": Path("top.yaml"), "side": None}


def test_calibrations_are_used_without_opencv() -> None:
    code = "import sys, realtime_cropzoom.calibration.calibration; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert not {"cv2", "pandas", "av", "zmq"} & set(done.stdout.split())

"""``cropzoom compare``: by how much two runs differ, and where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.pipelines import Film, check_complete, cropzoom, make_settings, run_to_end
from support.sessions import drop_from_recording

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import DataError, SinkError
from realtime_cropzoom.plots.comparison import write_comparison
from realtime_cropzoom.sessions.compare import compare, describe, match_names

NAMES = ("nose", "tail")


def write_poses(path: Path, poses: np.ndarray, names: tuple[str, ...] = NAMES, first: int = 0) -> Path:
    """Write (n, K, 3) as a file of predictions."""
    columns = pd.MultiIndex.from_product(
        [["me"], names, ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
    )
    index = range(first, first + len(poses))
    pd.DataFrame(poses.reshape(len(poses), -1), index=index, columns=columns).to_csv(path)
    return path


@pytest.fixture
def poses() -> np.ndarray:
    """Ten frames of two keypoints."""
    return np.random.default_rng(0).uniform(0.1, 0.9, (10, 2, 3)) * [100, 100, 1]


def test_the_same_file_is_identical_bit_for_bit(
    tmp_path: Path, poses: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (str(write_poses(tmp_path / f"{name}.csv", poses)) for name in "ab")
    assert main(["compare", a, b, "--max-px", "0"]) == 0
    assert capsys.readouterr().out == "identical, bit for bit: 10 frames with a pose\n"
    assert not list(tmp_path.glob("*.png"))


def test_frames_that_one_side_lacks_do_not_hide_that_the_others_are_identical(
    tmp_path: Path, poses: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_poses(tmp_path / "a.csv", poses)
    poses[[2, 5]] = np.nan
    b = write_poses(tmp_path / "b.csv", poses)
    assert main(["compare", str(a), str(b)]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "8 frames have a pose in both; there, the poses are identical, bit for bit"
    assert second == "2 only in A: 2, 5"
    assert not any("median" in line for line in rest)
    assert not compare(a, b).identical

    poses[4, 0, 0] = np.nan  # one keypoint is missing in one of them
    assert not compare(a, write_poses(tmp_path / "c.csv", poses)).identical_in_both


def test_the_last_bit_is_a_difference(tmp_path: Path, poses: np.ndarray) -> None:
    a = write_poses(tmp_path / "a.csv", poses)
    poses[3, 1, 2] = np.nextafter(poses[3, 1, 2], 1)
    comparison = compare(a, write_poses(tmp_path / "b.csv", poses))
    assert not comparison.identical
    assert comparison.max_px == 0
    assert comparison.summary()["all"]["likelihood_max"] > 0


def test_it_says_how_far_whose_and_where(tmp_path: Path, poses: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_poses(tmp_path / "a.csv", poses)
    poses[4, 1, :2] += [3, 4]
    poses[7, 0, 0] += 1
    poses[7, 0, 2] -= 0.25
    b = write_poses(tmp_path / "b.csv", poses)
    assert main(["compare", str(a), str(b), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == 10
    assert summary["keypoints"]["tail"]["max"] == pytest.approx(5)
    assert summary["keypoints"]["tail"]["at_frame"] == 4
    assert summary["keypoints"]["nose"]["likelihood_max"] == pytest.approx(0.25)
    assert summary["all"]["max"] == pytest.approx(5)
    assert summary["all"]["median"] == 0
    assert [(w["frame"], w["keypoint"]) for w in summary["worst_frames"]] == [(4, "tail"), (7, "nose")]

    assert (tmp_path / "b_compare.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(tmp_path / "b_compare.csv", index_col="frame")
    assert table["max_px"].tolist() == pytest.approx([0, 0, 0, 0, 5, 0, 0, 1, 0, 0])
    assert table["nose_likelihood_difference"][7] == pytest.approx(-0.25)
    assert table.loc[4, "keypoint"] == "tail"


@pytest.mark.parametrize(("limit", "code"), [("4.9", 3), ("5.1", 0)])
def test_it_fails_above_a_limit_only_if_there_is_one(tmp_path: Path, poses: np.ndarray, limit: str, code: int) -> None:
    a = write_poses(tmp_path / "a.csv", poses)
    poses[4, 1, :2] += [3, 4]
    b = write_poses(tmp_path / "b.csv", poses)
    assert main(["compare", str(a), str(b), "--out", str(tmp_path / "x.png"), "--max-px", limit]) == code
    assert (tmp_path / "x.csv").exists()


def test_a_picture_never_takes_the_place_of_poses(
    tmp_path: Path, poses: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table goes beside the picture, under its name."""
    a, b = write_poses(tmp_path / "a.csv", poses), write_poses(tmp_path / "b.csv", poses + 1)
    before = b.read_bytes()
    assert main(["compare", str(a), str(b), "--out", str(tmp_path / "b.png")]) == 2
    assert f"{b} exists already; add --overwrite" in capsys.readouterr().err
    assert b.read_bytes() == before


def test_frames_and_keypoints_of_only_one_session_are_reported(tmp_path: Path, poses: np.ndarray) -> None:
    missing = poses.copy()
    missing[[0, 5]] = np.nan
    a = write_poses(tmp_path / "a.csv", missing)
    b = write_poses(tmp_path / "b.csv", poses[2:], ("nose", "paw"), first=2)
    comparison = compare(a, b)
    summary = comparison.summary()
    assert (summary["only_in_a"], summary["only_in_b"]) == ([1], [5])
    assert (summary["keypoints_only_in_a"], summary["keypoints_only_in_b"]) == (["tail"], ["paw"])
    assert not comparison.identical
    text = describe(summary)
    assert "7 frames have a pose in both" in text
    assert "1 only in B: 5" in text
    assert "1 keypoint only in A: tail\n" in text
    assert text.endswith("1 keypoint only in B: paw")
    assert np.isnan(comparison.table()["max_px"][[0, 1, 5]]).all()


def test_what_cannot_be_compared_is_refused(tmp_path: Path, poses: np.ndarray) -> None:
    a = write_poses(tmp_path / "a.csv", poses)
    with pytest.raises(DataError, match="no keypoint in common"):
        compare(a, write_poses(tmp_path / "b.csv", poses, ("ear", "paw")))
    with pytest.raises(DataError, match="no frame has a pose in both"):
        compare(a, write_poses(tmp_path / "c.csv", poses, first=20))
    poses[0] += 1
    comparison = compare(a, write_poses(tmp_path / "d.csv", poses))
    with pytest.raises(SinkError, match="--out"):
        write_comparison(tmp_path / "nowhere" / "x.png", comparison)


def test_a_long_comparison_is_thinned_out(tmp_path: Path) -> None:
    poses = np.random.default_rng(1).uniform(0, 1, (3500, 2, 3))
    a = write_poses(tmp_path / "a.csv", poses)
    poses[1234, 0, 0] += 9
    comparison = compare(a, write_poses(tmp_path / "b.csv", poses))
    assert write_comparison(tmp_path / "x.png", comparison).exists()
    assert comparison.summary()["worst_frames"][0]["frame"] == 1234


def test_the_replay_of_a_recording_is_compared_by_captured_frame(tmp_path: Path) -> None:
    """The recording lacks frames, so that the replay's frame 20 is another one of the live run."""
    film = Film(60)
    live = check_complete(run_to_end(make_settings(tmp_path, record="ffv1", pace="fast"), film).folder)
    drop_from_recording(live, film, {5, 6, 30})
    source = live.folder / "film.mkv"
    replayed = run_to_end(make_settings(tmp_path, source=source, schedule=live.bbox_path, pace="fast")).folder
    assert replayed is not None
    done = cropzoom("compare", live.folder, replayed, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["only_in_a"] == [5, 6, 30]
    assert summary["all"]["max"] == 0
    assert summary["all"]["likelihood_max"] == 0


def points(path: Path, poses: np.ndarray, names: tuple[str, ...]) -> Path:
    """Write (n, K, 3) as a table of points, as another program would; NaN as an absent keypoint."""
    rows = [(i, name, *poses[i, k]) for i in range(len(poses)) for k, name in enumerate(names)]
    pd.DataFrame(rows, columns=["frame", "keypoint", "x", "y", "score"]).to_csv(path, index=False)
    return path


def test_predictions_of_another_program(tmp_path: Path, poses: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_poses(tmp_path / "a.csv", poses, ("Nose", "tail, base"))
    theirs = poses[:, ::-1].copy()  # in another order
    theirs[4, 1, :2] += [3, 4]
    theirs[6, 0] = np.nan
    b = points(tmp_path / "b.csv", theirs, ("tail, base", "nose"))
    arguments = ["compare", str(a), "--against", str(b)]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["keypoints_only_in_a"], summary["keypoints_only_in_b"]) == ([], [])
    assert summary["keypoints"]["Nose"]["max"] == pytest.approx(5)
    assert summary["keypoints"]["Nose"]["frames"] == 10
    assert summary["keypoints"]["tail, base"]["absent_in_b"] == 1
    assert summary["keypoints"]["tail, base"]["absent_in_a"] == 0

    assert main([*arguments, "--max-px", "5.1"]) == 0
    assert main([*arguments, "--max-px", "0.05"]) == 3
    shown = capsys.readouterr()
    assert shown.err == "cropzoom: Nose differs by 5 px in frame 4, more than 0.05 px\n"
    assert "'tail, base'" in shown.out
    assert not list(tmp_path.glob("*.png"))
    assert main([*arguments, "--out", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("more", [[], ["b.csv", "--against", "b.csv"]])
def test_one_other_side_is_needed(
    tmp_path: Path, poses: np.ndarray, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_poses(tmp_path / "a.csv", poses)
    assert main(["compare", str(a), *more]) == 2
    assert "expected one of B and --against" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        (("x", "y"), ("y", "x"), [(0, 1), (1, 0)]),
        (("Nose", "tail"), ("TAIL", "nose"), [(0, 1), (1, 0)]),
        (("nose", "Nose"), ("NOSE",), []),
        (("nose",), ("NOSE", "Nose"), []),
        (("nose", "Nose"), ("Nose", "nose"), [(0, 1), (1, 0)]),
        (("nose",), ("tail",), []),
    ],
)
def test_names_match_by_themselves_or_by_case(
    a: tuple[str, ...], b: tuple[str, ...], pairs: list[tuple[int, int]]
) -> None:
    assert match_names(a, b) == pairs

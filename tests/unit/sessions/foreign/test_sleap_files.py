"""Files of SLEAP: ``.slp`` as sleap-io writes it, and analysis files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import DataError
from realtime_cropzoom.sessions.foreign import read_poses

NAN = float("nan")


def instance(sleap_io: Any, skeleton: Any, points: np.ndarray, score: float) -> Any:
    return sleap_io.PredictedInstance.from_numpy(
        points[:, :2], skeleton=skeleton, point_scores=points[:, 2], score=score
    )


@pytest.fixture
def sleap_io() -> Any:
    return pytest.importorskip("sleap_io")


def save(sleap_io: Any, path: Path, frames: dict[int, list[tuple[np.ndarray, float]]], videos: int = 1) -> Path:
    """Save the predicted animals, points (K, 3) and score, of each frame."""
    skeleton = sleap_io.Skeleton(["nose", "tail, base"])
    there = [sleap_io.Video(filename=f"{i}.mp4", open_backend=False) for i in range(videos)]
    labelled = [
        sleap_io.LabeledFrame(
            video=there[0], frame_idx=number, instances=[instance(sleap_io, skeleton, *one) for one in animals]
        )
        for number, animals in frames.items()
    ]
    sleap_io.save_slp(sleap_io.Labels(labelled, videos=there, skeletons=[skeleton]), str(path), verbose=False)
    return path


def test_slp(sleap_io: Any, tmp_path: Path) -> None:
    one = np.array([[1.5, 2, 0.9], [3, 4, 0.5]])
    found = read_poses(
        save(sleap_io, tmp_path / "p.slp", {3: [(one, 0.6)], 1: [(one + 1, 0.5), (one + 2, 0.9)], 5: []})
    )
    assert found.keypoint_names == ("nose", "tail, base")
    assert found.frames.tolist() == [1, 3]
    np.testing.assert_allclose(found.values, [one + 2, one])
    assert found.note.startswith("1 frames have several animals")


def test_slp_absent_keypoints(sleap_io: Any, tmp_path: Path) -> None:
    points = np.array([[1.5, 2, 0.9], [NAN, NAN, 0.1]])
    found = read_poses(save(sleap_io, tmp_path / "p.slp", {0: [(points, 0.6)]}))
    np.testing.assert_allclose(found.values, [[[1.5, 2, 0.9], [NAN] * 3]])


def test_slp_of_several_videos_is_refused(sleap_io: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 videos and 1 skeletons; expected one of each"):
        read_poses(save(sleap_io, tmp_path / "p.slp", {0: [(np.ones((2, 3)), 1)]}, videos=2))


def test_a_damaged_slp_is_refused_in_one_line(sleap_io: Any, tmp_path: Path) -> None:
    (tmp_path / "p.slp").write_text("nonsense")
    with pytest.raises(DataError, match="cannot read") as error:
        read_poses(tmp_path / "p.slp")
    assert "\n" not in str(error.value)


def test_without_the_library_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    a, b = tmp_path / "a.csv", tmp_path / "b.slp"
    a.write_text("scorer,m,m,m\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,0.5\n")
    b.touch()
    assert main(["compare", str(a), "--against", str(b)]) == 2
    assert "sleap_io is not installed; run: pip install" in capsys.readouterr().err


def analysis(path: Path, xy: np.ndarray, scores: np.ndarray | None = None) -> Path:
    """Write (n, T, K, 2) as SLEAP exports it."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["tracks"] = xy.transpose(1, 3, 2, 0)
        file["node_names"] = [b"nose", "schwanz ä".encode()]
        if scores is not None:
            file["point_scores"] = scores.transpose(1, 2, 0)
    return path


def test_analysis_files(tmp_path: Path) -> None:
    values = np.random.default_rng(0)
    xy, scores = values.uniform(0, 100, (4, 2, 2, 2)), values.uniform(0, 1, (4, 2, 2))
    xy[0, 1] = xy[1] = xy[2, 0] = NAN
    xy[3, 1, 0] = NAN
    scores[3, 0], scores[3, 1] = 0.1, 0.9
    found = read_poses(analysis(tmp_path / "p.analysis.h5", xy, scores))
    assert found.keypoint_names == ("nose", "schwanz ä")
    assert found.frames.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(found.values[:2, :, :2], [xy[0, 0], xy[2, 1]])
    np.testing.assert_array_equal(found.values[2], [[NAN] * 3, [*xy[3, 1, 1], 0.9]])
    assert found.note.startswith("1 frames have several")


def test_an_analysis_file_without_scores_has_no_likelihood(tmp_path: Path) -> None:
    found = read_poses(analysis(tmp_path / "p.h5", np.ones((3, 1, 2, 2))))
    assert np.isnan(found.values[:, :, 2]).all()


def test_an_analysis_file_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got tracks of shape"):
        read_poses(analysis(tmp_path / "p.h5", np.ones((3, 1, 5, 2))))

"""``draw``, ``convert`` and ``compare``: where they find what they need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.sessions import write_poses

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.offline.provenance import input_entry, write_origin

TIMES_MS = [0, 40, 90, 200]


@pytest.fixture
def predictions(make_video: Callable[..., Path], tmp_path: Path) -> Path:
    """A file as ``pipeline`` leaves it: the note beside it names the video."""
    path = write_poses(tmp_path / "clip.csv", {0: 1.0, 1: 2.0})
    write_origin(path, "pipeline", {"source": input_entry(make_video("film.mkv", times_ms=TIMES_MS))})
    return path


def times_s(predictions: Path) -> list[float]:
    table = pd.read_csv(predictions.with_name("clip_table.csv"))
    return [float(time) for time in table["time_s"]]


def test_convert_takes_the_video_from_the_note(predictions: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(predictions), "--to", "csv"]) == 0
    np.testing.assert_allclose(times_s(predictions), [0, 0.04, 0.09, 0.2])
    assert capfd.readouterr().err.startswith(f"frame times from {predictions.with_name('film.mkv')}\n")


def test_a_video_or_a_rate_that_is_given_counts_more_than_the_note(
    predictions: Path, make_video: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    other = make_video("other.mkv", times_ms=[0, 10, 20])
    assert main(["convert", str(predictions), "--to", "csv", "--video", str(other)]) == 0
    np.testing.assert_allclose(times_s(predictions), [0, 0.01, 0.02])
    assert main(["convert", str(predictions), "--to", "csv", "--fps", "10", "--overwrite"]) == 0
    np.testing.assert_allclose(times_s(predictions), [0, 0.1])
    assert "frame times from" not in capfd.readouterr().err


def test_a_video_that_is_gone_is_said(predictions: Path, capfd: pytest.CaptureFixture[str]) -> None:
    predictions.with_name("film.mkv").unlink()
    assert main(["convert", str(predictions), "--to", "csv"]) == 0
    assert np.isnan(times_s(predictions)).all()
    assert "film.mkv, which is not there: frame times are unknown. Give the video with --video" in (
        capfd.readouterr().err
    )

"""``track``: the poses of a run inside a script, and how it ends with the loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.pipelines import (
    Film,
    check_complete,
    cropzoom_threads,
    fail_at,
    hold_models,
    tiny_models,
    write_video,
)

from realtime_cropzoom import track
from realtime_cropzoom.errors import StageError


@pytest.fixture
def film_settings(tmp_path: Path) -> dict[str, object]:
    """Arguments of ``track`` for a real video."""
    video = write_video(tmp_path / "film.mp4", Film(40, 60))
    return {"source": str(video), "out": tmp_path / "sessions", "crop_size": 64, **tiny_models(tmp_path / "models")}


def test_track_yields_every_processed_frame(film_settings: dict[str, object]) -> None:
    messages = list(track(**film_settings, pace="fast"))  # type: ignore[arg-type]
    assert [m.frame for m in messages] == [m.seq for m in messages] == list(range(40))
    truth = np.array([Film().footage.blob_at(i) for i in range(40)])
    found = np.array([m.keypoints["middle"][:2] for m in messages], float)
    assert np.abs(found - truth).max() < 6.0
    assert not cropzoom_threads()


@pytest.mark.parametrize("pace", ["fast", "realtime"])
def test_leaving_the_loop_closes_everything(film_settings: dict[str, object], pace: str, tmp_path: Path) -> None:
    messages = track(**film_settings, pace=pace)  # type: ignore[arg-type]
    for message in messages:
        if message.frame >= 5:
            break
    messages.close()  # type: ignore[attr-defined]
    assert not cropzoom_threads()
    (folder,) = (tmp_path / "sessions").iterdir()
    check_complete(folder)


def test_a_script_that_raises_in_the_loop_closes_everything(film_settings: dict[str, object]) -> None:
    def script() -> None:
        for message in track(**film_settings, pace="fast"):  # type: ignore[arg-type]
            assert message.frame < 3, "enough"

    with pytest.raises(AssertionError, match="enough") as caught:
        script()
    del caught
    assert not cropzoom_threads()


def test_track_raises_the_error_that_ended_the_run(
    film_settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_models(monkeypatch, pose=fail_at(5, "out of order"))
    with pytest.raises(StageError, match="out of order"):
        list(track(**film_settings, pace="fast"))  # type: ignore[arg-type]
    assert not cropzoom_threads()

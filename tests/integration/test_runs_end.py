"""Every combination of models, recordings, pace and boxes comes to its end, however little the ring holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.pipelines import Film, check_complete, hold_models, make_settings, run_to_end, tiny_models

CONTEXT = "heatmap_mhcrnn"
FRAMES = 40
SKIPPED_IN_RECORDING = "b" + "-" * 14 + "bb" + "-" * 9 + "s" + "-" * 8 + "bbbbb"
"""Per frame a box (b), none (s), or one that the live run skipped (-): windows longer than the ring."""


@pytest.fixture(autouse=True, scope="module")
def _files_written_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime_cropzoom.sinks.csv_writer._FLUSH_S", 0.01)
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, str]]:
    kinds = list(product(("heatmap", CONTEXT), repeat=2))
    return {
        (detector, pose): tiny_models(tmp_path_factory.mktemp("models"), detector=detector, pose=pose)
        for detector, pose in kinds
    }


def box_file(path: Path) -> Path:
    lines = [",x,y,h,w,box_frame,box_age_ms,state"]
    ends = {"b": "10,5,64,64,{},0.0,tracking", "s": ",,,,,,searching", "-": ",,,,,,"}
    lines += [f"{i},{ends[what].format(i)}" for i, what in enumerate(SKIPPED_IN_RECORDING)]
    path.write_text("\n".join(lines) + "\n")
    return path


def crops_of(folder: Path) -> pd.Series:
    table = pd.read_csv(folder / "film_crops_recording.csv", index_col=0, dtype={"dropped": "string"})
    return table["dropped"].fillna("recorded")


@pytest.mark.parametrize("pace", ["realtime", "fast"])
@pytest.mark.parametrize("record", ["none", "h264", "crops", "h264 crops"])
@pytest.mark.parametrize("pose", ["heatmap", CONTEXT])
@pytest.mark.parametrize("boxes", ["heatmap", CONTEXT, "passed over"])
def test_a_run_of_each_kind_ends(tmp_path: Path, models: Any, boxes: str, pose: str, record: str, pace: str) -> None:
    """``boxes`` are of a detector of this kind, or of a live run that passed frames over."""
    detector = "heatmap" if boxes == "passed over" else boxes
    chosen: dict[str, Any] = {"record": record.split()[0].replace("crops", "none"), "record_crops": "crops" in record}
    if boxes == "passed over":
        chosen["schedule"] = box_file(tmp_path / "film_bbox.csv")
    settings = make_settings(
        tmp_path, **models[detector, pose], pace=pace, max_lag=0, record_buffer=1, detector_every=3, **chosen
    )
    files = check_complete(run_to_end(settings, Film(FRAMES, 400)).folder)
    if pace == "fast" and "crops" in record:
        crops = crops_of(files.folder)
        assert list(crops[files.bbox["x"].notna()].unique()) == ["recorded"]
        assert set(crops[files.bbox["x"].isna()]) <= {"no_box"}


def test_recorded_crops_do_not_wait_for_late_poses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context model answers for a frame after the ring has forgotten it; its crop is recorded all the same."""
    hold_models(monkeypatch, pose=lambda call: time.sleep(0.5 if call == 0 else 0.0))
    settings = make_settings(
        tmp_path, **tiny_models(tmp_path / "m", pose=CONTEXT), record_crops=True, record_buffer=4, max_lag=2
    )
    files = check_complete(run_to_end(settings, Film(80, 100)).folder)
    crops = crops_of(files.folder)
    assert "skipped" in set(files.timing["outcome"])
    assert "too_slow" not in set(crops)

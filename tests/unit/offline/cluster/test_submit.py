"""What is checked before tasks are handed over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.offline.cluster import slurm
from realtime_cropzoom.offline.cluster.submit import Inputs, check_can_submit

pytest.importorskip("submitit", reason="the extra cluster is not installed")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="submitit needs POSIX")


def check(nodes: set[str], recording: str, out: Path, monkeypatch: pytest.MonkeyPatch, **chosen: Any) -> None:
    monkeypatch.setattr(slurm, "node_names", lambda: nodes)
    check_can_submit("slurm", Inputs([Path(recording)], out, Settings(**chosen)))


def test_a_place_that_other_nodes_do_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "private"))
    monkeypatch.setattr("realtime_cropzoom.offline.cluster.submit._OF_THIS_MACHINE", ("/dev/shm",))
    shared, private = tmp_path / "shared", tmp_path / "private"
    for folder in (shared, private):
        folder.mkdir()
        (folder / "model.onnx").touch()
    other = {"node1", os.uname().nodename}
    check(other, f"{shared}/a.mp4", shared, monkeypatch)
    for recording, out, model in (
        (f"{private}/a.mp4", shared, "shipped"),
        (f"{shared}/a.mp4", private / "new", "shipped"),
        (f"{shared}/a.mp4", shared, f"{private}/model.onnx"),
        ("/dev/shm/a.mp4", shared, "shipped"),
    ):
        with pytest.raises(ConfigError, match="only this machine sees, expected one that all nodes of the cluster see"):
            check(other, recording, out, monkeypatch, pose=model)
        check({os.uname().nodename}, recording, out, monkeypatch, pose=model)  # a cluster of this machine alone


def test_a_folder_whose_name_slurm_would_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="a % in its name, which SLURM replaces"):
        check({os.uname().nodename}, "a.mp4", tmp_path / "100%", monkeypatch)

"""One file with the network that runs, its weights and its manifest."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from support.described import MANIFEST, NAMES, write_bare, write_described

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.maker import Settings, Wanted
from realtime_cropzoom.inference.model_file import ModelFile, find_model
from realtime_cropzoom.inference.presence import Presence
from realtime_cropzoom.inference.self_describing import self_describing


def test_weights_beside_the_file_are_pulled_in(tmp_path: Path) -> None:
    proto = onnx.load(write_bare(tmp_path / "inside.onnx"))
    onnx.helper.set_model_props(proto, {"stride": "32"})
    path = tmp_path / "outside.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    settings = Settings(NAMES, (("decoder", "litpose_heatmaps"), ("crop_size", "48")))
    content = self_describing(find_model(path, Wanted(), settings), "a program")
    (tmp_path / "weights.bin").unlink()
    made = tmp_path / "made.onnx"
    made.write_bytes(content)
    found = find_model(made, Wanted()).manifest
    assert (found.keypoint_names, found.crop_size, found.maker) == (NAMES, 48, "custom")
    assert found.created_with == "a program"
    assert [entry.key for entry in onnx.load(made).metadata_props] == ["cropzoom"]


def test_the_network_that_runs_is_written(tmp_path: Path) -> None:
    path, other = write_described(tmp_path / "a.onnx"), write_bare(tmp_path / "b.onnx", poison=2.0)
    file = ModelFile(path, MANIFEST, "scorer", Presence(), network=other.read_bytes(), trained_side=33)
    written = onnx.load_from_string(self_describing(file, "a program"))
    assert written.graph.initializer[0].raw_data == onnx.load(other).graph.initializer[0].raw_data


def test_the_side_of_the_training_is_kept(tmp_path: Path) -> None:
    path = write_described(tmp_path / "a.onnx", crop_size=None)
    file = ModelFile(path, find_model(path, Wanted()).manifest, "scorer", Presence(), trained_side=33)
    made = tmp_path / "made.onnx"
    made.write_bytes(self_describing(file, "a program"))
    assert find_model(made, Wanted()).manifest.crop_size == 33


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    file = ModelFile(tmp_path / "missing.onnx", MANIFEST, "scorer", Presence())
    with pytest.raises(ModelError, match=r"missing.onnx cannot be loaded as an ONNX model"):
        self_describing(file, "a program")

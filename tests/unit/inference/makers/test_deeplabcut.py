"""DeepLabCut: its folders, and files that carry its facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from support.deeplabcut_models import NAMES, facts, network

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.export_deeplabcut import describe
from realtime_cropzoom.inference.makers.maker import Settings, Wanted
from realtime_cropzoom.inference.manifest import HeatmapOffsets, Scale
from realtime_cropzoom.inference.model_file import ModelFile, find_model

CONFIG = "pytorch_config.yaml"


def save(path: Path, **metadata: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(network(**metadata), str(path))
    return path


def found(path: Path, wanted: Wanted | None = None, names: tuple[str, ...] = ()) -> ModelFile:
    return find_model(path, wanted or Wanted(), Settings(names))


def folder(tmp_path: Path, *exports: str) -> Path:
    """The folder of a model, as DeepLabCut lays it out, with ONNX files beside the snapshots."""
    train = tmp_path / "openfield-shuffle1" / "train"
    train.mkdir(parents=True)
    (train / CONFIG).write_text("method: bu\n")
    (train / "snapshot-best-045.pt").touch()
    for name in exports:
        save(train / name, deeplabcut=facts())
    return train


def test_a_file_with_facts_is_described_by_them(tmp_path: Path) -> None:
    file = found(save(tmp_path / "a.onnx", deeplabcut=facts()))
    manifest = file.manifest
    assert manifest.keypoint_names == tuple(NAMES)
    assert (manifest.geometry, manifest.decoder) == (Scale(), HeatmapOffsets())
    assert (manifest.whole_frame, manifest.role, manifest.maker) == (True, None, "DeepLabCut")
    assert file.scorer == "DeepLabCut_resnet_50"


def test_a_manifest_counts_more_than_facts(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", deeplabcut="nonsense", cropzoom=describe(facts(bodyparts=["x", "y"])))
    assert found(path).manifest.keypoint_names == ("x", "y")


def test_names_that_the_user_gives_replace_those_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.onnx", deeplabcut=facts())
    assert found(path, names=("a", "b")).manifest.keypoint_names == ("a", "b")
    with pytest.raises(ModelError, match="has 2 keypoints, but 1 names were given"):
        found(path, names=("a",))


@pytest.mark.parametrize("place", ["", ".."])
def test_the_folder_of_a_model_gives_its_best_export(tmp_path: Path, place: str) -> None:
    train = folder(tmp_path, "snapshot-090.onnx", "snapshot-best-045.onnx", "snapshot-best-045_int8.onnx")
    file = found(train / place)
    assert file.onnx.name == "snapshot-best-045.onnx"
    assert file.chosen.endswith("has 2 exports; snapshot-best-045.onnx is taken")
    assert found(train, Wanted("int8")).onnx.name == "snapshot-best-045_int8.onnx"


def test_without_a_best_export_the_last_epoch_counts(tmp_path: Path) -> None:
    assert found(folder(tmp_path, "snapshot-9.onnx", "snapshot-10.onnx")).onnx.name == "snapshot-10.onnx"


def test_a_folder_without_an_export_names_the_command_that_makes_one(tmp_path: Path) -> None:
    train = folder(tmp_path)
    with pytest.raises(ModelError, match=f"without an ONNX file; run: cropzoom export-deeplabcut {train} --python"):
        found(train)
    save(train / "snapshot-9.onnx", deeplabcut=facts())
    with pytest.raises(ModelError, match=f"run: cropzoom quantize {train} --calibrate"):
        found(train, Wanted("int8"))


def test_a_project_names_its_models(tmp_path: Path) -> None:
    train = folder(tmp_path / "dlc-models-pytorch" / "iteration-0")
    (tmp_path / "config.yaml").write_text("Task: openfield\n")
    with pytest.raises(ModelError, match="is a project; expected the folder of one of its models") as error:
        found(tmp_path)
    assert str(train) in str(error.value)


def test_a_model_of_tensorflow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "pose_cfg.yaml").write_text("net_type: resnet_50\n")
    with pytest.raises(ModelError, match="is a model of DeepLabCut's TensorFlow engine"):
        found(tmp_path)


def test_an_export_of_someone_else_is_refused(tmp_path: Path) -> None:
    train = folder(tmp_path)
    save(train / "mine.onnx")
    with pytest.raises(ModelError, match="does not say what its outputs are"):
        found(train)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text", "is not valid"),
        ([1, 2], "is not valid"),
        ({}, "is not valid"),
        (facts(predictor=None), "is not valid"),
        (facts(bodyparts=["a", "a"]), "two keypoints have the name a"),
        (facts(bodyparts=[1, 2]), "manifest is not valid"),
        (facts(stride="8"), "manifest is not valid"),
        (facts(colormode="CMYK"), "manifest is not valid"),
        (facts(method="ctd"), "cannot be used: its method is 'ctd'"),
        (facts(net_type="x" * (1 << 20)), "is not valid"),
    ],
)
def test_facts_that_are_wrong_are_refused_in_one_line(tmp_path: Path, given: Any, expected: str) -> None:
    with pytest.raises(ModelError, match=expected) as error:
        found(save(tmp_path / "a.onnx", deeplabcut=given))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400

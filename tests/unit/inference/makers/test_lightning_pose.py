"""Model directories of Lightning Pose: which export counts, and what its configuration says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from support.models import onnx_model, tiny_manifest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.lightning_pose import MAKER
from realtime_cropzoom.inference.makers.maker import Described, Precision, Settings, Wanted
from realtime_cropzoom.inference.manifest import Coordinates, LitposeHeatmaps, Stretch
from realtime_cropzoom.inference.onnx_file import read_onnx_file

Make = Callable[..., Path]


def described(folder: Path) -> Described:
    choice = MAKER.find(folder, Wanted())
    assert choice is not None
    found = MAKER.read(read_onnx_file(choice.onnx), folder, Settings())
    assert found is not None
    return found


def change(folder: Path, **data: Any) -> None:
    """Change entries of the section ``data`` of the configuration; None deletes one."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"] = {name: value for name, value in {**config["data"], **data}.items() if value is not None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("exports", "precision", "on_gpu", "chosen"),
    [
        pytest.param(["a_fp16", "a_fp32"], None, False, "a_fp32", id="on the CPU fp32"),
        pytest.param(["a_fp32", "a_fp16"], None, False, "a_fp32", id="even where fp16 is newer"),
        pytest.param(["a_fp16", "a_fp32"], None, True, "a_fp16", id="on a GPU fp16"),
        pytest.param(["a_fp16", "a_fp32"], "fp32", True, "a_fp32", id="as asked for, on a GPU"),
        pytest.param(["a_fp16", "a_fp32"], "fp16", False, "a_fp16", id="as asked for, on the CPU"),
        pytest.param(["a_fp16"], None, False, "a_fp16", id="the only one there is, on the CPU"),
        pytest.param(["a_fp32"], None, True, "a_fp32", id="the only one there is, on a GPU"),
        pytest.param(["b_fp32", "a_fp32"], None, False, "b_fp32", id="of two the last by name, not by its time"),
        pytest.param(
            ["epoch=10-step=5_fp32", "epoch=9-step=7_fp32"], None, False, "epoch=10-step=5_fp32", id="the last epoch"
        ),
        pytest.param(
            ["epoch=1-step=2-best_fp32", "epoch=9-step=9_fp32"], None, False, "epoch=1-step=2-best_fp32", id="the best"
        ),
    ],
)
def test_which_export_counts(
    exports: list[str], precision: Precision | None, on_gpu: bool, chosen: str, make_litpose_directory: Make
) -> None:
    directory = make_litpose_directory(exports=exports)
    found = MAKER.find(directory, Wanted(precision, on_gpu))
    assert found is not None
    assert found.onnx.stem == chosen
    assert bool(found.note) == (len([path for path in exports if path[-4:] == chosen[-4:]]) > 1)


def test_another_folder_and_a_single_file_are_of_another_maker(make_model: Make, tmp_path: Path) -> None:
    assert MAKER.find(tmp_path, Wanted()) is None
    file = read_onnx_file(make_model())
    assert MAKER.read(file, None, Settings()) is None
    assert MAKER.read(file, tmp_path, Settings()) is None


@pytest.mark.parametrize(
    ("kind", "decoder"),
    [
        ("heatmap", LitposeHeatmaps(2)),
        ("heatmap_mhcrnn", LitposeHeatmaps(2, context=True)),
        ("regression", Coordinates()),
    ],
)
def test_the_configuration_becomes_a_manifest(kind: str, decoder: object, make_litpose_directory: Make) -> None:
    folder = make_litpose_directory(model_type=kind, network={"kind": kind})
    found = described(folder)
    manifest = found.manifest
    assert (manifest.maker, manifest.kind, manifest.decoder, manifest.geometry) == (
        "Lightning Pose", kind, decoder, Stretch()
    )  # fmt: skip
    assert (manifest.input.size, manifest.input.channels, manifest.role) == ((64, 64), "rgb", None)
    assert (found.scorer, found.network, found.trained_side) == (f"{kind}_tracker", None, None)


def test_the_list_of_names_of_the_older_app_is_read_where_the_other_is_missing(make_litpose_directory: Make) -> None:
    folder = make_litpose_directory(keypoints=["a", "b"])
    change(folder, keypoints=["x", "y"])
    assert described(folder).manifest.keypoint_names == ("a", "b")
    change(folder, keypoint_names=None, keypoints=["x", "y"])
    assert described(folder).manifest.keypoint_names == ("x", "y")


def test_a_model_of_the_detectors_crops_is_a_pose_model(make_litpose_directory: Make) -> None:
    folder = make_litpose_directory()
    change(folder, data_dir="/data/detector/image_preds/cropped_images")
    assert described(folder).manifest.role == "pose"


def test_an_export_of_cropzoom_train_adds_what_the_configuration_does_not_say(make_litpose_directory: Make) -> None:
    """The keypoints may have been renamed in the configuration since."""
    folder = make_litpose_directory(keypoints=["a", "b"])
    presence = {"min_likelihood": 0.3, "min_sharpness": 0.5, "share": 0.5, "distances": [["x", "y", 0.1, 0.2]]}
    manifest = tiny_manifest("detector", ["x", "y"], crop_size=88, presence=presence)
    onnx.save(onnx_model(keypoints=("x", "y"), manifest=manifest), folder / "exports_onnx/epoch=1-step=2_fp32.onnx")
    found = described(folder).manifest
    assert (found.keypoint_names, found.role, found.crop_size) == (("a", "b"), "detector", 88)
    assert found.presence == {**presence, "distances": [["a", "b", 0.1, 0.2]]}


def test_names_that_the_user_gives_replace_those_of_the_configuration(make_litpose_directory: Make) -> None:
    folder = make_litpose_directory()
    choice = MAKER.find(folder, Wanted())
    assert choice is not None
    file = read_onnx_file(choice.onnx)
    found = MAKER.read(file, folder, Settings(("nose", "tail", "paw")))
    assert found is not None
    assert found.manifest.keypoint_names == ("nose", "tail", "paw")
    with pytest.raises(ModelError, match=r"has 3 keypoints, but 2 names were given"):
        MAKER.read(file, folder, Settings(("nose", "tail")))

"""Exports of SLEAP: what the file says becomes a manifest, and the network inside runs by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.sleap_models import CONFIG, NAMES, SIDE, write_export

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.makers.maker import Described, Settings, Wanted
from realtime_cropzoom.inference.makers.sleap import MAKER
from realtime_cropzoom.inference.makers.sleap_training import Training, read_training
from realtime_cropzoom.inference.manifest import ConfidenceMaps, GridPeaks, Input, Letterbox, Role, Scale
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_file import find_model
from realtime_cropzoom.inference.onnx_file import read_onnx_file
from realtime_cropzoom.types import Box, UInt8

SPOT = (70.0, 41.0)
"""Where the bright spot is, as the keypoint ``nose``: the first pixel of its cell, since SLEAP has no half pixels."""


def read(folder: Path, *names: str, role: Role | None = None) -> Described:
    described = MAKER.read(read_onnx_file(folder / "model.onnx"), folder, Settings(names, role=role))
    assert described is not None
    return described


def refusal(folder: Path, *names: str) -> str:
    with pytest.raises(ModelError) as caught:
        read(folder, *names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def picture(width: int = 128, height: int = 96, x: int = 70, y: int = 40) -> UInt8:
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + 4, x : x + 4] = 255
    return image


def test_a_centroid_model_is_a_detector(tmp_path: Path) -> None:
    described = read(write_export(tmp_path / "m", "centroid", scale=0.5))
    manifest = described.manifest
    assert (manifest.maker, manifest.maker_version, manifest.kind) == ("SLEAP", "0.3.5", "centroid")
    assert (manifest.role, manifest.whole_frame, manifest.keypoint_names) == ("detector", True, ("centroid",))
    assert manifest.input == Input(channels="gray")
    assert manifest.geometry == Scale(0.5, 8)
    assert manifest.decoder == ConfidenceMaps(stride=2, threshold=0.2)
    assert described.network is not None


def test_the_keypoint_of_a_centroid_model_is_its_anchor(tmp_path: Path) -> None:
    manifest = read(write_export(tmp_path / "m", "centroid", anchor_part="tail")).manifest
    assert (manifest.keypoint_names, manifest.anchor) == (("tail",), "tail")


def test_a_model_of_crops_is_a_pose_model_with_the_corner_as_sleap_cuts_it(tmp_path: Path) -> None:
    manifest = read(write_export(tmp_path / "m", "centered_instance")).manifest
    assert (manifest.role, manifest.whole_frame, manifest.keypoint_names) == ("pose", False, NAMES)
    assert (manifest.crop_size, manifest.unrounded, manifest.skeleton) == (SIDE, True, ((0, 1),))
    assert manifest.assumed == ()


def test_a_model_of_one_animal_has_any_role_and_sees_whole_frames(tmp_path: Path) -> None:
    manifest = read(write_export(tmp_path / "m", "single_instance", channels=3)).manifest
    assert (manifest.role, manifest.whole_frame, manifest.crop_size, manifest.unrounded) == (None, True, None, False)
    assert manifest.input == Input(channels="rgb")
    assert manifest.assumed == ("frames larger or smaller than 128x96, those of its training, keep their size",)


@pytest.mark.parametrize("frame", [(128, 96), (201, 149)], ids=["as exported", "another size"])
@pytest.mark.parametrize(("scale", "channels"), [(1.0, 1), (0.5, 1), (1.0, 3), (0.5, 3)])
def test_a_spot_is_found_where_it_is_in_frames_of_any_size(
    tmp_path: Path, scale: float, channels: int, frame: tuple[int, int]
) -> None:
    model = Model(write_export(tmp_path / "m", "single_instance", scale=scale, channels=channels))
    image = picture(*frame)
    found = model.predict_still(image, whole_image(image))
    wanted = (71, 41) if scale == 1 else (70, 40)  # two by two cells of equal height, or one
    np.testing.assert_allclose(found.xy, [wanted, (wanted[0] + 2 / scale, wanted[1])], atol=0.6)
    assert found.likelihood[0] == pytest.approx(found.likelihood[1])
    assert found.likelihood[0] > 0.4


@pytest.mark.parametrize("role", ["detector", "pose", None])
def test_a_combined_file_is_two_networks_or_one_model(tmp_path: Path, role: Role | None) -> None:
    described = read(write_export(tmp_path / "m", "topdown", scale=0.5), role=role)
    manifest = described.manifest
    expected: dict[Role | None, tuple[Any, ...]] = {
        "detector": ("centroid", "detector", ("centroid",), Scale(0.5, 8), None, False),
        "pose": ("centered_instance", "pose", NAMES, Scale(1.0, 8), SIDE, True),
        None: ("topdown", None, NAMES, Letterbox(0, "top_left"), None, False),
    }
    found = (manifest.kind, manifest.role, manifest.keypoint_names, manifest.geometry, manifest.crop_size)
    assert (*found, manifest.unrounded) == expected[role]
    assert (described.network is None) == (role is None)
    assert described.has_detector == (role == "pose")
    if role is None:
        assert manifest.input.size == (128, 96)
        assert manifest.decoder == GridPeaks(2, 0.2, several=True)
        assert "as detector and as pose model, refined ones" in manifest.assumed[0]


def test_both_networks_of_a_combined_file_find_the_spot(tmp_path: Path) -> None:
    folder, image = write_export(tmp_path / "m", "topdown"), picture()
    detector, pose = Model(folder, "detector"), Model(folder, "pose")
    box = BoxRule(SIDE, unrounded=True).box(detector.predict_still(image, whole_image(image)))
    assert box == Box(71 - SIDE / 2 + 0.5, 41 - SIDE / 2 + 0.5, SIDE, SIDE)
    found = pose.predict_still(image, box)
    np.testing.assert_allclose(found.xy, [[71.5, 41.5], [73.5, 41.5]], atol=0.3)


def test_a_combined_file_as_one_model_takes_the_slot_with_an_animal(tmp_path: Path) -> None:
    model = Model(write_export(tmp_path / "m", "topdown"))
    image = picture(x=60, y=44)
    found = model.predict_still(image, whole_image(image))
    np.testing.assert_allclose(found.xy, [[60, 44], [62, 44]])
    assert found.likelihood == pytest.approx([1, 1], abs=0.01)


@pytest.mark.parametrize("kind", ["centroid", "centered_instance", "single_instance"])
def test_a_file_whose_maps_cannot_be_taken_out_gives_its_own_peaks(tmp_path: Path, kind: str) -> None:
    folder = write_export(tmp_path / "m", kind, last="Sigmoid")
    manifest, image = read(folder).manifest, picture(x=70, y=40)
    assert manifest.decoder == GridPeaks(2, 0.2, several=kind == "centroid")
    assert manifest.assumed[0].startswith("keypoints lie on a grid of 2 px, as the file gives them")
    assert read(folder).network is None
    found = Model(folder).predict_still(image, whole_image(image))
    assert found.xy[0].tolist() == [70, 40]


def test_such_a_file_with_a_scale_has_the_size_of_its_export(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "m", "single_instance", scale=0.5, last="Sigmoid")
    manifest = read(folder).manifest
    assert (manifest.input.size, manifest.geometry) == ((128, 96), Letterbox(0, "top_left"))
    assert "the file is right for images of 128x96 only; others are fitted into that size" in manifest.assumed
    image = picture(256, 192, x=140, y=80)
    np.testing.assert_allclose(Model(folder).predict_still(image, whole_image(image)).xy[0], [136, 80], atol=8)


def test_what_older_files_lack_is_assumed(tmp_path: Path) -> None:
    """sleap-nn 0.3.3 has no ``centroid_method``; before, there was no ``anchor_part`` and no threshold."""
    folder = write_export(
        tmp_path / "m", "centroid", config=None, anchor_part=None, peak_threshold=None, sleap_nn_version="0.3.3",
        normalization=None, input_scale=None, input_channels=None, crop_size=None,
    )  # fmt: skip
    described = read(folder)
    assert described.network is not None
    assert described.manifest.decoder == ConfidenceMaps(stride=2, threshold=0.2)
    assert described.manifest.geometry == Scale(1.0, 32)
    assert described.manifest.assumed == (
        "the file does not say its max_stride: images are padded to a multiple of 32 px",
    )


def test_the_description_may_lie_beside_the_file(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "m", "centered_instance")
    inside = read(folder)
    proto = onnx.load(folder / "model.onnx")
    del proto.metadata_props[:]
    onnx.save(proto, folder / "model.onnx")
    assert read(folder).manifest.keypoint_names == inside.manifest.keypoint_names
    (folder / "export_metadata.json").unlink()
    assert MAKER.read(read_onnx_file(folder / "model.onnx"), folder, Settings()) is None


def test_a_folder_and_its_file_are_the_same_model(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "m", "centroid")
    one, other = find_model(folder, Wanted()), find_model(folder / "model.onnx", Wanted())
    assert one == other
    assert one.scorer == "SLEAP_centroid"


def test_keypoints_may_be_renamed(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "m", "centered_instance")
    assert read(folder, "a", "b").manifest.keypoint_names == ("a", "b")
    assert refusal(folder, "a").endswith("model.onnx has 2 keypoints, but 1 names were given")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"model_type": "bottomup"}, "is a 'bottomup' model of SLEAP; expected centroid, centered_instance, "),
        ({"model_type": 3}, "its SLEAP metadata is not valid ('Expected `str`, got `int` - at `$.model_type`')"),
        ({"node_names": ["a", "a"]}, "two keypoints have the name a"),
        ({"node_names": []}, "Expected `array` of length >= 1 - at `$.node_names`"),
        ({"node_names": "ab"}, "its SLEAP metadata is not valid"),
        ({"output_stride": 0}, "has input_scale 1 and output_stride 0; expected a scale above 0"),
        ({"input_scale": -1}, "has input_scale -1 and output_stride 2; expected a scale above 0"),
        ({"input_channels": 4}, "takes 4 channels, normalised as '0_to_1'; expected 1 or 3 channels"),
        ({"normalization": "imagenet"}, "takes 1 channel, normalised as 'imagenet'; expected 1 or 3 channels"),
        ({"crop_size": [99999, 99999]}, "crop_size is 99999; expected 1 to 8192 pixels"),
        ({"edge_inds": [[0, 7]]}, "its skeleton joins a keypoint that is not there"),
    ],
)
def test_a_description_that_cannot_be_is_refused_in_one_line(
    tmp_path: Path, changed: dict[str, Any], problem: str
) -> None:
    folder = write_export(tmp_path / "m", "centered_instance")
    proto = onnx.load(folder / "model.onnx")
    entries = json.loads(proto.metadata_props[0].value) | changed
    onnx.helper.set_model_props(proto, {"sleap_nn_metadata": json.dumps(entries)})
    onnx.save(proto, folder / "model.onnx")
    assert problem in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"model_type": "centroid"}', "x" * 2_000_000, "[" * 100_000])
def test_a_description_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    folder = write_export(tmp_path / "m", "centroid")
    proto = onnx.load(folder / "model.onnx")
    onnx.helper.set_model_props(proto, {"sleap_nn_metadata": text})
    onnx.save(proto, folder / "model.onnx")
    assert "its SLEAP metadata is not valid" in refusal(folder)


def test_maps_of_another_stride_than_the_description_says_are_refused(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "m", "centroid", output_stride=4)
    with pytest.raises(ModelError, match="gives an output of shape"):
        Model(folder)


@pytest.mark.parametrize(
    ("kept", "problem"),
    [
        ("export_metadata.json", "has no model.onnx; run: sleap-nn export MODEL_FOLDER -o NEW_FOLDER -f onnx"),
        ("training_config.yaml", "has no model.onnx; run: sleap-nn export {folder} -o NEW_FOLDER -f onnx"),
    ],
    ids=["export without its file", "training"],
)
def test_a_folder_without_the_file_is_refused_with_the_command_that_makes_it(
    tmp_path: Path, kept: str, problem: str
) -> None:
    (tmp_path / kept).write_text("{}")
    with pytest.raises(ModelError) as caught:
        MAKER.find(tmp_path, Wanted())
    assert problem.format(folder=tmp_path) in str(caught.value)


def test_other_precisions_are_refused(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "m", "centroid")
    for precision in ("fp16", "int8"):
        with pytest.raises(ModelError, match=rf"has no {precision} export, only model\.onnx, which is fp32"):
            MAKER.find(folder, Wanted(precision))
    assert MAKER.find(tmp_path, Wanted()) is None


@pytest.mark.parametrize("kind", ["centroid", "single_instance", "topdown"])
def test_a_graph_that_is_none_is_read_without_a_failure(tmp_path: Path, kind: str) -> None:
    """Nothing of the graph is believed: the maker describes the file, or refuses it in one line."""
    folder = write_export(tmp_path / "m", kind, scale=0.5)
    whole = (folder / "model.onnx").read_bytes()
    count = len(onnx.load_from_string(whole).graph.node)
    for number in range(count):
        for spoil in ("input", "output", "loop", "values"):
            proto = onnx.load_from_string(whole)
            node = proto.graph.node[number]
            if spoil == "loop" and node.input and node.output:
                node.input[0] = node.output[0]
            elif spoil == "values" and number < len(proto.graph.initializer):
                proto.graph.initializer[number].raw_data = b"1"
            else:
                node.ClearField("input" if spoil == "input" else "output")
            onnx.save(proto, folder / "model.onnx")
            roles: tuple[Role | None, ...] = ("detector", "pose", None) if kind == "topdown" else (None,)
            for role in roles:
                assert read(folder, role=role).manifest.maker == "SLEAP"


def test_a_configuration_says_what_the_description_leaves_out() -> None:
    expected = Training(max_stride=8, output_stride=2, max_size=(128, 96), edges=(("nose", "tail"),))
    assert read_training(CONFIG, "centroid") == expected
    assert read_training(json.dumps({"centroid": CONFIG}), "centroid", part="centroid") == expected
    assert expected.skeleton(["tail", "nose"]) == ((1, 0),)
    assert expected.skeleton(["nose"]) == ()
    tiled = "data_config: {preprocessing: {tiling: {enabled: true}}}"
    assert read_training(tiled, "centroid") == Training(tiled=True)


@pytest.mark.parametrize(
    "text", ["", "[1, 2", "3", "data_config: [1]", "model_config: {backbone_config: {unet: {max_stride: -1}}}"]
)
def test_a_configuration_that_cannot_be_read_says_nothing(text: str) -> None:
    assert read_training(text, "centroid") == Training()
    assert read_training(text, "centroid", part="centroid") == Training()

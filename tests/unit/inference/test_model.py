"""A model on disk: found, checked against what it says of itself, and refused in words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.models import tiny_manifest
from support.rights import without_rights

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import ConfidenceMaps, Input, LitposeHeatmaps, Manifest, Scale
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.inference.normalise import IMAGENET
from realtime_cropzoom.types import Box, Keypoints

Make = Callable[..., Path]


def refusal(path: Path, role: str = "pose", **options: object) -> str:
    """Load a model that must be refused, and return the one line that says why."""
    with pytest.raises(ModelError) as caught:
        Model(path, role, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def spot(x: float, y: float, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """A gray frame with one bright spot."""
    cols, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    image = 60 + 195 * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * 5.0**2))
    return np.repeat(image[..., None].round().astype(np.uint8), 3, axis=2)


def look(model: Model, image: np.ndarray, box: Box) -> Keypoints:
    model_input = model.new_input()
    used = model.prepare(image, box, "pad", model_input)
    return model.decode(model.infer(model_input), used)


@pytest.mark.parametrize("method", ["fast", "reference"])
@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box(0, 0, 160, 120), id="the whole frame"),
        pytest.param(Box(60, 30, 64, 64), id="a box as large as the input"),
        pytest.param(Box(50, 20, 100, 100), id="a larger box"),
        pytest.param(Box(80, 40, 200, 100), id="a box over the edge"),
    ],
)
def test_pixels_in_keypoints_in_frame_space_out(box: Box, method: str, make_model: Make) -> None:
    model = Model(make_model("pose", ["middle", "right"]), "pose", method=method)  # type: ignore[arg-type]
    found = look(model, spot(100, 70), box)
    pixel = np.array([box.w, box.h]) / 64  # frame pixels a model pixel: the tiny network is good for about two
    assert np.abs(found.xy[0] - [100, 70]).tolist() < (2.5 * pixel).tolist()
    assert found.xy[1] - found.xy[0] == pytest.approx([4 * pixel[0], 0], abs=0.6 * pixel.max())
    assert (found.likelihood > 0.5).all()


def test_the_manifest_says_what_the_model_is(make_model: Make) -> None:
    model = Model(make_model("detector", ["a", "b"], described={"crop_size": 96}), "detector")
    assert model.keypoint_names == ("a", "b")
    assert model.trained_crop_size == 96
    assert model.size == (64, 64)
    assert model.file.scorer == "cropzoom_tracker"


def test_a_model_that_does_not_say_its_crop_size_has_none(make_model: Make) -> None:
    assert Model(make_model(), "pose").trained_crop_size is None


def test_a_model_without_a_role_may_be_either(make_model: Make) -> None:
    path = make_model(described={"role": None})
    assert Model(path, "detector").keypoint_names == Model(path, "pose").keypoint_names


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_every_downsample_factor_is_decoded_to_the_same_place(levels: int, make_model: Make) -> None:
    model = Model(make_model("pose", ["middle"], levels=levels), "pose")
    found = look(model, spot(100, 70), Box(68, 38, 64, 64))
    assert found.xy[0] == pytest.approx([100, 70], abs=2.5)


def test_an_input_that_is_not_square_has_its_width_and_height_in_place(make_model: Make) -> None:
    model = Model(make_model("pose", ["middle"], size=(96, 64)), "pose")
    assert model.size == (96, 64)
    assert look(model, spot(100, 70), Box(40, 30, 96, 64)).xy[0] == pytest.approx([100, 70], abs=2.5)


def test_an_image_size_that_the_network_leaves_open_is_that_of_the_manifest(make_model: Make) -> None:
    model = Model(make_model("pose", ["middle"], input_shape=(1, 3, "h", "w")), "pose")
    assert model.size == (64, 64)
    assert look(model, spot(100, 70), Box(68, 38, 64, 64)).xy[0] == pytest.approx([100, 70], abs=2.5)


def test_an_open_batch_size_is_fine(make_model: Make) -> None:
    assert Model(make_model(input_shape=("N", 3, 64, 64)), "pose").size == (64, 64)


def test_half_precision_input_is_fed_as_such(make_model: Make) -> None:
    model = Model(make_model("pose", ["middle"], input_type=TensorProto.FLOAT16), "pose")
    assert look(model, spot(100, 70), Box(68, 38, 64, 64)).xy[0] == pytest.approx([100, 70], abs=2.5)


def test_the_hash_is_of_the_file_and_of_the_weights_beside_it(make_model: Make) -> None:
    path = make_model()
    alone = Model(path, "pose").sha256
    path.with_name(path.name + ".data").write_bytes(b"weights")
    assert Model(path, "pose").sha256 != alone


@pytest.mark.parametrize("role", ["detector", "pose"])
def test_the_shipped_models_load(role: str) -> None:
    model = Model(shipped_model(role), role)  # type: ignore[arg-type]
    assert len(model.keypoint_names) > 1


def test_a_litpose_directory_says_its_names_and_scorer(make_litpose_directory: Make) -> None:
    model = Model(make_litpose_directory(keypoints=["snout", "tail"]), "pose")
    assert model.keypoint_names == ("snout", "tail")
    assert model.file.scorer == "heatmap_tracker"
    assert model.trained_crop_size is None


def test_a_directory_that_was_never_exported_says_the_command(make_litpose_directory: Make) -> None:
    directory = make_litpose_directory(exports=())
    expected = f"run: litpose export {directory} --runtime onnx --onnx-precision fp32"
    assert expected in refusal(directory)


def test_a_missing_precision_says_what_there_is_and_the_command(make_litpose_directory: Make) -> None:
    directory = make_litpose_directory(exports=["best_fp32"])
    text = refusal(directory, precision="fp16")
    assert "no fp16 export, only best_fp32.onnx" in text
    assert f"litpose export {directory} --runtime onnx --onnx-precision fp16" in text


def test_a_folder_that_is_not_a_model_directory_is_refused(tmp_path: Path) -> None:
    assert "is no model folder; expected one with" in refusal(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("hello", id="text"),
        pytest.param("data: [", id="not YAML"),
        pytest.param("data: {keypoint_names: [a]}\nmodel: {model_type: heatmap}\n", id="no image size"),
        pytest.param("data: {keypoint_names: 3, image_resize_dims: {width: 1, height: 1}}\nmodel: {}\n", id="no names"),
    ],
)
def test_an_invalid_config_is_refused(text: str, make_litpose_directory: Make) -> None:
    directory = make_litpose_directory()
    (directory / "config.yaml").write_text(text)
    assert "is not a Lightning Pose config" in refusal(directory)


def test_a_kind_of_model_that_cannot_be_run_is_named(make_litpose_directory: Make) -> None:
    assert "no_such_kind" in refusal(make_litpose_directory(model_type="no_such_kind"))


def test_an_export_of_another_size_than_the_config_is_refused(make_litpose_directory: Make) -> None:
    assert "takes 64x64 images, but its config says 128x64" in refusal(make_litpose_directory(size=(128, 64)))


def test_weights_missing_beside_the_export_are_a_model_error(make_litpose_directory: Make) -> None:
    directory = make_litpose_directory()
    (path,) = directory.glob("exports_onnx/*.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location=path.name + ".data", size_threshold=100)
    assert Model(directory, "pose").size == (64, 64)
    path.with_name(path.name + ".data").unlink()
    assert f"keeps its weights in {path.name}.data, which is not beside it" in refusal(directory)


def test_real_litpose_directories_load(litpose: Path) -> None:
    model = Model(litpose / "detector_0", "detector")
    assert model.keypoint_names == ("snout", "leftear", "rightear", "tailbase")
    assert model.size == (256, 256)


def test_a_missing_model_is_named_with_its_role(tmp_path: Path) -> None:
    assert f"no detector model at {tmp_path / 'nowhere'}" in refusal(tmp_path / "nowhere", "detector")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"this is not a model\n", id="text"),
        pytest.param(b"", id="empty"),
        pytest.param(bytes(range(256)) * 4, id="binary rubbish"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", id="a Git LFS pointer"),
    ],
)
def test_a_file_that_is_not_onnx_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert f"{path} cannot be loaded as an ONNX model" in refusal(path)


def test_a_model_that_is_cut_off_is_refused(make_model: Make) -> None:
    path = make_model()
    path.write_bytes(path.read_bytes()[:-300])
    refusal(path)


def test_a_model_without_our_metadata_says_what_to_give(
    make_onnx: Callable[..., onnx.ModelProto], tmp_path: Path
) -> None:
    onnx.save(make_onnx(), tmp_path / "bare.onnx")
    assert "bare.onnx carries no cropzoom metadata, and is not a file of DeepLabCut, Lightning Pose" in refusal(
        tmp_path / "bare.onnx"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param("not JSON", id="not JSON"),
        pytest.param('{"maker": "cropzoom"}', id="no names"),
        pytest.param('{"keypoint_names": ["a"], "downsample_factor": 2}', id="as earlier versions wrote it"),
        pytest.param('["a"]', id="a list"),
    ],
)
def test_an_invalid_manifest_is_refused(metadata: str, make_model: Make) -> None:
    path = make_model()
    spoken = onnx.load(path)
    spoken.metadata_props[0].value = metadata
    onnx.save(spoken, path)
    assert f"{path}: its manifest is not valid: " in refusal(path)


@pytest.mark.parametrize(("made_for", "given_as"), [("pose", "detector"), ("detector", "pose")])
def test_swapped_models_are_noticed(made_for: str, given_as: str, make_model: Make) -> None:
    text = refusal(make_model(made_for), given_as)
    assert f"is a {made_for} model, but was given as the {given_as}; swap --detector and --pose" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"input_shape": (4, 3, 64, 64)}, "takes batches of 4", id="a fixed batch"),
        pytest.param({"described": {"input": IMAGENET}}, "leaves its image size open", id="an open size"),
        pytest.param({"input_type": TensorProto.DOUBLE}, r"tensor\(double\)", id="an input of another type"),
        pytest.param({"described": {"keypoint_names": ("a", "b")}}, "2 keypoints", id="fewer names than maps"),
        pytest.param({"described": {"keypoint_names": tuple("abcde")}}, "5 keypoints", id="more names than maps"),
        pytest.param({"described": {"decoder": LitposeHeatmaps(3)}}, r"gives \(N, 3, 8, 8\)", id="other maps"),
        pytest.param({"described": {"decoder": LitposeHeatmaps(5)}}, "expected 1, 2 or 3", id="a factor there is not"),
        pytest.param({"described": {"decoder": LitposeHeatmaps(0)}}, "expected 1, 2 or 3", id="no factor"),
    ],
)
def test_a_model_of_the_wrong_shape_is_refused(options: dict[str, object], says: str, make_model: Make) -> None:
    path = make_model("pose", **options)
    with pytest.raises(ModelError, match=says):
        Model(path, "pose")


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        pytest.param([("images", (1, 1, 64, 64))], "takes one image (N, 3, 64, 64)", id="gray"),
        pytest.param([("images", (3, 64, 64))], "takes one image (N, 3, 64, 64)", id="no batch"),
        pytest.param([("images", (1, 3, 64, 64)), ("mask", (1, 3, 64, 64))], "2 inputs (images, mask)", id="two"),
    ],
)
def test_a_network_that_takes_something_else_is_refused(
    inputs: list[tuple[str, tuple[int, ...]]], says: str, tmp_path: Path
) -> None:
    values = [onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    output = onnx.helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, inputs[0][1])
    nodes = [onnx.helper.make_node("Sum", [name for name, _ in inputs], ["heatmaps"])]
    graph = onnx.helper.make_graph(nodes, "other", values, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(model, {"cropzoom": tiny_manifest("pose", ["a"]).to_json()})
    onnx.save(model, tmp_path / "other.onnx")
    assert says in refusal(tmp_path / "other.onnx")


def test_weights_that_are_no_numbers_are_refused_before_the_first_frame(make_model: Make) -> None:
    assert "not finite on a black image" in refusal(make_model(poison=np.nan))


def test_a_provider_that_is_not_installed_is_refused_and_never_replaced(make_model: Make) -> None:
    import onnxruntime

    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has TensorRT")
    text = refusal(make_model(), provider="tensorrt")
    assert "provider tensorrt was asked for" in text
    assert "--provider cpu" in text


def test_prepare_gives_the_view_that_the_pixels_really_show(make_model: Make) -> None:
    model = Model(make_model(), "pose")
    box, size = Box(-20, -20, 60, 60), (64, 64)
    assert model.prepare(spot(10, 10), box, "clamp", model.new_input()) == View.of(Box(0, 0, 40, 40), size)
    assert model.prepare(spot(10, 10), box, "pad", model.new_input()) == View.of(box, size)


def test_what_a_model_sees_depends_on_nothing_but_the_pixels(make_model: Make) -> None:
    """The input is one buffer, used again and again: nothing of an earlier frame may stay in it."""
    model = Model(make_model("pose", ["middle"]), "pose")
    first = look(model, spot(100, 70), Box(68, 38, 64, 64))
    look(model, cv2.flip(spot(100, 70), 1), Box(-30, -30, 64, 64))
    again = look(model, spot(100, 70), Box(68, 38, 64, 64))
    assert np.array_equal(first.xy, again.xy)
    assert np.array_equal(first.likelihood, again.likelihood)


def test_a_model_loads_from_a_path_with_unusual_letters(make_model: Make, tmp_path: Path) -> None:
    folder = tmp_path / "Mäuse & Co (1)"
    folder.mkdir()
    assert Model(Path(shutil.move(make_model(), folder)), "pose").size == (64, 64)


def test_an_onnx_that_may_not_be_read_is_a_model_error(make_model: Make) -> None:
    path = make_model()
    path.chmod(0)
    assert "Permission denied" in without_rights(lambda: refusal(path))


def of_one_size(path: Path) -> Path:
    """Write a network that leaves its size open, but takes multiples of 64 only."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", c, "h", "w"]) for n, c in (("i", 3), ("o", 3))]
    weights = numpy_helper.from_array(np.ones((3, 3, 64, 64), np.float32), "weights")
    scales = numpy_helper.from_array(np.array([1, 1, 64, 64], np.float32), "scales")
    nodes = [
        helper.make_node("Conv", ["i", "weights"], ["small"], strides=[64, 64]),
        helper.make_node("Resize", ["small", "", "scales"], ["large"]),
        helper.make_node("Add", ["i", "large"], ["o"]),
    ]
    graph = helper.make_graph(nodes, "add", values[:1], values[1:], [weights, scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    described = Manifest("A lab", ("a", "b", "c"), Input(), Scale(), ConfidenceMaps(1.0), whole_frame=True)
    model.metadata_props.add(key="cropzoom", value=described.to_json())
    onnx.save(model, path)
    return path


def test_a_network_that_cannot_run_at_a_size_it_leaves_open_is_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refusal(of_one_size(tmp_path / "m.onnx"))
    assert "m.onnx cannot run on an input of shape (1, 3, 480, 640): Non-zero status code" in line
    assert len(line) < 500
    assert capfd.readouterr().err == ""


def test_weights_that_are_cut_short_are_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = of_one_size(tmp_path / "m.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.onnx.data", size_threshold=1024)
    (tmp_path / "m.onnx.data").write_bytes(bytes(1000))
    line = refusal(path)
    assert "m.onnx keeps its weights in m.onnx.data, which is cut short; copy both files again" in line
    assert capfd.readouterr().err == ""

"""Ultralytics: what a file says of itself, and what is refused. No file of Ultralytics is needed for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.linear_network import linear_network

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.makers import ultralytics
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.makers.names import COCO
from realtime_cropzoom.inference.manifest import Letterbox, Rows, check_manifest
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.onnx_file import OnnxFile, Tensor
from realtime_cropzoom.types import Box

NAMES = ("nose", "back", "tail")
SIDE = 256
ROW = [100, 120, 40, 20, 0.9, 90, 120, 0.8, 100, 121, 0.7, 119, 122, 0.6]
"""A raw row: box as centre and size, score, three keypoints with their visibility."""


def said(**changed: str | None) -> dict[str, str]:
    metadata = {
        "author": "Ultralytics",
        "version": "8.4.190",
        "license": "AGPL-3.0 License",
        "task": "pose",
        "stride": "32",
        "channels": "3",
        "imgsz": "[256, 256]",
        "names": "{0: 'mouse'}",
        "kpt_shape": "[3, 3]",
        "kpt_names": "{0: ['nose', 'back', 'tail']}",
        "end2end": "False",
        "args": "{'nms': None, 'dynamic': False}",
    }
    return {key: value for key, value in {**metadata, **changed}.items() if value is not None}


def yolo(folder: Path, output: np.ndarray | None = None, **changed: Any) -> Path:
    """A file like Ultralytics', whose network gives ``output`` for any picture."""
    path, options = folder / "yolo.onnx", {"size": (SIDE, SIDE)}
    options |= {key: changed.pop(key) for key in ("size", "batch", "declared") if key in changed}
    rows = np.array([ROW, [0] * len(ROW)], np.float32).T if output is None else output
    weights = np.zeros((3, *rows.shape))
    onnx.save(linear_network(outputs={"output0": (weights, rows)}, metadata=said(**changed), **options), path)  # type: ignore[arg-type]
    return path


def test_a_file_describes_itself(tmp_path: Path) -> None:
    manifest = Model(yolo(tmp_path)).manifest
    assert manifest.maker == "Ultralytics"
    assert manifest.maker_version == "8.4.190"
    assert manifest.keypoint_names == NAMES
    assert manifest.input.size == (SIDE, SIDE)
    assert manifest.geometry == Letterbox()
    assert manifest.decoder == Rows("raw")
    assert manifest.whole_frame
    assert manifest.role is None
    assert any("114" in sentence for sentence in manifest.assumed)


def test_one_model_gives_keypoints_and_box(tmp_path: Path) -> None:
    """In a frame twice as large, and wide: 64 rows of padding above and below."""
    model = Model(yolo(tmp_path))
    found = model.predict_still(np.zeros((256, 512, 3), np.uint8), Box(0, 0, 512, 256))
    np.testing.assert_allclose(found.xy, [[180, 112], [200, 114], [238, 116]])
    np.testing.assert_allclose(found.likelihood, [0.8, 0.7, 0.6])
    assert found.corners is not None
    np.testing.assert_allclose(found.corners, [[160, 92], [240, 132]])
    assert BoxRule(crop_ratio=1.0).box(found) == Box(160, 72, 80, 80)


def test_keypoints_and_box_end_at_the_edge_of_the_frame(tmp_path: Path) -> None:
    row = [250, 4, 40, 20, 0.9, -9, 120, 0.8, 300, 121, 0.7, 119, 260, 0.6]
    found = Model(yolo(tmp_path, np.array([row]).T)).predict_still(
        np.zeros((256, 256, 3), np.uint8), Box(0, 0, 256, 256)
    )
    np.testing.assert_allclose(found.xy, [[0, 120], [256, 121], [119, 256]])
    assert found.corners is not None
    np.testing.assert_allclose(found.corners, [[230, 0], [256, 14]])


def test_without_an_animal_there_is_no_box(tmp_path: Path) -> None:
    row = np.array([[*ROW[:4], 0.2, *ROW[5:]]]).T
    found = Model(yolo(tmp_path, row)).predict_still(np.zeros((256, 256, 3), np.uint8), Box(0, 0, 256, 256))
    assert BoxRule().box(found) is None
    assert not found.spoilt


FINAL = np.array([[80, 110, 120, 130, 0.9, 0, *ROW[5:]]] * 5)
TWO_CLASSES = np.array([[*ROW[:4], 0.1, 0.9, *ROW[5:]]] * 5).T
PAIRS = np.array([[*ROW[:5], 90, 120, 100, 121, 119, 122]] * 5).T


@pytest.mark.parametrize(
    ("output", "changed", "expected"),
    [
        pytest.param(FINAL, {"args": "{'nms': True}"}, Rows("final"), id="its own NMS"),
        pytest.param(FINAL, {"end2end": "True"}, Rows("final"), id="end to end"),
        pytest.param(TWO_CLASSES, {"names": "{0: 'a', 1: 'b'}"}, Rows("raw", 2), id="two classes"),
        pytest.param(PAIRS, {"kpt_shape": "[3, 2]"}, Rows("raw", visibility=False), id="no visibility"),
        pytest.param(FINAL, {"args": "{'nms': False}", "end2end": "False"}, Rows("final"), id="only the shape tells"),
    ],
)
def test_the_shape_of_the_output_says_which_form_it_has(
    output: np.ndarray, changed: dict[str, str], expected: Rows, tmp_path: Path
) -> None:
    model = Model(yolo(tmp_path, output, **changed))
    assert model.manifest.decoder == expected
    found = model.predict_still(np.zeros((256, 256, 3), np.uint8), Box(0, 0, 256, 256))
    np.testing.assert_allclose(found.xy, [[90, 120], [100, 121], [119, 122]])
    assert found.corners is not None
    np.testing.assert_allclose(found.corners, [[80, 110], [120, 130]])


@pytest.mark.parametrize(("own_nms", "form"), [(True, "final"), (None, "raw")])
def test_where_both_forms_have_one_shape_the_file_decides(own_nms: bool | None, form: str, tmp_path: Path) -> None:
    path = yolo(tmp_path, np.zeros((14, 15)), args=f"{{'nms': {own_nms}}}")
    assert Model(path).manifest.decoder == Rows(form)  # type: ignore[arg-type]


def test_a_network_of_any_size_is_shown_as_little_padding_as_possible(tmp_path: Path) -> None:
    path = yolo(tmp_path, size=("width", "height"), batch="batch", declared={"output0": ("batch", 14, "anchors")})
    model = Model(path)
    model.make_ready((512, 256))
    assert model.size == (256, 128)
    found = model.predict_still(np.zeros((256, 512, 3), np.uint8), Box(0, 0, 512, 256))
    np.testing.assert_allclose(found.xy, [[180, 240], [200, 242], [238, 244]])


def test_a_file_of_an_older_version_says_less(tmp_path: Path) -> None:
    path = yolo(tmp_path, channels=None, args=None, end2end=None, author=None, license=None, version=None)
    manifest = Model(path).manifest
    assert manifest.decoder == Rows("raw")
    assert (manifest.maker_version, manifest.license) == ("", "")


def test_names_come_from_the_user_if_the_file_has_none(tmp_path: Path) -> None:
    path = yolo(tmp_path, kpt_names=None)
    with pytest.raises(ModelError, match=r"has 3 keypoints without names\. Give them in order with --keypoints"):
        Model(path)
    assert Model(path, settings=Settings(("a", "b", "c"))).keypoint_names == ("a", "b", "c")


def test_seventeen_keypoints_without_names_are_those_of_coco(tmp_path: Path) -> None:
    manifest = Model(yolo(tmp_path, np.zeros((5 + 51, 4)), kpt_shape="[17, 3]", kpt_names=None)).manifest
    assert manifest.keypoint_names == COCO
    assert any("COCO" in sentence for sentence in manifest.assumed)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"task": "detect"}, "is a YOLO network for 'detect', expected one for pose", id="task"),
        pytest.param({"channels": "4"}, "takes '4' channels, expected 3", id="channels"),
        pytest.param(
            {"kpt_shape": "[4, 3]", "kpt_names": None},
            r"output of shape \[1, 14, 2\].*\(N, 17, anchors\)",
            id="other keypoints",
        ),
        pytest.param({"kpt_shape": "[3, 4]"}, r"its kpt_shape is \[3, 4\], expected \[keypoints, 2 or 3\]", id="four"),
        pytest.param({"kpt_shape": None}, "its kpt_shape is None, expected 2 whole numbers", id="no shape"),
        pytest.param({"kpt_shape": "[True, 3]"}, "its kpt_shape is .*, expected 2 whole numbers", id="no number"),
        pytest.param({"names": "{0: 'a', 1: 'b'}"}, r"2 classes make \(N, 15, anchors\)", id="other classes"),
        pytest.param({"names": "{}"}, r"its names are \{\}, expected those of its classes", id="no class"),
        pytest.param({"stride": "0"}, r"its stride is 0, expected a whole number of 1 to 8192", id="stride"),
        pytest.param(
            {"imgsz": "[100, 100]"}, r"imgsz is \[100, 100\], expected multiples of its stride, 32", id="size"
        ),
        pytest.param({"kpt_names": "{0: ['a']}"}, r"its kpt_names are \['a'\], expected 3 names", id="other names"),
        pytest.param({"kpt_names": "{0: ['a', 'a', 'b']}"}, "two keypoints have the name a", id="one name twice"),
        pytest.param({"names": "__import__('os').abort()"}, "its names is .* expected a literal", id="code"),
        pytest.param({"names": "9" * 5000}, "its names is .* expected a literal", id="a huge number"),
        pytest.param({"names": "[" * 40000}, "its names is .* expected a literal", id="deep brackets"),
        pytest.param({"names": "-" * 40000 + "1"}, "its names is .* expected a literal", id="deep signs"),
        pytest.param({"names": "1" + "+1j" * 20000}, "its names is .* expected a literal", id="a long sum"),
        pytest.param({"names": "'" + "a" * 70000 + "'"}, "its names has 70002 characters, expected 65536", id="long"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(changed: dict[str, str | None], says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says) as refusal:
        Model(yolo(tmp_path, None, **changed))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 3), inner, max_size=4) | st.tuples(inner)
    ),
    max_leaves=6,
).map(repr)


@given(
    st.sampled_from(["names", "kpt_shape", "kpt_names", "imgsz", "stride", "args", "channels", "task", "end2end"]),
    LITERALS | st.text(max_size=40),
)
def test_any_metadata_are_taken_or_refused_in_one_line(key: str, text: str) -> None:
    file = OnnxFile(
        Path("a.onnx"),
        (Tensor("images", (1, 3, SIDE, SIDE), "float32"),),
        (Tensor("output0", (1, 14, 2), "float32"),),
        said(**{key: text}),
        None,
    )
    refused, described = "", None
    try:
        described = ultralytics.read(file, None, Settings())
    except ModelError as refusal:
        refused = str(refusal)
    if described is None:
        assert len(refused.splitlines()) == 1
    else:
        check_manifest(described.manifest, "a.onnx")


def test_another_file_is_not_its(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="carries no cropzoom metadata"):
        Model(yolo(tmp_path, task=None))

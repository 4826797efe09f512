"""Manifests: JSON there and back, and one line for each that no network can have."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import tiny_manifest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.manifest import (
    Affine,
    ConfidenceMaps,
    Coordinates,
    GridPeaks,
    HeatmapOffsets,
    Input,
    Letterbox,
    LitposeHeatmaps,
    Manifest,
    Rows,
    Scale,
    SimCC,
    Stretch,
    Trained,
    check_manifest,
    check_names,
    read_manifest,
)

FACTORS = st.floats(1e-3, 1e3)
SHARES = st.floats(0, 1)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
GEOMETRIES = st.one_of(
    st.builds(Stretch, st.sampled_from(["float32", "uint8"]), st.booleans()),
    st.builds(
        Letterbox,
        st.integers(0, 255),
        st.sampled_from(["centre", "top_left"]),
        st.none() | st.tuples(st.integers(1, 8192), st.integers(1, 8192)),
        st.integers(1, 64),
    ),
    st.builds(Affine, FACTORS),
    st.builds(Scale, FACTORS, st.integers(1, 64), st.sampled_from(["zero", "reflect"])),
)
DECODERS = st.one_of(
    st.builds(LitposeHeatmaps, st.integers(1, 3), st.booleans()),
    st.builds(ConfidenceMaps, FACTORS, SHARES, st.sampled_from(["integral", "none"])),
    st.builds(GridPeaks, FACTORS, SHARES, st.booleans()),
    st.builds(HeatmapOffsets, FACTORS, FACTORS, st.booleans()),
    st.builds(SimCC, FACTORS, st.none() | FACTORS, st.sampled_from(["mean", "minimum"]), SHARES),
    st.builds(Rows, st.sampled_from(["raw", "final"]), st.integers(1, 80), SHARES, st.booleans()),
    st.just(Coordinates()),
)
RISING = st.lists(SHARES, min_size=3, max_size=3).map(lambda numbers: tuple(sorted(numbers)))
SIDES = st.integers(1, 65_535)
TRAINED = st.builds(Trained, st.tuples(SIDES, SIDES), RISING, RISING, RISING, TEXTS)
TRAINING = Trained((640, 480), (90.0, 115.0, 140.0), (-0.5, -0.4, -0.3), (0.5, 0.6, 0.7), "a dark mouse")
THREE = st.tuples(FACTORS, FACTORS, FACTORS)
INPUTS = st.builds(
    Input,
    st.none() | st.tuples(st.integers(1, 8192), st.integers(1, 8192)),
    st.sampled_from(["rgb", "bgr"]),
    st.sampled_from(["nchw", "nhwc"]),
    FACTORS,
    st.tuples(st.floats(-300, 300)) | THREE,
    st.tuples(FACTORS) | THREE,
)
MANIFESTS = st.builds(
    Manifest,
    maker=TEXTS,
    keypoint_names=st.just(("snout", "tail")),
    input=INPUTS,
    geometry=GEOMETRIES,
    decoder=DECODERS,
    outputs=st.lists(TEXTS, max_size=2).map(tuple),
    kind=TEXTS,
    role=st.sampled_from([None, "detector", "pose"]),
    whole_frame=st.booleans(),
    skeleton=st.sampled_from([(), ((0, 1),)]),
    crop_size=st.none() | st.integers(1, 8192),
    trained=st.none() | TRAINED,
    presence=st.none() | st.just({"min_likelihood": 0.1}),
    assumed=st.lists(TEXTS, max_size=2).map(tuple),
)


@given(MANIFESTS)
def test_a_manifest_goes_through_json(manifest: Manifest) -> None:
    assert read_manifest(manifest.to_json(), "the file") == manifest


def test_the_decoder_says_whether_there_is_a_likelihood_and_context() -> None:
    assert tiny_manifest().has_likelihood
    assert not tiny_manifest(kind="regression").has_likelihood
    assert tiny_manifest(kind="heatmap_mhcrnn").context
    assert not tiny_manifest().context


def changed(**fields: Any) -> str:
    """The JSON of a manifest with other fields; None deletes one."""
    tree = json.loads(tiny_manifest().to_json())
    return json.dumps({name: value for name, value in {**tree, **fields}.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("not JSON", "its manifest is not valid: JSON is malformed", id="not JSON"),
        pytest.param(b"\xff\xfe", "its manifest is not valid", id="not text"),
        pytest.param("[]", "Expected `object`, got `array`", id="a list"),
        pytest.param(changed(keypoint_names=None), "missing required field `keypoint_names`", id="no names"),
        pytest.param(changed(downsample_factor=2), "unknown field `downsample_factor`", id="of an earlier version"),
        pytest.param(changed(decoder={"type": "magic"}), r"Invalid value 'magic' - at `\$.decoder.type`", id="decoder"),
        pytest.param(changed(geometry={"type": "affine", "padding": "a"}), r"\$.geometry.padding", id="a text"),
        pytest.param(changed(version=99), "version 99, expected 1; update cropzoom", id="a later version"),
        pytest.param(" " * (1 << 20) + "{}", "larger than 1 MB", id="too large"),
        pytest.param('{"a":' * 100_000, "its manifest is not valid", id="deeply nested"),
        pytest.param(changed(**{"x" * 5000: 1}), "its manifest is not valid", id="a long name"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_in_one_line(text: str | bytes, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        read_manifest(text, "model.onnx")
    line = str(caught.value)
    assert line.startswith("model.onnx: its manifest ")
    assert "\n" not in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        pytest.param({"keypoint_names": ()}, "expected keypoint_names of 1 to 255 characters", id="no keypoint"),
        pytest.param({"input": Input(size=(0, 9))}, "its input is (0, 9); expected sides of 1 to 8192", id="no width"),
        pytest.param({"input": Input(size=(9, 9000))}, "expected sides of 1 to 8192 px", id="a huge side"),
        pytest.param({"input": Input(mean=(1.0, 2.0))}, "mean is [1.0, 2.0]; expected one number, or 3", id="two"),
        pytest.param({"input": Input(channels="gray", std=(1.0,) * 3)}, "expected one number, or 1", id="gray"),
        pytest.param({"input": Input(mean=(float("nan"),))}, "mean is [nan]", id="a mean that is no number"),
        pytest.param({"input": Input(std=(0.0,))}, "std, other than 0", id="a deviation of 0"),
        pytest.param({"input": Input(scale=0.0)}, "a finite scale, and std, other than 0", id="a scale of 0"),
        pytest.param({"geometry": Affine(0.0)}, "padding is 0.0; expected a number above 0", id="no padding factor"),
        pytest.param({"geometry": Scale(multiple=10**9)}, "multiple is 1000000000; expected", id="a huge multiple"),
        pytest.param({"geometry": Letterbox(colour=256)}, "colour is 256; expected 0 to 255", id="a colour"),
        pytest.param({"geometry": Letterbox(target=(0, 9))}, "target is (0, 9); expected sides of 1", id="a target"),
        pytest.param({"decoder": LitposeHeatmaps(4)}, "downsample_factor 4; expected 1, 2 or 3", id="a factor"),
        pytest.param({"decoder": ConfidenceMaps(float("inf"))}, "stride is inf; expected a number", id="no stride"),
        pytest.param({"decoder": Rows(confidence=float("nan"))}, "confidence is nan; expected a finite", id="no limit"),
        pytest.param({"decoder": SimCC(floor=float("inf"))}, "floor is inf; expected a finite number", id="no floor"),
        pytest.param({"license": "MIT\x1b[2J"}, "license is 'MIT\\x1b[2J'; expected one line", id="terminal codes"),
        pytest.param({"assumed": ("a\nb",)}, "assumed is 'a\\nb'; expected one line", id="a text of two lines"),
        pytest.param({"maker": "x" * 10_001}, "expected one line of up to 10000 characters", id="a long text"),
        pytest.param({"decoder": Rows(classes=0)}, "classes is 0; expected a number above 0", id="no class"),
        pytest.param({"skeleton": ((0, 3),)}, "expected indices below 3", id="a bone to nowhere"),
        pytest.param(
            {"trained": msgspec.structs.replace(TRAINING, length_px=(9.0, 8.0, 10.0))},
            "trained.length_px is [9.0, 8.0, 10.0]; expected three rising numbers from 0 to 131070",
            id="a range that falls",
        ),
        pytest.param(
            {"trained": msgspec.structs.replace(TRAINING, contrast=(-2.0, 0.0, 1.0))},
            "expected three rising numbers from -1 to 1",
            id="a contrast below -1",
        ),
        pytest.param(
            {"trained": msgspec.structs.replace(TRAINING, brightness=(0.1, float("nan"), 0.3))},
            "trained.brightness is [0.1, nan, 0.3]; expected",
            id="a brightness that is no number",
        ),
        pytest.param(
            {"trained": msgspec.structs.replace(TRAINING, frame_size=(0, 480))},
            "trained.frame_size is (0, 480); expected sides of 1 to 65535 px",
            id="frames without a width",
        ),
        pytest.param(
            {"trained": msgspec.structs.replace(TRAINING, description="a\nb")},
            "trained.description is 'a\\nb'; expected one line",
            id="a description of two lines",
        ),
        pytest.param({"crop_size": 0}, "crop_size is 0; expected 1 to 8192 pixels", id="a box without a side"),
    ],
)  # fmt: skip
def test_values_that_no_network_can_have_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError) as caught:
        check_manifest(msgspec.structs.replace(tiny_manifest(), **fields), "model.onnx")
    assert says in str(caught.value)
    assert str(caught.value).startswith("model.onnx")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a", "b", "a"), "two keypoints have the name a; rename one of them in keypoint_names"),
        (("a", "x" * 256), "expected keypoint_names of 1 to 255 characters each"),
        (("a", " "), "a keypoint has no name; give it one in keypoint_names"),
        (tuple(map(str, range(1001))), "expected keypoint_names"),
    ],
)
def test_names_that_files_cannot_have_are_refused(names: tuple[str, ...], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        check_names(names, "model.onnx")

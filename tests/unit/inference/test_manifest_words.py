"""A manifest in words: every part can be said, and what matters is in it."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from support.described import MANIFEST

from realtime_cropzoom.inference.manifest import (
    Affine,
    ConfidenceMaps,
    Decoder,
    Geometry,
    HeatmapOffsets,
    Input,
    Manifest,
    Rows,
    Trained,
)
from realtime_cropzoom.inference.manifest_words import decoder_text, describe, geometry_text, values_text


def with_parts(**parts: object) -> Manifest:
    return msgspec.structs.replace(MANIFEST, **parts)


@pytest.mark.parametrize("geometry", get_args(Geometry))
@pytest.mark.parametrize("whole_frame", [False, True])
def test_each_geometry_has_words(geometry: type, whole_frame: bool) -> None:
    text = geometry_text(with_parts(geometry=geometry(), whole_frame=whole_frame))
    assert text.startswith("the frame" if whole_frame else "the box")


@pytest.mark.parametrize("decoder", get_args(Decoder))
def test_each_decoder_has_words(decoder: type) -> None:
    assert decoder_text(with_parts(decoder=decoder()))


def test_numbers_of_the_parts_are_in_the_words() -> None:
    assert "grows by 1.5," in geometry_text(with_parts(geometry=Affine(1.5)))
    text = decoder_text(with_parts(decoder=ConfidenceMaps(4.0, 0.3, "none")))
    assert text == "confidence maps: the highest cell of 4 px, not refined; absent below 0.3"
    text = decoder_text(with_parts(decoder=HeatmapOffsets(offset_scale=None)))
    assert text == "heatmaps: the middle of the highest cell of 8 px"


@pytest.mark.parametrize(
    ("given", "number_type", "text"),
    [
        (Input(), "float32", "pixel / 255"),
        (Input(), "uint8", "pixels as they are, 0 to 255"),
        (Input(scale=1.0, mean=(127.5,), std=(2.0,)), "float32", "(pixel - 127.5) / 2"),
        (Input(scale=1.0, mean=(1.0, 2.0, 3.0)), "float32", "(pixel - (1, 2, 3)) / 1"),
        (Input(scale=0.5), "float32", "pixel * 0.5"),
    ],
)
def test_values_of_the_input(given: Input, number_type: str, text: str) -> None:
    assert values_text(given, number_type) == text


def test_a_pose_model_of_boxes() -> None:
    lines = describe(with_parts(skeleton=((0, 1),), anchor="low", unrounded=True, role="pose"), "float32")
    assert lines["role"] == "pose model: sees boxes around the animal"
    assert lines["keypoints"] == "3: middle, right, low"
    assert lines["skeleton"] == "middle - right"
    assert lines["input"] == "64x64 px (width x height), float32, channels before rows (NCHW)"
    assert lines["boxes"] == "64 px wide, centred on low in the training; corners keep their fraction"
    assert "licence" not in lines


@pytest.mark.parametrize(
    ("parts", "role", "boxes"),
    [
        ({"role": "detector"}, "detector: finds the animal in the whole frame", "none: it sees the whole frame"),
        ({"whole_frame": True}, "pose model of whole frames: needs no detector", "none: it sees the whole frame"),
        ({"role": None, "crop_size": None}, "detector or pose model", "size unknown: a run needs the crop size"),
        ({"decoder": Rows(), "role": None, "whole_frame": True}, "; or a detector", "the model finds the box itself"),
    ],
)
def test_roles_and_their_boxes(parts: dict[str, object], role: str, boxes: str) -> None:
    lines = describe(with_parts(**parts), "float32")
    assert role in lines["role"]
    assert lines["boxes"].startswith(boxes)


def test_what_a_training_looked_like_is_said_with_its_numbers() -> None:
    trained = Trained(
        (1280, 1024), (120.0, 180.0, 230.0), (0.3, 0.4, 0.5), (0.1, 0.2, 0.3), "a bright rat on a dark floor"
    )
    lines = describe(with_parts(trained=trained), "float32")
    assert lines["knows"] == "a bright rat on a dark floor, 180 px long (120–230) in frames of 1280×1024"
    assert "knows" not in describe(MANIFEST, "float32")

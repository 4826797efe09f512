"""What a user sets by dotted name, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from support.described import MANIFEST

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.manifest import ConfidenceMaps, SimCC
from realtime_cropzoom.inference.manifest_changes import split_change, with_changes


def changed(*texts: str) -> Any:
    return with_changes(MANIFEST, [split_change(text) for text in texts], "a file")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("crop_size=160", 160),
        ("crop_size=none", None),
        ("input.channels=bgr", "bgr"),
        ("input.size=320x240", (320, 240)),
        ("input.size=none", None),
        ("input.mean=0.5", (0.5,)),
        ("input.std=1,2,3", (1.0, 2.0, 3.0)),
        ("input.scale=1", 1.0),
        ("geometry.widen=true", True),
        ("keypoint_names=a,b,c", ("a", "b", "c")),
        ("skeleton=[[0,1],[1,2]]", ((0, 1), (1, 2))),
        ("role=none", None),
        ("anchor=low", "low"),
        ("maker=3", "3"),
        ("presence=none", None),
    ],
)
def test_a_text_becomes_a_value_of_the_field(text: str, value: object) -> None:
    part: Any = changed(text)
    for name in split_change(text)[0].split("."):
        part = getattr(part, name)
    assert part == value


def test_a_decoder_is_set_by_its_type_before_its_fields() -> None:
    assert changed("decoder.split=4", "decoder=simcc").decoder == SimCC(split=4.0)
    found = changed("decoder=confidence_maps", "decoder.refinement=none").decoder
    assert found == ConfidenceMaps(refinement="none")


def test_nothing_set_changes_nothing() -> None:
    assert with_changes(MANIFEST, (), "a file") is MANIFEST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crop_siz=160", "manifest has no field 'crop_siz'.* Did you mean 'crop_size'?"),
        ("input.chanels=bgr", "input has no field 'chanels', expected one of size, .* Did you mean 'channels'?"),
        ("input.channels=brg", "input.channels: got 'brg': Invalid enum value 'brg'"),
        ("decoder=simc", "decoder: got 'simc', expected one of .* Did you mean 'simcc'?"),
        ("input=bgr", "input: got 'bgr', expected one of its fields, such as input.size"),
        ("crop_size.side=1", "crop_size has no fields of its own; set crop_size itself"),
        ("crop_size=wide", "crop_size: got 'wide': Expected `int"),
        ("crop_size=-3", "a file: crop_size is -3; expected 1 to 8192 pixels"),
        ("input.mean=1,2", r"a file: mean is \[1.0, 2.0\]; expected one number, or 3"),
        ("version=2", "manifest has no field 'version'"),
        ("crop_size", "'crop_size': expected NAME=VALUE, such as input.channels=bgr"),
        ("=3", "'=3': expected NAME=VALUE"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(text: str, expected: str) -> None:
    with pytest.raises(ModelError, match=expected) as refused:
        changed(text)
    assert "\n" not in str(refused.value)

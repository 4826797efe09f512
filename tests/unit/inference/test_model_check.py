"""A network that does not fit its manifest is refused in one line that says what it has and what was expected."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from support.models import tiny_manifest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.manifest import Input, Manifest
from realtime_cropzoom.inference.model_check import check_network, check_outputs, input_shape
from realtime_cropzoom.inference.model_file import ModelFile
from realtime_cropzoom.inference.onnx_session import Session
from realtime_cropzoom.inference.presence import Presence

SIZE = (64, 48)


@dataclass
class Network:
    """What a session says of its network."""

    input_shape: list[int | str] = field(default_factory=lambda: ["N", 3, 48, 64])
    input_type: str = "tensor(float)"
    inputs: list[str] = field(default_factory=lambda: ["images"])
    output_shapes: list[list[int | str]] = field(default_factory=lambda: [["N", 3, 12, 16]])
    outputs: list[str] = field(default_factory=lambda: ["heatmaps"])

    def supports_input(self) -> bool:
        return self.input_type != "tensor(double)"


def check(manifest: Manifest, **network: Any) -> None:
    file = ModelFile(Path("m.onnx"), manifest, "scorer", Presence())
    check_network(file, cast(Session, Network(**network)), SIZE)


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (Input(), (3, 48, 64)),
        (Input(channels="gray"), (1, 48, 64)),
        (Input(layout="nhwc"), (48, 64, 3)),
        (Input(channels="gray", layout="nhwc"), (48, 64, 1)),
    ],
)
def test_the_shape_of_the_input_follows_channels_and_layout(given: Input, shape: tuple[int, ...]) -> None:
    assert input_shape(given, SIZE) == shape


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"input_shape": [1, 3, 48, 64]},
        {"input_shape": ["N", 3, "h", "w"]},
        {"input_type": "tensor(uint8)"},
        {"output_shapes": [["N", "K", "h", "w"]]},
        {"outputs": ["heatmaps", "more"], "output_shapes": [["N", 3, 12, 16], ["N", 7]]},
    ],
)
def test_a_network_that_can_fit_is_taken(network: dict[str, Any]) -> None:
    check(tiny_manifest(), **network)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"input_shape": ["N", 1, 48, 64]}, "takes tensor(float) of shape ['N', 1, 48, 64]; a cropzoom heatmap model "
         "of 3 keypoints (middle, right, low) takes one image (N, 3, 48, 64) of float or uint8; export it again"),
        ({"input_type": "tensor(double)"}, "takes tensor(double) of shape"),
        ({"inputs": ["images", "mask"]}, "takes 2 inputs (images, mask); "),
        ({"input_shape": [8, 3, 48, 64]}, "takes batches of 8; export it with batch 1 or an open batch size"),
        ({"output_shapes": [["N", 3, 24, 32]]}, "gives an output of shape ['N', 3, 24, 32]; a cropzoom heatmap model "
         "of 3 keypoints (middle, right, low) gives (N, 3, 12, 16); export it again"),
        ({"output_shapes": [["N", 36]]}, "gives an output of shape ['N', 36]"),
        ({"outputs": [], "output_shapes": []}, "gives 0 outputs; "),
    ],
)  # fmt: skip
def test_what_cannot_fit_is_refused(network: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError) as caught:
        check(tiny_manifest(size=SIZE), **network)
    assert says in str(caught.value)


def test_shapes_that_a_file_leaves_open_are_compared_after_a_run() -> None:
    file = ModelFile(Path("m.onnx"), tiny_manifest(size=SIZE), "scorer", Presence())
    check_outputs(file, [(1, 3, 12, 16), (1, 7)], SIZE)
    with pytest.raises(ModelError, match=r"gives an output of shape \[1, 4, 12, 16\]; .* gives \(N, 3, 12, 16\)"):
        check_outputs(file, [(1, 4, 12, 16)], SIZE)


def test_a_line_does_not_name_hundreds_of_keypoints() -> None:
    manifest = tiny_manifest("pose", [f"keypoint {i}" for i in range(500)], size=SIZE)
    with pytest.raises(ModelError, match=r"500 keypoints \(keypoint 0, .*, …\)") as caught:
        check(manifest)
    assert len(str(caught.value)) < 700

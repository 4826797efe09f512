"""A file of which the user says everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.described import NAMES, write_bare

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.by_hand import read
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.manifest import Input, LitposeHeatmaps
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.onnx_file import OnnxFile, Tensor

DECODER = ("decoder", "litpose_heatmaps")


def with_input(*shape: int | str) -> OnnxFile:
    return OnnxFile(Path("a.onnx"), (Tensor("x", shape, "float32"),), (), {}, None)


def test_a_bare_file_runs_with_what_the_user_says(tmp_path: Path) -> None:
    model = Model(write_bare(tmp_path / "bare.onnx"), settings=Settings(NAMES, (DECODER, ("geometry", "stretch"))))
    assert model.manifest.decoder == LitposeHeatmaps()
    assert [text.partition(":")[0] for text in model.manifest.assumed] == ["input.channels", "input.scale"]


@pytest.mark.parametrize("settings", [Settings(), Settings(NAMES), Settings(changes=(DECODER,))])
def test_without_names_or_decoder_it_is_not_for_here(settings: Settings) -> None:
    assert read(with_input(1, 3, 8, 8), None, settings) is None


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 48, 64), Input(size=(64, 48))),
        (("n", 1, 48, 64), Input(size=(64, 48), channels="gray")),
        ((1, 48, 64, 3), Input(size=(64, 48), layout="nhwc")),
        (("n", 3, "h", "w"), Input()),
    ],
)
def test_size_layout_and_channels_come_from_the_shape(shape: tuple[int | str, ...], expected: Input) -> None:
    found = read(with_input(*shape), None, Settings(NAMES, (DECODER,)))
    assert found is not None
    assert found.manifest.input == expected


def test_an_input_that_is_no_image_is_refused() -> None:
    with pytest.raises(ModelError, match=r"a.onnx takes an input of shape \[1, 100\], expected an image"):
        read(with_input(1, 100), None, Settings(NAMES, (DECODER,)))

"""A network for one frame at a time takes several, and gives each frame the numbers that it has alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from support.films import Footage

from realtime_cropzoom.inference.free_batch import free_batch
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import model_path
from realtime_cropzoom.types import Box, Float32

SHIPPED = model_path("shipped", "pose")


def crops(model: Model, count: int) -> list[list[Float32]]:
    windows = []
    for index in range(count):
        model_input = model.new_input()
        model.prepare(Footage((160, 96)).draw(index), Box(10 * index, 0, 80, 80), "pad", model_input)
        windows.append([model_input])
    return windows


def is_for_one(model: Model) -> bool:
    return model.session.batch == 1


def test_each_frame_of_a_batch_has_the_numbers_that_it_has_alone() -> None:
    model = Model(SHIPPED, "pose")
    assert is_for_one(model)
    windows = crops(model, 5)
    alone = [model.infer(*window) for window in windows]
    model.take_batches()
    assert not is_for_one(model)
    for way in (model.infer_many(windows), [model.infer(*window) for window in windows]):
        for one, other in zip(alone, way, strict=True):
            np.testing.assert_array_equal(one[0], other[0])


def with_last(folder: Path, operator: str, **attributes: int) -> Path:
    """The shipped network with one more operator at its end."""
    proto = onnx.load(SHIPPED)
    (output,) = proto.graph.output
    for node in proto.graph.node:
        node.output[:] = ["before" if name == output.name else name for name in node.output]
        node.input[:] = ["before" if name == output.name else name for name in node.input]
    last = helper.make_node(operator, ["before"], [output.name])
    last.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    proto.graph.node.append(last)
    changed = folder / f"{operator}.onnx"
    onnx.save(proto, changed)
    return changed


def test_a_network_that_mixes_frames_takes_one_at_a_time(tmp_path: Path) -> None:
    path = with_last(tmp_path, "Softmax", axis=0)
    assert free_batch(path) is not None, "only its numbers show that it does"
    model = Model(path, "pose")
    model.take_batches()
    assert is_for_one(model)


def test_a_network_with_an_operator_that_is_not_known_stays_as_it_is(tmp_path: Path) -> None:
    path = with_last(tmp_path, "Erf")
    assert free_batch(path) is None
    model = Model(path, "pose")
    model.take_batches()
    assert is_for_one(model)

"""A network that would fill the memory is refused before it runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.described import MANIFEST, write_bare

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.memory_need import check_memory, free_bytes, needed_bytes
from realtime_cropzoom.inference.model_file import ModelFile
from realtime_cropzoom.inference.presence import Presence


def described(path: Path) -> ModelFile:
    return ModelFile(path, MANIFEST, "scorer", Presence())


def tiled(path: Path, times: int, sides: Sequence[int | str]) -> ModelFile:
    """A network that repeats its picture ``times`` times along both sides, and averages it again."""
    graph = helper.make_graph(
        [
            helper.make_node("Tile", ["images", "repeats"], ["large"]),
            helper.make_node("ReduceMean", ["large"], ["heatmaps"], axes=[2, 3], keepdims=1),
        ],
        "tiled",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *sides])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 3, 1, 1])],
        [numpy_helper.from_array(np.array([1, 1, times, times], np.int64), "repeats")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return described(path)


@pytest.mark.parametrize("sides", [(8, 8), ("height", "width")])
def test_the_largest_operator_counts(tmp_path: Path, sides: Sequence[int | str]) -> None:
    file = tiled(tmp_path / "tiled.onnx", 10, sides)
    assert needed_bytes(file, (1, 3, 8, 8)) == pytest.approx(3 * 80 * 80 * 4, rel=0.05)


def test_a_network_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    file = tiled(tmp_path / "tiled.onnx", 100_000, (8, 8))
    with pytest.raises(ModelError, match=r"needs about \d+\.\d GB of memory for an input of 3x8x8, expected at most"):
        check_memory(file, (1, 3, 8, 8))


def test_the_network_that_runs_counts_not_the_file(tmp_path: Path) -> None:
    large = tiled(tmp_path / "tiled.onnx", 100_000, (8, 8))
    small = write_bare(tmp_path / "bare.onnx")
    file = ModelFile(small, MANIFEST, "scorer", Presence(), network=large.onnx.read_bytes())
    assert needed_bytes(file, (1, 3, 8, 8)) > 10**9
    assert 0 < needed_bytes(described(small), (1, 3, 64, 64)) < 10**6


def test_shapes_that_cannot_be_inferred_are_left_to_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = described(write_bare(tmp_path / "bare.onnx"))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("unknown operator")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fail)
    assert needed_bytes(file, (1, 3, 64, 64)) == 0


def test_free_memory_is_known_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_bytes() > 10**7
    monkeypatch.setattr("builtins.open", lambda *_, **__: (_ for _ in ()).throw(OSError))
    assert free_bytes() > 10**7
    monkeypatch.delattr(os, "sysconf")
    assert free_bytes() > 10**15

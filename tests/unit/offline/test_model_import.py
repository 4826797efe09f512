"""A model is written as one file after it was loaded, run and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.described import NAMES, write_bare, write_described

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline import model_import
from realtime_cropzoom.offline.model_import import import_model


def test_the_written_file_gives_what_the_original_gives(tmp_path: Path) -> None:
    settings = Settings(NAMES, (("decoder", "litpose_heatmaps"), ("input.channels", "bgr"), ("crop_size", "64")))
    original = Model(write_bare(tmp_path / "bare.onnx"), settings=settings)
    done = import_model(original, tmp_path / "new" / "made.onnx")
    assert done.shift_px < 1e-3
    again = Model(done.path)
    assert again.manifest.input.channels == "bgr"
    assert again.manifest.crop_size == 64
    assert sorted(p.name for p in done.path.parent.iterdir()) == ["made.onnx"]


def test_a_file_that_gives_other_keypoints_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Model(write_described(tmp_path / "a.onnx"))
    proto = onnx.load(write_described(tmp_path / "other.onnx"))
    for tensor in proto.graph.initializer:
        if tensor.name == "shifts 3":  # the kernels of the keypoints
            weights = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.roll(weights, 1, axis=0), tensor.name))
    monkeypatch.setattr(model_import, "self_describing", lambda *_: proto.SerializeToString())
    out = tmp_path / "made.onnx"
    with pytest.raises(ModelError, match=r"made.onnx would not give what .*a.onnx gives: on a picture of noise"):
        import_model(original, out)
    assert not out.exists()

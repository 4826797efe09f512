"""Files of this package: the manifest inside, the one beside, and names that the user gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.models import tiny_manifest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.cropzoom import MAKER, SCORER
from realtime_cropzoom.inference.makers.maker import Described, Settings
from realtime_cropzoom.inference.onnx_file import OnnxFile, read_onnx_file

Make = Callable[..., Path]


def read(path: Path, *names: str) -> Described | None:
    return MAKER.read(read_onnx_file(path), None, Settings(names))


def refusal(path: Path, *names: str) -> str:
    with pytest.raises(ModelError) as caught:
        read(path, *names)
    return str(caught.value)


def test_the_manifest_inside_is_read(make_model: Make) -> None:
    described = read(make_model("detector", ["a"]))
    assert described == Described(tiny_manifest("detector", ["a"]), scorer=SCORER)


def test_a_file_without_one_is_of_another_maker(tmp_path: Path) -> None:
    assert MAKER.read(OnnxFile(tmp_path / "m.onnx", (), (), {}, None), None, Settings()) is None


def test_a_manifest_beside_the_file_counts_more(make_model: Make) -> None:
    path = make_model("pose", ["a"])
    path.with_suffix(".json").write_text(tiny_manifest("pose", ["b"], maker="MMPose").to_json())
    assert read(path) == Described(tiny_manifest("pose", ["b"], maker="MMPose"))
    path.with_suffix(".json").write_bytes(b"{")
    assert refusal(path).startswith(f"{path.with_suffix('.json')}: its manifest is not valid: ")
    path.with_suffix(".json").write_bytes(b" " * (2 << 20))
    assert "larger than 1 MB" in refusal(path)


def test_names_of_the_user_replace_those_of_the_manifest(make_model: Make) -> None:
    path = make_model("pose", ["keypoint 0", "keypoint 1"], described={"presence": {"min_likelihood": 0.5}})
    described = read(path, "snout", "tail")
    assert described is not None
    assert described.manifest.keypoint_names == ("snout", "tail")
    assert described.manifest.presence is None, "its distances have the names of the training"
    assert f"{path} has 2 keypoints, but 1 names were given" in refusal(path, "snout")
    assert "two keypoints have the name snout" in refusal(path, "snout", "snout")

"""Which file a setting means, and where its int8 export lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.errors import ModelError, flags_of_command
from realtime_cropzoom.inference import model_paths
from realtime_cropzoom.inference.model_paths import int8_beside, int8_path, is_shipped, model_path, shipped_model


def test_shipped_is_the_model_of_the_role_and_all_else_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_path("shipped", "pose") == shipped_model("pose")
    assert shipped_model("detector").is_file()
    monkeypatch.setenv("HOME", "/home/lab")
    assert model_path("~/models/pose", "pose") == Path("/home/lab/models/pose")


def test_a_package_without_models_says_so_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_paths, "__file__", str(tmp_path / "realtime_cropzoom" / "inference" / "model_paths.py"))
    with pytest.raises(ModelError, match=r"^shipped pose model: got no file .*pose\.onnx, expected .* --pose PATH$"):
        model_path("shipped", "pose")
    with flags_of_command([]), pytest.raises(ModelError, match=r"from a wheel with its models$"):
        model_path("auto", "detector")
    assert not is_shipped(tmp_path / "pose.onnx"), "which asks for no model"


def test_a_shipped_model_is_known_by_its_path(tmp_path: Path) -> None:
    assert is_shipped(shipped_model("pose"))
    assert not is_shipped(tmp_path / "pose.onnx")


@pytest.mark.parametrize(
    ("name", "int8"), [("pose.onnx", "pose_int8.onnx"), ("a_fp32.onnx", "a_int8.onnx"), ("a.b.onnx", "a.b_int8.onnx")]
)
def test_the_int8_export_has_the_name_of_the_fp32_one(name: str, int8: str) -> None:
    assert int8_path(Path("models") / name) == Path("models") / int8


def test_the_int8_export_beside_a_file_or_the_command_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "pose.onnx"
    with pytest.raises(ModelError, match=r"no int8 export pose_int8\.onnx; run: cropzoom quantize .* --calibrate"):
        int8_beside(path)
    made = tmp_path / "pose_int8.onnx"
    made.touch()
    assert int8_beside(path) == made
    assert int8_beside(made) == made

"""The script for DeepLabCut's environment: what it says of models, and its way through a stand-in of it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.deeplabcut_models import facts, rtmpose_facts
from support.places import TESTS

from realtime_cropzoom.inference.makers import export_deeplabcut as script
from realtime_cropzoom.inference.makers.export_deeplabcut import NotPossible, describe
from realtime_cropzoom.inference.makers.maker import Wanted
from realtime_cropzoom.inference.manifest import HeatmapOffsets, Letterbox, Manifest, Scale, SimCC, Stretch
from realtime_cropzoom.inference.manifest import read_manifest as read
from realtime_cropzoom.inference.model_file import find_model

STAND_IN = TESTS / "support" / "deeplabcut_stand_in"


def manifest(given: dict[str, Any]) -> Manifest:
    return read(json.dumps(describe(given)), "here")


def inference(**steps: Any) -> dict[str, Any]:
    return facts(data_inference={"normalize_images": True, **steps})


def test_a_bottom_up_model_sees_whole_frames_of_any_size() -> None:
    found = manifest(facts())
    assert found.input.size is None
    assert (found.geometry, found.decoder, found.outputs) == (Scale(), HeatmapOffsets(), ("heatmap", "locref"))
    assert found.input.mean == (0.485, 0.456, 0.406)


def test_rtmpose_sees_widened_boxes() -> None:
    found = manifest(rtmpose_facts())
    assert (found.input.size, found.role, found.whole_frame) == ((256, 256), "pose", False)
    assert found.geometry == Stretch("uint8", widen=True)
    assert found.decoder == SimCC(2.0, 5.66 * 150, "minimum", 1 / 512)


@pytest.mark.parametrize(
    ("steps", "size", "geometry"),
    [
        ({"resize": {"height": 240, "width": 320}}, (320, 240), Letterbox(0, "top_left")),
        ({"resize": {"height": 240, "width": 320, "keep_ratio": False}}, (320, 240), Stretch("uint8")),
        (
            {"auto_padding": {"pad_width_divisor": 32, "pad_height_divisor": 32, "position": "top_left"}},
            None,
            Scale(1.0, 32, "reflect"),
        ),
        (
            {"auto_padding": {"pad_width_divisor": 32, "pad_height_divisor": 32, "border_mode": "constant"}},
            None,
            Scale(1.0, 32, "zero"),
        ),
    ],
)
def test_the_steps_of_inference_become_a_geometry(steps: Any, size: Any, geometry: Any) -> None:
    found = manifest(inference(**steps))
    assert (found.input.size, found.geometry) == (size, geometry)


def test_a_random_place_of_the_frame_is_said() -> None:
    padding = {"pad_width_divisor": 32, "pad_height_divisor": 32}
    assert "at the place 'random' of the input" in manifest(inference(auto_padding=padding)).assumed[0]
    assert manifest(inference(auto_padding={**padding, "position": "top_left"})).assumed == ()


def test_pixels_are_normalised_as_the_configuration_says() -> None:
    bgr = manifest(facts(colormode="BGR", data_inference={"normalize_images": False, "scale_to_unit_range": True}))
    assert (bgr.input.channels, bgr.input.scale, bgr.input.mean) == ("bgr", 1 / 255, (0.0,))
    assert manifest(facts(data_inference={"normalize_images": False})).input.scale == 1


def test_a_model_without_offsets() -> None:
    found = manifest(facts(predictor={"type": "HeatmapPredictor", "location_refinement": False}))
    assert found.decoder == HeatmapOffsets(offset_scale=None, sigmoid=True, clip=False)
    assert found.outputs == ("heatmap",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(method="ctd"), "its method is 'ctd', expected bu or td"),
        (facts(predictor={"type": "PartAffinityFieldPredictor"}), "models for several animals"),
        (inference(hist_eq=True, grayscale=True), "has hist_eq, grayscale"),
        (inference(resize={"height": 9, "width": 9}, auto_padding={"min_height": 9}), "both resize and auto_padding"),
        (inference(auto_padding={"pad_width_divisor": 32, "pad_height_divisor": 16}), "two divisors"),
        (inference(auto_padding={"min_height": 400, "pad_height_divisor": None}), "two divisors, or a least size"),
        (inference(auto_padding={"border_mode": "wrap"}), "border_mode 'wrap'"),
        (rtmpose_facts(normalize_outputs=True), "normalize_outputs"),
        (rtmpose_facts(sigma=[5.66, 4.9]), "two values of sigma"),
        ({**rtmpose_facts(), "data_inference": {"top_down_crop": {"margin": 20}}}, "has a margin"),
    ],
)
def test_what_cropzoom_cannot_do_is_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(NotPossible, match=expected):
        describe(given)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("snapshot-009.pt", "snapshot-100.pt"), "snapshot-100.pt"),
        (("snapshot-200.pt", "snapshot-best-045.pt"), "snapshot-best-045.pt"),
        (("snapshot-1.pt", "snapshot-detector-300.pt", "notes.pt"), "snapshot-1.pt"),
    ],
)
def test_the_best_snapshot_is_exported_else_the_last(tmp_path: Path, names: tuple[str, ...], chosen: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert script.choose_snapshot(tmp_path, None).name == chosen
    assert script.choose_snapshot(tmp_path, Path(names[0])) == tmp_path / names[0]
    with pytest.raises(NotPossible, match=r"no snapshot other\.pt\. .* has .*" + names[0]):
        script.choose_snapshot(tmp_path, Path("other.pt"))


def test_the_script_imports_nothing_of_cropzoom() -> None:
    tree = ast.parse(Path(script.__file__).read_text())
    names = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    others = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert others == {"deeplabcut", "torch", "onnx", "onnxruntime"}


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """The folder of a model of the stand-in."""
    given, folder = facts(), tmp_path / "model" / "train"
    config = {
        "net_type": given["net_type"],
        "method": given["method"],
        "metadata": {"bodyparts": given["bodyparts"]},
        "model": {"heads": {"bodypart": {"predictor": given["predictor"]}}},
        "data": {"inference": given["data_inference"], "colormode": "RGB"},
    }
    folder.mkdir(parents=True)
    (folder / "pytorch_config.yaml").write_text(yaml.safe_dump(config))
    (folder / "snapshot-best-045.pt").touch()
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a copy of the script, where nothing of cropzoom can be imported from, with the stand-in."""
    copy = tmp_path / "script" / "export_deeplabcut.py"
    copy.parent.mkdir()
    copy.write_text(Path(script.__file__).read_text())

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, copy, *map(str, arguments)],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(STAND_IN), **environment},
        )  # fmt: skip

    return run


def test_the_script_writes_a_file_that_cropzoom_reads(train: Path, export: Callable[..., Any]) -> None:
    done = export(train)
    assert done.returncode == 0, done.stderr
    difference = re.search(r"largest difference between the file and PyTorch: (\S+)", done.stdout)
    assert difference is not None
    assert 0 < float(difference[1]) < 1e-5
    assert done.stdout.splitlines()[-1] == str(train / "snapshot-best-045.onnx")
    found = find_model(train, Wanted())
    assert found.manifest == manifest(facts(deeplabcut_version="3.0.2"))
    assert sorted(path.name for path in train.iterdir()) == [
        "pytorch_config.yaml", "snapshot-best-045.onnx", "snapshot-best-045.pt",
    ]  # fmt: skip


def test_a_file_that_differs_from_torch_is_not_kept(train: Path, export: Callable[..., Any]) -> None:
    done = export(train, STAND_IN_ERROR="0.002")
    assert done.returncode == 2
    assert done.stderr == (
        "export-deeplabcut: the file and PyTorch differ by 2.0e-03, expected at most 0.001. Try another version of "
        "torch\n"
    )
    assert not list(train.glob("*.onnx"))
    assert not list(train.glob(".*"))


def test_a_file_is_not_replaced_unless_asked(train: Path, export: Callable[..., Any]) -> None:
    out = train / "mine.onnx"
    out.write_text("precious")
    done = export(train.parent, "--out", out)
    assert done.returncode == 2
    assert "exists already. Add --overwrite" in done.stderr
    assert export(train.parent, "--out", out, "--overwrite").returncode == 0
    assert out.read_bytes() != b"precious"


def test_several_heads_are_refused(train: Path, export: Callable[..., Any]) -> None:
    config = train / "pytorch_config.yaml"
    given = yaml.safe_load(config.read_text())
    given["model"]["heads"]["identity"] = {}
    config.write_text(yaml.safe_dump(given))
    done = export(train)
    assert done.returncode == 2
    assert "it has the heads bodypart, identity; expected bodypart alone" in done.stderr


def test_a_configuration_without_its_parts_is_refused(train: Path, export: Callable[..., Any]) -> None:
    (train / "pytorch_config.yaml").write_text("method: bu\n")
    done = export(train)
    assert done.returncode == 2
    assert "is not a configuration of DeepLabCut 3 as far as known: KeyError('model')" in done.stderr


def test_a_python_without_deeplabcut_is_refused(train: Path, export: Callable[..., Any]) -> None:
    done = export(train, PYTHONPATH="")
    assert done.returncode == 2
    assert "cannot import DeepLabCut 3 (No module named 'deeplabcut')" in done.stderr
    assert done.stderr.count("\n") == 1

"""A model on disk is found, whoever made it, and has a description; what has none is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from support.models import onnx_model, tiny_manifest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.makers.maker import Choice, Described, Maker, Settings, Wanted
from realtime_cropzoom.inference.makers.registry import MAKERS
from realtime_cropzoom.inference.model_file import find_model

Make = Callable[..., Path]
ANY = Wanted()


def refusal(path: Path, wanted: Wanted = ANY, settings: Settings | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        find_model(path, wanted, settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_single_file_is_described_by_its_manifest(make_model: Make) -> None:
    path = make_model("pose", ["a", "b"], described={"crop_size": 96})
    found = find_model(path, Wanted())
    assert (found.onnx, found.manifest.keypoint_names, found.manifest.crop_size) == (path, ("a", "b"), 96)
    assert (found.scorer, found.chosen, found.network, found.trained_side) == ("cropzoom_tracker", "", None, None)


def test_a_folder_is_described_by_its_configuration(make_litpose_directory: Make) -> None:
    folder = make_litpose_directory(exports=["a_fp32", "b_fp32"])
    found = find_model(folder, Wanted())
    assert found.onnx == folder / "exports_onnx/b_fp32.onnx"
    assert found.chosen == f"{folder} has 2 exports; b_fp32.onnx is taken"
    assert (found.manifest.maker, found.scorer) == ("Lightning Pose", "heatmap_tracker")


def test_int8_of_a_single_file_is_the_export_beside_it(make_model: Make) -> None:
    path = make_model()
    assert "run: cropzoom quantize" in refusal(path, Wanted("int8"))
    int8 = make_model(name="pose_int8.onnx")
    assert find_model(path, Wanted("int8")).onnx == int8


def test_what_is_not_there_or_of_no_maker_says_what_to_give(tmp_path: Path) -> None:
    assert f"no model at {tmp_path / 'none'}; expected a model folder or an .onnx file" in refusal(tmp_path / "none")
    onnx.save(onnx_model(), tmp_path / "bare.onnx")
    line = refusal(tmp_path / "bare.onnx")
    assert "bare.onnx carries no cropzoom metadata, and is not a file of DeepLabCut, Lightning Pose" in line
    assert "give a model folder or an .onnx made by one of them, or say what it is: --keypoints A,B" in line
    assert "config.yaml with exports_onnx/ (Lightning Pose)" in refusal(tmp_path)


def test_limits_of_the_animal_that_nobody_can_read_are_refused(make_model: Make) -> None:
    path = make_model(described={"presence": {"min_likelihood": 7}})
    assert f"{path}: its metadata 'presence' is not what cropzoom train writes" in refusal(path)


def test_a_maker_may_give_another_network_and_its_kind_names_the_scorer(
    make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tiny_manifest(maker="SLEAP", kind="single instance", levels=2)
    maker = Maker("SLEAP", lambda file, folder, settings: Described(manifest, b"network", trained_side=80))
    monkeypatch.setattr("realtime_cropzoom.inference.model_file.MAKERS", (maker,))
    found = find_model(make_model(), Wanted())
    assert (found.scorer, found.network, found.trained_side) == ("SLEAP_single_instance", b"network", 80)


def test_makers_are_asked_in_order_and_hear_what_the_user_says(
    make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, object]] = []

    def maker(name: str, *, is_its: bool) -> Maker:
        def read(file: object, folder: Path | None, settings: Settings) -> Described | None:
            asked.append((name, settings.keypoint_names))
            return Described(tiny_manifest(maker=name)) if is_its else None

        return Maker(name, read, lambda folder, wanted: Choice(path, name) if is_its else None)

    path = make_model()
    makers = (maker("A", is_its=False), maker("B", is_its=True), maker("C", is_its=True))
    monkeypatch.setattr("realtime_cropzoom.inference.model_file.MAKERS", makers)
    found = find_model(tmp_path, Wanted(), Settings(("x",)))
    assert (found.manifest.maker, found.chosen) == ("B", "B")
    assert asked == [("A", ("x",)), ("B", ("x",))]


def test_every_maker_has_a_name_of_its_own() -> None:
    names = [maker.name for maker in MAKERS]
    assert len(set(names)) == len(names)
    assert {"Lightning Pose", "cropzoom"} <= set(names)

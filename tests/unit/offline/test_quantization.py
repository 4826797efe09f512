"""int8 exports: what is written, what is measured, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.boxes import BoxRule
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.offline import quantization
from realtime_cropzoom.offline.inputs import Input, LabelFile, Video
from realtime_cropzoom.offline.quantization import Shift, Speed, quantize
from realtime_cropzoom.offline.quantization_frames import Cutter, Samples, collect

ARENA = Video(Path("synthetic:arena,seconds=2,fps=30,seed=3"))
FASTER = Speed(fp32_ms=3.0, int8_ms=1.0)


def arena_samples(count: int = 32) -> tuple[Model, Samples]:
    pose = Model(shipped_model("pose"))
    cutter = Cutter(pose, Model(shipped_model("detector")), BoxRule(crop_size=pose.trained_crop_size))
    return pose, collect([ARENA], cutter, count)


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def as_fast_as_a_cpu_with_vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "_measure_speed", lambda *_: FASTER)


@pytest.mark.usefixtures("as_fast_as_a_cpu_with_vnni")
def test_the_int8_export_runs_and_finds_the_animal_where_fp32_finds_it(tmp_path: Path) -> None:
    pose, samples = arena_samples()
    made = quantize(pose, "pose", samples, tmp_path / "pose_int8.onnx", max_shift_px=2.0, say=quiet)
    assert made.shift.px.shape == (len(samples.held_out), 4)
    assert 0 < made.shift.median_px <= made.shift.p95_px <= 2.0
    assert made.sizes_mb[1] < 0.5 * made.sizes_mb[0]
    model = Model(made.path, "pose")
    assert model.keypoint_names == pose.keypoint_names
    assert model.presence == pose.presence, "the metadata come along"
    for sample in samples.held_out[:3]:
        found = model.decode(model.infer(sample.prepared), sample.view)
        expected = pose.decode(pose.infer(sample.prepared), sample.view)
        assert np.abs(found.xy - expected.xy).max() < 3
    note = json.loads({p.key: p.value for p in onnx.load(str(made.path)).metadata_props}["cropzoom_int8"])
    assert note["judged_on"] == len(samples.held_out)
    assert note["shift_px"]["p95"] == pytest.approx(made.shift.p95_px)


@pytest.mark.slow
@pytest.mark.usefixtures("as_fast_as_a_cpu_with_vnni")
def test_sensitive_layers_stay_in_float_until_the_limit_holds(tmp_path: Path) -> None:
    pose, samples = arena_samples(24)
    free = quantize(pose, "pose", samples, tmp_path / "free.onnx", max_shift_px=100, say=quiet)
    lines: list[str] = []
    limit = 0.7 * free.shift.p95_px
    made = quantize(pose, "pose", samples, tmp_path / "held.onnx", max_shift_px=limit, say=lines.append)
    assert free.in_float == ()
    assert len(made.in_float) >= 1
    assert made.shift.p95_px <= limit
    assert any("sensitive" in line for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("as_fast_as_a_cpu_with_vnni")
def test_beyond_the_limit_nothing_is_written(tmp_path: Path) -> None:
    pose, samples = arena_samples(16)
    with pytest.raises(ModelError, match=r"int8 moves the keypoints by .* px .*Nothing is written"):
        quantize(pose, "pose", samples, tmp_path / "out.onnx", max_shift_px=1e-6, say=quiet)
    assert list(tmp_path.iterdir()) == []


def test_where_int8_is_not_faster_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pose, samples = arena_samples(16)
    monkeypatch.setattr(quantization, "_measure_speed", lambda *_: Speed(1.0, 1.2))
    monkeypatch.setattr(quantization, "has_int8_instructions", lambda: False)
    with pytest.raises(ModelError, match=r"0\.83 times as fast as fp32 on this CPU: it has no instructions for int8"):
        quantize(pose, "pose", samples, tmp_path / "out.onnx", max_shift_px=100, say=quiet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("as_fast_as_a_cpu_with_vnni")
def test_what_is_int8_already_is_refused(tmp_path: Path) -> None:
    pose, samples = arena_samples(16)
    made = quantize(pose, "pose", samples, tmp_path / "pose_int8.onnx", max_shift_px=100, say=quiet)
    with pytest.raises(ModelError, match="is quantized already; give the fp32 export"):
        quantize(Model(made.path), "pose", samples, tmp_path / "again.onnx", max_shift_px=100, say=quiet)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"kind": "heatmap_mhcrnn"}, "only single-frame models become int8", id="context model"),
        pytest.param({"input_type": onnx.TensorProto.FLOAT16}, "computes in fp16", id="fp16"),
    ],
)
def test_models_that_cannot_become_int8_are_refused(
    make_model: Callable[..., Path], options: dict[str, object], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        quantization.check_quantizable(Model(make_model("pose", **options)))


def test_the_precision_int8_takes_the_export_beside_the_file(make_model: Callable[..., Path]) -> None:
    path = make_model("pose")
    with pytest.raises(ModelError, match=r"has no int8 export pose_int8\.onnx; run: cropzoom quantize"):
        Model(path, precision="int8")
    beside = make_model("pose", name="pose_int8.onnx")
    assert Model(path, precision="int8").file.onnx == beside
    assert Model(path).file.onnx == path
    assert Model(shipped_model("pose"), precision="int8").is_shipped, "the shipped models run as they are"


def test_the_precision_int8_takes_that_export_of_a_directory(make_litpose_directory: Callable[..., Path]) -> None:
    directory = make_litpose_directory("model", exports=["epoch=1-best_fp32", "epoch=1-best_int8"])
    assert Model(directory, precision="int8").file.onnx.name == "epoch=1-best_int8.onnx"
    assert Model(directory).file.onnx.name == "epoch=1-best_fp32.onnx"
    other = make_litpose_directory("other")
    with pytest.raises(ModelError, match=r"cropzoom quantize .* --calibrate VIDEO"):
        Model(other, precision="int8")


def test_the_shift_of_a_keypoint_that_is_not_finite_does_not_count() -> None:
    shift = Shift(np.array([[0.1, np.nan], [0.3, 0.2]]), 0.0)
    assert shift.median_px == pytest.approx(0.2)
    assert shift.max_px == pytest.approx(0.3)


@pytest.mark.slow
@pytest.mark.usefixtures("as_fast_as_a_cpu_with_vnni")
def test_lightning_poses_model_moves_by_less_than_a_fifth_of_a_pixel(
    litpose: Path, shared_data: Path, tmp_path: Path
) -> None:
    pose = Model(litpose / "pose_0")
    cutter = Cutter(pose, Model(litpose / "detector_0"), BoxRule(crop_size=240))
    openfield = shared_data / "openfield"
    given: list[Input] = [Video(litpose / "clip.mp4"), LabelFile(openfield / "CollectedData.csv")]
    made = quantize(pose, "pose", collect(given, cutter, 60), tmp_path / "int8.onnx", max_shift_px=0.5, say=quiet)
    assert made.shift.median_px <= 0.2
    assert made.shift.p95_px <= 0.5
    assert made.errors_px is not None
    assert made.errors_px[1] == pytest.approx(made.errors_px[0], abs=0.2)
    assert Model(made.path, "pose").keypoint_names == pose.keypoint_names, "it describes itself"

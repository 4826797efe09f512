"""Training and export where Lightning Pose's were: its configurations, its directories, its script, its numbers."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

for name in ("torch", "onnx", "onnxruntime", "matplotlib"):
    pytest.importorskip(name, reason=f"{name} is not installed: training needs the train extra")

import torch  # noqa: E402

from realtime_cropzoom.cli.main import main  # noqa: E402
from realtime_cropzoom.errors import ModelError  # noqa: E402
from realtime_cropzoom.inference.boxes import whole_image  # noqa: E402
from realtime_cropzoom.inference.model import Model  # noqa: E402
from realtime_cropzoom.offline.train_split import split_frames  # noqa: E402
from realtime_cropzoom.sessions.dlc_csv import read_labels, read_predictions  # noqa: E402
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings  # noqa: E402
from realtime_cropzoom.sources.image_file import read_image  # noqa: E402
from realtime_cropzoom.train.dataset import common_side  # noqa: E402
from realtime_cropzoom.train.evaluate import predict  # noqa: E402

NAMES = ["snout", "leftear", "rightear", "tailbase"]
FRAMES, SIDE = 12, 96


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine wait for each other at every layer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def litpose_config(data_dir: Path) -> dict[str, Any]:
    """What a Lightning Pose user has: much of it is not ours, and the keypoints' names are left out."""
    return {
        "data": {
            "image_resize_dims": {"height": 64, "width": 96},
            "data_dir": str(data_dir),
            "video_dir": str(data_dir / "videos"),
            "csv_file": ["labels.csv"],
            "num_keypoints": None,
            "keypoint_names": None,
            "mirrored_column_matches": None,
        },
        "training": {
            "imgaug": "dlc", "train_batch_size": 4, "val_batch_size": 32, "train_prob": 0.75, "val_prob": 0.25,
            "train_frames": 6, "min_epochs": 1, "max_epochs": 300, "check_val_every_n_epoch": 5,
            "rng_seed_data_pt": 3, "optimizer": "Adam", "optimizer_params": {"learning_rate": "1e-3"},
        },
        "model": {
            "losses_to_use": [], "backbone": "resnet50_animal_ap10k", "model_type": "heatmap", "checkpoint": None,
        },
        "losses": {"pca_multiview": {"log_weight": 11.0}},
        "eval": {"predict_vids_after_training": True, "test_videos_directory": "${data.video_dir}"},
    }  # fmt: skip


def write_labels(path: Path, names: list[str], xy: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = [["scorer"] + ["me"] * 8, ["bodyparts", *np.repeat(NAMES, 2)], ["coords", *"xy" * 4]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*header, *([name, *row.ravel()] for name, row in zip(names, xy, strict=True))])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``config.yaml`` and ``data/``: labelled frames of the arena, small."""
    folder = tmp_path_factory.mktemp("project")
    arena = Arena(ArenaSettings(width=160, height=120, seed=5))
    names = [f"labeled-data/a/{i}.png" for i in range(FRAMES)]
    xy = np.stack([arena.truth(7 * i) for i in range(FRAMES)])
    xy[4] = np.nan  # nothing visible: such a row has its place in the split all the same
    (folder / "data/labeled-data/a").mkdir(parents=True)
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / "data" / name), arena.render(7 * i)[:, :, ::-1])
    write_labels(folder / "data/labels.csv", names, xy)
    (folder / "config.yaml").write_text(yaml.safe_dump(litpose_config(folder / "data")))
    return folder


OURS = ["model.backbone=cropzoom_small", "training.max_epochs=2"]


@pytest.fixture(scope="module")
def detector(project: Path) -> Path:
    """A detector, trained by the line of Lightning Pose's documentation."""
    out = project / "detector_0"
    assert main(["train", str(project / "config.yaml"), "--output_dir", str(out), "--overrides", *OURS]) == 0
    return out


@pytest.fixture(scope="module")
def cropped(project: Path, detector: Path) -> Path:
    """The detector's directory after ``crop``: every crop the same square."""
    labels = read_labels(project / "data/labels.csv")
    corners = np.array([(i, 2 * i) for i in range(FRAMES)])
    for name, (x, y) in zip(labels.images, corners, strict=True):
        image = read_image(project / "data" / name)[:, :, ::-1]
        path = detector / "cropped_images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[y : y + SIDE, x : x + SIDE])
    csv_file = detector / "image_preds/labels.csv/cropped_labels.csv"
    write_labels(csv_file, list(labels.images), labels.xy - corners[:, None])
    return detector


@pytest.fixture(scope="module")
def pose(project: Path, cropped: Path) -> Path:
    """A pose model, trained where no output directory is named, with settings that are not the detector's."""
    others = ["data.image_resize_dims.width=64", "training.train_frames=1", "training.rng_seed_data_pt=0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        arguments = ["config.yaml", "--detector_model", "detector_0", "--overrides", *OURS, *others]
        assert main(["train", *arguments]) == 0
    (found,) = project.glob("outputs/????-??-??/??-??-??")
    return found


def config_of(directory: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((directory / "config.yaml").read_text())
    return config


def last_column(path: Path) -> list[str]:
    return [line.rpartition(",")[2] for line in path.read_text().splitlines()]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that is refused."""
    assert main([str(argument) for argument in arguments]) == 2
    line = capsys.readouterr().err
    assert line.startswith("cropzoom: ")
    assert line.count("\n") == 1, line
    return line


def test_the_directory_is_as_lightning_pose_lays_it_out(detector: Path) -> None:
    config = config_of(detector)
    assert (config["data"]["keypoint_names"], config["data"]["num_keypoints"]) == (NAMES, 4)
    assert config["training"]["min_epochs"] == 1, "what is not read is kept"
    assert Model(detector, "detector").size == (96, 64)
    assert not (detector / "image_preds/labels.csv/bbox.csv").exists(), "boxes are for create_bbox to write"


def test_the_split_is_obeyed_and_stands_in_the_predictions(detector: Path) -> None:
    sets = last_column(detector / "image_preds/labels.csv/predictions.csv")[3:]
    expected = split_frames(FRAMES, 0.75, 0.25, seed=3, train_frames=6).sets(FRAMES)
    assert sets == expected
    assert sets.count("train") == 6
    assert "unused" in sets
    errors = (detector / "image_preds/labels.csv/predictions_pixel_error.csv").read_text().splitlines()
    assert errors[5] == f"labeled-data/a/4.png,,,,,{expected[4]}", "no label, no error"


def test_the_predictions_have_the_form_of_lightning_poses(detector: Path, litpose: Path) -> None:
    ours, theirs = detector / "image_preds/labels.csv", litpose / "detector_0/image_preds/CollectedData.csv"
    for file, header_rows in (("predictions.csv", 3), ("predictions_pixel_error.csv", 1)):
        our_lines, their_lines = ((folder / file).read_bytes().split(b"\n") for folder in (ours, theirs))
        assert our_lines[:header_rows] == their_lines[:header_rows]
        assert our_lines[header_rows].count(b",") == their_lines[header_rows].count(b",")
        assert our_lines[-1] == their_lines[-1] == b"", "each line ends with a newline"


def test_what_lightning_pose_held_out_is_held_out(litpose: Path) -> None:
    sets = last_column(litpose / "detector_0/image_preds/CollectedData.csv/predictions.csv")[3:]
    assert split_frames(len(sets), 0.9, 0.1, seed=0).sets(len(sets)) == sets


def test_a_pose_model_learns_from_the_detectors_crops(pose: Path, cropped: Path) -> None:
    config = config_of(pose)
    assert config["data"]["data_dir"] == str(cropped / "cropped_images")
    assert config["data"]["video_dir"] == config["eval"]["test_videos_directory"] == str(cropped / "cropped_videos")
    assert config["data"]["csv_file"] == str(cropped / "image_preds/labels.csv/cropped_labels.csv")
    assert config["eval"]["predict_vids_after_training"] is True
    assert Model(pose, "pose").size == (64, 64)
    with pytest.raises(ModelError, match="is a pose model, but was given as the detector"):
        Model(pose, "detector")
    assert Model(pose / "exports_onnx/cropzoom_small_fp32.onnx").trained_crop_size == SIDE
    found = read_predictions(pose / "image_preds/cropped_labels.csv/predictions.csv")
    assert len(found.index) == FRAMES
    assert (found.xy <= SIDE).all(), "in pixels of the crop, as Lightning Pose has them"


def test_crops_of_many_sizes_have_no_common_side() -> None:
    def image(height: int, width: int) -> np.ndarray:
        return np.zeros((height, width, 3), np.uint8)

    assert common_side([image(240, 240), image(240, 240)]) == 240
    assert common_side([image(240, 240), image(200, 200)]) is None
    assert common_side([image(240, 200), image(240, 200)]) is None
    assert common_side([]) is None


def test_missing_crops_are_named_with_the_command_that_makes_them(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", project / "config.yaml", "--output_dir", tmp_path / "out", "--detector_model"]
    line = refusal(capsys, *train, tmp_path, "--overrides", *OURS)
    assert f"there is no {tmp_path}/image_preds/labels.csv/cropped_labels.csv; run: cropzoom crop {tmp_path} " in line
    assert line.endswith(f"cropzoom crop {tmp_path} {project}/data/labels.csv\n")
    labels = read_labels(project / "data/labels.csv")
    write_labels(tmp_path / "image_preds/labels.csv/cropped_labels.csv", list(labels.images), labels.xy)
    line = refusal(capsys, *train, tmp_path, "--overrides", *OURS)
    assert f"there is no {tmp_path}/cropped_images/labeled-data/a/0.png; run: cropzoom crop" in line
    line = refusal(capsys, *train, tmp_path / "nowhere", "--overrides", *OURS)
    assert f"no detector model directory at {tmp_path}/nowhere" in line
    assert not (tmp_path / "out").exists()


ONE_LOSS = "model.losses_to_use=[pca_multiview]"


@pytest.mark.parametrize(
    ("overrides", "flags", "message"),
    [
        ([], [], "model.backbone is resnet50_animal_ap10k; cropzoom trains only cropzoom_small: for resnet50_animal"),
        (OURS[1:], [], "run litpose train {config}, for cropzoom_small add --overrides model.backbone=cropzoom_small"),
        ([], ["--detector_model", "D"], "run litpose train {config} --detector_model D"),
        (["model.model_type=regression"], [], "model.model_type is regression; cropzoom trains only heatmap models"),
        (["model.model_type=heatmap_mhcrnn"], [], "run litpose train {config}"),
        ([*OURS, ONE_LOSS], ["--detector_model", "D"], "pca_multiview, which Lightning Pose does not support for pose"),
        ([*OURS, ONE_LOSS, "cropzoom.crop_size=96"], [], "for pose models on crops: remove it from the list"),
        ([*OURS, ONE_LOSS], [], "cropzoom learns only from labels: run litpose train {config}"),
        ([*OURS, "model.losses_to_use=[temporal]"], [], "is ['temporal']; cropzoom learns only from labels"),
        ([*OURS, "data.csv_file=[a.csv, b.csv]"], [], "names 2 files, one per camera view; cropzoom reads one: run"),
        ([*OURS, "model.checkpoint=a.ckpt"], [], "is a.ckpt; cropzoom starts every training from new weights: run"),
        ([*OURS, "+training.max_steps=900"], [], "set training.max_epochs in its place, or run litpose train"),
        ([*OURS, "data.image_resize_dims.width=100"], [], "data.image_resize_dims.width: Input should be a multiple"),
        ([*OURS, "data.csv_file=null", "cropzoom.arena_share=1"], [], "data.keypoint_names is empty, and there is no"),
        ([*OURS, "data.data_dir=D/cropped_images", "cropzoom.arena_share=0.5"], [], "frames are whole and the data"),
        ([*OURS, "training.train_frames=0.01"], [], "train_frames is 0.01: of 9 frames none is left to train on"),
        ([*OURS, "data.keypoint_names=[whisker]"], [], "labels.csv has no bodypart whisker; it has snout, leftear"),
    ],
)  # fmt: skip
def test_what_is_not_trained_here_is_refused_in_a_line(
    project: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    flags: list[str],
    message: str,
) -> None:
    config = project / "config.yaml"
    arguments = [config, "--output_dir", tmp_path / "out", *flags, "--overrides", *overrides]
    assert message.format(config=config) in refusal(capsys, "train", *arguments)
    assert not (tmp_path / "out/config.yaml").exists()


def test_a_model_that_is_there_is_kept_unless_told_otherwise(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    arguments = ["train", str(project / "config.yaml"), "--output_dir", str(out), "--overrides", *OURS]
    (out / "exports_onnx").mkdir(parents=True)
    (out / "config.yaml").touch()
    (out / "exports_onnx/cropzoom_small_fp16.onnx").touch()
    message = f"{out} already holds a model; choose another --output_dir, or add --overwrite"
    assert message in refusal(capsys, *arguments)
    checkpoint = out / "tb_logs/test/version_0/checkpoints/epoch=1.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert "holds Lightning Pose's epoch=1.ckpt; choose another" in refusal(capsys, *arguments, "--overwrite")
    checkpoint.unlink()
    assert main([*arguments, "training.max_epochs=1", "--overwrite"]) == 0
    assert [path.name for path in out.glob("exports_onnx/*.onnx")] == ["cropzoom_small_fp32.onnx"], "the old are gone"
    assert Model(out, "detector").keypoint_names == tuple(NAMES)


def test_an_output_directory_that_cannot_be_made_is_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    line = refusal(
        capsys, "train", project / "config.yaml", "--output_dir", tmp_path / "file/out", "--overrides", *OURS
    )
    assert f"cannot make the output directory {tmp_path}/file/out: Not a directory" in line


def test_an_export_says_and_gives_the_same_in_half_precision(
    project: Path, detector: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(detector), "--onnx-precision", "fp16"]) == 0
    path = detector / "exports_onnx/cropzoom_small_fp16.onnx"
    assert capsys.readouterr().out == f"{path}\n"
    half, full = (Model(detector, "detector", precision=precision) for precision in ("fp16", "fp32"))
    assert half.session.input_type == "tensor(float16)"
    assert half.manifest == full.manifest
    image = read_image(project / "data/labeled-data/a/0.png")
    box = whole_image(image)
    ours, theirs = predict(half, image, box), predict(full, image, box)
    np.testing.assert_allclose(ours.xy, theirs.xy, atol=0.5)
    np.testing.assert_allclose(ours.likelihood, theirs.likelihood, atol=0.02)


def test_an_export_can_be_made_again(detector: Path) -> None:
    path = detector / "exports_onnx/cropzoom_small_fp32.onnx"
    before = path.read_bytes()
    path.unlink()
    assert main(["export", str(detector)]) == 0
    assert path.read_bytes() == before


def litpose_directory(folder: Path) -> Path:
    """A Lightning Pose model: a configuration and a checkpoint."""
    checkpoint = folder / "tb_logs/test/version_0/checkpoints/epoch=1-best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    (folder / "config.yaml").touch()
    return folder


FAKE_LIGHTNING_POSE = """
class Model:
    @staticmethod
    def from_dir(model_dir):
        model = Model()
        model.model_dir = model_dir
        return model

    def export(self, runtime, onnx_precision="fp16"):
        if onnx_precision == "fp16":
            raise RuntimeError("no\\nGPU")
        path = self.model_dir / f"exports_{runtime}" / f"epoch=1-best_{onnx_precision}.onnx"
        path.parent.mkdir()
        path.touch()
        return path
"""


def test_a_lightning_pose_model_is_exported_by_lightning_pose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = litpose_directory(tmp_path / "model")
    (tmp_path / "site/lightning_pose").mkdir(parents=True)
    (tmp_path / "site/lightning_pose/__init__.py").touch()
    (tmp_path / "site/lightning_pose/api.py").write_text(FAKE_LIGHTNING_POSE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    try:
        assert main(["export", str(directory)]) == 0
        assert capsys.readouterr().out == f"{directory}/exports_onnx/epoch=1-best_fp32.onnx\n"
        line = refusal(capsys, "export", directory, "--onnx-precision", "fp16")
        assert f"lightning-pose cannot export {directory}: no GPU" in line
    finally:
        for name in ("lightning_pose", "lightning_pose.api"):
            sys.modules.pop(name, None)


def test_what_cannot_be_exported_here_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    directory = litpose_directory(tmp_path / "model")
    line = refusal(capsys, "export", directory)
    assert line.endswith(f"run: litpose export {directory} --runtime onnx --onnx-precision fp32\n")
    line = refusal(capsys, "export", directory, "--runtime", "tensorrt")
    assert f"run cropzoom export {directory} --runtime onnx, and run the model with --provider tensorrt" in line
    line = refusal(capsys, "export", tmp_path / "nothing")
    assert f"{tmp_path}/nothing has nothing to export; expected cropzoom_small.pt, as cropzoom train leaves it" in line
    (directory / "cropzoom_small.pt").write_bytes(b"no checkpoint")
    assert "cropzoom_small.pt is not a checkpoint of this version" in refusal(capsys, "export", directory)


def test_without_torch_the_extra_is_named(project: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from realtime_cropzoom.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", code, "train", str(project / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("cropzoom: cropzoom train needs torch, which comes with the extra 'train'; run: pip")
    assert done.stderr.count("\n") == 1

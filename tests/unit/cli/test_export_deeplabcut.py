"""``cropzoom export-deeplabcut``: runs its script in another Python, or writes it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import yaml
from support.deeplabcut_models import NAMES, facts
from support.places import TESTS

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.inference.makers import export_deeplabcut as script
from realtime_cropzoom.inference.makers.maker import Wanted
from realtime_cropzoom.inference.model_file import find_model


@pytest.fixture
def train(tmp_path: Path) -> Path:
    folder, given = tmp_path / "model" / "train", facts()
    folder.mkdir(parents=True)
    config = {
        "net_type": given["net_type"],
        "method": given["method"],
        "metadata": {"bodyparts": given["bodyparts"]},
        "model": {"heads": {"bodypart": {"predictor": given["predictor"]}}},
        "data": {"inference": given["data_inference"], "colormode": "RGB"},
    }
    (folder / "pytorch_config.yaml").write_text(yaml.safe_dump(config))
    (folder / "snapshot-best-045.pt").touch()
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The folder of an environment with the stand-in of DeepLabCut."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    stand_in, real = (shlex.quote(str(path)) for path in (TESTS / "support" / "deeplabcut_stand_in", sys.executable))
    python.write_text(f'#!/bin/sh\nPYTHONPATH={stand_in} exec {real} "$@"\n')
    python.chmod(0o755)
    return tmp_path / "env"


@pytest.mark.parametrize("inside", ["", "bin/python"])
def test_it_exports_with_the_python_of_deeplabcut(
    train: Path, environment: Path, inside: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-deeplabcut", str(train), "--python", str(environment / inside)]) == 0
    shown = capfd.readouterr()
    assert "largest difference between the file and PyTorch" in shown.out
    assert f"cropzoom models {train / 'snapshot-best-045.onnx'}" in shown.err
    assert find_model(train, Wanted()).manifest.keypoint_names == tuple(NAMES)


def test_the_snapshot_and_the_file_can_be_chosen(train: Path, environment: Path, tmp_path: Path) -> None:
    (train / "snapshot-9.pt").touch()
    out = tmp_path / "mine.onnx"
    flags = ["--snapshot", "snapshot-9.pt", "--out", str(out)]
    assert main(["export-deeplabcut", str(train), "--python", str(environment), *flags]) == 0
    assert find_model(out, Wanted()).manifest.maker == "DeepLabCut"


def test_it_writes_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "script.py"
    assert main(["export-deeplabcut", "--script", str(path)]) == 0
    assert path.read_text() == Path(script.__file__).read_text()
    assert "python script.py MODEL" in capsys.readouterr().out
    assert main(["export-deeplabcut", "--script", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_what_is_wrong_is_said_before_deeplabcut_starts(
    train: Path, environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = ["--python", str(environment)]
    (tmp_path / "there.onnx").touch()
    for arguments, expected in (
        ([], "MODEL is missing"),
        ([str(train)], "needs the Python of your DeepLabCut environment. Give it with --python"),
        ([str(train), "--python", str(tmp_path)], "there is no"),
        ([str(tmp_path), *python], "has no pytorch_config.yaml"),
        ([str(train), "--snapshot", "no.pt", *python], "there is no snapshot no.pt"),
        ([str(train), "--out", str(tmp_path / "there.onnx"), *python], "exists already"),
    ):
        assert main(["export-deeplabcut", *arguments]) == 2
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1


def test_a_python_without_deeplabcut_ends_with_one_line(train: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export-deeplabcut", str(train), "--python", sys.executable]) == 2
    assert "cannot import DeepLabCut 3" in capfd.readouterr().err


def test_a_python_that_cannot_start_or_fails(train: Path, environment: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = environment / "bin" / "python"
    python.chmod(0o644)
    assert main(["export-deeplabcut", str(train), "--python", str(python)]) == 2
    assert "cannot be started" in capfd.readouterr().err
    python.write_text("#!/bin/sh\nexit 7\n")
    python.chmod(0o755)
    assert main(["export-deeplabcut", str(train), "--python", str(python)]) == 2
    assert "the export failed in" in capfd.readouterr().err

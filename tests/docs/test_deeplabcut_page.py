"""The commands of the page on DeepLabCut, with exported models and a recording in place of the user's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.offline_fixtures import first_packets
from support.pages import run_words
from support.places import ROOT

from realtime_cropzoom.cli.main import main

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs/how-to/models/deeplabcut.md"
FRAMES, SURE_FRAMES = 6, 4
"""How long the cut is, and how many of its frames are those of the recording: the last lack what comes after them."""
FILES = {
    "snapshot-best-045.onnx": "bottom_up.onnx",
    "snapshot-best-060.onnx": "top_down_rtmpose.onnx",
}
"""File of the page → the file that takes its place."""
STANDS_FOR = {
    "camera:0": "clip.mp4",
    "clip.mp4:100": "clip.mp4:2",
    "dlc-models-pytorch/iteration-0/NAME-shuffle1/train": "snapshot-best-045.onnx",
    "clipDLC_Resnet50_shuffle1_snapshot_045.h5": "predictions.csv",
}


@pytest.fixture
def desk(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the user works."""
    for name, file in FILES.items():
        if not (there := shared_data / "foreign/deeplabcut" / file).exists():
            pytest.skip(f"there is no {there}")
        (tmp_path / name).symlink_to(there)
    golden = (shared_data / "foreign/deeplabcut/goldens/bottom_up.csv").read_text().splitlines(keepends=True)
    (tmp_path / "predictions.csv").write_text("".join(golden[: 1 + 4 * SURE_FRAMES]))
    first_packets(shared_data / "litpose/openfield/clip.mp4", tmp_path / "clip.mp4", FRAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run_one_after_the_other_and_give_the_numbers_of_deeplabcut(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = re.findall(r"^    cropzoom ([a-z]+ [^#\n]*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    commands = [[STANDS_FOR.get(word, word) for word in line.split()] for line in lines]
    assert [words[0] for words in commands] == ["models", "run", "run", "pipeline", "compare"]
    for words in commands:
        run_words(words, capfd)
    assert "--max-px" in commands[-1]
    assert main(commands[-1]) == 0


def test_the_command_of_the_export_is_one(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports = re.findall(r"^    cropzoom (export-deeplabcut [^\n]*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(exports) == 2
    assert main(exports[0].split()) == 2  # there is no such model here
    assert "there is no" in capsys.readouterr().err
    assert main(exports[1].split()) == 0
    assert (desk / "export_deeplabcut.py").is_file()

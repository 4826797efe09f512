"""The commands of the pages on models, with small models and a recording in place of the user's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.offline_fixtures import first_packets
from support.pages import run_words
from support.places import ROOT

pytestmark = pytest.mark.slow

FRAMES = 6
FILES = {
    "sleap": "foreign/sleap",
    "yolo.onnx": "foreign/ultralytics/yolo11_dynamic.onnx",
    "pose.onnx": "foreign/rtmpose/rtmpose_tiny_192x256.onnx",
    "other.onnx": "foreign/rtmpose/rtmpose_tiny_192x256.onnx",
    "DETECTOR_DIR": "litpose/openfield/detector_0",
    "POSE_DIR": "litpose/openfield/pose_0",
}
"""File of a page → the file that takes its place."""
STANDS_FOR = {
    "camera:0": "recording.mp4",
    "recording.mp4:100": "recording.mp4:2",
    "DETECTOR": "sleap/centroid",
    "POSE": "sleap/centered_instance",
}


def commands_of(page: str) -> list[list[str]]:
    """The commands of a page, word by word."""
    text = (ROOT / "docs/how-to/models" / page).read_text(encoding="utf-8").replace("\\\n", "")
    lines = re.findall(r"^    cropzoom ([a-z]+ [^#\n]*)", text, re.MULTILINE)
    return [[STANDS_FOR.get(word, word) for word in line.split()] for line in lines]


@pytest.fixture
def desk(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the user works."""
    for name, file in FILES.items():
        if not (model := shared_data / file).exists():
            pytest.skip(f"there is no model at {model}")
        (tmp_path / name).symlink_to(model)
    first_packets(shared_data / "litpose/openfield/clip.mp4", tmp_path / "recording.mp4", FRAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "least"), [("index.md", 9), ("lightning-pose.md", 3), ("sleap.md", 8)])
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, least: int, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = commands_of(page)
    assert len(commands) >= least
    for command in commands:
        run_words(command, capfd, weak={"animal", "box"})

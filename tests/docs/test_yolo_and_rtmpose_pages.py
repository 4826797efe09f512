"""The commands of the pages on YOLO-pose and RTMPose, with small models and a recording in place of the user's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.offline_fixtures import first_packets
from support.pages import find_page, run_words

pytestmark = pytest.mark.slow

FRAMES = 6
FILES = {
    "best.onnx": "ultralytics/yolo11_dynamic.onnx",
    "yolo.onnx": "ultralytics/yolo26_nms_false_end2end.onnx",
    "end2end.onnx": "rtmpose/rtmpose_tiny_192x256.onnx",
}
"""File of a page → the file that takes its place."""
STANDS_FOR = {"camera:0": "recording.mp4", "recording.mp4:100": "recording.mp4:2", "POSE": "shipped"}


def commands_of(page: str) -> list[list[str]]:
    """The commands of a page, word by word."""
    text = find_page(page).read_text(encoding="utf-8").replace("\\\n", "")
    lines = re.findall(r"(?:^    |`)cropzoom ([a-z]+ [^`\n]*(?:--|\.onnx)[^`\n]*)", text, re.MULTILINE)
    return [[STANDS_FOR.get(word, word) for word in line.split()] for line in lines if "…" not in line]


@pytest.fixture
def desk(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the user works."""
    for name, file in FILES.items():
        if not (model := shared_data / "foreign" / file).is_file():
            pytest.skip(f"there is no model at {model}")
        (tmp_path / name).symlink_to(model)
    first_packets(shared_data / "litpose/openfield/clip.mp4", tmp_path / "recording.mp4", FRAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "least"), [("ultralytics.md", 6), ("rtmpose.md", 6)])
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, least: int, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = commands_of(page)
    assert len(commands) >= least
    for command in commands:
        run_words(command, capfd)

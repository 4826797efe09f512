"""What the documentation says is what the code does."""

import json
import re
from pathlib import Path

import pytest
from support.pages import code_blocks, find_page
from support.places import ROOT

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.description import settings_table
from realtime_cropzoom.messaging.message import PoseMessage, decode, json_schema

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "models" / "README.md",
]


def test_settings_page_holds_the_table_made_from_the_settings() -> None:
    assert settings_table() in find_page("settings.md").read_text(encoding="utf-8")


def test_schema_file_is_the_schema_of_the_messages() -> None:
    written = json.loads(find_page("message.schema.json").read_text(encoding="utf-8"))
    assert written == json_schema()


def test_example_message_is_a_valid_pose_message() -> None:
    (example,) = code_blocks(find_page("messages.md"), "json")
    message = decode(example.encode())
    assert isinstance(message, PoseMessage)
    counts = message.counts
    assert counts.captured == counts.processed + counts.skipped + counts.failed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_are_python(page: Path) -> None:
    for block in code_blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_a_page_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")
    for command in set(re.findall(r"(?:^ *|`)cropzoom ([a-z_]+)", text, re.MULTILINE)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, capsys.readouterr().err

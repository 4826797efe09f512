"""Pages of the documentation."""

import json
import re
from pathlib import Path

import pytest

from support.offline_fixtures import run_here
from support.places import ROOT

OF_THE_MACHINE = {"cores", "disk", "endpoints", "orders", "source", "speed"}
"""Checks that fail on a machine that is busy, or on which another run publishes."""


def find_page(name: str) -> Path:
    """Return the one page of the documentation with this file name."""
    (found,) = (ROOT / "docs").rglob(name)
    return found


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def run_words(words: list[str], capfd: pytest.CaptureFixture[str], *, weak: set[str] | None = None) -> None:
    """Run a command of a page in this process; it does what the page says, whatever else this machine does.

    Args:
        words: The words of the command after ``cropzoom``.
        capfd: The fixture, which takes what the command prints.
        weak: Checks that models may fail that were made for a test.
    """
    if words[0] == "check":
        capfd.readouterr()
        run_here(*words, "--json")
        lines = json.loads(capfd.readouterr().out)["lines"]
        assert [
            line for line in lines if not line["ok"] and line["check"] not in OF_THE_MACHINE | (weak or set())
        ] == []
        return
    silent = ["--publish", "none"] if words[0] == "run" else []
    code = run_here(*words, *silent)
    assert code in (0, 3), (words, capfd.readouterr().err)  # 3: weak models are not sure of each frame

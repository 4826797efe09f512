"""Pages of the documentation."""

import re
from pathlib import Path

from support.places import ROOT


def find_page(name: str) -> Path:
    """Return the one page of the documentation with this file name."""
    (found,) = (ROOT / "docs").rglob(name)
    return found


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)

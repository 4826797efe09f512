"""Docstrings describe the arguments that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "realtime_cropzoom"


def documented(docstring: str) -> list[str]:
    """Return the names in the section ``Args``."""
    section = re.search(r"^\s*Args:\n(.*?)(?=^\s*(?:Returns|Raises|Yields):|\Z)", docstring, re.DOTALL | re.MULTILINE)
    if section is None:
        return []
    lines = [line for line in section[1].splitlines() if line.strip()]
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    heads = [line[indent:] for line in lines if not line[indent:].startswith(" ")]
    return [name.strip("*` ") for head in heads if ":" in head for name in head.partition(":")[0].split(",")]


def wrong_arguments(source: str) -> Iterator[str]:
    """Yield each documented argument that its function does not take."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
            taken = {argument.arg for argument in every}
            docstring = ast.get_docstring(node) or ""
            yield from (f"{node.name}: {name}" for name in documented(docstring) if name not in taken)


def test_an_argument_that_is_not_taken_is_found() -> None:
    source = 'def cut(box):\n    """Cut.\n\n    Args:\n        image: (H, W).\n        box: Pixels: x, y.\n    """\n'
    assert list(wrong_arguments(source)) == ["cut: image"]


def test_docstrings_name_the_arguments_of_their_functions() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    wrong = {path.name: found for path in files if (found := list(wrong_arguments(path.read_text(encoding="utf-8"))))}
    assert wrong == {}

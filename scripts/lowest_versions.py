"""Print constraints that fix every requirement to the lowest version that it allows.

    python scripts/lowest_versions.py cpu dev > lowest.txt
    pip install --constraint lowest.txt --editable '.[cpu,dev]'

The arguments are the extras to include. A requirement without a lower bound is left out.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[^\]]*)\])?(>=(?P<lowest>[\w.]+))?$")


def lowest(extras: Iterable[str]) -> dict[str, str]:
    """Return the lowest version of each package that the project or one of these extras requires.

    Raises:
        ValueError: if a requirement does not have the form ``name>=version``.
    """
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in _with_inner(optional, extra, project))]
    bounds = [(found["name"], found["lowest"]) for found in map(_parsed, wanted)]
    return {name: version for name, version in bounds if version is not None}


def _with_inner(optional: dict[str, list[str]], extra: str, project: dict[str, object]) -> Iterator[str]:
    """Return the requirements of an extra, with extras of this package replaced by their requirements."""
    for line in optional[extra]:
        found = _parsed(line)
        if found["name"] == project["name"]:
            for inner in found["extras"].split(","):
                yield from _with_inner(optional, inner.strip(), project)
        else:
            yield line


def _parsed(line: str) -> re.Match[str]:
    found = _REQUIREMENT.match(line)
    if found is None:
        raise ValueError(f"the requirement {line!r} in pyproject.toml: expected NAME or NAME>=VERSION")
    return found


if __name__ == "__main__":
    for name, version in sorted(lowest(sys.argv[1:]).items()):
        print(f"{name}=={version}")

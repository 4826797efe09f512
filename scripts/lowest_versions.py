"""Print constraints that hold everything this package asks for to the lowest version it allows.

    python scripts/lowest_versions.py cpu dev > lowest.txt
    pip install --constraint lowest.txt --editable '.[cpu,dev]'

The arguments are the extras to hold. A requirement without a lower bound is left free.
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
    """The lowest version of each package that the project or one of these extras asks for.

    Raises ValueError where a requirement is written in another way than ``name>=version``.
    """
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in _with_inner(optional, extra, project))]
    bounds = [(found["name"], found["lowest"]) for found in map(_parsed, wanted)]
    return {name: version for name, version in bounds if version is not None}


def _with_inner(optional: dict[str, list[str]], extra: str, project: dict[str, object]) -> Iterator[str]:
    """An extra's requirements, and in place of our own extras named in it, theirs."""
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

"""Check before a release that everything names the same version.

    python scripts/check_release.py v0.1.0 dist

Prints what does not fit, one line each, with exit code 1 then.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
_TAG = re.compile(r"v(?P<version>\d+\.\d+\.\d+((a|b|rc)\d+)?)")
PLACEHOLDER = "ADDRESS_OF_THIS_REPOSITORY"


def problems(tag: str, dist: Path, project: Path = PROJECT) -> Iterator[str]:
    """Yield a line for each thing that does not fit a release.

    Args:
        tag: Tag of the release, such as ``v0.1.0``.
        dist: Folder with the wheel and the sdist.
        project: The project.
    """
    named = _TAG.fullmatch(tag)
    if named is None:
        yield f"tag: got {tag}, expected a version such as v0.1.0"
        return
    version = named["version"]
    newest = re.search(r"^## (.*)$", (project / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    heading = newest[1] if newest else "nothing"
    if re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading) is None:
        yield f"CHANGELOG.md: got {heading!r} as newest version, expected '{version} (YEAR-MONTH-DAY)'"
    if f"\nversion: {version}\n" not in (project / "CITATION.cff").read_text(encoding="utf-8"):
        yield f"CITATION.cff: got another version, expected {version}"
    expected = {f"realtime_cropzoom-{version}.tar.gz", f"realtime_cropzoom-{version}-py3-none-any.whl"}
    found = {path.name for path in dist.glob("*")}
    if found != expected:
        yield f"{dist}: got {', '.join(sorted(found)) or 'nothing'}, expected {', '.join(sorted(expected))}"
    for name in ("README.md", "docs/how-to/install.md"):
        if PLACEHOLDER in (project / name).read_text(encoding="utf-8"):
            yield f"{name}: got {PLACEHOLDER}, expected the address from which users clone"


def main() -> int:
    """Print the problems of a release, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tag", help="tag of the release, such as v0.1.0")
    parser.add_argument("dist", type=Path, help="folder with the wheel and the sdist")
    arguments = parser.parse_args()
    found = [*problems(arguments.tag, arguments.dist)]
    print("\n".join(found) or f"{arguments.tag}: everything names this version")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

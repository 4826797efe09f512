"""Say what the package and its extras put on a disk, by the files that pip noted in the environment that runs this.

    python scripts/install_sizes.py cpu              # the package with cpu, by library
    python scripts/install_sizes.py cpu view nwb     # and what each further extra adds to it

Sizes are in MB (1e6 bytes), with compiled bytecode. Libraries that are not installed here are named.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "realtime-cropzoom"


def libraries(extras: Iterable[str]) -> dict[str, float | None]:
    """Return the size (MB) of each library that the package brings with these extras; None if it is not installed."""
    sizes: dict[str, float | None] = {}
    waiting, seen = [(PACKAGE, frozenset(extras))], set[tuple[str, frozenset[str]]]()
    while waiting:
        name, wanted = wish = waiting.pop()
        if wish in seen:
            continue
        seen.add(wish)
        try:
            library = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            sizes[name] = None
            continue
        sizes[name] = size_of(library)
        needs = [Requirement(line) for line in library.requires or ()]
        waiting += [(canonicalize_name(need.name), frozenset(need.extras)) for need in needs if applies(need, wanted)]
    return sizes


def applies(need: Requirement, extras: Iterable[str]) -> bool:
    """Return whether a requirement counts on this system, with one of these extras or without any."""
    return need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def size_of(library: importlib.metadata.Distribution) -> float:
    """Return the size of the files of a library (MB)."""
    paths = [Path(str(file.locate())) for file in library.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def main() -> None:
    """Print a row for each library of the first extra, and one for each further extra."""
    first, *further = sys.argv[1:] or ["cpu"]
    known = importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    if unknown := [extra for extra in (first, *further) if extra not in known]:
        sys.exit(f"got {', '.join(unknown)}, expected extras of {PACKAGE}: {', '.join(known)}")
    base = libraries([first])
    for name, size in sorted(base.items(), key=lambda item: -(item[1] or 0)):
        print(f"{size:8.1f} MB  {name}" if size is not None else f"not installed here: {name}")
    print(f"{sum(size or 0 for size in base.values()):8.1f} MB  in all, with {first}")
    for extra in further:
        new = {name: size for name, size in libraries([extra]).items() if name not in base}
        lacking = [name for name, size in new.items() if size is None]
        note = f" (not installed here: {', '.join(lacking)})" if lacking else ""
        print(f"{sum(size or 0 for size in new.values()):8.1f} MB  more with {extra}{note}")


if __name__ == "__main__":
    main()

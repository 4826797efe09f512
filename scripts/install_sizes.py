"""Measure what the package and its extras put on a disk, and how long pip takes.

    python scripts/install_sizes.py dist/*.whl                     # the package with cpu, by library
    python scripts/install_sizes.py dist/*.whl --extras view,nwb   # what each of these adds to it

Each extra goes into a copy of the environment that has the package with ``cpu``; ``gpu`` goes in place of ``cpu``.
Sizes are of the installed files with compiled bytecode, in MB (1e6 bytes). Times depend on the network and on the cache
of pip: the second run counts.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from try_package import megabytes


def environment(folder: Path, of: Path | None = None) -> Path:
    """Return a new environment, empty or a copy of another."""
    if of is not None:
        shutil.copytree(of, folder, symlinks=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


def install(environment: Path, *what: str) -> tuple[float, float]:
    """Install into an environment, and return what that added (MB) and how long it took (s)."""
    before, started = megabytes(environment), time.perf_counter()
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True, stderr=subprocess.PIPE, text=True)
    return megabytes(environment) - before, time.perf_counter() - started


def libraries(environment: Path) -> Iterator[tuple[str, float]]:
    """Yield name and size (MB) of each library of an environment."""
    packages = next(path for path in environment.rglob("site-packages") if path.is_dir())
    for library in importlib.metadata.distributions(path=[str(packages)]):
        files = [Path(str(file.locate())) for file in library.files or ()]
        yield library.name, sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def main() -> None:
    """Print a row for each library, or for each extra."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--extras", default="", help="extras to measure, with commas between them")
    arguments = parser.parse_args()
    wheel = str(arguments.wheel.resolve())
    with tempfile.TemporaryDirectory() as place:
        cpu = environment(Path(place, "cpu"))
        added, seconds = install(cpu, f"{wheel}[cpu]")
        print(f"cpu: {added:.0f} MB in {seconds:.0f} s", flush=True)
        if not arguments.extras:
            for name, size in sorted(libraries(cpu), key=lambda item: -item[1]):
                print(f"{size:8.1f} MB  {name}")
        for extra in filter(None, arguments.extras.split(",")):
            folder = environment(Path(place, "extra"), None if extra == "gpu" else cpu)
            added, seconds = install(folder, f"{wheel}[{extra}]")
            print(f"{extra}: {added:.0f} MB in {seconds:.0f} s", flush=True)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""Does what ``make demo`` and ``make test`` do, where there is no make, as on Windows.

    python scripts/make.py demo        tracks the built-in arena live
    python scripts/make.py test        runs the tests
    python scripts/make.py --show test prints the commands, and runs none

It makes the environment in the folder .venv, as make does, and needs nothing but Python.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {"demo": ".[cpu,plots,view]", "test": ".[cpu,dev]"}
"""What is installed for each target, as in the Makefile."""


def commands(target: str, system: str, cores: int) -> list[list[str]]:
    """Return the commands of a target, one after another, for a system as ``sys.platform`` names it."""
    programs = Path(".venv", "Scripts" if system == "win32" else "bin")
    python = str(programs / ("python.exe" if system == "win32" else "python"))
    install = [python, "-m", "pip", "install", "--quiet", "--editable", EXTRAS[target]]
    workers = str(min(16, 2 * cores))
    last = {
        "demo": [python, "-m", "realtime_cropzoom", "demo"],
        "test": [python, "-m", "pytest", "-n", workers],
    }
    return [[sys.executable, "-m", "venv", ".venv"], install, last[target]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the commands of a target; return the exit code of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(EXTRAS))
    parser.add_argument("--show", action="store_true", help="print the commands, and run none")
    arguments = parser.parse_args(argv)
    for command in commands(arguments.target, sys.platform, os.cpu_count() or 2):
        print(" ".join(command), flush=True)
        if "pip" in command:
            print("This installs the package and what it needs: some minutes, once", flush=True)
        code = 0 if arguments.show else subprocess.run(command, cwd=ROOT).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())

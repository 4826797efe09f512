"""Install a wheel or an sdist in an empty environment, and walk the first minutes of a new user there.

    python scripts/try_package.py dist/*.whl dist/*.tar.gz

The environment is in a folder with a space in its name, away from the clone. The commands must succeed and show no
traceback; ``cropzoom check`` may find that this machine is too slow. Without a file to install, or where a command
fails, the exit code is not 0.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = [["--version"], ["--help"], ["demo"], ["check", "synthetic:arena"], ["draw", "latest"]]
MAY_FAIL = "check"
"""On a slow machine ``check`` says so, with exit code 2."""
_VERSION = re.compile(r"realtime_cropzoom-(?P<version>.+?)(-py3-none-any\.whl|\.tar\.gz)$")


def try_package(package: Path, folder: Path, extras: str) -> None:
    """Install a package into ``folder/env``, and run the commands there.

    Args:
        package: A wheel or an sdist of this project.
        folder: An empty folder.
        extras: Extras to install, with commas between them.

    Raises:
        ValueError: if it is no file, or not named as a package of this project, or another version was installed.
        RuntimeError: if a command fails.
    """
    named = _VERSION.search(package.name)
    if named is None:
        raise ValueError("got a file of another name, expected realtime_cropzoom-VERSION-py3-none-any.whl or .tar.gz")
    if not package.is_file():
        raise ValueError("got nothing there, expected a wheel or an sdist of this project")
    run([sys.executable, "-m", "venv", "env"], folder)
    scripts = Path("env", "Scripts" if os.name == "nt" else "bin")
    started = time.perf_counter()
    run([scripts / "python", "-m", "pip", "install", "--quiet", f"{package.resolve()}[{extras}]"], folder)
    print(
        f"installed [{extras}] in {time.perf_counter() - started:.0f} s, {megabytes(folder / 'env'):.0f} MB", flush=True
    )
    for words in COMMANDS:
        printed = run([scripts / "cropzoom", *words], folder, may_fail=words[0] == MAY_FAIL)
        if words == ["--version"] and printed.split() != ["cropzoom", named["version"]]:
            raise ValueError(f"cropzoom --version printed {printed!r}, expected {named['version']}")


def run(command: list[str | Path], folder: Path, *, may_fail: bool = False) -> str:
    """Run a command in a folder, show what it prints, and return what it printed on stdout."""
    line = " ".join(map(str, command))
    print(f"$ {line}", flush=True)
    program, *words = map(str, command)
    if not Path(program).is_absolute():
        program = str(folder / program)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [program, *words], cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="replace"
    )
    print(done.stdout, done.stderr, sep="", flush=True)
    if "Traceback" in done.stderr or (done.returncode != 0 and not (may_fail and done.returncode == 2)):
        raise RuntimeError(f"{line}: got exit code {done.returncode}, expected 0 and no traceback")
    return done.stdout


def megabytes(folder: Path) -> float:
    """Return the sum of the sizes of all files below a folder, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def main() -> None:
    """Try each package in an environment of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("packages", nargs="+", type=Path, help="wheels and sdists")
    parser.add_argument("--extras", default="cpu", help="extras to install with it (default: cpu)")
    arguments = parser.parse_args()
    for package in arguments.packages:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            place = Path(folder, "a user's folder")
            place.mkdir()
            try:
                try_package(package, place, arguments.extras)
            except (ValueError, RuntimeError, subprocess.CalledProcessError) as error:
                sys.exit(f"{package}: {error}")
    print(f"{len(arguments.packages)} tried: all commands ran", flush=True)


if __name__ == "__main__":
    main()

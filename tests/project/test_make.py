"""The two commands say in one line what a machine lacks, and make an environment again that is not this folder's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with a space in its name."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def fake_python(folder: Path, fails_with: str) -> str:
    """A Python whose checks fail where they name something."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$*" in *{fails_with}*) exit 1;; --version) echo Python 3.9.2;; esac\n')
    path.chmod(0o755)
    return str(path)


def environment(folder: Path, of: Path) -> Path:
    """What ``python -m venv`` leaves, as far as make looks at it."""
    made = folder / ".venv"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "python").symlink_to(sys.executable)
    (made / "pyvenv.cfg").write_text(f"version = 3.11.7\ncommand = /usr/bin/python3 -m venv {of}/.venv\n")
    (made / ".python").touch()
    return made


def test_a_machine_without_python_says_what_to_install(clone: Path) -> None:
    done = make(clone, "PYTHON=no_such_python", "demo")
    assert done.stderr.splitlines()[0].startswith("There is no no_such_python here. Install Python 3.11 or newer")


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ("version_info", "Python 3.9.2 is too old, 3.11 or newer is needed."),
        ("ensurepip", "has no venv. Install it (Debian, Ubuntu: sudo apt install python3-venv)"),
    ],
)
def test_a_python_that_will_not_do_says_so_in_a_line(clone: Path, lacks: str, says: str) -> None:
    done = make(clone, f"PYTHON={fake_python(clone, lacks)}", "demo")
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert says in first
    assert len(rest) == 1, "make's own line"
    assert not (clone / ".venv").exists()


def test_an_environment_of_this_folder_is_kept(clone: Path) -> None:
    environment(clone, of=clone)
    done = make(clone, "--dry-run", "demo")
    assert "-m venv" not in done.stdout
    assert ".venv/bin/cropzoom demo" in done.stdout


def test_a_new_environment_says_first_that_it_takes_minutes(clone: Path) -> None:
    lines = make(clone, "--dry-run", "demo").stdout.splitlines()
    says = next(i for i, line in enumerate(lines) if "this takes some minutes, once" in line)
    assert "pip install" in lines[says + 1]


def test_an_environment_of_a_folder_that_was_moved_is_made_again(clone: Path) -> None:
    environment(clone, of=clone.parent / "elsewhere")
    done = make(clone, "--dry-run", "demo")
    assert "-m venv .venv" in done.stdout
    assert "pip install" in done.stdout


def test_an_environment_whose_python_is_gone_is_made_again(clone: Path) -> None:
    made = environment(clone, of=clone)
    (made / "bin" / "python").unlink()
    assert "-m venv .venv" in make(clone, "--dry-run", "demo").stdout


def test_macos_counts_its_cores_with_sysctl(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no nproc."""
    programs = clone / "programs"
    programs.mkdir()
    for name in ("sh", "sed", "echo", "make"):
        if (found := shutil.which(name)) is not None:
            (programs / name).symlink_to(found)
    sysctl = programs / "sysctl"
    sysctl.write_text('#!/bin/sh\n[ "$*" = "-n hw.ncpu" ] && echo 6\n')
    sysctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert "-m pytest -n 12" in make(clone, "--dry-run", "test").stdout


@pytest.mark.parametrize("target", ["demo", "test"])
def test_without_make_the_script_installs_and_runs_the_same(target: str) -> None:
    """Its commands are those of the Makefile, but for those that only spare time or name what a machine lacks."""
    shown = show(target, sys.platform)
    made = (ROOT / "Makefile").read_text()
    assert f"-m pip install --quiet --editable '{shown[1][-1]}'" in made
    assert shown[1][-1] == {"demo": ".[cpu,plots,view]", "test": ".[cpu,dev]"}[target]


def test_on_windows_the_script_names_the_programs_of_windows() -> None:
    assert show("demo", "win32")[1][0] == str(Path(".venv", "Scripts", "python.exe"))


def show(target: str, system: str) -> list[list[str]]:
    spec = importlib.util.spec_from_file_location("make_script", ROOT / "scripts" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    commands: list[list[str]] = module.commands(target, system, 4)
    return commands

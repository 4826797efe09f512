"""Nothing but the drivers of cameras needs Linux: all of it can be imported, and begun, where POSIX is missing."""

from __future__ import annotations

import ast
import signal
from pathlib import Path

import pytest
from support.as_windows import POSIX_MODULES, run_as_windows
from support.places import PACKAGE

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.runtime.signals import ending_signals
from realtime_cropzoom.yaml_file import read_yaml

MODULES = sorted(
    ".".join(("realtime_cropzoom", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)
OPTIONAL = ("torch", "lightning", "onnxscript", "matplotlib", "starlette", "uvicorn", "websockets", "serial", "scipy")

IMPORT_ALL = """
import importlib, sys, traceback
optional, modules = sys.argv[1].split(), sys.argv[2:]
for name in modules:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in optional:
            print(name, repr(error))
    except Exception as error:
        print(name, repr(error), traceback.extract_tb(error.__traceback__)[-1])
"""


@pytest.mark.slow
def test_every_module_can_be_imported_on_windows() -> None:
    assert len(MODULES) > 300
    assert run_as_windows(IMPORT_ALL, " ".join(OPTIONAL), *MODULES) == ""


def test_modules_of_posix_are_imported_where_they_are_needed() -> None:
    """None is imported when a file is: the import of a program must not fail for what one function needs."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [f"{path.relative_to(PACKAGE)}: {name}" for name in names if name in POSIX_MODULES]
    assert found == []


COMMANDS = """
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.runtime.signals import ending_signals
print(main(["cameras"]))
print(len(ending_signals()))
"""


def test_a_command_starts_and_ends_on_windows() -> None:
    """On Windows a process can get Ctrl-C, Ctrl-Break, SIGTERM and SIGABRT; Linux has no Ctrl-Break to show."""
    *_, code, signals = run_as_windows(COMMANDS).split()
    assert (code, signals) == ("0", "3")


ADDRESS = """
from realtime_cropzoom.control import AUTO
from realtime_cropzoom.control.address import running_processes, take_address, control_folder
taken = take_address(AUTO, "run-cam0")
print(taken.endpoint, taken.keys is not None, len(list(control_folder().iterdir())))
taken.close()
print(len(list(control_folder().iterdir())))
"""


def test_orders_go_through_a_port_with_keys_on_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert run_as_windows(ADDRESS).split() == ["tcp://127.0.0.1:*", "True", "1", "0"]


@pytest.mark.parametrize("given", [r"pose: C:\models\rat", r"pose: 'C:\models\rat'"])
def test_a_path_with_backslashes_is_read_from_a_config(tmp_path: Path, given: str) -> None:
    (tmp_path / "config.yaml").write_text(given)
    assert read_yaml(tmp_path / "config.yaml") == {"pose": r"C:\models\rat"}


def test_a_path_with_backslashes_in_double_quotes_is_refused_in_one_line(tmp_path: Path) -> None:
    """There a backslash begins an escape, which would give another path."""
    (tmp_path / "config.yaml").write_text(r'pose: "C:\models\rat"')
    with pytest.raises(ConfigError) as refused:
        read_yaml(tmp_path / "config.yaml")
    assert "escape" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_ctrl_break_and_a_closed_window_of_windows_end_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    assert 21 in ending_signals()

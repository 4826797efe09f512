"""Who imports whom, beyond the order of the sub-packages that import-linter keeps (``make lint``)."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import PACKAGE, TESTS

TOP = {"__init__", "__main__", "clock", "compiled", "errors", "types", "yaml_file"}
"""All that the top level of the package holds beside its sub-packages."""
ARITHMETIC = {"av", "onnxruntime", "zmq", "threading", "torch", "multiprocessing", "subprocess"}
"""What modules without input and output do not import."""
PURE = [
    *("filters", "calibration", "messaging/message", "messaging/endpoints", "runtime/records", "runtime/stats"),
    *(f"inference/{name}" for name in ("boxes", "box_size", "context_window", "crop", "heatmaps", "presence")),
    *("inference/pose_quality", "client/message_tracker", "client/pose_rate", "pipeline/clock_drift"),
    *("pipeline/report", "trigger/engine", "trigger/rules/zones", "trigger/rules/schema"),
]
ENGINE_FREE_OF = {"time", "threading", "zmq", "os", "pathlib", "logging", "yaml"}
HEAVY = ("av", "onnxruntime", "cv2", "pandas", "torch", "pydantic", "numpy")
NOT_INSTALLED = {"torch", "movement", "pypylon", "lightning", "onnxscript", "sleap_io"}
"""What ``make test`` does not install."""


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def libraries(path: Path) -> set[str]:
    """First names of all that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they go"
            names.add(str(node.module).split(".")[0])
    return names


def files(place: str) -> list[Path]:
    return sorted((PACKAGE / place).rglob("*.py")) if (PACKAGE / place).is_dir() else [PACKAGE / f"{place}.py"]


def test_the_top_level_holds_what_everything_may_import() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP


@pytest.mark.parametrize("place", PURE)
def test_pure_modules_open_and_run_nothing(place: str) -> None:
    for path in files(place):
        assert not libraries(path) & ARITHMETIC, path


def test_the_rule_engine_has_no_clock_and_opens_nothing() -> None:
    for path in files("trigger/engine"):
        if path.stem != "factory":  # reads the calibration that the rules name
            assert not libraries(path) & ENGINE_FREE_OF, path


def test_optional_libraries_are_imported_when_an_output_opens() -> None:
    for path in files("trigger/outputs"):
        assert not {name.split(".")[0] for name in at_import(path)} & {"serial", "pylsl", "pythonosc"}, path


def test_torch_lives_in_train_alone() -> None:
    users = {path for path in files("") if libraries(path) & {"torch", "lightning"}}
    users.remove(PACKAGE / "inference/makers/export_deeplabcut.py")  # it runs in the environment of DeepLabCut alone
    assert {path.parent.name for path in users} <= {"train"}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import realtime_cropzoom", {*HEAVY, "zmq"}),
        ("import realtime_cropzoom.client.subscriber", {*HEAVY, "asyncio"}),
        ("from realtime_cropzoom import Subscriber", {*HEAVY, "asyncio"}),
        ("from realtime_cropzoom import AsyncSubscriber", set(HEAVY)),
        ("import realtime_cropzoom.cli.main", {*HEAVY, "zmq"}),
        (
            "import realtime_cropzoom.config.settings, realtime_cropzoom.multicamera.supervisor",
            {"zmq", "av", "cv2", "numba"},
        ),
        ("import realtime_cropzoom.cli.listen_board", {"av", "onnxruntime", "cv2", "numba", "pandas", "torch"}),
        ("import realtime_cropzoom.pipeline.pipeline", {"torch", "pandas"}),
        ("import realtime_cropzoom.sessions.files", {"torch", "pandas"}),  # a run names its session at the end
        (
            "import realtime_cropzoom.trigger.process.process",
            {"av", "cv2", "matplotlib", "numba", "onnxruntime", "torch"},
        ),
        ("import realtime_cropzoom.cli.demo_run, realtime_cropzoom.plots.session_pictures", {"torch"}),
    ],
)
def test_what_an_import_pulls_in(statement: str, unwanted: set[str]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())


@functools.cache
def at_import(path: Path) -> set[str]:
    """Dotted names of all that is imported when a file is, by itself."""
    found: set[str] = set()
    for node in parsed(path).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def file_of(dotted: str) -> list[Path]:
    """The files of ours that an import of this name runs."""
    parts = dotted.split(".")
    home = PACKAGE.parent if parts[0] == "realtime_cropzoom" else TESTS
    folders = [home.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)]
    return [path for folder in folders for path in (folder / "__init__.py", folder.with_suffix(".py"))]


def closure(path: Path, seen: set[Path]) -> set[str]:
    """All that is imported when a file is, by whatever file of ours."""
    seen.add(path)
    names = at_import(path)
    inner = [file for name in names for file in file_of(name) if file.exists()]
    return names.union(*(closure(file, seen) for file in inner if file not in seen))


def is_skipped_whole(path: Path) -> bool:
    statements = [node for node in parsed(path).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return any("importorskip" in ast.unparse(node) for node in statements)


def test_what_make_test_does_not_install_is_no_condition_for_collecting() -> None:
    tests = [path for path in sorted(TESTS.rglob("test_*.py")) if not is_skipped_whole(path)]
    assert len(tests) > 50
    assert [path.name for path in tests if {name.split(".")[0] for name in closure(path, set())} & NOT_INSTALLED] == []

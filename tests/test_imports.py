"""Imports go down only, and nobody pays for what is not used."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "realtime_cropzoom"
PURE = [
    *(
        "advice",
        "boxes",
        "calibration",
        "clock",
        "config_file",
        "context",
        "crop",
        "csv_text",
        "drift",
        "echo",
        "endpoints",
        "errors",
    ),
    *("heatmaps", "homography", "inbox", "lens", "message", "overrides", "pose_quality", "presence", "records"),
    *("report", "schedule", "split"),
    *("stats", "types"),
]
BELOW_STAGES = [
    *("image_file", "model", "model_file", "session", "ring", "session_folder", "config", "keys", "security"),
    *PURE,
]


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, wherever in it; names of this package without its own."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they go"
            module = str(node.module)
            inner = [f"{module}.{alias.name}" for alias in node.names]
            is_package = (PACKAGE.parent / module.replace(".", "/")).is_dir()
            names |= {name for name in inner if _is_module(name)} if is_package else {module}
            names.add(module)
    return frozenset(names)


def _is_module(dotted: str) -> bool:
    path = PACKAGE.parent / dotted.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def ours(path: Path) -> set[str]:
    own = "realtime_cropzoom."
    return {name.removeprefix(own) for name in imported(path) if name.startswith(own)}


def libraries(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def modules(folder: str) -> list[Path]:
    return sorted(PACKAGE.glob(f"{folder}/*.py" if folder else "*.py"))


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_nothing_that_opens_or_runs(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    assert not libraries(path) & {"av", "onnxruntime", "zmq", "threading", "torch", "multiprocessing", "subprocess"}
    assert {name for name in ours(path) if not name.startswith("filters")} <= set(PURE)


@pytest.mark.parametrize("path", modules("filters"), ids=lambda p: p.stem)
def test_filters_are_arithmetic(path: Path) -> None:
    assert libraries(path) <= {*sys.stdlib_module_names, "realtime_cropzoom"} - {"threading", "multiprocessing"}
    assert {name for name in ours(path) if not name.startswith("filters")} <= {"errors", "message"}


@pytest.mark.parametrize("path", modules("stages"), ids=lambda p: p.stem)
def test_stages_do_not_know_each_other(path: Path) -> None:
    others = {"stages.capture", "stages.detect", "stages.pose"} - {f"stages.{path.stem}"}
    assert not ours(path) & others
    assert not {
        name
        for name in ours(path)
        if name.split(".")[0] in ("pipeline", "cli", "commands", "client", "demo", "draw", "offline")
    }


@pytest.mark.parametrize("path", [*modules("sources"), *modules("sinks")], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_sources_and_sinks_know_nothing_above_them(path: Path) -> None:
    above = {"pipeline", "cli", "commands", "client", "demo", "draw", "listen", "account", "offline"}
    assert not {name for name in ours(path) if name.split(".")[0] in above}
    assert not ours(path) & {"stages.capture", "stages.detect", "stages.pose"}
    if path.parent.name == "sources":
        assert not {name for name in ours(path) if name.startswith(("sinks", "stages"))}


RULE_ENGINE = ["compiling", "conditions", "engine", "events", "gates", "look", "motion", "tracks", "watcher", "zones"]


@pytest.mark.parametrize("name", RULE_ENGINE)
def test_the_rule_engine_has_no_clock_and_opens_nothing(name: str) -> None:
    path = PACKAGE / "trigger" / f"{name}.py"
    assert not libraries(path) & {"time", "threading", "zmq", "numpy", "os", "pathlib", "logging", "yaml"}
    pure = {*(f"trigger.{module}" for module in (*RULE_ENGINE, "language", "rules")), "message", "trigger"}
    assert ours(path) <= pure


@pytest.mark.parametrize("path", modules("trigger/outputs"), ids=lambda p: p.stem)
def test_outputs_know_no_more_of_triggers_than_events(path: Path) -> None:
    known = ("trigger.events", "trigger.outputs", "clock", "endpoints", "errors", "loopback", "security", "sinks.files")
    assert not {name for name in ours(path) if not name.startswith(known) and name not in ("trigger", "sinks")}
    optional = {"serial", "pylsl", "pythonosc"}
    at_import = {name for node in ast.parse(path.read_text()).body for name in _imports(node)}
    assert not at_import & optional


def _imports(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {str(node.module).split(".")[0]} if isinstance(node, ast.ImportFrom) else set()


@pytest.mark.parametrize("name", BELOW_STAGES)
def test_what_stages_stand_on_knows_no_stage(name: str) -> None:
    assert not {
        n
        for n in ours(PACKAGE / f"{name}.py")
        if n.split(".")[0] in ("stages", "sinks", "pipeline", "cli", "commands", "offline")
    }


def test_only_the_command_line_imports_the_command_line() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("cli.py", "entry.py", "__main__.py") and path.parent.name != "commands":
            assert not {name for name in ours(path) if name.split(".")[0] in ("cli", "commands")}, path


def test_torch_lives_in_train_alone() -> None:
    users = {path for path in PACKAGE.rglob("*.py") if libraries(path) & {"torch", "kornia", "lightning"}}
    assert {path.parent.name for path in users} <= {"train"}


HEAVY = ("av", "onnxruntime", "cv2", "pandas", "torch", "pydantic", "numpy")


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import realtime_cropzoom", {*HEAVY, "zmq"}),
        ("import realtime_cropzoom.client.subscriber", {*HEAVY, "asyncio"}),
        ("from realtime_cropzoom import Subscriber", {*HEAVY, "asyncio"}),
        ("from realtime_cropzoom import AsyncSubscriber", set(HEAVY)),
        ("import realtime_cropzoom.cli.main", {*HEAVY, "zmq"}),
        (
            "from realtime_cropzoom.cli.main import main; main(['trigger', 'none.yaml'])",
            {"av", "pydantic_settings", "pandas"},
        ),
        ("from realtime_cropzoom.cli.main import main; main(['listen', 'nothing'])", {"av", "pydantic", "pandas"}),
        ("import realtime_cropzoom.cli.listen_board", {"av", "onnxruntime", "cv2", "pandas", "torch"}),
        ("import realtime_cropzoom.pipeline.pipeline", {"torch", "pandas"}),
        ("import realtime_cropzoom.cli.demo_run, realtime_cropzoom.plots.session_pictures", {"torch", "matplotlib"}),
    ],
)
def test_what_an_import_pulls_in(statement: str, unwanted: set[str]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())


TESTS = Path(__file__).parent
NOT_INSTALLED = {"torch", "kornia", "movement", "pypylon", "lightning", "onnxscript"}
"""What ``make test`` does not install."""


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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
    if parts[0] != "realtime_cropzoom":
        return [TESTS / f"{parts[0]}.py"]
    folders = [PACKAGE.parent.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)]
    return [path for folder in folders for path in (folder / "__init__.py", folder.with_suffix(".py"))]


def closure(path: Path, seen: set[Path]) -> set[str]:
    """All that is imported when a file is, by whatever file of ours."""
    seen.add(path)
    return at_import(path).union(*(closure(file, seen) for file in below(path) if file not in seen))


@functools.cache
def below(path: Path) -> list[Path]:
    """The files of ours that are run when a file is imported, by itself."""
    return [file for name in at_import(path) for file in file_of(name) if file.exists()]


def is_skipped_whole(path: Path) -> bool:
    statements = [node for node in parsed(path).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return any("importorskip" in ast.unparse(node) for node in statements)


@pytest.mark.slow
def test_what_make_test_does_not_install_is_no_condition_for_collecting() -> None:
    files = [path for path in sorted(TESTS.glob("test_*.py")) if not is_skipped_whole(path)]
    assert [path.name for path in files if {name.split(".")[0] for name in closure(path, set())} & NOT_INSTALLED] == []

"""The suite's own account of itself, on a suite of four tests, in parallel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import suite

HERE = Path(__file__).parents[1]
HOOKS = "pytest_addoption, pytest_collection_modifyitems, pytest_configure, pytest_xdist_make_scheduler"
TESTS = """
import os, subprocess, sys
import pytest

def helper():
    return subprocess.run([sys.executable, "-c", "print(1)"], check=True)

@pytest.fixture(scope="module")
def costly(tmp_path_factory):
    return tmp_path_factory.mktemp("costly")

def test_arithmetic():
    assert 1 + 1 == 2

def test_a_process(costly):
    assert helper().returncode == 0

@pytest.mark.parametrize("given", ["a@b", "c"])
def test_later(costly, given):
    if "THERE" not in os.environ:
        pytest.skip(f"nothing is there for {given}")
"""


@pytest.fixture
def small_suite(tmp_path: Path) -> Path:
    text = f"import suite, pathlib\nfrom suite import {HOOKS}\nsuite.HERE = pathlib.Path(__file__).parent\n"
    (tmp_path / "conftest.py").write_text(text)
    (tmp_path / "test_small.py").write_text(TESTS)
    (tmp_path / "test_none.py").write_text("import pytest\npytest.importorskip('no_such_package', reason='no package')")
    return tmp_path


def run(folder: Path, *arguments: str, **variables: str) -> tuple[str, dict[str, object]]:
    account = folder / "account.json"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTEST_ADDOPTS": "", **variables}
    done = subprocess.run(
        [*command, "--account", str(account), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(account.read_text())


def test_what_was_skipped_is_accounted_for_and_run_again_alone(small_suite: Path) -> None:
    _, first = run(small_suite, "-n1")
    later = {f"test_small.py::test_later[{given}]": f"nothing is there for {given}" for given in ("a@b", "c")}
    assert counts(first) == {"passed": 2, "failed": [], "skipped": {**later, "test_none.py": "no package"}}

    (small_suite / "first.json").write_text(json.dumps(first))
    said, second = run(small_suite, "--only-skipped", "first.json", THERE="1")
    assert counts(second) == {"passed": 2, "failed": [], "skipped": {"test_none.py": "no package"}}
    assert "test_arithmetic" not in said


def counts(account: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in account.items() if not name.endswith("_s")}


def test_what_a_test_costs_is_noted_with_the_processes_that_it_starts(small_suite: Path) -> None:
    said, account = run(small_suite, "-n1", "-k", "arithmetic or process")
    spent_s = account["spent_s"]
    assert isinstance(spent_s, dict)
    assert "test_small.py::test_a_process" in spent_s
    assert f"{account['processor_s']} in all" in said
    assert isinstance(account["processor_s"], float)
    assert account["processor_s"] > sum(spent_s.values())


def test_what_starts_a_process_is_not_among_the_fast(small_suite: Path) -> None:
    said, account = run(small_suite, "-m", "not whole")
    assert account["passed"] == 1, said
    assert "test_a_process" not in said


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("parity/test_parity.py::test_the_header_rows_are_those_of_litpose", "reference_run"),
        (
            "parity/test_founding_scripts.py::test_video_script_leaves_boxes_smooth_boxes_and_videos[trained]",
            "make_project",
        ),
        ("unit/inference/test_boxes.py::test_any", None),
    ],
)
def test_what_a_module_shares_is_made_on_one_worker(test: str, group: str | None) -> None:
    file = f"tests/{test.partition('::')[0]}"
    assert suite.group_of(f"tests/{test}", HERE.parent) == (f"tests/{test}" if group is None else f"{file} {group}")


def test_functions_that_name_each_other_are_followed_once(tmp_path: Path) -> None:
    """A text in a function may be the name of one that asks for it: for parametrised fixtures, texts are followed."""
    module = tmp_path / "test_names.py"
    module.write_text(
        "@pytest.fixture(scope='module')\ndef models(project): ...\n"
        "def project(): return 'labels'\n"
        "def labels(project): return 'project'\n"
        "def test_it(models, labels): ...\n"
    )
    assert suite.group_of("test_names.py::test_it", tmp_path) == "test_names.py models"

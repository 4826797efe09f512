"""The clock: fine enough for ages on every system, and the same in all processes of a machine."""

from __future__ import annotations

import ast
import subprocess
import sys
import time

import pytest
from support.places import PACKAGE

from realtime_cropzoom import clock

WINDOWS_STEP_NS = 15_625_000
"""Step of ``time.monotonic_ns`` on Windows before Python 3.13."""
READERS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "clock_gettime", "clock_gettime_ns"}
"""Names of the module ``time`` that read a monotonic clock."""
OWN_CLOCK = {
    "train": "durations of a training, which last minutes and never leave the process",
    "bench": "durations of a measurement, which never leave the process",
    "trigger/outputs/guardian.py": "imports nothing of the package",
}
"""Places that may read a monotonic clock of their own, each with the reason."""


class WindowsTick:
    """A clock that steps as that of Windows does, while each reading takes 0.1 ms."""

    def __init__(self) -> None:
        self._true_ns = 0

    def __call__(self) -> int:
        self._true_ns += 100_000
        return self._true_ns // WINDOWS_STEP_NS * WINDOWS_STEP_NS


def test_the_clock_of_this_system_is_fine_enough() -> None:
    assert 0 < clock.step_ns() < 1_000_000
    assert clock.too_coarse() is None


def test_a_clock_that_steps_by_a_tick_of_windows_is_found_by_its_step() -> None:
    assert clock.step_ns(WindowsTick()) == WINDOWS_STEP_NS
    assert clock.too_coarse(WindowsTick()) == "the clock of this system advances in steps of 15.6 ms"


def test_windows_reads_its_counter_and_the_others_the_monotonic_clock() -> None:
    assert clock.clock_of("win32") is time.perf_counter_ns
    assert {clock.clock_of(system) for system in ("linux", "darwin")} == {time.monotonic_ns}
    assert clock.now_ns is clock.clock_of(sys.platform)


@pytest.mark.parametrize("system", ["win32", sys.platform])
def test_all_processes_of_a_machine_share_its_zero(system: str) -> None:
    """On Windows this asks its counter; elsewhere the counter is asked, too, and happens to be shared as well."""
    code = f"from realtime_cropzoom.clock import clock_of; print(clock_of({system!r})())"
    before = clock.clock_of(system)()
    there = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert before < there < clock.clock_of(system)()


def test_seconds_are_those_of_the_same_clock() -> None:
    before = clock.now_ns() / 1e9
    assert before <= clock.now_s() <= clock.now_ns() / 1e9


def test_no_other_module_reads_a_monotonic_clock() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place != "clock.py" and not {place, place.split("/")[0]} & OWN_CLOCK.keys():
            found += [f"{place}:{line} reads {name}" for name, line in readings(ast.parse(path.read_text("utf-8")))]
    assert found == [], "take now_ns or now_s of realtime_cropzoom.clock: others step by 15.6 ms on Windows"


def readings(tree: ast.AST) -> list[tuple[str, int]]:
    """Names and lines of all readings of a monotonic clock, however it is imported."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in READERS:
            found.append((node.attr, node.lineno))
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [(alias.name, node.lineno) for alias in node.names if alias.name in READERS]
    return found


def test_the_search_finds_each_way_to_read_it() -> None:
    code = "import time\nfrom time import monotonic as m\ntime.perf_counter_ns()\nnow = time.monotonic\n"
    assert {*readings(ast.parse(code))} == {("monotonic", 2), ("perf_counter_ns", 3), ("monotonic", 4)}

"""How the suite is run: in parallel, with what is costly made once, and with an account of what was skipped."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import multiprocessing
import os
import subprocess
import sys
import types
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

HERE = Path(__file__).parent

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.register_profile("fast", deadline=None, max_examples=10)
hypothesis.settings.load_profile("suite")


def at_most(examples: int) -> int:
    """As many examples as a costly test needs, or fewer where the profile asks for fewer of all tests."""
    return min(examples, hypothesis.settings().max_examples)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("account")
    group.addoption(
        "--account", type=Path, metavar="FILE", help="write what passed, what was skipped and why, and costs"
    )
    group.addoption("--only-skipped", type=Path, metavar="FILE", help="run what was skipped according to an account")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Spending(config))
    account = config.getoption("--account")
    if account is not None and not hasattr(config, "workerinput"):  # with workers, theirs is not the whole story
        config.pluginmanager.register(RunReporter(account))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what was skipped, where that is asked for; begin with the slow ones, so that none is left alone."""
    if config.getoption("--only-skipped") is not None:
        skipped = json.loads(config.getoption("--only-skipped").read_text())["skipped"]
        items[:] = [item for item in items if item.nodeid in skipped or item.nodeid.partition("::")[0] in skipped]
    for item in items:
        if any(_is_whole(function) for function in _functions(item)):
            item.add_marker(pytest.mark.whole)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a module that share something costly on one worker, so that it is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class SharedOnce(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid, config.rootpath)

    return SharedOnce(config, log)


def group_of(nodeid: str, root: Path) -> str:
    """The test itself, or its module and what it shares with others there."""
    file, _, test = nodeid.partition("::")
    shared = _shared(root / file).get(test.partition("[")[0], set())
    return " ".join([file, *sorted(shared)]) if shared else nodeid


@functools.cache
def _shared(path: Path) -> dict[str, set[str]]:
    """For each test of a module, the module's fixtures that it stands on and that are made once.

    Read from the text: who hands out the tests has not imported them.
    """
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    asks = {function.name: _asked_for(function) for function in functions}
    once = {function.name for function in functions if _is_made_once(function)}

    def below(name: str, above: frozenset[str] = frozenset()) -> set[str]:
        """Follow what is asked for. A text may be the name of what asks for it: functions may name each other."""
        above |= {name}
        deeper = set().union(*(below(asked, above) for asked in asks.get(name, set()) - above))
        return deeper or ({name} & once)

    return {name: below(name) for name in asks}


def _asked_for(function: ast.FunctionDef) -> set[str]:
    by_name = [word for word in ast.walk(function) if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    return {argument.arg for argument in function.args.args} | {str(word.value) for word in by_name}


def _is_made_once(function: ast.FunctionDef) -> bool:
    said = " ".join(ast.unparse(decorator) for decorator in function.decorator_list)
    return "fixture(" in said and "scope='module'" in said and "autouse" not in said


def _fixtures(item: pytest.Item) -> dict[str, Any]:
    information = getattr(item, "_fixtureinfo", None)
    return {} if information is None else {name: made[-1] for name, made in information.name2fixturedefs.items()}


def _functions(item: pytest.Item) -> Iterator[Any]:
    yield getattr(item, "function", None)
    yield from (fixture.func for fixture in _fixtures(item).values())


_harmless: set[int] = set()
"""What was looked through and starts nothing, all that it names included: most tests share most of what they name."""


@functools.cache
def _is_whole(function: Any) -> bool:
    seen: set[int] = set()
    if _starts(function, seen):
        return True
    _harmless.update(seen)
    return False


def _starts(thing: Any, seen: set[int]) -> bool:
    """Whether a function or class of the tests, or one that it names, starts processes or a whole pipeline."""
    from realtime_cropzoom.cli import main
    from realtime_cropzoom.pipeline import pipeline, tracking

    thing = inspect.unwrap(thing) if callable(thing) else thing  # of what contextlib or functools have wrapped
    starters = (subprocess, multiprocessing, main.main, pipeline.Pipeline, tracking.track)
    if any(thing is starter for starter in starters):
        return True
    if id(thing) in seen or id(thing) in _harmless or not _is_of_the_tests(thing):
        return False
    seen.add(id(thing))
    if isinstance(thing, type):
        return any(_starts(value, seen) for value in vars(thing).values())
    function = thing.hypothesis.inner_test if hasattr(thing, "hypothesis") else thing
    named = (function.__globals__.get(name) for name in _names(function.__code__))
    return any(_starts(value, seen) for value in named)


def _is_of_the_tests(thing: Any) -> bool:
    if isinstance(thing, types.FunctionType):
        return HERE in Path(thing.__code__.co_filename).parents or hasattr(thing, "hypothesis")
    return (
        isinstance(thing, type)
        and HERE in Path(getattr(sys.modules.get(thing.__module__), "__file__", None) or "/").parents
    )


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def processor_s() -> float:
    """What this process has computed so far, with all processes that it started and has waited for."""
    return sum(os.times()[:4])


class Spending:
    """Notes what each phase of a test costs in processor seconds, which other load does not change."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._before = config, 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        self._before = processor_s()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = processor_s()
        report.processor_s, self._before = now - self._before, now  # type: ignore[attr-defined]
        return report

    def pytest_sessionfinish(self) -> None:
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["processor_s"] = processor_s()


class RunReporter:
    """Counts what passed and failed, keeps the reason of each skip, and adds up what was computed."""

    def __init__(self, path: Path) -> None:
        self._path, self._failed = path, set[str]()
        self._passed = 0
        self._skipped: dict[str, str] = {}
        self._workers_s, self._spent_s = 0.0, Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._passed += bool(report.passed) and report.when == "call"
        self._spent_s[report.nodeid] += getattr(report, "processor_s", 0.0)  # type: ignore[assignment]
        if report.failed:
            self._failed.add(report.nodeid)
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped[report.nodeid] = _reason(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skipped[report.nodeid] = _reason(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._workers_s += getattr(node, "workeroutput", {}).get("processor_s", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        all_s = self._workers_s + sum(os.times()[:2])
        spent_s = {test: round(seconds, 2) for test, seconds in self._spent_s.most_common()}
        terminalreporter.section("processor seconds")
        terminalreporter.line(f"{all_s:.1f} in all, {self._spent_s.total():.1f} in tests; most in")
        for test, seconds in list(spent_s.items())[:20]:
            terminalreporter.line(f"{seconds:7.2f} {test}")
        account = {"passed": self._passed, "failed": sorted(self._failed), "skipped": self._skipped}
        self._path.write_text(json.dumps({**account, "processor_s": round(all_s, 1), "spent_s": spent_s}, indent=1))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")

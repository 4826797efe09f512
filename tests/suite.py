"""How the suite is run: in parallel, with what is costly to make made once."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share something costly on one worker; begin with the slow ones, so that none is left alone."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _group(item: pytest.Item) -> str | None:
    """Name what a test shares with others of its module; None where it shares nothing."""
    found: dict[str, Any] = {name: made[-1] for name, made in _fixtures(item).items() if made}
    shared = {name for name, fixture in found.items() if fixture.scope == "module" and not fixture._autouse}
    first = sorted(name for name in shared if not shared & set(found[name].argnames))
    given = getattr(item, "callspec", None)
    chosen = [] if given is None else [str(value) for name, value in given.params.items() if name in shared]
    return " ".join([item.path.stem, *first, *chosen]) if shared else None


def _fixtures(item: pytest.Item) -> dict[str, Any]:
    information = getattr(item, "_fixtureinfo", None)
    return {} if information is None else information.name2fixturedefs

"""Factory: registered sources, unknown ones, and files whose names look like a scheme."""

from __future__ import annotations

import itertools
import re
import sys
import tomllib
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from support.pages import code_blocks, find_page
from support.pipelines import make_settings, run_to_end

from realtime_cropzoom.errors import ConfigError, SourceError
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.factory import open_source

Write = Callable[..., Path]


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the two files of the documentation, and what ``pip install`` of them adds: the entry points."""
    page = find_page("sources.md")
    (code,) = re.findall(r"```python\n(# stripes\.py\n.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = code_blocks(page, "toml")
    pyproject = tomllib.loads(text)
    project, modules = pyproject["project"], pyproject["tool"]["setuptools"]["py-modules"]
    assert modules == ["stripes"]
    assert pyproject["build-system"]["build-backend"] == "setuptools.build_meta"
    assert len(code.splitlines()) <= 45
    folder = tmp_path / "stripes-source"
    info = folder / f"stripes_source-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (folder / "stripes.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    ((group, points),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "stripes", raising=False)


@pytest.mark.usefixtures("registered")
def test_the_source_of_the_documentation_runs(tmp_path: Path) -> None:
    source = open_source("stripes:16", SourceOptions(size=(320, 240), fps=100))
    assert source.info.live
    times = [c.pts_ns for c in islice(source.frames(), 5)]
    assert all(a < b for a, b in itertools.pairwise(times))
    source.close()
    settings = make_settings(tmp_path, source="stripes:16", camera_size="160x120", camera_fps=100, frames=30)
    assert run_to_end(settings).summary["counts"]["captured"] == 30


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("width", ["wide", "", "0", "-3"])
def test_the_source_of_the_documentation_says_what_it_expects(width: str) -> None:
    with pytest.raises(SourceError, match=rf"^stripes:{width}: got '{width}', expected the width of a stripe"):
        open_source(f"stripes:{width}")


@pytest.mark.usefixtures("registered")
def test_an_error_of_a_registered_source_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(rest: str, options: SourceOptions) -> None:
        raise ValueError(rest)

    monkeypatch.setattr("stripes.open_stripes", fail)
    with pytest.raises(SourceError, match=r"stripes:wide: the source stripes:open_stripes failed: ValueError: wide"):
        open_source("stripes:wide")


@pytest.mark.usefixtures("registered")
def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no source is called 'zebra'.*camera.*lavfi.*stripes"):
        open_source("zebra:1")


def test_a_file_may_have_a_colon_in_its_name(make_video: Write, tmp_path: Path) -> None:
    odd = make_video().rename(tmp_path / "12:30.mp4")
    open_source(str(odd)).close()
    with pytest.raises(SourceError, match="no video at"):
        open_source(r"C:\videos\mouse.mp4")

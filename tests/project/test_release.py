"""Before a release: one version everywhere, and a package that runs where it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.places import ROOT

RELEASE = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / script, *words]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    for name in ("realtime_cropzoom-0.1.0.tar.gz", "realtime_cropzoom-0.1.0-py3-none-any.whl"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_release_is_held_back_by_each_thing_that_names_another_version(dist: Path) -> None:
    done = run("check_release.py", "v7.8.9", dist)
    assert done.returncode == 1
    named = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert {"CHANGELOG.md", "CITATION.cff", str(dist)} <= set(named)


def test_a_release_has_one_wheel_and_one_source_archive_of_its_version(dist: Path) -> None:
    about = f"{dist}: got"
    version = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"]
    names = (f"realtime_cropzoom-{version}.tar.gz", f"realtime_cropzoom-{version}-py3-none-any.whl")
    for path, name in zip(sorted(dist.iterdir(), reverse=True), sorted(names, reverse=True), strict=True):
        path.rename(dist / name)
    assert about not in run("check_release.py", f"v{version}", dist).stdout
    (dist / names[0]).unlink()
    assert about in run("check_release.py", f"v{version}", dist).stdout


@pytest.mark.parametrize("tag", ["0.1.0", "v1", "v1.2.3-dirty", "latest"])
def test_a_tag_that_is_no_version_is_refused_in_a_line(tag: str, dist: Path) -> None:
    done = run("check_release.py", tag, dist)
    assert done.stdout == f"tag: got {tag}, expected a version such as v0.1.0\n"


def test_a_file_that_is_no_package_is_not_tried(tmp_path: Path) -> None:
    (tmp_path / "other-1.0.whl").touch()
    for name, told in (
        ("other-1.0.whl", "got a file of another name"),
        ("realtime_cropzoom-1.0-py3-none-any.whl", "got nothing there, expected a wheel or an sdist"),
    ):
        done = run("try_package.py", tmp_path / name)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert told in done.stderr


def test_a_release_without_a_folder_is_one_line_about_how_to_call_it() -> None:
    done = run("check_release.py", "v0.1.0")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("the following arguments are required: dist")


def test_the_sizes_of_what_is_installed_are_printed_and_what_is_not_is_named() -> None:
    done = run("install_sizes.py", "cpu", "plots")
    assert done.returncode == 0, done.stderr
    rows = [line.split(" MB  ") for line in done.stdout.splitlines() if " MB  " in line]
    sizes = {what: float(size) for size, what in rows}
    assert sizes["numpy"] > 10
    assert sizes["in all, with cpu"] > sizes["numpy"] + sizes["pandas"]
    assert "more with plots" in done.stdout, "or what it lacks"
    assert (
        "got no_such_extra, expected extras of realtime-cropzoom: " in run("install_sizes.py", "no_such_extra").stderr
    )


def test_a_release_is_published_only_where_that_is_switched_on() -> None:
    publish = RELEASE["jobs"]["publish"]
    assert publish["if"] == "github.ref_type == 'tag' && vars.PUBLISH == 'true'"
    assert set(publish["needs"]) == set(RELEASE["jobs"]) - {"publish"}, "all others come first"
    assert publish["permissions"] == {"id-token": "write"}
    assert RELEASE["permissions"] == {"contents": "read"}


def test_the_workflows_run_scripts_that_exist() -> None:
    for workflow in ROOT.glob(".github/workflows/*.yml"):
        named = [word for word in workflow.read_text("utf-8").split() if word.startswith("scripts/")]
        assert all((ROOT / word).is_file() for word in named), workflow

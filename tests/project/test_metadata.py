"""The files that other services read: YAML that loads, one version, and tests that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from support.places import ROOT

import realtime_cropzoom


def test_yaml_files_for_services_load() -> None:
    files = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(files) >= 5
    for path in files:
        assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict), path


def test_citation_names_the_newest_version_of_the_changelog() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert citation["version"] == newest[1]


def test_the_version_is_the_one_that_the_build_wrote(tmp_path: Path) -> None:
    built = tmp_path / "realtime_cropzoom"
    built.mkdir()
    shutil.copy(realtime_cropzoom.__file__, built)
    command = [
        sys.executable,
        "-c",
        "import realtime_cropzoom, sys; print(realtime_cropzoom.__version__, *sys.modules)",
    ]

    def version_and_modules() -> list[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    assert version_and_modules()[0] == "0.0+unknown", "nobody has built it"
    (built / "version.txt").write_text("1.2.3\n")
    version, *modules = version_and_modules()
    assert version == "1.2.3"
    assert "importlib.metadata" not in modules, "which is slow"


def test_workflow_names_tests_that_exist() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    named = [word for word in workflow.split() if word.startswith("tests/")]
    assert named
    assert all((ROOT / word).exists() for word in named)

"""The files that other services read: YAML that loads, one version, and tests that exist."""

from __future__ import annotations

import yaml
from support.places import ROOT

import realtime_cropzoom


def test_yaml_files_for_services_load() -> None:
    files = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(files) >= 5
    for path in files:
        assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict), path


def test_citation_names_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == realtime_cropzoom.__version__


def test_workflow_names_tests_that_exist() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    named = [word for word in workflow.split() if word.startswith("tests/")]
    assert named
    assert all((ROOT / word).exists() for word in named)

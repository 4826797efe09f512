"""The page on rules and the example file agree with the code."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from support.pages import find_page
from support.places import ROOT

from realtime_cropzoom.trigger.engine.events import Verdict
from realtime_cropzoom.trigger.outputs.factory import parse_output
from realtime_cropzoom.trigger.process.decision_log import COLUMNS
from realtime_cropzoom.trigger.rules.rules import Rule, Rules, load_rules, named_keypoints, parse_rules, walk
from realtime_cropzoom.trigger.rules.schema import KINDS

PAGE = find_page("rules.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CONDITIONS = re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)

BASE: dict[str, Any] = {
    "zones": {"corner": {"rectangle_px": [0, 0, 200, 200]}, "feeder": {"circle_px": [320, 240, 60]}},
    "outputs": {"laser": {"serial": "/dev/ttyACM0"}},
    "rules": {"r": {"when": {"state": "tracking"}, "fire": "laser", "pulse_ms": 5}},
}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_yaml_examples_load(snippet: str) -> None:
    assert parse_rules({**BASE, **yaml.safe_load(snippet)})


def test_each_kind_of_condition_has_an_example_that_loads() -> None:
    shown = set()
    for text in [*CONDITIONS, *SNIPPETS]:
        content = yaml.safe_load(text)
        if text in CONDITIONS:
            content = {"rules": {"r": {"when": content, "fire": "laser", "pulse_ms": 5}}}
        for rule in parse_rules({**BASE, **content}).rules.values():
            shown |= {condition.kind for condition, _ in walk(rule.when)}
    assert shown == {kind for kind in KINDS if "_cm" not in kind}


def table_after(heading: str) -> dict[str, str]:
    """Return key → default of the table under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", section, re.MULTILINE)
    return {key: default for keys, default in rows for key in re.findall(r"`(\w+)`", keys)}


@pytest.mark.parametrize(("heading", "model"), [("Keys of a rule", Rule), ("Keys of a file", Rules)])
def test_tables_have_all_settings_with_their_defaults(heading: str, model: type[Rule] | type[Rules]) -> None:
    table = table_after(heading)
    assert set(table) == set(model.model_fields)
    plain = {
        name: field.default for name, field in model.model_fields.items() if isinstance(field.default, int | float)
    }
    assert {name: yaml.safe_load(table[name]) for name in plain} == plain


def test_log_table_names_the_columns_and_the_verdicts() -> None:
    section = PAGE.split("## The log\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert tuple(name for row in rows for name in re.findall(r"`(\w+)`", row)) == COLUMNS
    (verdicts,) = re.findall(r"^\| `verdict` \| (.*?) \|", section, re.MULTILINE)
    assert set(re.split(r", | or ", verdicts)) == {verdict.value for verdict in Verdict}


def test_example_file_loads_and_names_keypoints_of_the_shipped_models() -> None:
    rules = load_rules(ROOT / "configs" / "triggers.yaml")
    for name, mapping in rules.outputs.items():
        parse_output(name, mapping)
    names = {k for rule in rules.rules.values() for k in named_keypoints(rule.when, rules.zones)}
    assert names <= {"snout", "leftear", "rightear", "tailbase"}

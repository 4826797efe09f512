"""The page on outputs: its YAML loads, and its example rows and messages have the fields that are written."""

from __future__ import annotations

import ast
import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.pages import find_page
from support.places import ROOT

from realtime_cropzoom.trigger.engine.events import Action, ActionType
from realtime_cropzoom.trigger.outputs.barcode import code_value, edges
from realtime_cropzoom.trigger.outputs.base import Job
from realtime_cropzoom.trigger.outputs.factory import parse_output
from realtime_cropzoom.trigger.outputs.output_log import COLUMNS as DONE_COLUMNS
from realtime_cropzoom.trigger.outputs.sync_line import COLUMNS as SYNC_COLUMNS
from realtime_cropzoom.trigger.outputs.sync_line import parse_sync

PAGE = find_page("outputs.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_examples_load(block: str) -> None:
    rules = yaml.safe_load(block)
    for name, mapping in rules["outputs"].items():
        parse_output(name, mapping)
    if "sync" in rules:
        parse_sync(rules["sync"], set(rules["outputs"]))


def test_example_message_has_the_fields_that_are_sent() -> None:
    (example,) = map(json.loads, blocks("json"))
    sent = Job(Action("marks", ActionType.PULSE, 10.0), 0, 12, 4711, 23092301337000, "corner").fields()
    assert example == sent


@pytest.mark.parametrize("columns", [DONE_COLUMNS, SYNC_COLUMNS])
def test_example_rows_have_the_columns_that_are_written(columns: str) -> None:
    row = re.search(rf"^    {columns}\n    (.*)$", PAGE, re.MULTILINE)
    assert row is not None
    assert row[1].count(",") == columns.count(",")


def test_alignment_example_finds_the_clock_of_the_recording(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(next(block for block in blocks("python") if "clock_map" in block), namespace)
    shaky = random.Random(1)
    began_ns, drift, edge_s, edge_high = 5_000_000_000_000, 1 + 50e-6, [], []
    with (tmp_path / "sync.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(SYNC_COLUMNS.split(","))
        for count in range(60):
            sent_ns = began_ns + count * 1_000_000_000
            value = code_value(7, count)
            late_s = shaky.uniform(0, 0.001)
            if count != 20:  # a code that went wrong on our side
                rows.writerow([count, sent_ns, "barcode", value, sent_ns, sent_ns, sent_ns, ""])
            if count >= 10:  # the recording began later
                for edge in edges(value):
                    edge_s.append((count - 10 + edge.time * 0.012) * drift + late_s)
                    edge_high.append(edge.high)
    to_recording_s = namespace["clock_map"](edge_s, edge_high, tmp_path / "sync.csv")
    assert to_recording_s(began_ns + 30_500_000_000) == pytest.approx(20.5 * drift, abs=1e-3)


def test_example_for_a_card_has_the_methods_that_the_output_calls() -> None:
    tree = ast.parse((ROOT / "examples" / "nidaq_output.py").read_text(encoding="utf-8"))
    (kind,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert kind.name == "DigitalLine"
    assert {"__call__", "close"} <= {node.name for node in kind.body if isinstance(node, ast.FunctionDef)}

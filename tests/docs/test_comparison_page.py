"""The page that compares: each statement about another program has its link, and what it says of ours is so."""

from __future__ import annotations

import re

import pytest
from support.pages import find_page

from realtime_cropzoom.config.settings import Settings

TEXT = find_page("comparison.md").read_text(encoding="utf-8")
DEFINED = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", TEXT, re.MULTILINE))
PROSE = re.sub(r"^\[[\w-]+\]: .*$", "", TEXT, flags=re.MULTILINE)
WITHOUT_LINK = {"–", "?", "help", "commercial"}
"""Not found, not checked, and what only the program itself shows."""


def rows() -> list[list[str]]:
    """Rows of the tables whose columns are programs: what, cropzoom, and the others."""
    lines = re.findall(r"^\| (.*) \|$", PROSE.split("## In a minute")[1].split("### Which one")[0], re.MULTILINE)
    cells = [re.split(r" \| ", line) for line in lines]
    return [row for row in cells if not row[0].startswith("|") and set(row[0]) != {"-"} and "cropzoom" not in row]


def test_tables_have_a_cell_for_each_program() -> None:
    assert len(rows()) > 20
    assert {len(row) for row in rows()} == {8}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_statements_about_other_programs_lead_to_their_pages(row: list[str]) -> None:
    for cell in row[2:]:
        assert cell in WITHOUT_LINK or re.match(r"\[[^]]+\]\[[\w-]+\]", cell), cell


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_what_cropzoom_does_leads_to_its_page(row: list[str]) -> None:
    assert row[1] == "no" or re.fullmatch(r"\[[^]]+\]\([^)]+\)", row[1]), row[1]


def test_each_link_is_defined_and_used() -> None:
    used = set(re.findall(r"\]\[([\w-]+)\]", PROSE))
    assert used == DEFINED.keys()


def test_links_to_files_of_others_name_the_version_that_was_read() -> None:
    files = [link for link in DEFINED.values() if re.search(r"github\.com/[^/]+/[^/]+/(?:blob|tree)/", link)]
    assert len(files) > 40
    assert [link for link in files if not re.search(r"/(?:blob|tree)/[0-9a-f]{40}(?:/|$)", link)] == []


def test_quotations_have_their_thread() -> None:
    quoted = re.findall(r"^> .+\n\n\[[^]]+\]\[([\w-]+)\], \d+ \w+ 20\d\d", PROSE, re.MULTILINE)
    assert len(quoted) == len(re.findall(r"^> ", PROSE, re.MULTILINE))
    assert all(re.search(r"/(?:issues|pull)/\d+$", DEFINED[thread]) for thread in quoted)


def test_settings_have_the_values_that_the_page_names() -> None:
    reference = find_page("rules.md").read_text("utf-8") + find_page("outputs.md").read_text("utf-8")
    of_rules = dict(re.findall(r"^\| `(\w+_ms)` \| (\d+) \|", reference, re.MULTILINE))
    named = re.findall(r"`([a-z]+(?:_[a-z]+)+)`(?: \w+)? \((\d+)\)", PROSE)
    assert len(named) >= 5
    for name, value in named:
        field = Settings.model_fields.get(name)
        assert value in {of_rules.get(name), str(field.default) if field else None}, name


def test_flags_exist() -> None:
    commands = find_page("commands.md").read_text("utf-8")
    flags = set(re.findall(r"`(?:cropzoom [^`]*)?(--[a-z-]+)", PROSE))
    assert flags
    settings = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
    assert {flag for flag in flags - settings if flag not in commands} == set()

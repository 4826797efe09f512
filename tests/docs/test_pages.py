"""The pages of the documentation: links, anchors, commands, navigation, and the parts made from the code."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import msgspec
import pytest
import yaml
from support.pages import code_blocks, find_page
from support.places import PACKAGE, ROOT

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.cli.parser import GROUPS
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.inference.manifest import SimCC, read_manifest
from realtime_cropzoom.messaging.message import (
    AnimalsMessage,
    EventMessage,
    PoseMessage,
    PreviewHeader,
    decode,
    json_schema,
)

DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.rglob("*.md")),
    ROOT / "models" / "README.md",
    ROOT / "examples" / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "benchmarks" / "results.md",
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The script that makes pages from the code."""
    spec = spec_from_file_location("docs_pages", ROOT / "scripts" / "docs_pages.py")
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Return the text without code blocks, in which # and brackets mean something else."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub and the site give to the headings of a page."""
    headings = re.findall(r"^#{1,6} +(.+)$", prose_of(page), re.MULTILINE)
    plain = (re.sub(r"\]\([^)]*\)|[^\w\s-]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_commands_page_is_made_from_the_parser(made: ModuleType) -> None:
    made_now = made.commands_page()
    assert text_of(find_page("commands.md")) == made_now, "run: .venv/bin/python scripts/docs_pages.py"


def test_page_of_page_messages_is_made_from_the_protocol(made: ModuleType) -> None:
    assert text_of(find_page("page-messages.md")) == made.page_messages_page(), "run: scripts/docs_pages.py"


def test_page_names_each_metric() -> None:
    metrics = set(re.findall(r"cropzoom_[a-z_]+[a-z]", (PACKAGE / "view" / "metrics.py").read_text(encoding="utf-8")))
    counters = {"cropzoom_frames", "cropzoom_messages_missing", "cropzoom_frames_unrecorded", "cropzoom_trigger_fired"}
    named = set(re.findall(r"`(cropzoom_[a-z_]+)`", text_of(find_page("view.md"))))
    assert named == metrics - counters | {f"{name}_total" for name in counters}


def test_settings_page_holds_the_tables_made_from_the_settings(made: ModuleType) -> None:
    page = text_of(find_page("settings.md"))
    assert page == made.settings_page(page), "run: .venv/bin/python scripts/docs_pages.py"


def test_manifest_page_holds_the_tables_made_from_the_manifest(made: ModuleType) -> None:
    page = text_of(find_page("manifest.md"))
    assert page == made.manifest_page(page), "run: .venv/bin/python scripts/docs_pages.py"


def test_the_manifest_of_the_page_is_valid() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", text_of(find_page("manifest.md")), re.DOTALL)
    assert read_manifest(example, "the page").decoder == SimCC(split=2.0)


def test_settings_page_says_when_to_change_each_setting(made: ModuleType) -> None:
    assert made.WHEN.keys() == Settings.model_fields.keys()
    assert made.FORMS.keys() <= Settings.model_fields.keys()


def test_schema_file_is_the_schema_of_the_messages() -> None:
    assert json.loads(text_of(find_page("message.schema.json"))) == json_schema()


def test_example_messages_are_valid() -> None:
    pose, animals, event, header = code_blocks(find_page("messages.md"), "json")
    assert isinstance(decode(animals.encode()), AnimalsMessage)
    message = decode(pose.encode())
    assert isinstance(message, PoseMessage)
    counts = message.counts
    assert counts.captured == counts.processed + counts.skipped + counts.failed
    assert isinstance(decode(event.encode()), EventMessage)
    assert msgspec.json.decode(header, type=PreviewHeader).frame == message.frame


def test_start_page_says_when_to_use_each_command() -> None:
    (table,) = re.findall(
        r"^## Which command do I want\n(.*?)^## ", text_of(DOCS / "index.md"), re.DOTALL | re.MULTILINE
    )
    named = set(re.findall(r"`(?:cropzoom )?([a-z_-]+)[ `]", table))
    assert {command for commands in GROUPS.values() for command in commands} - named == set()


def test_page_on_installation_names_each_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    rows = re.findall(r"^\| (`\w+`.*?) \|", text_of(find_page("install.md")), re.MULTILINE)
    assert project["optional-dependencies"].keys() <= {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) < 150


@pytest.mark.parametrize("name", re.findall(r"^::: ([\w.]+)", text_of(find_page("python-api.md")), re.MULTILINE))
def test_page_on_python_names_what_exists(name: str) -> None:
    assert resolve_name(f"{name.rpartition('.')[0]}:{name.rpartition('.')[2]}").__doc__


@each_page
def test_python_examples_are_python(page: Path) -> None:
    for block in code_blocks(page, "python"):
        compile(block, str(page), "exec")


NEEDS_A_FILE = re.compile(r'"(?:sessions|triggers)/|"[\w./-]+\.(?:csv|yaml|mp4|parquet|h5|nwb|key_secret)"')
"""A file of the reader in an example."""


@each_page
def test_text_before_an_example_says_from_which_folder_it_reads_files(page: Path) -> None:
    before_and_code = re.findall(r"([^\n]*(?:\n[^\n]+)*)\n\n```python\n(.*?)```", text_of(page), re.DOTALL)
    for before, code in before_and_code:
        if NEEDS_A_FILE.search(code):
            assert "folder" in before.split("\n\n")[-1], f"say before this example where to run it:\n{code}"


@each_page
def test_links_of_a_page_lead_to_files_and_anchors_that_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", prose_of(page)):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file), f"{target}#{anchor}"


@each_page
def test_lists_and_tables_begin_after_an_empty_line(page: Path) -> None:
    """The site's Markdown takes them for text otherwise; GitHub's does not."""
    lines = ["", *prose_of(page).splitlines()]
    item = re.compile(r"(\* |- |\d+\. |\|)")
    for before, line in pairwise(lines):
        if item.match(line):
            continues = item.match(before) or before.startswith("  ") or not before
            assert continues, f"{before}\n{line}"


def quoted_messages() -> list[str]:
    """Return messages of the program that the pages on problems quote."""
    symptoms = re.findall(r"^\| `([^`]+ [^`]+)`", text_of(find_page("troubleshooting.md")), re.MULTILINE)
    faults = re.findall(r"^    (?:WARNING|cropzoom): (.+)$", text_of(find_page("faults.md")), re.MULTILINE)
    return [quote for quote in [*symptoms, *faults] if "command not found" not in quote]


@pytest.mark.parametrize("quote", quoted_messages())
def test_messages_quoted_on_pages_about_problems_are_in_the_code(quote: str) -> None:
    """At least two words in a row: names, numbers and messages of the system stand between the others."""
    texts = [text_of(file) for file in PACKAGE.rglob("*.py")]
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(texts))  # a text over several lines
    words = re.findall(r"[\w'-]+", quote)
    assert any(f"{first} {second}" in code for first, second in pairwise(words))


@each_page
def test_commands_on_a_page_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in set(re.findall(r"(?:^[ $]*|`)cropzoom ([a-z_]+(?:-[a-z]+)*)", text_of(page), re.MULTILINE)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, capsys.readouterr().err


def pages_in(nav: object) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    entries = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    return {page for entry in entries for page in pages_in(entry)}


class _AnyTag(yaml.SafeLoader):
    """Reads mkdocs.yml without importing what its tags name."""


_AnyTag.add_multi_constructor("!!python/", lambda *_: None)
_AnyTag.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def test_navigation_of_the_site_has_each_page() -> None:
    site = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), _AnyTag)
    hook = text_of(ROOT / "scripts" / "docs_site.py")
    added = set(re.findall(r'^    "[^"]+\.md": "([^"]+)"', hook, re.MULTILINE)) - {"index.md"}
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert pages_in(site["nav"]) == pages | added


@pytest.mark.parametrize("folder", ["tutorials", "how-to", "reference", "explanation"])
def test_index_of_a_section_links_each_of_its_pages(folder: str) -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of(DOCS / folder / "index.md")))
    assert {page.name for page in (DOCS / folder).glob("*.md")} - linked == {"index.md"}


def test_pages_named_in_code_and_configs_exist() -> None:
    files = [file for folder in (PACKAGE, ROOT / "scripts", ROOT / "configs") for file in folder.rglob("*.*")]
    texts = [text_of(file) for file in files if file.suffix in (".py", ".yaml")]
    named = {page for text in texts for page in re.findall(r"docs/[\w-]+/[\w./-]+\.(?:md|png|json)", text)}
    assert named
    assert {page for page in named if not (ROOT / page).exists()} == set()

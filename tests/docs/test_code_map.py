"""The pages for developers name the modules, the layers and the definitions that the code has."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter

import pytest
from support.places import PACKAGE, ROOT

DEVELOPMENT = ROOT / "docs" / "development"
CODE_MAP = (DEVELOPMENT / "code-map.md").read_text(encoding="utf-8")
ARCHITECTURE = (DEVELOPMENT / "architecture.md").read_text(encoding="utf-8")
GUIDES = ARCHITECTURE + (DEVELOPMENT / "adding.md").read_text(encoding="utf-8")
REFERENCES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", GUIDES)))


def modules() -> set[str]:
    """Return all modules of the package as ``folder/file.py``; an empty ``__init__`` explains nothing."""
    paths = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    return {path for path in paths if not path.endswith("/__init__.py")}


def names_in(body: list[ast.stmt], prefix: str = "") -> set[str]:
    """Return the dotted names of functions, classes, methods, constants and fields."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found |= names_in(node.body, f"{prefix}{node.name}.")
    return found


def test_code_map_names_each_module_once() -> None:
    listed = Counter(re.findall(r"^\* `([\w/]+\.py)`", CODE_MAP, re.MULTILINE))
    assert modules() - listed.keys() == set(), "modules without a line in docs/development/code-map.md"
    assert listed.keys() - modules() == set(), "lines of docs/development/code-map.md about modules that do not exist"
    assert [module for module, times in listed.items() if times > 1] == []


def test_code_map_is_in_alphabetical_order() -> None:
    for block in re.findall(r"(?:^\* `.*\n)+", CODE_MAP, re.MULTILINE):
        lines = re.findall(r"^\* `([\w/]+)\.py`", block, re.MULTILINE)
        assert lines == sorted(lines)


def test_code_map_names_each_sub_package_once() -> None:
    listed = re.findall(r"^#{2,3} `([\w/]+)/`", CODE_MAP, re.MULTILINE)
    packages = [path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")]
    assert sorted(listed) == sorted(package for package in packages if package != ".")


def test_code_map_shows_the_layers_of_the_import_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == ["realtime_cropzoom"]
    )
    (block,) = re.findall(r"```layers\n(.*?)```", CODE_MAP, re.DOTALL)
    assert block.split("\n")[:-1] == layers


@pytest.mark.parametrize(("file", "name"), REFERENCES, ids=lambda value: str(value))
def test_guides_name_definitions_that_exist(file: str, name: str) -> None:
    assert name in names_in(ast.parse((PACKAGE / file).read_text(encoding="utf-8")).body)


def test_guides_name_files_that_exist() -> None:
    named = {file for file in re.findall(r"`([\w./-]+\.(?:py|md|toml|yml))`", GUIDES) if "NAME" not in file}
    assert {file for file in named if not (PACKAGE / file).exists() and not (ROOT / file).exists()} == set()


def test_architecture_page_names_each_thread() -> None:
    threads = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        threads |= set(re.findall(r'(?:\bname|thread_name_prefix)=f?"((?:cropzoom|aravis)-[\w-]+|terminal)', text))
        stages = r'super\(\).__init__\("([\w-]+)", control'
        threads |= {f"cropzoom-{stage}" for stage in re.findall(stages, text)} - {"cropzoom-track"}  # it has no thread
    assert len(threads) > 25
    assert {thread for thread in threads if thread not in ARCHITECTURE} == set()

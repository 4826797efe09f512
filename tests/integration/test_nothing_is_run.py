"""Nothing that comes from a socket, a file or a config is ever run or unpickled."""

from __future__ import annotations

import ast

import pytest
from support.places import PACKAGE

_RUNS_WHAT_IT_READS = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
}
_CALLS = {"eval", "exec", "compile", "__import__"}
_METHODS = {
    *("unsafe_load", "full_load", "load_all", "unsafe_load_all", "read_pickle", "to_pickle"),
    *("recv_pyobj", "send_pyobj", "recv_serialized", "system", "popen"),
}


def dangers(source: str) -> list[str]:
    """What in a module's source runs, or unpickles, what it is given."""
    tree = ast.parse(source)
    safe = {"SafeLoader", "CSafeLoader"}
    for node in ast.walk(tree):  # a class comes after its base
        if isinstance(node, ast.ClassDef) and safe & set(map(_last_name, node.bases)):
            safe.add(node.name)
    return [text for node in ast.walk(tree) for text in _danger(node, safe)]


def _danger(node: ast.AST, safe: set[str]) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [a.name for a in node.names] + ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        return [name for name in names if name.split(".")[0] in _RUNS_WHAT_IT_READS]
    if not isinstance(node, ast.Call):
        return []
    called, whose = _last_name(node.func), _last_name(getattr(node.func, "value", node.func))
    given = {k.arg: k.value for k in node.keywords}
    wrong = [
        isinstance(node.func, ast.Name) and called in _CALLS,
        isinstance(node.func, ast.Attribute) and called in _METHODS,
        (whose, called) == ("yaml", "load")
        and _last_name(given.get("Loader", node.args[1] if len(node.args) > 1 else node)) not in safe,
        (whose, called) == ("torch", "load") and not _is_true(given.get("weights_only")),
        "allow_pickle" in given and not _is_false(given["allow_pickle"]),
        "shell" in given and not _is_false(given["shell"]),
    ]
    return [ast.unparse(node)] if any(wrong) else []


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_true(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_nothing_is_unpickled_or_evaluated() -> None:
    found = {str(p.relative_to(PACKAGE)): dangers(p.read_text(encoding="utf-8")) for p in PACKAGE.rglob("*.py")}
    assert len(found) > 100
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "yaml.load(text)",
        "yaml.load(text, yaml.Loader)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "yaml.unsafe_load(text)",
        "class L(yaml.Loader): pass\nyaml.load(text, L)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "socket.recv_pyobj()",
        "pd.read_pickle(path)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert dangers(source)


def test_the_search_lets_pass_what_is_safe() -> None:
    assert not dangers(
        "class L(yaml.SafeLoader): pass\nyaml.load(text, L)\nyaml.safe_load(text)\ntorch.load(p, weights_only=True)\n"
        "np.load(p)\nre.compile(p)\nmodel.eval()"
    )

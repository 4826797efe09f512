"""What a command advises names only flags that it has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from support.pipelines import foreign_flags
from support.places import PACKAGE

from realtime_cropzoom.cli.main import _parser
from realtime_cropzoom.cli.parser import Parser
from realtime_cropzoom.errors import FLAG, advise, flags_of_command

LIVE, MODELS = ("run", "check"), ("predict", "create_bbox", "smooth_bbox", "crop", "remap", "pipeline")
SERVES = {
    "inference/makers/export_deeplabcut.py": ("export-deeplabcut",),
    "calibration.py": ("calibrate rectangle",),
    "sessions/convert.py": ("convert",),
    "plots/session_pictures.py": ("draw",),
    "messaging/endpoints.py": LIVE,
    "control/address.py": ("run", "check", "trigger"),
    "control/client.py": ("ctl",),
    "control/server.py": ("run", "trigger"),
    "files/append.py": ("run", "demo", "trigger", "latency"),
    "labelling/exporting.py": ("labels export",),
    "labelling/importing.py": ("labels import",),
    "labelling/keypoint_names.py": ("labels import",),
    "labelling/placing.py": ("labels import",),
    "latency/": ("latency",),
    "cli/listen_board.py": ("listen",),
    "sessions/nwb.py": ("convert",),
    "view/rerun_file.py": ("convert",),
    "offline/bbox_csv.py": MODELS,
    "offline/cluster/": ("pipeline",),
    "offline/create_bbox.py": ("create_bbox",),
    "offline/crop.py": ("crop",),
    "offline/images.py": ("predict", "crop"),
    "offline/provenance.py": MODELS,
    "files/atomic.py": ("draw", "compare", "calibrate lens", "calibrate rectangle"),
    "offline/pipeline.py": ("pipeline",),
    "offline/predict_video.py": ("predict", "crop"),
    "offline/remap.py": ("remap",),
    "pipeline/": ("run",),
    "messaging/security.py": ("listen", "trigger"),
    "sessions/folder.py": ("run", "demo", "trigger", "latency"),
    "bench/": ("bench",),
    "checks/": ("check",),
    "sinks/": ("run",),
    "train/": ("train",),
    "trigger/": ("trigger",),
    "view/": ("view",),
}
"""Modules whose sentences name flags, and all commands that can say them. What serves others, too, uses ``advise``."""
RESUMES = {"files/atomic.py": {"--resume"}}
"""Said of half a file, which only commands leave that have it."""
OTHER_COMMAND = re.compile(r"(cropzoom|litpose|run) [a-z_]+\b[^;.)]*")


def parsers() -> dict[str, Parser]:
    """All commands, and the ways of ``calibrate``."""
    found: dict[str, Parser] = {}

    def add(parser: Parser) -> None:
        for action in parser._subparsers._group_actions if parser._subparsers else ():
            for inner in action.choices.values():  # type: ignore[union-attr]
                found[inner.command] = inner
                add(inner)

    add(_parser().add_all())
    return found


def sentences(path: Path) -> list[tuple[int, str]]:
    """Texts in a module that are neither a docstring nor within ``advise(…)``, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        is_advised = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "advise"
        if is_advised or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            skipped |= {id(inner) for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            found.append((node.lineno, text))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append((node.lineno, node.value))
    return found


def test_shared_sentences_name_flags_through_advised_alone() -> None:
    commands = {name: set(parser.flags) for name, parser in parsers().items()}
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("cli/") or name == "errors.py":
            continue
        serves = next((serves for part, serves in SERVES.items() if name == part or name.startswith(part)), None)
        for line, text in sentences(path):
            flags = {flag.replace("_", "-") for flag in FLAG.findall(OTHER_COMMAND.sub("", text))}
            flags -= RESUMES.get(name, set())
            if flags and " " not in text:
                continue  # no sentence: an argument of a command that is started
            lack = flags if serves is None else {f for f in flags for c in serves if f not in commands[c]}
            wrong += [f"{name}:{line}: {sorted(lack)} in {text!r}"] if lack else []
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("command", sorted(parsers()))
def test_advice_of_each_command(command: str) -> None:
    from realtime_cropzoom.inference.pose_quality import InputKind, PoseQuality, misfit_lines
    from realtime_cropzoom.inference.presence import Doubt
    from realtime_cropzoom.types import Keypoints, State

    quality = PoseQuality(("a", "b"))
    quality.add(State.SEARCHING, Keypoints(np.zeros((2, 2), np.float32), np.ones(2, np.float32)), Doubt.LIKELIHOOD)
    words = [*command.split(), "X"]
    with flags_of_command(parsers()[command].flags):
        said = [line for of in InputKind for line in misfit_lines(quality.summary(), shipped=True, of=of)]
    assert "train your own: cropzoom init NAME --keypoints …, then cropzoom frames NAME VIDEO" in said[1]
    assert not foreign_flags(words, "\n".join(said))
    assert ("--crop-size" in said[1]) == ("--crop-size" in parsers()[command].flags)


def test_from_python_flags_stand_for_settings() -> None:
    assert advise("; give --crop-size") == "; give --crop-size"
    with flags_of_command(["--bbox-dir"]):
        assert advise("with --bbox_dir") == "with --bbox_dir"
        assert advise("; give --crop-size", "; make it larger") == "; make it larger"

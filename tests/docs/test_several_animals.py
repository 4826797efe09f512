"""The page on several animals, run step by step: its commands and its rules, on the arena whose truth is known."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.pages import code_blocks, find_page
from support.pipelines import ANY_PORT, cropzoom, the_session
from support.places import ROOT

from realtime_cropzoom.sources.arena.source import Arena, parse_arena
from realtime_cropzoom.trigger.rules.rules import load_rules, parse_rules

pytest.importorskip("scipy", reason="several animals need scipy, of the extra animals")
pytestmark = pytest.mark.slow

PAGE = find_page("several-animals.md")
RUN, DRAW = (
    re.findall(rf"^    cropzoom ({command} .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[0]
    for command in ("run", "draw")
)
REPLAY = re.findall(r"^    cropzoom (trigger .*--replay.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[0]
FRAMES, NEAR_PX = 20, 8.0
KEYPOINTS = ["snout", "leftear", "rightear", "tailbase"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the commands of the page, over the first frames and in lockstep; return the folder in which they ran."""
    folder = tmp_path_factory.mktemp("animals")
    made = subprocess.run(
        [sys.executable, ROOT / "examples/dark_animals.py", "dark_animals.onnx"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    short = ["--frames", FRAMES, "--pace", "fast", "--publish", ANY_PORT, "--control", "none"]
    ran = cropzoom(*shlex.split(RUN), *short, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert cropzoom(*shlex.split(DRAW), cwd=folder).returncode == 0
    return folder


def test_both_mice_are_followed_to_the_pixel(done: Path) -> None:
    session = the_session(done / "sessions")
    arena = Arena(parse_arena(shlex.split(RUN)[1]))
    truth = np.array([arena.truth_of_all(index) for index in range(FRAMES)])
    truth = truth[:, np.argsort(truth[0].mean(axis=1)[:, 0])]  # numbered from left to right
    table = pd.read_csv(session / "arena_animals.csv", header=[0, 1, 2, 3], index_col=0)
    assert list(dict.fromkeys(table.columns.get_level_values(1))) == ["animal1", "animal2"]
    assert list(dict.fromkeys(table.columns.get_level_values(2))) == KEYPOINTS
    found = table.to_numpy(float).reshape(FRAMES, 2, 4, 3)[..., :2]
    assert np.nanmedian(np.linalg.norm(found - truth, axis=-1)) < NEAR_PX
    assert (session / "frames.png").is_file()


def test_swaps_of_the_session_are_counted(done: Path) -> None:
    counted = subprocess.run(
        [sys.executable, ROOT / "scripts/count_swaps.py", the_session(done / "sessions")],
        capture_output=True,
        text=True,
    )
    assert counted.returncode == 0, counted.stderr
    assert f"in {2 * FRAMES} frames of all tracks" in counted.stdout
    assert "swaps: 0 marked, 0 unmarked" in counted.stdout


def test_the_rules_of_the_page_fit_the_run(done: Path) -> None:
    (text,) = (block for block in code_blocks(PAGE, "yaml") if "rules:" in block)
    rules = parse_rules(yaml.safe_load(text))
    assert rules == load_rules(ROOT / "configs" / "animals.yaml")
    rules.check_stream(KEYPOINTS, 30.0, [], animals=2)
    (done / "animals.yaml").write_text(text)
    replayed = cropzoom(*shlex.split(REPLAY), cwd=done)
    assert replayed.returncode == 0, replayed.stderr
    (picture,) = (done / "triggers").glob("*/zones.png")
    log = pd.read_csv(picture.with_name("animals_decisions.csv"))
    assert list(log["verdict"]) == ["armed", "armed", "safe"], "in the first frames no animal is there, nor near"
    one = the_session(done / "sessions") / "arena_animal1.csv"
    again = cropzoom("trigger", done / "animals.yaml", "--replay", one, "--log", done / "again", cwd=done)
    assert again.returncode == 0, again.stderr
    logs = [folder / "animals_decisions.csv" for folder in (picture.parent, done / "again")]
    assert logs[0].read_bytes() == logs[1].read_bytes(), "the file of one stands for all animals"
    one.with_name("arena_animal2.csv").rename(done / "elsewhere.csv")
    one.with_name("arena_animal2_timing.csv").rename(done / "elsewhere_timing.csv")
    refused = cropzoom("trigger", done / "animals.yaml", "--replay", one, cwd=done)
    assert refused.returncode == 2
    assert "is of a run with 2 animals, but" in refused.stderr
    assert "has the files of 1; give the folder of the session, with all files of the run" in refused.stderr


def test_the_scripts_of_the_page_can_be() -> None:
    reader, script = code_blocks(PAGE, "python")
    assert "header=[0, 1, 2, 3]" in reader
    assert "run.animals()" in script
    compile(script, "page", "exec")

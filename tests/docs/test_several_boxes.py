"""The page on several boxes, run step by step: its commands and its rules, on the arena whose truth is known."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.pages import code_blocks, find_page
from support.pipelines import ANY_PORT, cropzoom, the_session

from realtime_cropzoom.config.regions import RegionShape
from realtime_cropzoom.pipeline.regions import make_regions
from realtime_cropzoom.sources.arena.boxes import ArenaBoxes, open_arena
from realtime_cropzoom.sources.arena.source import parse_arena
from realtime_cropzoom.sources.base import SourceInfo
from realtime_cropzoom.trigger.rules.rules import parse_rules

pytestmark = pytest.mark.slow

PAGE = find_page("several-boxes.md")
ZONES, RUN, DRAW = (
    re.findall(rf"^    cropzoom ({command} .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[0]
    for command in ("zones", "run", "draw")
)
FRAMES, NEAR_PX = 10, 6.0


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the commands of the page, over the first frames and in lockstep; return the folder in which they ran."""
    folder = tmp_path_factory.mktemp("boxes")
    drawn = cropzoom(*shlex.split(ZONES), cwd=folder)
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.split() == ["boxes.yaml", "boxes.png"]
    short = ["--frames", FRAMES, "--pace", "fast", "--publish", ANY_PORT, "--control", "none"]
    ran = cropzoom(*shlex.split(RUN), *short, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    for line in code_lines("8 regions, each"):
        assert line.partition(" as one batch")[0] in ran.stderr  # in lockstep they go one by one
    assert cropzoom(*shlex.split(DRAW), cwd=folder).returncode == 0
    return folder


def code_lines(begin: str) -> list[str]:
    """Return the block of output on the page that begins so."""
    block = re.search(rf"^    {begin}.*\n(?:    .*\n)*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert block is not None
    return [line.strip() for line in block.group().splitlines()]


def test_seven_mice_are_followed_to_the_pixel_and_the_empty_box_is_searching(done: Path) -> None:
    session = the_session(done / "sessions")
    arena = open_arena(parse_arena(shlex.split(RUN)[1]))
    assert isinstance(arena, ArenaBoxes)
    truth = np.array([arena.truth(i) for i in range(FRAMES)])
    for box in range(8):
        table = pd.read_csv(session / f"arena_box{box + 1}.csv", header=[0, 1, 2], index_col=0)
        boxes = pd.read_csv(session / f"arena_box{box + 1}_bbox.csv", index_col=0)
        if box == 7:
            assert set(boxes["state"]) == {"searching"}
            continue
        assert (boxes["state"] == "tracking").mean() > 0.8
        found = table.to_numpy(np.float64).reshape(FRAMES, 4, 3)[:, :, :2]
        assert np.nanmedian(np.linalg.norm(found - truth[:, box], axis=2)) < NEAR_PX
    summary = json.loads((session / "summary.json").read_text())
    assert summary["regions"]["box8"]["found"] == 0
    assert (session / "frames.png").is_file()


def test_the_regions_of_the_page_can_be(done: Path) -> None:
    (text,) = (block for block in code_blocks(PAGE, "yaml") if "regions:" in block)
    shapes = {name: RegionShape.model_validate(given) for name, given in yaml.safe_load(text)["regions"].items()}
    assert [region.name for region in make_regions(shapes, SourceInfo("x", 1280, 480, 30.0, None))] == list(shapes)


def test_the_rules_of_the_page_fit_the_run(done: Path) -> None:
    (text,) = (block for block in code_blocks(PAGE, "yaml") if "rules:" in block)
    rules = parse_rules(yaml.safe_load(text))
    rules.check_stream(["snout", "leftear", "rightear", "tailbase"], 30.0, [f"box{i}" for i in range(1, 9)])
    (done / "rules.yaml").write_text(text)
    replayed = cropzoom(
        "trigger", done / "rules.yaml", "--replay", the_session(done / "sessions") / "arena_box1.csv", cwd=done
    )
    assert replayed.returncode == 0, replayed.stderr
    everywhere = cropzoom("trigger", done / "rules.yaml", "--replay", the_session(done / "sessions"), cwd=done)
    assert everywhere.returncode == 0, everywhere.stderr


def test_the_script_of_the_page_gets_one_box_only() -> None:
    (script,) = code_blocks(PAGE, "python")
    assert 'Subscriber(region="box3")' in script
    compile(script, "page", "exec")

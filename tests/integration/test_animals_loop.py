"""The loop on two animals, as users run it: arena → run → trigger → output. The truth says when it may be on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from support.dark_animals import write_dark_animals
from support.pipelines import LONG_S, cropzoom, finish, free_port, start_process, wait_for

from realtime_cropzoom.sources.arena.source import Arena, parse_arena
from realtime_cropzoom.trigger.engine.events import AnimalsEvent
from realtime_cropzoom.trigger.process.decision_log import read_decisions
from realtime_cropzoom.trigger.process.input_log import read_inputs
from realtime_cropzoom.types import Float64

pytest.importorskip("scipy", reason="several animals need scipy, of the extra animals")
pytestmark = pytest.mark.slow

SPEC, FRAMES = "synthetic:arena,animals=2,size=320x240,seconds=10,seed=0", 200
"""Two mice. They are in different halves at first, meet, and are in the same half later."""
HALF_PX, NEAR_PX, ERROR_PX = 160, 30, 10
"""Edge of the zone, distance of a contact, and how far a pose may be from the truth."""
RULES = """\
endpoint: tcp://127.0.0.1:{port}
max_age_ms: 20000
hold_max_age_ms: 20000
stream_lost_after_ms: 20000
bridge_ms: 1000
zones:
  left: {{rectangle_px: [0, 0, 160, 240]}}
outputs:
  any: {{python: "my_output:Any", late_after_ms: 20000}}
  all: {{python: "my_output:All", late_after_ms: 20000}}
  contact: {{python: "my_output:Contact", late_after_ms: 20000}}
rules:
  any: {{animal: any, when: {{inside: left, keypoint: snout}}, fire: any, hold: true}}
  all: {{animal: all, when: {{inside: left, keypoint: snout}}, fire: all, hold: true}}
  contact:
    animal: any
    uncertain: allow
    when: {{distance_between_animals_px: [snout, tailbase], below: 30}}
    fire: contact
    hold: true
"""
OUTPUT = """\
from pathlib import Path


class Output:
    def __call__(self, job):
        with Path(__file__).with_name(f"{type(self).__name__.lower()}.txt").open("a") as file:
            file.write(f"{job.act} {job.frame}\\n")


class Any(Output):
    pass


class All(Output):
    pass


class Contact(Output):
    pass
"""


class Loop(NamedTuple):
    """What a session of rules has left."""

    folder: Path
    frames: list[int]
    """Frames of which the trigger process has heard."""

    def on(self, output: str) -> set[int]:
        """The frames at which the output was on, as the output itself has written."""
        on: set[int] = set()
        since = None
        for line in (self.folder / f"{output}.txt").read_text().splitlines():
            act, frame = line.split()
            if act == "on" and since is None:
                since = int(frame)
            elif act != "on" and since is not None:
                end = FRAMES if frame == "None" else int(frame)
                on |= {n for n in self.frames if since <= n < end}
                since = None
        assert since is None, "it is off at the end"
        return on


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Run rules beside a run, each in a process of its own."""
    folder, port = tmp_path_factory.mktemp("loop"), free_port()
    detector = write_dark_animals(folder / "dark_animals.onnx", 24)
    (folder / "rules.yaml").write_text(RULES.format(port=port))
    (folder / "my_output.py").write_text(OUTPUT)
    trigger = start_process(
        *("trigger", "rules.yaml", "--arm", "--log", "log", "--control", "none", "--quiet"), cwd=folder
    )
    wait_for((folder / "log" / "rules_inputs.jsonl").exists, "the trigger process's log")
    run = start_process(
        *(
            "run",
            SPEC,
            "--animals",
            2,
            "--detector",
            detector,
            "--crop-size",
            120,
            "--speed",
            0.5,
        ),  # a subscriber may need two seconds
        *("--frames", FRAMES, "--publish", f"tcp://127.0.0.1:{port}", "--publish-latest", "none"),
        *("--max-age-ms", 600_000, "--control", "none", "--quiet"),
        cwd=folder,
    )
    ran, answered = finish(run, 3 * LONG_S), finish(trigger)
    assert ran.returncode == 0, ran.stderr
    assert answered.returncode == 0, answered.stderr
    events = read_inputs(folder / "log" / "rules_inputs.jsonl").events
    return Loop(folder, [event.frame for event in events if isinstance(event, AnimalsEvent)])


@pytest.fixture(scope="module")
def truth() -> Float64:
    """True keypoints of each frame and animal, (frames, 2, 4, 2): snout first, tailbase last."""
    arena = Arena(parse_arena(SPEC))
    return np.array([arena.truth_of_all(index) for index in range(FRAMES)])


def test_each_output_was_on_only_when_the_truth_allows_it(loop: Loop, truth: Float64) -> None:
    for output in ("any", "all", "contact"):
        on = loop.on(output)
        assert on, f"{output} was never on, so that nothing was tried"
        assert {n for n in on if not allowed(output, truth[n])} == set(), output


def allowed(output: str, mice: Float64) -> bool:
    """Whether an output may be on in a frame with these two mice, (2, 4, 2)."""
    snouts, tails = mice[:, 0], mice[:, 3]
    if output == "contact":
        return bool(np.linalg.norm(snouts - tails[::-1], axis=1).min() < NEAR_PX + ERROR_PX)
    left = [x < HALF_PX + ERROR_PX for x, _ in snouts.tolist()]
    return any(left) if output == "any" else all(left)


def test_the_output_was_on_when_the_truth_demands_it(loop: Loop, truth: Float64) -> None:
    """While one is well inside. Most of the time: a meeting makes both unknown."""
    demanded = {n for n in loop.frames if min(truth[n, :, 0, 0]) < HALF_PX - ERROR_PX}
    assert len(loop.on("any") & demanded) > 0.6 * len(demanded)


def test_decisions_name_the_animals_and_are_decided_again(loop: Loop) -> None:
    decisions = read_decisions(loop.folder / "log" / "rules_decisions.csv")
    fired = {(d.rule, d.region) for d in decisions if d.verdict == "fired"}
    assert ("all", "animal1;animal2") in fired
    assert {region for rule, region in fired if rule == "any"} <= {"animal1", "animal2", "animal1;animal2"}
    again = cropzoom("trigger", "--replay", "log", cwd=loop.folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the same as in the log" in again.stdout
    rehearsed = cropzoom("trigger", "rules.yaml", "--replay", "log", "--log", "again", cwd=loop.folder)
    assert rehearsed.returncode == 0, rehearsed.stderr

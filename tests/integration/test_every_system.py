"""What runs on every system, as users run it: the demo, a recording offline, a script that receives, and rules.

The continuous integration runs this module on Windows and macOS, too. It needs no camera, no serial port, no POSIX.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from support.pipelines import LONG_S, finish, free_port, start_process

from realtime_cropzoom.client.subscriber import Subscriber
from realtime_cropzoom.messaging.message import PoseMessage

pytestmark = pytest.mark.slow
ARENA = "synthetic:arena,size=640x480,fps=15,seed=7,seconds={}"

PATIENCE_S = 150.0
"""How long a command may take on a slow machine, the start of its models included."""

RULES = """\
endpoint: tcp://127.0.0.1:{port}
armed: true
max_age_ms: 10000
hold_max_age_ms: 10000
implausible: allow
zones:
  everywhere: {{rectangle_px: [0, 0, 640, 480]}}
outputs:
  mine: {{python: "my_output:fire", late_after_ms: 20000}}
rules:
  seen: {{when: {{inside: everywhere, keypoint: snout}}, fire: mine, pulse_ms: 5}}
"""
OUTPUT = """\
from pathlib import Path

def fire(job):
    if job.act != "pulse":
        return
    with Path(__file__).with_name("fired.txt").open("a") as file:
        file.write(f"{job.frame}\\n")
"""


def test_the_demo_tracks_reports_and_draws(tmp_path: Path) -> None:
    done = finish(start_process("demo", "--source", ARENA.format(4), "--out", tmp_path), PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "error against the known truth" in done.stdout
    (picture,) = tmp_path.glob("*/demo.png")
    assert picture.stat().st_size > 10_000


def test_a_run_is_received_recorded_answered_by_a_rule_and_read_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, rules = free_port(), tmp_path / "rules.yaml"
    rules.write_text(RULES.format(port=port))
    (tmp_path / "my_output.py").write_text(OUTPUT)
    monkeypatch.chdir(tmp_path)
    trigger = start_process("trigger", rules, "--log", tmp_path / "trigger", "--quiet")
    with Subscriber(f"tcp://127.0.0.1:{port}") as poses:
        run = start_process(
            *("run", ARENA.format(8), "--publish", f"tcp://127.0.0.1:{port}", "--publish-latest", "none"),
            *("--out", tmp_path / "sessions", "--record", "h264", "--quiet"),
        )
        message = poses.newest(timeout_s=LONG_S)
    assert isinstance(message, PoseMessage)
    ran, answered = finish(run, PATIENCE_S), finish(trigger)
    assert ran.returncode == 0, ran.stderr
    assert answered.returncode == 0, answered.stderr
    fired = (tmp_path / "fired.txt").read_text().split()
    with (tmp_path / "trigger" / "rules_outputs.csv").open(encoding="utf-8") as table:
        logged = [row["frame"] for row in csv.DictReader(table) if row["act"] == "pulse" and not row["error"]]
    assert fired
    assert fired == logged

    (video,) = (tmp_path / "sessions").glob("*/*.mp4")
    offline = finish(start_process("pipeline", video, "--out", tmp_path / "offline"), PATIENCE_S)
    assert offline.returncode == 0, offline.stderr
    assert list((tmp_path / "offline").rglob("*.csv"))

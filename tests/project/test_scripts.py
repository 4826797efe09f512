"""The scripts that measure run to their end and say what they promise to say. What they measure is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.pipelines import free_port
from support.places import ROOT

pytestmark = pytest.mark.slow


def run(script: str, *flags: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / script, *flags]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=200)


def test_the_closed_loop_is_measured_row_by_row(tmp_path: Path) -> None:
    done = run("bench.py", "--quick", "--only", "triggers", "--data", tmp_path, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (part,) = json.loads((tmp_path / "results.json").read_text())["parts"]
    rows = {row["name"]: row for row in part["rows"]}
    assert [name for name in rows if name.startswith("engine alone")] == [
        f"engine alone, {number} rule{'s' if number > 1 else ''}" for number in (1, 5, 20, 100)
    ]
    for kind in ("zmq_publish", "serial"):
        written = rows[f"{kind}, 20 rules: received → written, median"]
        assert int(written["n"].split()[0]) > 0
        assert rows[f"{kind}: missed, late or failed"]["numbers"]["heard"] > 0
    assert rows["engine alone, 20 rules"]["aim"] == "≤ 100 µs median"


def test_the_steps_of_a_frame_are_measured_and_the_results_name_their_commit(tmp_path: Path) -> None:
    done = run("bench.py", "--quick", "--only", "stages", "--data", tmp_path, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    (part,) = results["parts"]
    steps = {row["name"].removeprefix("200 fps: "): row["numbers"] for row in part["rows"]}
    assert list(steps)[:-1] == [*("wait", "crop", "infer", "decode", "judge, record", "send", "wire, receive", "all")]
    del steps["wire, receive"]  # a difference of medians: on a busy machine, messages arrive before the call returns
    assert all(numbers["live_ms"] > 0 for numbers in list(steps.values())[:-1])
    assert part["others"] >= 0
    written = (tmp_path / "results.md").read_text()
    assert f"Commit {results['machine']['commit'] or 'unknown'}" in written
    assert ("with changes that are not committed" in written) is not results["machine"]["clean"]


@pytest.mark.parametrize(
    ("part", "minutes", "says"),
    [
        (
            "load",
            0.05,
            (
                *("memory", "handed over → published: p99 loaded / quiet", "missed by 20 fast subscribers"),
                *("oldest pose at the conflating endpoint", "3 restarts counted, 3 new sessions"),
            ),
        ),
        ("tracking", 0.05, ("captured → received", "'skipped'", "the run ended with exit code 0")),
    ],
)
def test_a_soak_reads_everything_and_says_what_grew(part: str, minutes: float, says: tuple[str, ...]) -> None:
    done = run("soak.py", "--only", part, "--minutes", minutes, "--port", free_port())
    assert done.returncode in (0, 1), done.stderr  # 1: an aim is missed, as it may be in a few seconds
    assert "Traceback" not in done.stderr
    for words in says:
        assert words in done.stdout, done.stdout


def test_the_bench_for_gpus_runs_on_a_cpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu_bench.json"
    done = run("gpu_bench.py", "--provider", "cpu", "--quick", "--data", tmp_path, "--out", out)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["shipped pose, keypoints against the CPU"]["numbers"]["max_px"] == 0
    assert rows["shipped whole loop, 100 fps"]["aim"] == "median ≤ 1.2 ms"
    assert rows["shipped lockstep / networks in sequence"]["numbers"]["share"] > 0
    assert rows["shipped pose, like a GPU: bound, image in the graph"]["numbers"]["changed"]["n"] > 0
    assert "shipped pose, without a CUDA graph" not in rows


def test_the_bench_for_gpus_refuses_a_provider_that_is_not_there(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    done = run("gpu_bench.py", "--out", tmp_path / "gpu_bench.json")
    assert done.returncode == 2
    assert done.stderr.startswith("gpu_bench: provider cuda was asked for, but this onnxruntime has only")
    assert not (tmp_path / "gpu_bench.json").exists()

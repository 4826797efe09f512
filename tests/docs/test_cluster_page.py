"""The page on many recordings: its command, its array job and its Snakefile, run on two recordings."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.offline_fixtures import film, run_here
from support.pages import code_blocks, find_page
from support.pipelines import tiny_models

PAGE = find_page("cluster.md")
(ARRAY,) = code_blocks(PAGE, "bash")
(SNAKEFILE,) = code_blocks(PAGE, "text")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork") or shutil.which("bash") is None, reason="needs POSIX and bash"),
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the user works, with recordings, and small models in place of the shipped ones."""
    (tmp_path / "recordings").mkdir()
    for name in ("mouse1", "mouse2"):
        film(tmp_path / f"recordings/{name}.mp4", 12)
    for name, path in tiny_models(tmp_path / "models").items():
        monkeypatch.setenv(f"CROPZOOM_{name.upper()}", path)
    monkeypatch.setenv("CROPZOOM_CROP_SIZE", "64")
    programs = tmp_path / "bin"
    programs.mkdir()
    cropzoom = programs / "cropzoom"
    cropzoom.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m realtime_cropzoom "$@"\n')
    cropzoom.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(start: str) -> list[str]:
    return re.findall(rf"^    (cropzoom {start}.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def plain(line: str) -> str:
    """A line without what differs from run to run: numbers, of processes, recordings and dates."""
    return re.sub(r"\d+", "N", line)


def bash(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_example_on_this_machine_runs_as_the_page_says(desk: Path) -> None:
    pytest.importorskip("submitit", reason="the extra cluster is not installed")
    (command,) = (c for c in commands("pipeline recordings") if "--cluster local" in c)
    done = bash(command)
    assert done.returncode == 0, done.stderr
    head, *rows = (line.split() for line in done.stdout.splitlines())
    page = PAGE.read_text(encoding="utf-8").splitlines()
    assert f"    {'recording   frames  seconds   fps  state  log'}" in page
    assert head == ["recording", "frames", "seconds", "fps", "state", "log"]
    assert [row[0] for row in rows] == ["mouse1.mp4", "mouse2.mp4"]
    said = {plain(line) for line in done.stderr.splitlines()}
    shown = [line.strip().replace("/home/ada", str(desk)) for line in page if line.startswith("    cropzoom: ")]
    assert {plain(line) for line in shown if "stopped" not in line} == {line for line in said if "Next:" not in line}
    (status,) = (c for c in commands("pipeline --cluster-status") if c.endswith(" results"))
    assert bash(status).stdout == done.stdout


def test_every_flag_of_the_example_for_slurm_is_one(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without SLURM the command is refused for that, and for nothing else."""
    monkeypatch.setenv("PATH", str(desk))
    pytest.importorskip("submitit", reason="the extra cluster is not installed")
    (command,) = (c for c in commands("pipeline recordings") if "--cluster slurm" in c)
    words = [str(path) for path in sorted((desk / "recordings").glob("*.mp4"))] + shlex.split(command)[3:]
    more = ["--partition", "p", "--account", "a", "--gpus", "1", "--setup", "module load cuda", "--workers", "8"]
    assert run_here("pipeline", *words, *more) == 2
    assert "this machine has no sbatch" in capsys.readouterr().err


def test_the_array_job_does_one_recording_a_task(desk: Path) -> None:
    assert bash(f"bash -n <<'END'\n{ARRAY}\nEND").returncode == 0
    for index, name in enumerate(("mouse1", "mouse2")):
        assert not (desk / f"results/{name}.csv").exists()
        done = bash(ARRAY, SLURM_ARRAY_TASK_ID=str(index))
        assert done.returncode == 0, done.stderr
        assert (desk / f"results/{name}.csv").exists()
    beyond = bash(ARRAY, SLURM_ARRAY_TASK_ID="2")
    assert beyond.returncode != 0
    assert "there is no recording with this number" in beyond.stderr


def test_snakemake_runs_the_snakefile(desk: Path) -> None:
    if shutil.which("snakemake") is None:
        pytest.skip("no snakemake here; with pip, in an environment of its own: pip install snakemake")
    (desk / "Snakefile").write_text(SNAKEFILE)
    done = bash("snakemake --cores 2")
    assert done.returncode == 0, done.stderr
    for name in ("mouse1", "mouse2"):
        assert (desk / f"results/{name}.csv").exists()
        assert (desk / f"results/{name}_bbox.csv").exists()

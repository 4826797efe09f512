"""``cropzoom pipeline --cluster slurm`` on a real SLURM: Debian's slurmctld, slurmd and munged, started here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.films import Footage
from support.offline_fixtures import Workplace, flags_of
from support.pipelines import finish, start_process, tiny_models, wait_for
from support.slow_pipelines import rows_in, slow_pipelines
from support.slurm import Slurm, slurm

pytest.importorskip("submitit", reason="the extra cluster is not installed")
pytestmark = pytest.mark.slow

FRAMES = 250


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        yield cluster


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    folder = tmp_path / "two words"
    folder.mkdir()
    return Workplace(folder, capfd)


def command(work: Workplace, *more: object) -> list[object]:
    models = tiny_models(work.folder / "models")
    recordings = sorted(work.folder.glob("*.mp4"))
    flags = [*flags_of({**models, "crop_size": 64}), "--skip_viz", "--out", work.folder / "results"]
    return ["pipeline", *recordings, *flags, "--cluster", "slurm", "--time", "1h", "--workers", 1, *more]


def states(table: str) -> dict[str, str]:
    """{recording: its state} of a table."""
    rows = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    return {row[0]: row[4] for row in rows[1:]}


def test_an_array_job_whose_task_is_killed_and_requeued_has_the_files_of_one_pass(
    work: Workplace, cluster: Slurm
) -> None:
    out = work.folder / "results"
    for name in ("a", "b"):
        Footage().write(work.folder / f"{name}.mp4", FRAMES, options={"g": "50"})
    with slow_pipelines(work.folder) as brake:
        process = start_process(*command(work, "--jobs", 2))
        wait_for(lambda: rows_in(out / "b.csv.partial") > 30 or process.poll() is not None, "rows")
        (job,) = (out / "cluster").glob("job_*")
        number = json.loads((job / "job.json").read_text())["number"]
        cluster.ask("scontrol", "requeue", f"{number}_1")  # as a preemption does: SIGTERM, SIGKILL, and again
        wait_for(lambda: "BeginTime" in queue(cluster), "the requeued task")
        assert not (out / "b.csv").exists()
        assert not (out / "b_bbox.csv").exists()
        assert states(work.run("pipeline", "--cluster-status", out).out)["b.mp4"] == "waiting"
        cluster.ask("scontrol", "update", f"JobId={number}_1", "StartTime=now")  # else SLURM waits for two minutes
        log = job / "logs/b.log"
        wait_for(lambda: "--- start 2" in log.read_text() or process.poll() is not None, "a new start")
        brake.unlink()
        done = finish(process)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == {"a.mp4": "done", "b.mp4": "done"}
    assert f"SLURM job {number}: 2 recordings, at most 2 at once, 1 h each" in done.stderr
    assert "Restarts=1" in cluster.ask("scontrol", "show", "job", f"{number}_1")
    assert re.search(r"\d+ rows are in .*b.csv.partial", log.read_text())
    later = work.run("pipeline", "--cluster-status", job)
    assert (later.code, later.out) == (0, done.stdout)

    plain = [word for word in command(work) if word not in ("--cluster", "slurm", "--time", "1h")]
    work.did(*[work.folder / "whole" if word == out else word for word in plain])
    for name in ("a.csv", "a_bbox.csv", "b.csv", "b_bbox.csv", "b_temporal_norm.csv"):
        assert (out / name).read_bytes() == (work.folder / "whole" / name).read_bytes()
    assert not list(out.glob("*partial*"))


def test_a_task_whose_time_is_over_is_requeued_and_a_cancelled_one_fails(work: Workplace, cluster: Slurm) -> None:
    """submitit asks SLURM to send SIGUSR2 before the limit; here the test sends it."""
    out = work.folder / "results"
    Footage().write(work.folder / "a.mp4", FRAMES, options={"g": "50"})
    with slow_pipelines(work.folder):
        process = start_process(*command(work))
        wait_for(lambda: rows_in(out / "a.csv.partial") > 30 or process.poll() is not None, "rows")
        (job,) = (out / "cluster").glob("job_*")
        number = json.loads((job / "job.json").read_text())["number"]
        cluster.ask("scancel", "--signal=USR2", number)
        wait_for(lambda: "BeginTime" in queue(cluster), "the requeued task")
        cluster.ask("scancel", number)
        process.terminate()
        told = finish(process).stderr
    assert (
        f"the tasks go on without this command\nlook at them with: cropzoom pipeline --cluster-status '{job}'" in told
    )
    assert f"end them with: scancel {number}" in told
    wait_for(lambda: not queue(cluster), "the end of the job")
    later = work.run("pipeline", "--cluster-status", job)
    assert (later.code, states(later.out)) == (1, {"a.mp4": "stopped"})


def test_what_slurm_refuses_is_one_line(work: Workplace, cluster: Slurm) -> None:
    Footage().write(work.folder / "a.mp4", 5)
    told = work.refused(*command(work, "--partition", "nowhere"))
    assert told == "cropzoom: SLURM refuses the job: Batch job submission failed: Invalid partition name specified\n"
    assert not list((work.folder / "results").glob("cluster/job_*"))


def test_a_job_that_would_wait_for_ever_is_explained(work: Workplace, cluster: Slurm) -> None:
    Footage().write(work.folder / "a.mp4", 5)
    process = start_process(*command(work, "--partition", "short", "--time", "2h"))
    wait_for(lambda: "PartitionTimeLimit" in queue(cluster), "the reason")
    told = "SLURM says why tasks wait: PartitionTimeLimit"
    assert told in work.run("pipeline", "--cluster-status", work.folder / "results").err
    assert process.stderr is not None
    assert any(line.startswith(f"cropzoom: {told}") for line in process.stderr)
    process.terminate()
    finish(process)
    cluster.ask("scancel", *{line.split()[0] for line in queue(cluster).splitlines()})


def test_a_folder_that_a_script_cannot_name_is_refused(work: Workplace, cluster: Slurm) -> None:
    Footage().write(work.folder / "a.mp4", 5)
    out = work.folder / os.fsdecode(b"m\xfcller")
    told = work.refused(*command(work, "--out", out))
    assert "a script of SLURM can name only what is UTF-8" in told
    assert not list(out.glob("cluster/job_*"))


def test_slurm_dies_while_a_task_runs_and_comes_back(work: Workplace, cluster: Slurm) -> None:
    out = work.folder / "results"
    Footage().write(work.folder / "a.mp4", FRAMES, options={"g": "50"})
    with slow_pipelines(work.folder) as brake:
        process = start_process(*command(work))
        wait_for(lambda: rows_in(out / "a.csv.partial") > 30 or process.poll() is not None, "rows")
        cluster.end_controller()
        now = work.run("pipeline", "--cluster-status", out)
        assert (now.code, states(now.out)) == (0, {"a.mp4": "unknown"})
        assert "SLURM does not answer" in work.refused(*command(work))
        local = [{"slurm": "local"}.get(str(word), word) for word in command(work) if word not in ("--time", "1h")]
        assert "perhaps a job works on it: SLURM does not answer" in work.refused(*local)
        cluster.start_controller()
        brake.unlink()
        done = finish(process)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == {"a.mp4": "done"}
    plain = [word for word in command(work) if word not in ("--cluster", "slurm", "--time", "1h")]
    work.did(*[work.folder / "whole" if word == out else word for word in plain])
    assert (out / "a.csv").read_bytes() == (work.folder / "whole/a.csv").read_bytes()


def queue(cluster: Slurm) -> str:
    return cluster.ask("squeue", "--noheader", "--array", "--format", "%i %T %r")

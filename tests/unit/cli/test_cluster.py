"""``cropzoom pipeline --cluster local``: the way of a cluster, with real processes of this machine."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.films import Footage
from support.offline_fixtures import CommandResult, Workplace, flags_of
from support.pipelines import finish, start_process, tiny_models, wait_for
from support.slow_pipelines import rows_in, slow_pipelines

pytest.importorskip("submitit", reason="the extra cluster is not installed")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="submitit needs POSIX")

FRAMES = 250
MADE = ("{}.csv", "{}_bbox.csv", "{}_temporal_norm.csv")


class Desk:
    """A folder with recordings, and the command that a user gives."""

    def __init__(self, work: Workplace) -> None:
        self.work, self.folder, self.out = work, work.folder, work.folder / "results"
        models = tiny_models(self.folder / "models")
        self.flags = [*flags_of({**models, "crop_size": 64}), "--skip_viz"]

    @property
    def job(self) -> Path:
        """The folder of the newest job."""
        return sorted((self.out / "cluster").glob("job_*"))[-1]

    def command(self, *more: object) -> list[object]:
        recordings = sorted(self.folder.glob("*.mp4"))
        return ["pipeline", *recordings, *self.flags, "--cluster", "local", "--out", self.out, *more]

    def status(self) -> CommandResult:
        return self.work.run("pipeline", "--cluster-status", self.job)

    def queue(self) -> psutil.Process:
        return psutil.Process(int(json.loads((self.job / "job.json").read_text())["number"]))

    def processes(self, word: str) -> list[psutil.Process]:
        """The processes of the job that have a word in their command, such as ``submitit.core._submit``."""
        return [one for one in self.queue().children(recursive=True) if word in one.cmdline()]

    def check_same_as_one_pass(self, *names: str) -> None:
        """The files are those of ``cropzoom pipeline`` without --cluster."""
        recordings = [self.folder / f"{name}.mp4" for name in names]
        self.work.did("pipeline", *recordings, *self.flags, "--out", self.folder / "whole")
        for name in names:
            for file in (made.format(name) for made in MADE):
                assert (self.out / file).read_bytes() == (self.folder / "whole" / file).read_bytes()
        assert not list(self.out.glob("*partial*"))


@pytest.fixture
def desk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    desk = Desk(Workplace(tmp_path, capfd))
    yield desk
    for file in (desk.out / "cluster").glob("*/job.json"):
        number = json.loads(file.read_text())["number"]
        if number and not has_ended(int(number)):
            os.kill(int(number), signal.SIGTERM)
            wait_for(partial(has_ended, int(number)), "the end of the queue")


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Footage().write(tmp_path_factory.mktemp("long") / "long.mp4", FRAMES)


def has_ended(number: int) -> bool:
    """Whether a process has ended, even if this process, which started it, has not asked yet."""
    return not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


def states(table: str) -> dict[str, list[str]]:
    """{recording: its frames and its state} of a table."""
    head, *rows = (re.split(r" {2,}", line.strip()) for line in table.splitlines())
    assert head == ["recording", "frames", "seconds", "fps", "state", "log"]
    return {row[0]: [row[1], row[4]] for row in rows}


def test_each_recording_is_a_task_and_a_table_says_how_it_went(desk: Desk) -> None:
    for name, frames in (("a", 20), ("b", 12)):
        desk.work.video(f"{name}.mp4", frames)
    (desk.folder / "damaged.mp4").write_bytes(b"no video" * 100)
    done = desk.work.run(*desk.command("--jobs", 2, "--time", "1h"))
    assert done.code == 1, done.err
    assert states(done.out) == {"a.mp4": ["20", "done"], "b.mp4": ["12", "done"], "damaged.mp4": ["0", "failed"]}
    assert re.search(r"process \d+: 3 recordings, at most 2 at once, 1 h each", done.err)
    assert re.search(r"\d of 3: damaged.mp4 failed: .*damaged.mp4", done.err)
    assert "2 done, 1 failed. The same command with --resume does the others" in done.err
    for name in ("a", "b", "damaged"):
        assert f"--- start 1 on {os.uname().nodename}" in (desk.job / f"logs/{name}.log").read_text()

    later = desk.status()
    assert (later.code, later.out) == (1, done.out)
    assert desk.work.run("pipeline", "--cluster-status", desk.out).out == done.out
    desk.check_same_as_one_pass("a", "b")


def test_a_killed_task_leaves_no_half_file_and_the_same_command_goes_on(desk: Desk, long_video: Path) -> None:
    (desk.folder / "long.mp4").symlink_to(long_video)
    desk.work.video("short.mp4", 10)
    with slow_pipelines(desk.folder) as brake:
        process = start_process(*desk.command("--jobs", 2, "--workers", 1))
        wait_for(lambda: rows_in(desk.out / "long.csv.partial") > 30 or process.poll() is not None, "rows")
        long = next(one for one in desk.processes("pipeline") if one.cmdline()[-1].endswith("long.mp4"))
        long.kill()
        done = finish(process)
        brake.unlink()
        assert done.returncode == 1, done.stderr
        frames, state = states(done.stdout)["long.mp4"]
        assert state == "stopped"
        assert 0 < int(frames) < FRAMES
        assert "long.mp4 stopped: stopped by SIGKILL; is there enough memory?" in done.stderr
        assert not (desk.out / "long.csv").exists()
        assert not (desk.out / "long_bbox.csv").exists()

        again = desk.work.did(*desk.command("--resume"))
    assert states(again.out) == {"long.mp4": [str(FRAMES), "done"], "short.mp4": ["10", "done"]}
    desk.check_same_as_one_pass("long", "short")


def test_a_task_whose_time_is_over_goes_on_in_a_new_start(desk: Desk, long_video: Path) -> None:
    """submitit sends SIGUSR2 before the limit, as SLURM does."""
    (desk.folder / "long.mp4").symlink_to(long_video)
    with slow_pipelines(desk.folder) as brake:
        process = start_process(*desk.command("--workers", 1))
        wait_for(lambda: rows_in(desk.out / "long.csv.partial") > 30 or process.poll() is not None, "rows")
        (task,) = desk.processes("submitit.core._submit")
        task.send_signal(signal.SIGUSR2)
        log = desk.job / "logs/long.log"
        wait_for(lambda: "--- start 2" in log.read_text() or process.poll() is not None, "a new start")
        brake.unlink()
        done = finish(process)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == {"long.mp4": [str(FRAMES), "done"]}
    assert re.search(r"\d+ rows are in .*long.csv.partial", log.read_text())
    desk.check_same_as_one_pass("long")


def test_ctrl_c_ends_the_command_and_not_the_tasks(desk: Desk, long_video: Path) -> None:
    (desk.folder / "long.mp4").symlink_to(long_video)
    with slow_pipelines(desk.folder) as brake:
        process = start_process(*desk.command("--workers", 1))
        wait_for(lambda: rows_in(desk.out / "long.csv.partial") > 30 or process.poll() is not None, "rows")
        process.send_signal(signal.SIGINT)
        done = finish(process)
        assert done.returncode == 130
        queue = desk.queue()
        assert done.stderr.splitlines()[-4:] == [
            "cropzoom: stopped",
            "the tasks go on without this command",
            f"look at them with: cropzoom pipeline --cluster-status {desk.job}",
            f"end them with: kill {queue.pid}",
        ]
        now = desk.status()
        assert now.code == 0
        assert states(now.out)["long.mp4"][1] == "running"
        assert f"1 running. End them with: kill {queue.pid}" in now.err
        assert "works on it already" in desk.work.refused(*desk.command())
        brake.unlink()
        wait_for(lambda: has_ended(queue.pid), "the end of the queue")
    end = desk.status()
    assert end.code == 0
    assert states(end.out) == {"long.mp4": [str(FRAMES), "done"]}
    desk.check_same_as_one_pass("long")


def test_the_end_of_the_queue_ends_its_tasks(desk: Desk, long_video: Path) -> None:
    for name in ("a", "b"):
        (desk.folder / f"{name}.mp4").symlink_to(long_video)
    with slow_pipelines(desk.folder):
        process = start_process(*desk.command("--jobs", 1, "--workers", 1))
        wait_for(lambda: rows_in(desk.out / "a.csv.partial") > 30 or process.poll() is not None, "rows")
        tasks = desk.queue().children(recursive=True)
        desk.queue().terminate()
        done = finish(process)
    assert done.returncode == 1, done.stderr
    said = states(done.stdout)
    assert [said["a.mp4"][1], said["b.mp4"]] == ["stopped", ["0", "not started"]]
    _, alive = psutil.wait_procs(tasks, timeout=30)
    assert not alive


def test_the_lines_of_setup_run_before_each_task(desk: Desk) -> None:
    desk.work.video("a.mp4", 5)
    marks = desk.folder / "marks"
    done = desk.work.did(*desk.command("--setup", f"echo one >> '{marks}'", "--setup", f"echo two >> '{marks}'"))
    assert states(done.out) == {"a.mp4": ["5", "done"]}
    assert marks.read_text().split() == ["one", "two"]


def test_settings_of_the_environment_count_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the folder of the job; what the environment says later does not reach a task that waits."""
    desk.work.video("a.mp4", 9)
    monkeypatch.setenv("CROPZOOM_FRAMES", "4")
    assert states(desk.work.did(*desk.command()).out) == {"a.mp4": ["4", "done"]}
    assert "frames: 4" in (desk.job / "settings.yaml").read_text()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--jobs", 0], "--jobs: got '0', expected tasks from 1"),
        (["--time", "soon"], "--time: got 'soon', expected a time such as 2h, 90min"),
        (["--time", "90"], "--time: got '90', expected a time such as 2h, 90min"),
        (["--gpus", 1], "--gpus: got it with --cluster local, which takes this machine as it is. Leave it out"),
        (["--partition", "long"], "--partition: got it with --cluster local"),
        (["--crop-size", 64, "--min-box", -1], "min_box: got '-1', expected 0 or more"),
        (["--detector", "nothing.onnx"], "nothing.onnx"),
        (["--box-from", "pose", "--resume"], "box_from is pose, and --resume is given"),
    ],
)
def test_bad_input_is_refused_in_one_line(desk: Desk, given: list[object], told: str) -> None:
    desk.work.video("a.mp4", 5)
    assert told in desk.work.refused(*desk.command(*given))
    assert not desk.out.exists()


def test_what_is_missing_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = desk.work.refused
    assert "INPUT is missing" in refused(*desk.command())
    assert "no file at" in refused("pipeline", desk.folder / "no.mp4", "--cluster", "local")
    desk.work.video("a.mp4", 5)
    assert "--jobs: got it without --cluster" in refused("pipeline", desk.folder / "a.mp4", "--jobs", 2)
    assert "expected recordings, which are files" in refused("pipeline", "synthetic:arena", "--cluster", "local")
    assert "got a folder without a job" in refused("pipeline", "--cluster-status", desk.folder)
    assert "the folder of a job alone" in refused("pipeline", desk.folder / "a.mp4", "--cluster-status", desk.folder)
    assert "--time is missing" in refused(*desk.command("--cluster", "slurm"))
    monkeypatch.setenv("PATH", str(desk.folder))
    told = refused(*desk.command("--cluster", "slurm", "--time", "2h"))
    assert "this machine has no sbatch, which SLURM brings. Give the command on a login node" in told
    monkeypatch.setattr("realtime_cropzoom.offline.cluster.submit.find_spec", lambda name: None)
    assert "--cluster: submitit is not installed; run: pip install" in refused(*desk.command())
    assert '[cluster]"' in refused(*desk.command())

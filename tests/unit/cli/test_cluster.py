"""``cropzoom pipeline --cluster local``: the way of a cluster, with real processes of this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.films import Footage
from support.offline_fixtures import CommandResult, Workplace, flags_of
from support.pipelines import finish, start_process, tiny_models, wait_for
from support.slow_pipelines import rows_in, slow_pipelines

from realtime_cropzoom.files.locks import wait_for_lock
from realtime_cropzoom.offline.cluster.task import PipelineTask

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
        return [one for one in self.queue().children(recursive=True) if word in words_of(one)]

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


def words_of(process: psutil.Process) -> list[str]:
    """The command of a process; one that has just ended has none."""
    try:
        return process.cmdline() or [""]
    except psutil.NoSuchProcess:
        return [""]


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
        long = next(one for one in desk.processes("pipeline") if words_of(one)[-1].endswith("long.mp4"))
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


@pytest.mark.parametrize("setup", [(), ("--setup", "true")], ids=["plain", "setup"])
def test_the_end_of_the_queue_ends_its_tasks(desk: Desk, long_video: Path, setup: tuple[str, ...]) -> None:
    for name in ("a", "b"):
        (desk.folder / f"{name}.mp4").symlink_to(long_video)
    with slow_pipelines(desk.folder):
        process = start_process(*desk.command("--jobs", 1, "--workers", 1, *setup))
        wait_for(lambda: rows_in(desk.out / "a.csv.partial") > 30 or process.poll() is not None, "rows")
        tasks = desk.queue().children(recursive=True)
        desk.queue().terminate()
        done = finish(process)
    assert done.returncode == 1, done.stderr
    said = states(done.stdout)
    assert [said["a.mp4"][1], said["b.mp4"]] == ["stopped", ["0", "not started"]]
    _, alive = psutil.wait_procs(tasks, timeout=30)
    assert not alive


def test_a_killed_queue_ends_its_tasks_and_the_same_command_goes_on(desk: Desk, long_video: Path) -> None:
    (desk.folder / "long.mp4").symlink_to(long_video)
    with slow_pipelines(desk.folder) as brake:
        process = start_process(*desk.command("--workers", 1))
        wait_for(lambda: rows_in(desk.out / "long.csv.partial") > 30 or process.poll() is not None, "rows")
        tasks = desk.queue().children(recursive=True)
        desk.queue().kill()
        done = finish(process)
        _, alive = psutil.wait_procs(tasks, timeout=60)
        assert not alive
        assert done.returncode == 1, done.stderr
        told = desk.status()
        assert states(told.out)["long.mp4"][1] == "stopped"
        brake.unlink()
        again = desk.work.did(*desk.command("--resume"))
    assert states(again.out) == {"long.mp4": [str(FRAMES), "done"]}
    desk.check_same_as_one_pass("long")


def test_of_two_commands_at_once_one_is_refused_and_so_is_a_plain_one_beside(desk: Desk, long_video: Path) -> None:
    (desk.folder / "long.mp4").symlink_to(long_video)
    with slow_pipelines(desk.folder) as brake:
        two = [start_process(*desk.command("--workers", 1)) for _ in range(2)]
        wait_for(lambda: [one for one in two if one.poll() is not None], "the end of one")
        two.sort(key=lambda one: one.poll() is None)
        refused, other = two
        told = finish(refused)
        assert told.returncode == 2
        assert "a job that has not ended works on it already" in told.stderr
        wait_for(lambda: rows_in(desk.out / "long.csv.partial") > 30 or other.poll() is not None, "rows")
        plain = ["pipeline", desk.folder / "long.mp4", *desk.flags, "--out", desk.out]
        for flag in ((), ("--resume",), ("--overwrite",)):
            assert "another command is writing" in desk.work.refused(*plain, *flag)
        brake.unlink()
        done = finish(other)
    assert done.returncode == 0, done.stderr
    assert len([*(desk.out / "cluster").glob("job_*")]) == 1
    desk.check_same_as_one_pass("long")


def test_the_lines_of_setup_run_before_each_task(desk: Desk) -> None:
    """They are lines of a script, as with SLURM: with comments and quotation marks, and one that fails ends nothing."""
    desk.work.video("a.mp4", 5)
    marks = desk.folder / "marks"
    lines = [f"echo one >> '{marks}' # it's the first", "false", f"cat << END >> '{marks}'\ntwo\n'three'\nEND"]
    done = desk.work.did(*desk.command(*(word for line in lines for word in ("--setup", line))))
    assert states(done.out) == {"a.mp4": ["5", "done"]}
    assert marks.read_text().split() == ["one", "two", "'three'"]


def test_a_task_that_setup_ends_has_a_log_that_says_where_to_look(desk: Desk) -> None:
    desk.work.video("a.mp4", 5)
    done = desk.work.run(*desk.command("--setup", "echo no licence >&2; exit 4"))
    assert done.code == 1
    (row,) = done.out.splitlines()[1:]
    assert re.split(r" {2,}", row)[4] == "not started"
    log = Path(re.split(r" {2,}", row)[5])
    early = Path(log.read_text().strip().rpartition(" ")[2])
    assert early.read_text() == "no licence\n"


def test_what_is_made_again_has_its_rate(desk: Desk) -> None:
    desk.work.video("a.mp4", 9)
    desk.work.did(*desk.command())
    (row,) = desk.work.did(*desk.command("--overwrite")).out.splitlines()[1:]
    assert re.split(r" {2,}", row)[1:2] == ["9"]
    assert float(re.split(r" {2,}", row)[3]) > 0


def test_more_tasks_than_the_machine_can_take_are_not_started_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        desk.work.video(f"{name}.mp4", 4)
    monkeypatch.setattr("realtime_cropzoom.runtime.tuning.usable_cores", lambda: 1)
    done = desk.work.did(*desk.command("--jobs", 1000))
    assert "--jobs: got 1000; this machine has 1 core, so 2 at once" in done.err
    assert "3 recordings, at most 2 at once" in done.err
    desk.check_same_as_one_pass("a", "b", "c")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS knows no such names")
def test_names_need_not_be_utf_8(desk: Desk) -> None:
    name = os.fsdecode(b"m\xfcller")
    desk.work.video(f"{name}.mp4", 6)
    done = desk.work.did(*desk.command())
    assert done.out.splitlines()[1].split()[1:2] == ["6"]
    desk.check_same_as_one_pass(name)


def test_a_record_that_cannot_be_written_ends_no_task(desk: Desk) -> None:
    """As on a full disk. The pipeline itself finds out whether its rows fit."""
    desk.work.video("a.mp4", 6)
    desk.work.did(*desk.command("--frames", 3))
    (desk.job / "records/a.json").unlink()
    (desk.job / "records").rmdir()
    (desk.job / "records").touch()
    for file in desk.out.glob("a*"):
        file.unlink()
    with (desk.job / "queue.lock").open("wb") as lock:
        wait_for_lock(lock.fileno())  # else the task takes its queue for gone
        PipelineTask(str(desk.job), 0)()
    assert rows_in(desk.out / "a.csv") == 6


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
        (["--provider", "tensorrt"], "provider tensorrt was asked for, but"),
        (["--partition", "long"], "--partition: got it with --cluster local"),
        (["--partition", "a\n#SBATCH -x"], "--partition: got 'a\\n#SBATCH -x', expected a name without spaces"),
        (["--account", "my lab"], "--account: got 'my lab', expected a name without spaces"),
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
    status = ("pipeline", "--cluster-status")
    assert "got a folder without a job" in refused(*status, desk.folder)
    assert "got a file, expected a folder" in refused(*status, desk.folder / "a.mp4")
    assert "got nothing there, expected a folder" in refused(*status, desk.folder / "no")
    assert "got recordings as well, expected the folder" in refused("pipeline", desk.folder / "a.mp4", *status[1:], ".")
    assert "got --jobs as well, expected the folder of a job alone" in refused(*status, desk.folder, "--jobs", 2)
    assert "got --cluster as well" in refused(*status, desk.folder, "--cluster", "local")
    assert "--time is missing" in refused(*desk.command("--cluster", "slurm"))
    monkeypatch.setenv("PATH", str(desk.folder))
    told = refused(*desk.command("--cluster", "slurm", "--time", "2h"))
    assert "this machine has no sbatch, which SLURM brings. Give the command on a login node" in told
    monkeypatch.setattr("realtime_cropzoom.offline.cluster.submit.find_spec", lambda name: None)
    assert "--cluster: submitit is not installed; run: pip install" in refused(*desk.command())
    assert '[cluster]"' in refused(*desk.command())

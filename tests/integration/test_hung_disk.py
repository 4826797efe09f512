"""A disk that does not answer: tracking goes on, the end does not wait for it, and what it was given is not lost."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from threading import Thread

import pytest
from support.pipelines import (
    ANY_PORT,
    LONG_S,
    check_complete,
    finish,
    free_port,
    model_flags,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)

from realtime_cropzoom import Subscriber

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no such pipes")

HUNG = """
import builtins, sys, time
from pathlib import Path
from realtime_cropzoom.cli.main import main
thaw, hung, sys.argv[1:3] = Path(sys.argv[1]), sys.argv[2], []
real = builtins.open

class Hung:  # after the header, a write returns once the disk answers, and not before
    def __init__(self, file):
        self.file, self.headed = file, False
    def write(self, data):
        while self.headed and not thaw.exists():
            time.sleep(0.01)
        self.headed = True
        return self.file.write(data)
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.file.close()

def opened(path, mode="r", *more, **options):
    file = real(path, mode, *more, **options)
    return Hung(file) if mode == "xb" and str(path).endswith(hung) else file

builtins.open = opened
sys.exit(main())
"""
"""A run whose writes to some of its files block, as those to a disk that hangs."""


class Run:
    """Such a run, what it says as it says it, and the file that makes the disk answer."""

    def __init__(self, tmp_path: Path, hung: str) -> None:
        self.thaw, self.out, self.said = tmp_path / "thaw", tmp_path / "out", list[str]()
        source = "synthetic:arena,fps=400,size=160x120,seconds=600"
        flags = ["--out", self.out, *model_flags(tiny_models(tmp_path / "models")), "--publish", ANY_PORT]
        flags += ["--publish-latest", "none"]
        arguments = (self.thaw, hung, "run", source, *flags)
        self.process = start_process(*arguments, code=HUNG, stdout=subprocess.DEVNULL)
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.said.extend(iter(lines.readline, ""))

    def has_said(self, what: str) -> None:
        wait_for(lambda: any(what in line for line in [*self.said]), f"{what!r}, not {self.said[-5:]}")

    def interrupted(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(LONG_S)
        self._reader.join()
        return code

    def complaints(self) -> list[str]:
        return [line.strip() for line in self.said if line.startswith("cropzoom: ")]


def test_the_end_does_not_wait_for_a_disk_and_reports_the_missing_rows(tmp_path: Path) -> None:
    run = Run(tmp_path, "_timing.csv")
    run.has_said("WARNING: the disk does not answer; the rows of the session are kept in memory until it does")
    assert run.interrupted() == 130
    (complaint,) = [line for line in run.complaints() if "_timing.csv" in line]
    missing = re.search(r"arena_timing\.csv: the disk does not answer; its last (\d+) rows are not in it", complaint)
    assert missing is not None
    assert int(missing[1]) > 100
    assert '"reason": "stopped by SIGINT"' in (the_session(run.out) / "summary.json").read_text()


def test_rows_are_written_when_the_disk_answers(tmp_path: Path) -> None:
    run = Run(tmp_path, "arena.csv")
    run.has_said("the disk does not answer")
    run.thaw.touch()
    run.has_said("the disk answers again")
    assert run.interrupted() == 130
    assert run.complaints() == []
    check_complete(the_session(run.out))


def test_a_summary_that_cannot_be_written_is_reported_with_exit_code_3(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--out", out, *model_flags(tiny_models(tmp_path / "models")), "--quiet"]
    process = start_process("run", "synthetic:arena,fps=100,size=160x120,seconds=2", *flags)
    folder = wait_for(lambda: [p.parent for p in out.glob("*/summary.json")], "the session")[0]
    (folder / "summary.json").unlink()
    (folder / "summary.json").mkdir()
    done = finish(process)
    assert done.returncode == 3
    assert (
        sum(
            "summary.json: got a folder, expected a file" in line
            for line in done.stderr.splitlines()
            if line[:5] == "cropz"
        )
        == 1
    )


def test_kill_9_loses_only_the_last_published_frames(tmp_path: Path) -> None:
    out, fps, endpoint = tmp_path / "out", 100, f"tcp://127.0.0.1:{free_port()}"
    flags = ["--out", out, *model_flags(tiny_models(tmp_path / "models")), "--publish", endpoint, "--quiet"]
    source = f"synthetic:arena,fps={fps},size=160x120,seconds=600"
    process = start_process("run", source, *flags, "--publish-latest", "none")
    with Subscriber(endpoint) as poses:
        published = next(pose.frame for pose in poses if pose.frame >= 2 * fps)
    process.kill()
    finish(process)
    folder = the_session(out)
    for path, headers in (("arena.csv", 3), ("arena_bbox.csv", 1), ("arena_timing.csv", 1)):
        rows = (folder / path).read_bytes().count(b"\n") - headers
        assert published - rows < 2 * fps, f"{path}: more than two seconds behind what was published"
        assert rows > 0

"""The page beside a run ends with it, and whatever happens to it, the run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.pipelines import cropzoom_threads, wait_for

from realtime_cropzoom.view.beside import ViewBeside

pytestmark = pytest.mark.usefixtures("runtime")
NOBODY = "ipc:///tmp/nobody-publishes-here"


@contextmanager
def beside() -> Iterator[tuple[ViewBeside, list[str]]]:
    said: list[str] = []
    view = ViewBeside([NOBODY], said.append, open_browser=False)
    try:
        yield view, said
    finally:
        view.close()
    assert view.process.returncode is not None
    assert cropzoom_threads() == set()


def test_it_says_one_line_serves_the_page_and_ends_with_the_run() -> None:
    with beside() as (view, said):
        (line,) = wait_for(lambda: said, "the address")
        assert line.startswith("page: http://127.0.0.1:")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(line.removeprefix("page: "), timeout=20) as page:
            assert page.status == 200
        assert os.getpriority(os.PRIO_PROCESS, view.process.pid) >= 10
        assert os.getsid(view.process.pid) != os.getsid(0)
    assert view.process.returncode == 0
    assert len(said) == 1


def test_one_that_is_killed_is_a_line_and_no_more() -> None:
    with beside() as (view, said):
        wait_for(lambda: said, "the address")
        view.process.kill()
        wait_for(lambda: len(said) == 2, "the line")
    assert "the run goes on" in said[1]


def test_one_that_is_stopped_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_cropzoom.view.beside._END_TIMEOUT_S", 0.2)
    with beside() as (view, said):
        wait_for(lambda: said, "the address")
        view.process.send_signal(signal.SIGSTOP)
    assert view.process.returncode == -signal.SIGKILL


def test_it_ends_when_the_run_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from realtime_cropzoom.view.beside import ViewBeside\n"
        f"view = ViewBeside([{NOBODY!r}], lambda line: print(view.process.pid, flush=True), open_browser=False)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.kill()
    wait_for(lambda: not is_alive(pid), "its end")


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False

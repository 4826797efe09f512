"""What commands write: it never holds them up, never ends them, and fits the terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.pipelines import (
    LONG_S,
    check_complete,
    free_port,
    model_flags,
    start_process,
    the_session,
    tiny_models,
    wait_for,
)
from support.terminals import Terminal

from realtime_cropzoom.cli import terminal

ARENA = "synthetic:arena,size=160x120,fps=30,seconds=2.5"
ENDLESS = "synthetic:arena,size=160x120,fps=30,seconds=endless"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return tiny_models(tmp_path_factory.mktemp("models"))


def run_arguments(models: dict[str, str], out: Path, source: str = ARENA) -> list[str]:
    return ["run", source, *model_flags(models), "--out", str(out)]


def check_whole(out: Path, frames: int = 75) -> None:
    """The run has gone to its end, whatever became of what it wrote to the terminal."""
    files = check_complete(the_session(out))
    assert files.summary["reason"] == "finished"
    assert files.summary["counts"]["captured"] == frames


def in_a_shell(redirection: str, *arguments: str) -> subprocess.Popen[str]:
    """``cropzoom ARGUMENTS REDIRECTION``, ended with its exit code on stdout."""
    quoted = " ".join(f"'{a}'" for a in (sys.executable, "-m", "realtime_cropzoom", *arguments))
    script = f"exec 3>&1; ({quoted} {redirection}"
    command, pipe = ["bash", "-c", script.replace("RC", "echo $? >&3")], subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


LOST = {
    "stderr on a full disk": "2>/dev/full; RC)",
    "stdout on a full disk": ">/dev/full; RC)",
    "both on a full disk": ">/dev/full 2>&1; RC)",
    "no stderr": "2>&-; RC)",
    "no stdout": ">&-; RC)",
    "neither, and no stdin": "<&- >&- 2>&-; RC)",
    "the pipe's reader has left": "2>&1; RC) | head -n 1",
}


@pytest.fixture(scope="module")
def lost_runs(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str, str]]:
    """All of them at the same time: each run takes as long as its source."""
    out = tmp_path_factory.mktemp("lost")
    started = {
        what: in_a_shell(how, *run_arguments(models, out / str(k))) for k, (what, how) in enumerate(LOST.items())
    }
    return {
        what: (out / str(k), *process.communicate(timeout=LONG_S)) for k, (what, process) in enumerate(started.items())
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("what", LOST)
def test_a_run_completes_if_its_output_cannot_be_written(
    lost_runs: dict[str, tuple[Path, str, str]], what: str
) -> None:
    out, said, err = lost_runs[what]
    check_whole(out)
    assert said.strip().splitlines()[-1] == "0", err
    assert "Traceback" not in err + said


def test_nothing_is_written_into_a_file_that_took_the_place_of_a_closed_stream(
    lost_runs: dict[str, tuple[Path, str, str]],
) -> None:
    """A closed descriptor 2 would be given to the next file that is opened."""
    for out, _, _ in lost_runs.values():
        for table in the_session(out).glob("*.csv"):
            assert "model" not in table.read_text()


def test_a_full_stdout_is_reported(lost_runs: dict[str, tuple[Path, str, str]]) -> None:
    assert "cropzoom: cannot write the whole output" in lost_runs["stdout on a full disk"][2]


def test_a_result_that_cannot_be_written_has_its_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        process = start_process("cameras", "--json", stdout=full)
        _, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 3, err


def test_a_closed_terminal_ends_a_run_in_order(models: dict[str, str], tmp_path: Path) -> None:
    window = Terminal(*run_arguments(models, tmp_path, ENDLESS))
    window.until(lambda screen: "fps" in screen.text, "progress")
    window.close()
    assert window.process.wait(LONG_S) == 128 + signal.SIGHUP
    assert check_complete(the_session(tmp_path)).summary["reason"] == "stopped by SIGHUP"


def test_under_nohup_a_closed_terminal_does_not_end_a_run(models: dict[str, str], tmp_path: Path) -> None:
    window = Terminal(*run_arguments(models, tmp_path), before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    window.until(lambda screen: "fps" in screen.text, "progress")
    window.close()
    assert window.process.wait(LONG_S) == 0
    check_whole(tmp_path)


def test_a_stopped_terminal_does_not_delay_a_signal(models: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-S; so much is written meanwhile that no buffer of the system takes it."""
    window = Terminal(*run_arguments(models, tmp_path, ENDLESS))
    window.until(lambda screen: "fps" in screen.text, "progress")
    window.type("\x13")
    rows = next(the_session(tmp_path).glob("*_timing.csv"))
    before = rows.read_bytes().count(b"\n")
    wait_for(lambda: rows.read_bytes().count(b"\n") > before + 60, "two more seconds of frames")
    window.process.send_signal(signal.SIGTERM)
    assert window.process.wait(LONG_S) == 128 + signal.SIGTERM
    assert check_complete(the_session(tmp_path)).summary["reason"] == "stopped by SIGTERM"


def piped(code: str, **options: Any) -> subprocess.Popen[bytes]:
    """A process with the streams of the command line, its stderr a pipe."""
    prelude = "import sys, time; from realtime_cropzoom.cli import terminal; terminal.install(); "
    return subprocess.Popen([sys.executable, "-c", prelude + code], stderr=subprocess.PIPE, **options)


def test_a_reader_that_does_not_read_blocks_no_write() -> None:
    code = "[terminal.say('x' * 1000) for _ in range(1000)]; print('through')"
    with piped(code, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"through\n"
        assert len(process.stderr.read()) < 500_000, "so much is kept, and no more"
    assert process.returncode == 0


def test_dropped_lines_are_counted() -> None:
    code = "[terminal.say('x' * 1000) for _ in range(1000)]; print(flush=True); sys.stdin.readline(); terminal.say('y')"
    with piped(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdin is not None
        process.stdout.readline()
        read = b""
        while len(read) < 60_000:  # nearly all that the queue holds, so that there is room again
            read += os.read(process.stderr.fileno(), 1 << 16)
        process.stdin.write(b"\n")
        process.stdin.close()
        read += process.stderr.read()
    assert b"lines are not shown: the terminal was blocked)\ny\n" in read


def test_a_result_waits_for_its_reader() -> None:
    code = "from realtime_cropzoom.cli import terminal; terminal.install(); print('x' * 10**6)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        time.sleep(1.5)  # longer than a terminal that is held up is waited for
        assert len(process.stdout.read()) == 10**6 + 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_terminal_can_be_written_to(encoding: str) -> None:
    """Arrows become plain ones, and a file's name keeps its bytes."""
    code = r"print('→ 5 µs ± 1 … \udcff ねずみ')"
    process = piped(code, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": encoding})
    out, err = process.communicate(timeout=LONG_S)
    assert not err
    assert out.startswith("→".encode() if encoding == "utf-8" else b"->")
    assert b"\xff" in out


@pytest.mark.parametrize("columns", [80, 40])
def test_run_and_listen_fit_the_terminal(models: dict[str, str], tmp_path: Path, columns: int) -> None:
    """Progress is one row, replaced in place; nothing is broken in the middle of a word."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    running = Terminal(
        *run_arguments(models, tmp_path, ENDLESS), "--publish", endpoint, "--publish-latest", "none", columns=columns
    )
    listening = Terminal("listen", endpoint, columns=columns)
    heard = listening.until(lambda screen: "cam0  frame" in screen.text, "poses").text.splitlines()
    running.until(lambda screen: "fps" in screen.text, "progress")
    running.type("\x03")
    assert running.finish() == 128 + signal.SIGINT
    assert listening.finish() == 0
    assert not listening.screen.wrapped
    assert sum(row.startswith("cam0  frame") for row in listening.screen.text.splitlines()) == 1
    assert "age unknown" not in "".join(heard)
    progress = [row for row in running.screen.text.splitlines() if row.startswith("frame ")]
    assert len(progress) == 1


def test_a_log_file_gets_plain_lines(models: dict[str, str], tmp_path: Path) -> None:
    done = start_process(*run_arguments(models, tmp_path))
    _, err = done.communicate(timeout=LONG_S)
    assert "\x1b" not in err
    assert "\r" not in err
    assert any("skipped 0" in line and "boxes/s" in line for line in err.splitlines()), err


def test_lines_appear_above_the_progress() -> None:
    code = (
        "import time; from realtime_cropzoom.cli import terminal; terminal.install()\n"
        "for k in range(3):\n"
        "    terminal.show([f'one {k}', f'two {k}']); time.sleep(0.2); terminal.say(f'said {k}')\n"
        "terminal.keep(); print('done')"
    )
    window = Terminal(program=["-c", code])
    window.finish()
    assert window.screen.text.split("\n") == ["said 0", "said 1", "said 2", "one 2", "two 2", "done", ""]


@pytest.mark.parametrize(
    ("text", "columns", "folded"),
    [("one two three", 9, "one two\n  three"), ("a/very/long/path", 5, "a/very/long/path"), ("a\n\nb", 5, "a\n\nb")],
)
def test_folding_leaves_nothing_out(text: str, columns: int, folded: str) -> None:
    assert terminal.fold(text, columns) == folded


def test_listen_names_the_cameras_that_it_receives_instead(models: dict[str, str], tmp_path: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    run = start_process(*run_arguments(models, tmp_path, ENDLESS), "--publish", endpoint, "--publish-latest", "none")
    listening = Terminal("listen", endpoint, "--camera", "top")
    screen = listening.until(lambda screen: "no pose of camera top" in screen.text, "the reason")
    assert "cam0" in screen.text
    listening.type("\x03")
    listening.finish()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=LONG_S)


def test_listen_says_that_nothing_publishes() -> None:
    listening = Terminal("listen", f"tcp://127.0.0.1:{free_port()}")
    listening.until(lambda screen: "nothing publishes at" in screen.text, "the reason")
    listening.type("\x03")
    assert listening.finish() == 0


def test_the_endpoint_of_the_newest_pose_has_an_age_too(models: dict[str, str], tmp_path: Path) -> None:
    """No hello comes there, but on the same machine there is one clock."""
    publish, latest = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    run = start_process(
        *run_arguments(models, tmp_path, ENDLESS), "--publish", publish, "--publish-latest", latest
    )  # fmt: skip
    listening = Terminal("listen", latest)
    screen = listening.until(lambda screen: "age" in screen.text and "cam0" in screen.text, "an age")
    assert "unknown" not in screen.text
    listening.type("\x03")
    listening.finish()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=LONG_S)


def test_listen_ends_when_its_reader_does(models: dict[str, str], tmp_path: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with start_process("listen", endpoint, "--follow") as listening:
        assert listening.stdout is not None
        listening.stdout.readline()
        listening.stdout.close()
        assert listening.wait(LONG_S) == 128 + 13

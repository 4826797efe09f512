"""``cropzoom view`` as users run it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from realtime_cropzoom.cli.main import main


@contextmanager
def viewing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yields the process and the address that it prints."""
    with running("view", "--no-browser", *arguments) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "realtime_cropzoom", *arguments]
    with (
        tempfile.TemporaryDirectory(prefix="cz") as runtime,
        subprocess.Popen(
            command,
            text=True,
            env={**os.environ, "XDG_RUNTIME_DIR": runtime},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_it_prints_one_address_serves_the_page_and_ends_at_ctrl_c() -> None:
    with viewing("ipc:///tmp/nobody-publishes-here", "--port", "0") as (process, url):
        token = url.partition("?token=")[2]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(url, timeout=20) as page:
            assert page.url.partition("?")[2] == ""
            assert "<html" in page.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{url[:-5]}wrong", timeout=20)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (130, "", "")
    assert token not in rest + errors


def test_each_start_has_another_token() -> None:
    with viewing("--port", "0") as (_, one), viewing("--port", "0") as (_, two):
        assert one.partition("token=")[2] != two.partition("token=")[2]


def test_a_given_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["view", "--no-browser", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"port {port} at 127.0.0.1: the address is in use by another program" in error


def test_a_token_file_keeps_the_address(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(2):
        with viewing("--port", "0", "--token-file", str(tmp_path / "token")) as (_, url):
            tokens.add(url.partition("token=")[2])
    assert tokens == {(tmp_path / "token").read_text().strip()}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--host", "192.0.2.1"],
            "port 8765 at 192.0.2.1: this machine does not have that address; choose another port",
        ),
        (["--host", "no.such.host.invalid"], "there is no host of that name"),
        (["a/session", "tcp://127.0.0.1:5660"], "expected endpoints such as tcp://127.0.0.1:5660, or one session"),
        (["no/session"], "no/session"),
        (["--source", "a.mp4"], "--source is for a finished session"),
        (["--port", "99999"], "port"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "nice", lambda _: 0)  # of the process that tests
    assert main(["view", "--no-browser", *arguments]) == 2
    error = capsys.readouterr().err
    assert expected in " ".join(error.split())


def test_other_machines_are_let_in_only_with_a_warning() -> None:
    with viewing("--host", "0.0.0.0", "--port", "0", "--look-only") as (process, url):
        assert "?token=" in url
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.startswith("WARNING: the page is not encrypted.")
    assert "orders" not in errors


def test_a_run_with_its_page_ends_as_without_it_even_if_the_page_is_killed(tmp_path: Path) -> None:
    arguments = [
        "run",
        "synthetic:arena",
        "--frames",
        "240",
        "--out",
        str(tmp_path),
        "--publish",
        "tcp://127.0.0.1:*",
        "--view",
    ]
    with running(*arguments) as run:
        assert run.stderr is not None
        assert any(line.startswith("page: ") for line in run.stderr)
        os.kill(listener_of(run.pid), signal.SIGKILL)
        rest, errors = run.communicate(timeout=100)
    assert run.returncode == 0, errors
    assert "the run goes on" in errors
    assert "240 frames" in rest


def listener_of(run: int) -> int:
    """Return the process of the page of a run."""
    (found,) = (
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if "realtime_cropzoom.view.beside" in path.read_text()
        and path.with_name("stat").read_text().rpartition(")")[2].split()[1] == str(run)
    )
    return found


def test_a_run_that_cannot_be_shown_does_not_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "synthetic:arena", "--out", str(tmp_path), "--publish", "none", "--view"]) == 2
    assert "publishes nothing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def two_cameras(folder: Path, port: str) -> Path:
    """Write a configuration of two cameras, the second of which publishes at ``port``."""
    path = folder / "cameras.yaml"
    more = "publish_latest: none, publish_echo: none"
    path.write_text(
        "cameras:\n"
        f"  left: {{source: 'synthetic:arena,seed=1', publish: 'ipc://left.sock', {more}}}\n"
        f"  right: {{source: 'synthetic:arena,seed=2', publish: '{port}', {more}}}\n"
        f"frames: 90\nout: {folder / 'out'}\n"
    )
    return path


def test_cameras_of_one_session_are_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with running("run", "--config", str(two_cameras(tmp_path, "ipc://right.sock")), "--view") as run:
        _, errors = run.communicate(timeout=100)
    assert run.returncode == 0, errors
    assert errors.count("page: http://127.0.0.1:") == 1


def test_a_page_of_cameras_needs_to_know_their_ports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", str(two_cameras(tmp_path, "tcp://127.0.0.1:*")), "--view"]) == 2
    assert "--view: camera right publishes at tcp://127.0.0.1:*. Give its publish a port" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

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

import pytest

from realtime_cropzoom.cli.main import main


@contextmanager
def viewing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yields the process and the address that it prints."""
    command = [sys.executable, "-m", "realtime_cropzoom", "view", "--no-browser", *arguments]
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
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
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
    assert "--port" in error

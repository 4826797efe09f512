"""Where a program takes orders: who can reach the socket, how it gets its name, and what is left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.orders import taking
from support.pipelines import cropzoom, finish, free_port, start_process, wait_for

from realtime_cropzoom.control import AUTO
from realtime_cropzoom.control.address import check_control, control_folder, running_processes, take_address
from realtime_cropzoom.control.client import give_order
from realtime_cropzoom.errors import ConfigError, SinkError

RULES = """
endpoint: tcp://127.0.0.1:1
outputs: {marks: {zmq_publish: "tcp://127.0.0.1:*"}}
zones: {all: {rectangle_px: [0, 0, 640, 480]}}
rules: {came: {when: {entered: all, keypoint: snout}, fire: marks, pulse_ms: 10}}
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of folders are of POSIX systems")


def test_the_folder_is_private_to_the_user(runtime: Path) -> None:
    assert control_folder() == runtime / "cropzoom"
    assert (runtime / "cropzoom").stat().st_mode & 0o777 == 0o700


def _open_it(folder: Path) -> None:
    folder.chmod(0o755)


def _link_it(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


@pytest.mark.parametrize(("spoil", "says"), [(_open_it, "is open to others \\(mode 0755"), (_link_it, "is a link")])
def test_a_folder_that_others_can_reach_is_refused(runtime: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(control_folder())
    with pytest.raises(ConfigError, match=says) as refused:
        take_address(AUTO, "rules")
    assert "\n" not in str(refused.value)


def test_a_runtime_folder_that_others_can_reach_is_not_used(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = control_folder()
    assert runtime not in folder.parents
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_program_of_a_name_gets_a_number(runtime: Path) -> None:
    with taking(take_address(AUTO, "rules")), taking(take_address(AUTO, "rules")), taking(take_address("left", "x")):
        assert list(running_processes(control_folder())) == ["left", "rules-2", "rules"]
        with pytest.raises(ConfigError, match="called left takes orders already"):
            take_address("left", "rules")


def test_a_socket_beside_it_that_takes_no_orders_is_no_program(runtime: Path) -> None:
    with taking(take_address(AUTO, "rules")), taking(take_address(f"ipc://{control_folder()}/rules.feed.sock", "")):
        assert list(running_processes(control_folder())) == ["rules"]
    assert take_address(AUTO, "odd.feed").name == "odd.feed_"
    with pytest.raises(ConfigError, match="expected a name"):
        check_control("odd.feed", None)


def test_files_that_a_killed_process_left_do_not_block_its_name(runtime: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    flags = ("trigger", rules, "--dry-run", "--quiet")
    socket = runtime / "cropzoom" / "rules.sock"
    killed = start_process(*flags, "--log", tmp_path / "killed")
    wait_for(socket.exists, "the socket")
    killed.kill()
    finish(killed)
    assert socket.exists()
    with pytest.raises(SinkError, match="no run or trigger of this user takes orders"):
        give_order("state")
    again = start_process(*flags, "--log", tmp_path / "again")
    wait_for(lambda: "rules" in running_processes(runtime / "cropzoom"), "the socket")
    assert give_order("stop")["ok"]
    assert finish(again).returncode == 0


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ("tcp://127.0.0.1:5690", "a web page or another user could give orders"),
        ("tcp://0.0.0.0:5690", "a web page or another user could give orders"),
        ("ipc:///tmp/orders.sock", "its folder (is open to others|belongs to another user)"),
        ("ipc://@orders", "expected the path of a file"),
        ("inproc://orders", "expected a name such as left"),
        ("../orders", "expected a name such as left"),
        ("left\n", "expected a name such as left"),
        ("ipc://" + "x" * 200, "too long"),
    ],
)
def test_no_socket_for_orders_is_open_to_others(control: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        check_control(control, None)
    assert "\n" not in str(refused.value)


def test_a_bare_port_ends_the_command_before_an_output_is_opened(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    port = free_port()
    done = cropzoom("trigger", rules, "--control", f"tcp://127.0.0.1:{port}", "--log", tmp_path / "log")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "log").exists()


def test_a_file_that_is_not_a_socket_is_not_touched(tmp_path: Path) -> None:
    precious = tmp_path / "orders.sock"
    precious.write_text("data")
    with pytest.raises(ConfigError, match="is not a socket"):
        check_control(f"ipc://{precious}", None)
    assert precious.read_text() == "data"

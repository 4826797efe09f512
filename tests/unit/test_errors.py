"""What libraries say of an error is said in plain words: over real files, sockets and hosts."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import zmq
from support.pipelines import free_port

from realtime_cropzoom import errors
from realtime_cropzoom.checks.machine import _bind
from realtime_cropzoom.control.address import Target
from realtime_cropzoom.control.client import send
from realtime_cropzoom.errors import CropzoomError, explain, install_advice, install_command, listed, quoted
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.machine_vision.aravis import explain_message

RAW = (
    "Invalid data found",
    "Errno",
    "errno",
    "Address already",
    "Invalid argument",
    "Connection refused",
    "Input/output",
)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something else has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def said_of(spec: str) -> str:
    with pytest.raises(CropzoomError) as caught:
        open_source(spec, SourceOptions(open_timeout_s=5.0))
    line = str(caught.value)
    assert "\n" not in line
    assert not [words for words in RAW if words in line], line
    return line


def test_a_file_that_is_damaged_or_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video at all " * 1000)
    assert f"{path} cannot be read as a video: it is damaged, or no video; it may be " in said_of(str(path))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("rtsp://127.0.0.1:{port}/live", "no program answers at that port"),
        ("rtsp://no-such-host.invalid/live", "there is no such host, or the network failed"),
        ("lavfi:no_such_filter", "expected a filter graph"),
    ],
)
def test_a_stream_that_cannot_be_opened(spec: str, words: str) -> None:
    assert words in said_of(spec.format(port=free_port()))


def test_an_address(taken: int) -> None:
    assert _bind(f"tcp://127.0.0.1:{taken}") == "is in use, perhaps by another run"
    assert "this machine does not have that address" in str(_bind("tcp://203.0.113.7:5660"))
    assert "the protocol is not known here" in str(_bind("nonsense://127.0.0.1:5660"))
    with pytest.raises(CropzoomError, match=r"cannot connect to nonsense://x: the protocol is not known here$"):
        send(Target("nonsense://x"), "state", timeout_s=0.1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nothing answers there"),
        (PermissionError(13, "Permission denied"), "no permission"),
        (OSError(16, "Device or resource busy"), "another program uses it"),
        (TimeoutError(110, "Connection timed out"), "no answer came in time"),
        (socket.gaierror(-2, "Name or service not known"), "there is no host of that name"),
        (zmq.ZMQError(zmq.EADDRINUSE), "the address is in use by another program"),
        (av.error.EOFError(-541478725, "End of file"), "it ends too early"),
        (av.error.DecoderNotFoundError(-1128613112, "Decoder not found"), "there is no decoder for it here"),
        (ValueError("what nobody\nhas foreseen"), "what nobody has foreseen"),
    ],
)
def test_each_kind(error: Exception, words: str) -> None:
    assert explain(error) == words


def test_what_aravis_says() -> None:
    assert explain_message("GigEVision write_register error (access-denied)") == "another program controls it"
    assert (
        explain_message("[GvDevice::new] Can't connect to device at address 1.2.3.4")
        == "nothing answers at that address"
    )
    assert explain_message("[ArvGc] Node 'Gain' not found") == "[ArvGc] Node 'Gain' not found"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nose", "nose"),
        ("left ear", "left ear"),
        ("Schwanz-ä_1", "Schwanz-ä_1"),
        ("tail, base", "'tail, base'"),
        ("a;b", "'a;b'"),
        ('the "nose"', "'the \"nose\"'"),
        ("it's", '"it\'s"'),
        ("line\nbreak", r"'line\nbreak'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        (" nose", "' nose'"),
        ("", "''"),
    ],
)
def test_a_name_is_quoted_where_one_could_not_see_its_end(name: str, shown: str) -> None:
    assert quoted(name) == shown
    assert listed([name, "b"]) == f"{shown}, b"


def test_in_a_clone_a_library_is_added_to_the_clone() -> None:
    clone = Path(errors.__file__).parents[1]
    assert install_advice("h5py") == f'h5py is not installed; run: pip install -e ".[compare]" (in {clone})'
    assert install_command() == f"pip install -e . (in {clone})"


@pytest.mark.parametrize(
    ("marker", "command"),
    [
        (None, 'pip install "realtime-cropzoom[cpu,view]"'),
        ("pipx_metadata.json", 'pipx runpip my-tool install "realtime-cropzoom[cpu,view]"'),
        ("uv-receipt.toml", 'uv pip install --python "{}" "realtime-cropzoom[cpu,view]"'),
    ],
)
def test_without_a_clone_a_library_is_added_to_the_environment_that_runs(
    marker: str | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "my-tool"
    environment.mkdir()
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(errors, "__file__", str(environment / "lib" / "realtime_cropzoom" / "errors.py"))
    if marker is not None:
        (environment / marker).touch()
    assert install_command("cpu,view") == command.format(environment)

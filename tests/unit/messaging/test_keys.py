"""Key files: what ``cropzoom keys`` writes, and which files are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.auth

from realtime_cropzoom import Subscriber
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.messaging.keys import (
    allowed_clients,
    make_client_keys,
    read_client_keys,
    read_server_keys,
)


def client_file(folder: Path, name: str = "bench") -> Path:
    return folder / f"{name}.key_secret"


def keys(*arguments: object) -> int:
    return main(["keys", *map(str, arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_keys_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "lab" / "keys"
    assert keys(folder, "--client", "bench", "rig2") == 0
    said = capsys.readouterr().out
    for name in ("bench", "rig2"):
        assert f"made {folder}/{name}.key_secret" in said
        assert f'keys="{name}.key_secret"' in said
    assert list(contents(folder)) == [
        "bench.key_secret", "clients/bench.key", "clients/rig2.key", "rig2.key_secret",
        "server.key", "server.key_secret",
    ]  # fmt: skip
    for path in folder.rglob("*.key_secret"):
        assert path.stat().st_mode & 0o777 == 0o600
    for path in (folder, folder / "clients"):
        assert path.stat().st_mode & 0o777 == 0o700


def test_secrets_are_only_in_their_own_files(folder: Path) -> None:
    secret = read_client_keys(client_file(folder)).secret
    assert [name for name, content in contents(folder).items() if secret in content] == ["bench.key_secret"]
    assert secret.decode() not in repr(read_client_keys(client_file(folder)))
    assert read_server_keys(folder).secret.decode() not in repr(read_server_keys(folder))


def test_a_client_needs_only_one_file(folder: Path) -> None:
    server, client = read_server_keys(folder), read_client_keys(client_file(folder))
    assert client.server == server.public
    assert allowed_clients(server.clients) == {client.public: "bench"}


def test_other_programs_read_the_files(folder: Path) -> None:
    server, client = read_server_keys(folder), read_client_keys(client_file(folder))
    assert zmq.auth.load_certificate(folder / "server.key_secret") == (server.public, server.secret)
    assert zmq.auth.load_certificate(folder / "server.key") == (server.public, None)
    assert zmq.auth.load_certificate(client_file(folder)) == (client.public, client.secret)
    assert zmq.auth.load_certificates(folder / "clients") == {client.public: True}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "has its keys already"),
        (["--client", "bench"], "bench.key_secret exists already and is not overwritten"),
        (["--client", "rig2", "bench"], "bench.key_secret exists already"),
        (["--client", "server"], "got 'server'"),
        (["--client", "../bench"], "got '../bench'"),
        (["--client", ""], "got ''"),
    ],
)
def test_keys_overwrites_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    before = contents(folder)
    assert keys(folder, *arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert contents(folder) == before


def test_a_client_whose_secret_was_moved_keeps_its_name(folder: Path) -> None:
    client_file(folder).unlink()
    assert keys(folder, "--client", "bench") == 2
    assert keys(folder, "--client", "rig2") == 0
    assert set(allowed_clients(folder / "clients").values()) == {"bench", "rig2"}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert keys(tmp_path / "file" / "keys", "--client", "bench") == 2
    assert "cannot make the folder" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    for path in (client_file(folder), folder / "server.key_secret"):
        path.chmod(mode)
    with pytest.raises(
        ConfigError, match=rf"other users can read .*\(mode {mode:04o}\).*run 'chmod 600 .*server.key_secret'"
    ):
        read_server_keys(folder)
    with pytest.raises(ConfigError, match=r"run 'chmod 600 .*bench\.key_secret'"):
        Subscriber(keys=client_file(folder))


def spoil(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(path.read_text().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda p: p.unlink(), "cannot read .*bench.key_secret: No such file"),
        (lambda p: p.write_bytes(os.urandom(500)), "is not a key file"),
        (lambda p: p.write_text(""), "is not a key file"),
        (spoil("public-key", "public"), "is not a key file"),
        (spoil('    secret-key = "', '    secret-key = "x'), "is not a key file"),
        (spoil("secret-key", "other-key"), "has no secret key"),
        (lambda p: shutil.copy(p.parent / "server.key_secret", p), "is not the file of a client"),
        (lambda p: (p.unlink(), p.mkdir()), "is a folder; expected the file of one client"),
    ],
)
def test_malformed_key_files_are_refused_in_one_line(folder: Path, wrong: Callable[[Path], Any], says: str) -> None:
    wrong(client_file(folder))
    with pytest.raises(ConfigError, match=says) as refused:
        Subscriber(keys=client_file(folder))
    assert "\n" not in str(refused.value)


def test_keys_of_different_pairs_are_refused(folder: Path) -> None:
    make_client_keys(folder, "rig2")
    mine, other = read_client_keys(client_file(folder)), read_client_keys(client_file(folder, "rig2"))
    spoil(mine.secret.decode(), other.secret.decode())(client_file(folder))
    with pytest.raises(ConfigError, match="its two keys do not belong together"):
        read_client_keys(client_file(folder))

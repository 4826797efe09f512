"""Key files: ``cropzoom keys`` makes them, a run and its clients read them.

A folder of keys, on the machine that runs::

    server.key_secret      the secret key of the run; it stays there
    server.key             its public part
    clients/bench.key      the public key of each client that may listen
    bench.key_secret       to be copied to the client; includes the run's public key, so that the client needs no more

The files have the form of ZeroMQ's certificates, which pyzmq's ``zmq.auth`` reads as well. A key is 40 characters
of Z85. ``zmq.auth.create_certificates`` does not write them: it cannot add the run's key to a client's file, and for a
moment other users could read the secret.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.names import why_not_on_windows
from realtime_cropzoom.files.paths import user_path

_SERVER, _CLIENTS = "server", "clients"
_SECRET, _PUBLIC = ".key_secret", ".key"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
_LINE = re.compile(r"""^\s*(?P<name>[a-z-]+)\s*=\s*(?P<quote>["'])(?P<key>.*)(?P=quote)\s*$""")
_MAX_BYTES = 1 << 16
"""Maximum number of characters that are read from a key file."""
_MODE_OF_OTHERS = 0o077
"""Bits of the file mode with which other users can read, write or execute a file."""
_SECRET_BANNER = "#   ZeroMQ CURVE **Secret** Certificate, made by cropzoom keys\n#   Show it to nobody.\n\n"
_PUBLIC_BANNER = "#   ZeroMQ CURVE Public Certificate, made by cropzoom keys\n\n"


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The key pair of a run, and the folder with the keys of its clients."""

    public: bytes
    secret: bytes = field(repr=False)
    clients: Path
    """The folder with the public key of each client that may listen."""


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """The key pair of a client, and the public key of its run, with which the client verifies the run."""

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes
    """The public key of the run."""


def read_server_keys(folder: Path) -> ServerKeys:
    """Return the keys of a run from the folder that ``cropzoom keys`` made.

    Raises:
        ConfigError: if the folder holds no keys of a run, or a key file in it cannot be used.
    """
    folder = user_path(folder)
    if not has_server_keys(folder):
        raise ConfigError(f"{folder} has no {_SERVER}{_SECRET}; make it with 'cropzoom keys {folder}'")
    public, secret, _ = _read_secret(folder / (_SERVER + _SECRET))
    keys = ServerKeys(public, secret, folder / _CLIENTS)
    for path in _client_files(keys.clients):
        _read(path)
    return keys


def read_client_keys(path: Path) -> ClientKeys:
    """Return a client's keys from its only file, ``NAME.key_secret``.

    Raises:
        ConfigError: if the file cannot be used: it is not the file of a client, or other users can read it.
    """
    path = user_path(path)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; expected the file of one client, such as {path}/NAME{_SECRET}")
    public, secret, server = _read_secret(path)
    if server is None:
        raise ConfigError(f"{path} is not the file of a client; make one with 'cropzoom keys FOLDER --client NAME'")
    return ClientKeys(public, secret, server)


def allowed_clients(folder: Path) -> dict[bytes, str]:
    """Return the clients that may listen at this moment: public key → name. Skips files that cannot be read."""
    allowed = {}
    for path in _client_files(folder):
        try:
            allowed[_read(path)["public-key"]] = path.stem
        except ConfigError:
            continue
    return allowed


def make_server_keys(folder: Path) -> None:
    """Make the keys of a run in ``folder``. Never overwrites a file.

    Raises:
        ConfigError: if a key file exists already, or cannot be written.
    """
    _refuse_existing(folder, (_SERVER + _SECRET, _SERVER + _PUBLIC))
    public, secret = zmq.curve_keypair()
    _make_folder(folder)
    _make_folder(folder / _CLIENTS)
    _write(folder / (_SERVER + _SECRET), _SECRET_BANNER + _certificate(public, secret), 0o600)
    _write(folder / (_SERVER + _PUBLIC), _PUBLIC_BANNER + _certificate(public), 0o644)


def make_client_keys(folder: Path, name: str) -> Path:
    """Make the keys of a client. Never overwrites a file.

    Args:
        folder: Folder with the keys of the run.
        name: Name of the client.

    Returns:
        The file to copy to the client.

    Raises:
        ConfigError: if the name cannot be used, a key file exists already, or one cannot be read or written.
    """
    check_client(folder, name)
    server = read_server_keys(folder)
    public, secret = zmq.curve_keypair()
    _make_folder(folder / _CLIENTS)
    carried = folder / (name + _SECRET)
    _write(carried, _SECRET_BANNER + _certificate(public, secret, server.public), 0o600)
    _write(folder / _CLIENTS / (name + _PUBLIC), _PUBLIC_BANNER + _certificate(public), 0o644)
    return carried


def check_client(folder: Path, name: str) -> None:
    """Raise ConfigError if ``name`` is not a valid name of a client, or if that client has keys already."""
    if not _NAME.match(name) or name.casefold() == _SERVER:
        raise ConfigError(f"client: got {name!r}, expected a name of letters and digits, such as bench")
    if (why := why_not_on_windows(name)) is not None:
        raise ConfigError(f"client: {name} {why}, and becomes the name of a file; give another name")
    _refuse_existing(folder, (name + _SECRET, f"{_CLIENTS}/{name}{_PUBLIC}"))


def has_server_keys(folder: Path) -> bool:
    """Return whether ``folder`` holds the keys of a run."""
    return (folder / (_SERVER + _SECRET)).exists()


def _refuse_existing(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} exists already and is not overwritten; move it away first")


def _client_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == _PUBLIC)
    except OSError:
        return []


def _read_secret(path: Path) -> tuple[bytes, bytes, bytes | None]:
    """Return the public key, the secret key, and the run's public key (None if absent). Raises ConfigError."""
    keys = _read(path)
    if sys.platform != "win32" and path.stat().st_mode & _MODE_OF_OTHERS:
        mode = path.stat().st_mode & 0o777
        raise ConfigError(f"other users can read {path} (mode {mode:04o}), but it is secret; run 'chmod 600 {path}'")
    if "secret-key" not in keys:
        raise ConfigError(f"{path} has no secret key; expected a file that ends in {_SECRET}")
    if zmq.curve_public(keys["secret-key"]) != keys["public-key"]:
        raise ConfigError(f"{path} is damaged: its two keys do not belong together; make new ones with 'cropzoom keys'")
    return keys["public-key"], keys["secret-key"], keys.get("server-key")


def _read(path: Path) -> dict[str, bytes]:
    """Return all keys in a file as name → key; always includes the public key. Raises ConfigError."""
    try:
        with path.open(encoding="ascii") as file:
            lines = file.read(_MAX_BYTES).splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        lines = []
    keys = {m["name"]: m["key"].encode() for m in map(_LINE.match, lines) if m and m["name"].endswith("-key")}
    if "public-key" not in keys or not all(map(_is_key, keys.values())):
        raise ConfigError(f"{path} is not a key file; expected one made by 'cropzoom keys'")
    return keys


def _is_key(text: bytes) -> bool:
    try:
        return len(text) == 40 and len(z85.decode(text)) == 32
    except (KeyError, struct.error):
        return False


def _certificate(public: bytes, secret: bytes | None = None, server: bytes | None = None) -> str:
    known = f'    server-key = "{server.decode()}"\n' if server else ""
    own = f'    secret-key = "{secret.decode()}"\n' if secret else ""
    return f'metadata\n{known}curve\n    public-key = "{public.decode()}"\n{own}'


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror}; give another one") from error


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file with ``mode`` from its creation: others can never read a secret. Raises ConfigError."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists already and is not overwritten; move it away first") from None
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error.strerror}; give another folder") from error

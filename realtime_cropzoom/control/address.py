"""Address for orders to a run or trigger process: a socket that only its own user can reach.

::

    $XDG_RUNTIME_DIR/cropzoom/        mode 0700; without that variable /run/user/UID, else the temporary folder
        run-cam0.sock                 the socket of `cropzoom run --camera cam0`
        rules.sock                    the socket of `cropzoom trigger rules.yaml`
        rules.sock.lock               locked while that process lives, however it ends

A Unix socket in such a folder needs no password: no other user and no web page can open it. A TCP port of this machine
is open to every web page in a browser and to every user, so that it needs keys. If the system has no Unix sockets, the
process makes a pair of keys when it starts, and writes the client's key into the folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from realtime_cropzoom.control import AUTO
from realtime_cropzoom.errors import ConfigError, SinkError, advise
from realtime_cropzoom.files.atomic import try_write_whole
from realtime_cropzoom.files.locks import lock_file
from realtime_cropzoom.messaging.endpoints import check_reach, is_listening
from realtime_cropzoom.messaging.keys import (
    ClientKeys,
    ServerKeys,
    make_client_keys,
    make_server_keys,
    read_client_keys,
    read_server_keys,
)

_HAS_USERS = hasattr(os, "getuid")
"""Whether files have an owner and a mode, as on POSIX systems."""
UNIX_SOCKETS = _HAS_USERS and zmq.has("ipc")
_IPC, _TCP = "ipc://", "tcp://"
_SOCKET, _LOCK, _PORT = ".sock", ".lock", ".port"
FEED = ".feed"
"""End of the name of a socket that stands beside one for orders and takes none."""
_GROUP_AND_OTHERS = 0o077
_MAX_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""Maximum length of the path of a Unix socket (bytes)."""
_MAX_NAME_LENGTH = 40
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(slots=True)
class ControlAddress:
    """Address at which orders are received. ``close`` it after the socket."""

    endpoint: str
    keys: ServerKeys | None = None
    name: str = ""
    """Name by which senders on this machine find it; empty if they need the endpoint."""
    _lock: int | None = None
    _files: list[Path] = field(default_factory=list)
    _port: Path | None = None

    def bound(self, endpoint: str) -> None:
        """Note the endpoint that is bound, so that senders find it."""
        self.endpoint = endpoint
        if self._port is not None and (problem := try_write_whole(self._port, json.dumps({"endpoint": endpoint}))):
            raise SinkError(f"cannot write the address for orders: {problem}")

    def close(self) -> None:
        """Release the name for other processes. It may be called twice."""
        for path in self._files:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
        self._files, self._lock = [], None


@dataclass(frozen=True, slots=True)
class Target:
    """Address to which an order goes."""

    endpoint: str
    keys: ClientKeys | None = None


def check_control(control: str, keys: Path | None) -> None:
    """Check that a socket may be opened at ``control``. It opens nothing.

    Raises:
        ConfigError: if not.
    """
    if control.startswith(_TCP):
        _check_keys(control, keys)
    elif keys is not None:
        raise ConfigError(f"control is {control}, which needs no keys; leave out --control-keys, or give a tcp:// one")
    elif control.startswith(_IPC):
        _check_socket_path(control)
    elif control != AUTO and (not _NAME.fullmatch(control) or control.endswith(FEED)):
        raise ConfigError(
            f"control is {control!r}; expected a name such as left, ipc://FILE, tcp://HOST:PORT with --control-keys, "
            "or none"
        )


def take_address(
    control: str, auto_name: str, keys: Path | None = None, *, unix: bool = UNIX_SOCKETS
) -> ControlAddress:
    """Return the address for orders, and reserve it for this process.

    Args:
        control: AUTO, a name, or an endpoint. AUTO uses ``auto_name``, with a number if it is in use.
        auto_name: Name of the program, such as that of its rules file.
        keys: Folder of keys, for a TCP endpoint.
        unix: Whether the system has Unix sockets.

    Raises:
        ConfigError: if ``control`` is not valid, or its name is in use.
    """
    check_control(control, keys)
    if control.startswith(_TCP):
        return ControlAddress(control, None if keys is None else read_server_keys(keys))
    if control.startswith(_IPC):
        return _take_path(Path(control.removeprefix(_IPC)), control)
    folder = control_folder()
    name = _plain(auto_name) if control == AUTO else control
    if not unix:
        return _make_keys(folder, name)
    numbered = [name, *(f"{name}-{n}" for n in range(2, 100))]
    for one in numbered if control == AUTO else [name]:
        with suppress(BlockingIOError):
            return _lock(folder / f"{one}{_SOCKET}", one)
    raise ConfigError(f"a program called {name} takes orders already; give another name with --control")


def target_of(endpoint: str, keys: Path | None) -> Target:
    """Return the address of a program from its endpoint.

    Args:
        endpoint: ZeroMQ endpoint.
        keys: Key file of this client, for a TCP endpoint.

    Raises:
        ConfigError: if a key is missing or cannot be used, or the endpoint takes no orders.
    """
    if endpoint.startswith(_IPC):
        return Target(endpoint)
    if not endpoint.startswith(_TCP):
        raise ConfigError(f"got {endpoint}, expected the name of a program, ipc://FILE, or tcp://HOST:PORT with a key")
    if keys is None:
        raise ConfigError(f"{endpoint} takes orders only with a key; give the file NAME.key_secret of this client")
    return Target(endpoint, read_client_keys(keys))


def control_folder() -> Path:
    """Return the folder of this user's sockets; create it if it does not exist.

    Raises:
        ConfigError: if it cannot be created, or others can reach it.
    """
    for parent in _runtime_folders():
        if _why_not_private(parent) is None and len(os.fsencode(parent)) + _MAX_NAME_LENGTH + 26 < _MAX_PATH_BYTES:
            return _private(parent / "cropzoom")
    if not _HAS_USERS:
        return _private(Path(os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()) / "cropzoom")
    return _private(Path(tempfile.gettempdir()) / f"cropzoom-{os.getuid()}")


def _runtime_folders() -> list[Path]:
    if not _HAS_USERS:
        return []
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    return [Path(path) for path in (given, f"/run/user/{os.getuid()}") if os.path.isabs(path)]


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=not _HAS_USERS, exist_ok=True)
    except FileExistsError:
        pass  # not a folder: _why_not_private reports it
    except OSError as error:
        raise ConfigError(
            f"cannot make {folder}, the folder for orders: {error.strerror}; make it" + _or_none()
        ) from error
    if why := _why_not_private(folder):
        raise ConfigError(f"{folder}, the folder for orders, {why}; remove it" + _or_none())
    return folder


def _or_none() -> str:
    return advise(", or give --control none")


def _why_not_private(folder: Path) -> str | None:
    """Return why a folder is not private to this user; None if it is."""
    try:
        status = folder.lstat()
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode):
        return "is a link or a file, but expected a folder"
    if not _HAS_USERS:  # on Windows, the access list of the user's folder keeps others out
        return None
    if status.st_uid != os.getuid():
        return "belongs to another user"
    mode = stat.S_IMODE(status.st_mode)
    return f"is open to others (mode {mode:04o}; expected 0700)" if mode & _GROUP_AND_OTHERS else None


def _check_keys(control: str, keys: Path | None) -> None:
    if keys is None:
        raise ConfigError(
            f"control is {control}, where a web page or another user could give orders; leave out --control to take "
            "them from your user only, or give --control-keys FOLDER, made by 'cropzoom keys'"
        )
    read_server_keys(keys)
    check_reach("control", control, keys=True, insecure=False)


def _check_socket_path(control: str) -> None:
    path = Path(control.removeprefix(_IPC))
    if not UNIX_SOCKETS:
        raise ConfigError(f"control is {control}, but there are no Unix sockets here; leave out --control")
    if not path.name or str(path)[0] in "@*":
        raise ConfigError(f"control is {control}; expected the path of a file, such as ipc://orders/left.sock")
    if len(os.fsencode(path)) > (longest := _MAX_PATH_BYTES - len(FEED)):  # the feed is beside it
        raise ConfigError(f"control is {control}, which is too long; expected at most {longest} bytes")
    if why := _why_not_private(Path(os.path.realpath(path.parent))):
        raise ConfigError(f"control is {control}, but its folder {why}; make one with 'mkdir -m 700 FOLDER'")
    if os.path.lexists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
        raise ConfigError(f"control is {control}, but that file is not a socket; give another path")


def _take_path(path: Path, control: str) -> ControlAddress:
    try:
        return _lock(path)
    except BlockingIOError:
        raise ConfigError(f"another program takes orders at {control}; give another one with --control") from None


def _lock(path: Path, name: str = "") -> ControlAddress:
    """Reserve the path of a socket for the life of this process. Raises BlockingIOError if another process has it.

    The lock ends with its process, so that a socket file that a killed process has left does not block the name.
    """
    lock = path.with_name(path.name + _LOCK)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open {lock}: {error.strerror}; give another --control") from error
    try:
        if not lock_file(descriptor):
            raise BlockingIOError(f"another process has {path}")
    except BaseException:
        os.close(descriptor)
        raise
    return ControlAddress(f"{_IPC}{path}", name=name, _lock=descriptor, _files=[path])


def _make_keys(folder: Path, name: str) -> ControlAddress:
    """Make keys for this process, on a system without Unix sockets. The process id makes its name unique."""
    name = f"{name}-{os.getpid()}"
    keys, port = folder / f"{name}.keys", folder / f"{name}{_PORT}"
    shutil.rmtree(keys, ignore_errors=True)  # of a process that had the same id
    port.unlink(missing_ok=True)
    make_server_keys(keys)
    make_client_keys(keys, "local")
    return ControlAddress("tcp://127.0.0.1:*", read_server_keys(keys), name, None, [keys, port], port)


def running_processes(folder: Path) -> dict[str, Target]:
    """Return name → address of each process that answers; files that killed processes have left are ignored."""
    found = {}
    for path in sorted(folder.glob(f"*{_SOCKET}")):
        if not path.stem.endswith(FEED) and is_listening(str(path)):
            found[path.stem] = Target(f"{_IPC}{path}")
    for path in sorted(folder.glob(f"*{_PORT}")):
        with suppress(OSError, ValueError, KeyError, ConfigError):
            endpoint = json.loads(path.read_text(encoding="ascii"))["endpoint"]
            if is_listening(int(endpoint.rpartition(":")[2])):
                found[path.stem] = Target(endpoint, read_client_keys(folder / f"{path.stem}.keys" / "local.key_secret"))
    return found


def _plain(name: str) -> str:
    """Return a name as that of a socket: short, with letters, digits, dots and dashes."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_MAX_NAME_LENGTH]
    plain = plain if _NAME.fullmatch(plain) else f"_{plain}"
    return f"{plain}_" if plain.endswith(FEED) else plain

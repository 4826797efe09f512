"""Windows stands in for this system, in a process of its own: what Windows' Python lacks is gone.

``pretend`` takes away the modules and names of POSIX systems, and sets ``sys.platform``. Libraries that choose their
code by the system are imported before. ``os.name`` stays: with another one, ``pathlib`` makes no paths.
"""

from __future__ import annotations

import importlib
import importlib.abc
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from support.places import TESTS

POSIX_MODULES = ("fcntl", "termios", "resource", "pwd", "grp", "pty", "tty", "curses", "readline", "syslog", "posix")
"""Modules that Windows' Python does not have."""
_LIBRARIES = (
    *("asyncio", "concurrent.futures", "ctypes", "http.server", "multiprocessing", "pathlib", "shutil", "socketserver"),
    *("subprocess", "tarfile", "tempfile", "uuid", "webbrowser", "zoneinfo"),
    *("argcomplete", "av", "cv2", "h5py", "matplotlib.pyplot", "msgspec", "numba", "numpy", "onnx", "onnxruntime"),
    *("pandas", "pydantic_settings", "pynwb", "serial", "sleap_io", "starlette.routing", "tables", "threadpoolctl"),
    *("torch", "tqdm", "uvicorn", "websockets.sync.server", "yaml", "zmq.asyncio", "zmq.auth", "prometheus_client"),
)
_SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
_SIGNAL_CALLS = {"alarm", "pause", "setitimer", "getitimer", "siginterrupt", "sigwait", "pthread_kill"}
_OS_NAMES = (
    *("chown", "ctermid", "fchmod", "fchown", "fdatasync", "fork", "forkpty", "fstatvfs", "getegid", "geteuid"),
    *("getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority", "getsid", "getuid", "killpg"),
    *("lockf", "mkfifo", "mknod", "nice", "openpty", "pipe2", "posix_fadvise", "pread", "preadv", "pwrite"),
    *("pwritev", "readv", "register_at_fork", "sched_getaffinity", "sched_param", "sched_setscheduler", "sendfile"),
    *("setpriority", "setsid", "statvfs", "sysconf", "tcgetpgrp", "tcsetpgrp", "ttyname", "uname", "wait", "wait3"),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NOCTTY", "O_NONBLOCK", "O_SYNC", "PRIO_PROCESS", "SCHED_FIFO"),
    *("get_blocking", "set_blocking"),
)


class _Refusing(importlib.abc.MetaPathFinder):
    """Finds no module of POSIX systems."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Raise for the modules that are gone."""
        if name in POSIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def pretend() -> None:
    """Turn this process into one of Windows, as far as Python code of ours can see."""
    for library in _LIBRARIES:
        try:
            importlib.import_module(library)
        except ImportError:
            continue
    calls = {name for name in dir(signal) if name.startswith(("pthread", "sigpending", "sigtimed"))}
    numbers = {name for name in dir(signal) if name.startswith("SIG") and name.isalnum()}
    _take(signal, _SIGNAL_CALLS | calls | numbers - _SIGNALS)
    _take(os, _OS_NAMES)
    _take(socket, ("AF_UNIX", "SO_PEERCRED"))
    _take(select, ("poll", "epoll"))
    _take(time, ("clock_gettime",))
    for name in POSIX_MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Refusing())
    sys.platform = "win32"


def _take(module: ModuleType, names: Iterable[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def run_as_windows(code: str, *arguments: object) -> str:
    """Run code in a process that pretends to be on Windows, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"from support.as_windows import pretend\npretend()\n{code}", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

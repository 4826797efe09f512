"""Errors that this package raises on purpose, and the texts of its errors.

::

    CropzoomError
    ├── ConfigError      a setting is missing, misspelt or invalid
    ├── SourceError      a source cannot be opened, or failed while it was read
    ├── ModelError       a model cannot be used, or returned values that are not finite
    ├── ScheduleError    a box file cannot be replayed on these frames
    ├── DataError        training data or a table cannot be read
    ├── SinkError        an output cannot be opened, or failed while running
    ├── StageError       a stage failed, or did not end
    └── StateError       a call does not fit the state of a run

The text of an error says in one line what was given, what was expected and what to do. The command line prints it
unchanged and exits with ``EXIT_BAD_INPUT``. Exit code 0 means done, 1 that ``doctor`` found a cause or a task of a
cluster failed; a process that a signal ended has 128 + the number of the signal. docs/reference/files.md explains the
codes to users.

Several commands share most of the package, and not all of them have the same flags. A sentence that names a flag
therefore goes through ``advise``, which replaces it if the running command lacks the flag. In Python there is no
command, and a flag stands for the setting of the same name.
"""

from __future__ import annotations

import difflib
import errno
import logging
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

EXIT_BAD_INPUT = 2
"""Exit code for bad input, with one line that says what is wrong."""
EXIT_FAILED = EXIT_BAD_INPUT
"""Exit code of a run that failed. It is that of bad input, because no reader needs to tell the two apart."""
EXIT_INCOMPLETE = 3
"""Exit code of a run that came to its end, but whose results are incomplete."""
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_-]*[a-z]")
"""A flag in a sentence."""
_flags: frozenset[str] | None = None
"""Flags of the running command, with hyphens; None without a command. All threads read it, so it is no ContextVar."""


class CropzoomError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(CropzoomError):
    """A setting is missing, misspelt or invalid."""


class SourceError(CropzoomError):
    """A source cannot be opened, or failed while it was read."""


class ModelError(CropzoomError):
    """A model cannot be used, or returned values that are not finite."""


class ScheduleError(CropzoomError):
    """A box file cannot be replayed on these frames."""


class DataError(CropzoomError):
    """Training data or a table cannot be read."""


class SinkError(CropzoomError):
    """An output cannot be opened, or failed while running."""


class StageError(CropzoomError):
    """A stage failed, or did not end."""


class StateError(CropzoomError):
    """A call does not fit the state of a run."""


_OF_HDF5 = re.compile(r"errno = \d+, error message = '([^']+)'")
"""The error of the system in a text of HDF5, which has many lines and a number for each byte."""


def error_text(error: BaseException) -> str:
    """Return the text of an error for use within a line: without its number and the repeated file name."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    text = str(getattr(error, "strerror", None) or error)
    of_system = _OF_HDF5.search(text)
    return (of_system[1] if of_system else " ".join(text.split())) or type(error).__name__


_MEANINGS = {
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ENOENT: "there is nothing of that name",
    errno.ENODEV: "there is no such device; is it plugged in?",
    errno.ENXIO: "there is no such device; is it plugged in?",
    errno.EBUSY: "another program uses it",
    errno.EIO: "the disk, the device or the network failed, or the file is damaged",
    errno.EINVAL: "it is refused as not valid",
    errno.ENOTTY: "it is no device of that kind",
    errno.ENOMEM: "there is not enough memory",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full for this user",
    errno.EROFS: "the disk can only be read",
    errno.EMFILE: "this process has too many files open; run 'ulimit -n 4096' first",
    errno.ENFILE: "this machine has too many files open",
    errno.EADDRINUSE: "the address is in use by another program",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EAFNOSUPPORT: "this machine does not know addresses of that kind",
    errno.EPROTONOSUPPORT: "the protocol is not known here",
    errno.ECONNREFUSED: "nothing answers there",
    errno.ECONNRESET: "the other side has closed the connection",
    errno.EPIPE: "the other side has closed the connection",
    errno.ETIMEDOUT: "no answer came in time",
    errno.EHOSTUNREACH: "this machine does not reach that host",
    errno.ENETUNREACH: "this machine does not reach that network",
}
_MEANINGS_BY_CLASS = {  # FFmpeg's errors have numbers of their own
    "InvalidDataError": "it is damaged, or no video",
    "EOFError": "it ends too early",
    "DecoderNotFoundError": "there is no decoder for it here",
    "EncoderNotFoundError": "there is no encoder for it here",
    "DemuxerNotFoundError": "its format is not known here",
    "MuxerNotFoundError": "its format is not known here",
    "ProtocolNotFoundError": "the protocol is not known here",
    "FilterNotFoundError": "it names a filter that is not known here",
    "OptionNotFoundError": "it names an option that is not known here",
    "StreamNotFoundError": "there is no video in it",
    "PatchWelcomeError": "FFmpeg cannot read this kind of it",
    "ExitError": "nothing came in time",
    "HTTPError": "the server refuses it",
    "gaierror": "there is no host of that name",
    "SerialTimeoutException": "no answer came in time",
}


def explain(error: BaseException) -> str:
    """Return what an error of a library means, in plain words; its own text goes to the log.

    Covers FFmpeg, ZeroMQ, sockets and serial ports. Any other error keeps the text of the library.
    """
    logger.debug("%s: %s", type(error).__name__, error)
    number = getattr(error, "errno", None) or 0
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if "ZMQError" in kinds and number == errno.ENODEV:  # ZeroMQ uses it for an unknown address
        number = errno.EADDRNOTAVAIL
    known = next((_MEANINGS_BY_CLASS[kind] for kind in kinds if kind in _MEANINGS_BY_CLASS), None)
    return known or _MEANINGS.get(number) or error_text(error)


def one_line(error: BaseException) -> str:
    """Return kind and text of an error, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error of another library, or its kind if it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """Return a hint for a name that is not among ``names``: `` Did you mean 'x'?``, or "" if none is similar."""
    likely = difflib.get_close_matches(given[:100], list(names), n=1)
    return f" Did you mean {likely[0]!r}?" if likely else ""


def shorten(value: object, limit: int = 60) -> str:
    """Return the ``repr`` of a value, cut if it is too long for a line.

    Args:
        value: The value.
        limit: Maximum number of characters before the cut.
    """
    text = repr(value[:limit] if isinstance(value, str | bytes) else value)
    whole = len(text) <= limit + 2 and not (isinstance(value, str | bytes) and len(value) > limit)
    return text if whole else f"{text[:limit]}… ({type(value).__name__} of {_size(value)})"


def quoted(name: str) -> str:
    """Return a name for a message: as it is, or in quotes if a comma, a quote or a line break hides where it ends."""
    plain = name.isprintable() and name.strip() == name and not {*name} & {*",;'\""}
    return name if plain and name else repr(name)


def listed(names: Iterable[str]) -> str:
    """Return names for a message, with commas between them; each as ``quoted`` writes it."""
    return ", ".join(map(quoted, names))


def _size(value: object) -> str:
    return f"{len(value)} items" if isinstance(value, list | tuple | dict) else f"{len(str(value))} characters"


_EXTRAS = {
    "cpu": ("onnxruntime",),
    "plots": ("matplotlib",),
    "train": ("torch", "onnxscript"),
    "basler": ("pypylon",),
    "animals": ("scipy",),
    "genicam": ("harvesters", "genicam"),
    "outputs": ("pylsl", "serial", "pythonosc"),
    "nwb": ("pynwb", "ndx_pose"),
    "tables": ("tables", "pyarrow"),
    "compare": ("h5py", "sleap_io"),
    "labels": ("sleap_io", "h5py", "tables"),
    "view": ("starlette", "uvicorn", "websockets", "prometheus_client"),
    "rerun": ("rerun",),
    "cluster": ("submitit",),
}
"""Optional libraries by the extra of this package that installs them."""


def install_advice(module: str, extra: str | None = None) -> str:
    """Return the sentence about a library that is not installed, with the command that installs it.

    Args:
        module: The module that could not be imported.
        extra: The extra that the command in question needs; None for the first one that has the library.
    """
    library = module.partition(".")[0]
    extra = extra or next((name for name, modules in _EXTRAS.items() if library in modules), None)
    gpu = "; with CUDA, gpu in place of cpu" if extra == "cpu" else ""
    return f"{library} is not installed; run: {install_command(extra)}{gpu}"


def install_command(extras: str | None = None) -> str:
    """Return the command that adds libraries to this installation: to a clone, a tool of pipx or uv, or any other.

    Args:
        extras: Extras to add, with commas between them; None for what the package always needs.
    """
    added = f"[{extras}]" if extras else ""
    package = f'"realtime-cropzoom{added}"' if added else "realtime-cropzoom"
    clone, environment = Path(__file__).parents[1], Path(sys.prefix)
    if (clone / "pyproject.toml").is_file():
        return f'pip install -e ".{added}" (in {clone})' if added else f"pip install -e . (in {clone})"
    if (environment / "pipx_metadata.json").is_file():
        return f"pipx runpip {environment.name} install {package}"
    if (environment / "uv-receipt.toml").is_file():
        return f'uv pip install --python "{environment}" {package}'
    return f"pip install {package}"


def pluralize(number: int, thing: str) -> str:
    """Return a number with its noun in the right form: ``1 rule``, ``2 rules``."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


@contextmanager
def flags_of_command(flags: Collection[str]) -> Iterator[None]:
    """Let ``advise`` name no flags but these while the ``with`` block runs."""
    global _flags
    before, _flags = _flags, frozenset(flags)
    try:
        yield
    finally:
        _flags = before


def advise(text: str, otherwise: str = "") -> str:
    """Return ``text`` if the running command has all flags that it names, else ``otherwise``."""
    named = {flag.replace("_", "-") for flag in FLAG.findall(text)}
    return text if _flags is None or named <= _flags else otherwise

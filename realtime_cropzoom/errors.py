"""Every error this package raises on purpose.

::

    CropzoomError
    ├── ConfigError      a setting is missing, misspelt or makes no sense
    ├── SourceError      a source cannot be opened, or broke while it was read
    ├── ModelError       a model cannot be used, or gave numbers that are none
    ├── ScheduleError    a box file cannot be replayed on these frames
    ├── DataError        training data or a table cannot be read
    ├── SinkError        an output cannot be opened, or failed while running
    ├── StageError       a stage ended by itself, or would not end
    └── StateError       a run was asked for what it cannot do before its start, or after its end

The text says what was given, what was expected and what to do, in one line: the
command line prints it as it is and exits with ``EXIT_BAD_INPUT``. Exit code 0 means done; a process that a signal has
ended has 128 + the number of the signal. docs/reference/files.md explains the codes to users.

Much of the package serves several commands, and not all of them have the same flags. A sentence that names a flag
therefore goes through ``advised``, which drops it if the running command lacks the flag. From Python there is no
command, and flags stand for the settings of their names.
"""

from __future__ import annotations

import difflib
import errno
import logging
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

EXIT_BAD_INPUT = 2
"""Bad input, with one line that says what is wrong."""
EXIT_FAILED = EXIT_BAD_INPUT
"""It broke off; who looks at the code need not tell that from bad input."""
EXIT_INCOMPLETE = 3
"""It went to its end, but not all of it is there."""
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_-]*[a-z]")
"""A flag in a sentence."""
_flags: frozenset[str] | None = None
"""The flags of the command that runs, with hyphens; None where none runs. Threads read it, too: no ContextVar."""


class CropzoomError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(CropzoomError):
    """A setting is missing, misspelt or makes no sense."""


class SourceError(CropzoomError):
    """A source cannot be opened, or broke while it was read."""


class ModelError(CropzoomError):
    """A model cannot be used, or gave numbers that are none."""


class ScheduleError(CropzoomError):
    """A box file cannot be replayed on these frames."""


class DataError(CropzoomError):
    """Training data or a table cannot be read."""


class SinkError(CropzoomError):
    """An output cannot be opened, or failed while running."""


class StageError(CropzoomError):
    """A stage ended by itself, or would not end."""


class StateError(CropzoomError):
    """A run was asked for what it cannot do before its start, or after its end."""


def in_words(error: BaseException) -> str:
    """Return what an error says as part of a line: without its number, and without the repeated file name."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


_PLAIN = {
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
    errno.ECONNREFUSED: "nobody answers there",
    errno.ECONNRESET: "the other side has closed the connection",
    errno.EPIPE: "the other side has closed the connection",
    errno.ETIMEDOUT: "no answer came in time",
    errno.EHOSTUNREACH: "this machine does not reach that host",
    errno.ENETUNREACH: "this machine does not reach that network",
}
_PLAIN_CLASSES = {  # of FFmpeg's errors, which have numbers of their own
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


def plainly(error: BaseException) -> str:
    """Return in plain words what a library means by an error; its own words go to the log.

    For FFmpeg, ZeroMQ, sockets and serial ports. What is not known here is said in the library's words.
    """
    logger.debug("%s: %s", type(error).__name__, error)
    number = getattr(error, "errno", None) or 0
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if "ZMQError" in kinds and number == errno.ENODEV:  # ZeroMQ's for an address
        number = errno.EADDRNOTAVAIL
    known = next((_PLAIN_CLASSES[kind] for kind in kinds if kind in _PLAIN_CLASSES), None)
    return known or _PLAIN.get(number) or in_words(error)


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """Return the end of an error's line about a name that is not among ``names``: the likeliest one, or nothing."""
    likely = difflib.get_close_matches(given[:100], list(names), n=1)
    return f" Did you mean {likely[0]!r}?" if likely else ""


def shortened(value: object, limit: int = 60) -> str:
    """Return a value as it is written, cut where it is too long for a line."""
    text = repr(value[:limit] if isinstance(value, str | bytes) else value)
    whole = len(text) <= limit + 2 and not (isinstance(value, str | bytes) and len(value) > limit)
    return text if whole else f"{text[:limit]}… ({type(value).__name__} of {_size(value)})"


def _size(value: object) -> str:
    return f"{len(value)} items" if isinstance(value, list | tuple | dict) else f"{len(str(value))} characters"


_EXTRAS = {
    "cpu": ("onnxruntime",),
    "plots": ("matplotlib",),
    "train": ("torch", "kornia", "onnx", "onnxscript"),
    "basler": ("pypylon",),
    "outputs": ("pylsl", "serial", "pythonosc"),
    "nwb": ("pynwb", "ndx_pose"),
    "tables": ("tables", "pyarrow"),
}
"""Which optional libraries come with which extra of this package."""


def how_to_install(module: str) -> str:
    """Return the sentence about a library that is not installed: what is missing, and the command that brings it."""
    library = module.partition(".")[0]
    extra = next((extra for extra, modules in _EXTRAS.items() if library in modules), None)
    if extra is None:
        return f"{library} is not installed; run: pip install -e . (in a clone) or pip install realtime-cropzoom"
    gpu = "; with CUDA, gpu in place of cpu" if extra == "cpu" else ""
    return (
        f"{library} is not installed; run: pip install -e '.[{extra}]' in a clone, "
        f"or pip install 'realtime-cropzoom[{extra}]'{gpu}"
    )


def counted(number: int, thing: str) -> str:
    """Return ``1 rule``, ``2 rules``: a number, and the thing in its right form."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


@contextmanager
def flags_of_command(flags: Collection[str]) -> Iterator[None]:
    """While this is open, advice names none but these flags."""
    global _flags
    before, _flags = _flags, frozenset(flags)
    try:
        yield
    finally:
        _flags = before


def advised(text: str, otherwise: str = "") -> str:
    """Return ``text`` where the running command has all flags that it names, else ``otherwise``."""
    named = {flag.replace("_", "-") for flag in FLAG.findall(text)}
    return text if _flags is None or named <= _flags else otherwise

"""The command line.

Exit codes: 0 done; 2 bad input, or the run broke off, with one line that says why; 3 the run
went to its end, but not all of it is there (a file cut short, rows lost to a full disk, frames
that failed); 128 + its number where a signal ended it (130 Ctrl-C, 143 SIGTERM, 129 a terminal that was closed),
with everything closed.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence

from realtime_cropzoom import __version__
from realtime_cropzoom.cli import (
    calibrate,
    cameras,
    check,
    demo,
    keys,
    latency,
    listen,
    offline,
    quantize,
    run,
    session,
    terminal,
    train,
    trigger,
    zones,
)
from realtime_cropzoom.cli.parser import Parser, complete
from realtime_cropzoom.errors import (
    EXIT_BAD_INPUT,
    EXIT_INCOMPLETE,
    ConfigError,
    CropzoomError,
    flags_of_command,
    install_advice,
    shorten,
)
from realtime_cropzoom.messaging.limits import NEEDED_BY_ANY, check_open_files, raise_limit
from realtime_cropzoom.runtime.signals import Terminated, ignore_further_signals, interrupts, signals_held_back

_IN_FILES = {"run", "demo", "trigger", "latency", "predict", "crop", "pipeline", "train", "quantize"}
"""Commands whose result is in files; of the others it is what they print."""
_THREAD_COUNTS = ("OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS")
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""Nothing more can be written: the disk or what one may use of it is full."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    if argv is not None:
        return _run(argv)
    terminal.install()
    code = _written(_run(argv), sys.argv[1:2])
    if any(t.name.startswith("cropzoom-") for t in threading.enumerate()):
        # Left behind in native code, by a source that waits for its network: all is written, and the
        # interpreter's own end would take from under that thread what it stands on.
        os._exit(code)
    return code


def _written(code: int, command: Sequence[str]) -> int:
    """Wait until all is written; return the exit code, which says whether the result is whole."""
    error = terminal.finish()
    if error is not None and error.errno != errno.EPIPE:  # a reader that leaves, such as head, has read enough
        terminal.say(f"cropzoom: the output cannot be written to the end: {error.strerror}; write it to another place")
        terminal.finish()
        return code if {*command} & _IN_FILES else code or EXIT_INCOMPLETE
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        log = logging.StreamHandler()
        log.setFormatter(_Folded("%(levelname)s: %(message)s"))
        logging.basicConfig(level=logging.WARNING, handlers=[log])
        with interrupts():
            with signals_held_back():
                parser = _parser()
            complete(parser)
            if not (sys.argv[1:] if argv is None else argv):
                parser.print_help(sys.stderr)
                return EXIT_BAD_INPUT
            arguments = parser.parse(_hyphenated(sys.argv[1:] if argv is None else argv))
            raise_limit()
            check_open_files(NEEDED_BY_ANY)
            _check_thread_counts()
            with flags_of_command(arguments.parser.flags):
                code: int = arguments.command(arguments)
            if argv is None and code > 128:
                ignore_further_signals()
    except CropzoomError as error:
        terminal.say(f"cropzoom: {error}")
        return EXIT_BAD_INPUT
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("realtime_cropzoom"):
            raise
        terminal.say(f"cropzoom: {install_advice(error.name)}")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt as stopped:
        terminal.say("\n".join(["cropzoom: stopped", *getattr(stopped, "__notes__", ())]))
        return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)
    except OSError as error:  # a folder that may not be entered, a name too long, a disk that is gone
        if error.filename is None:
            if error.errno not in _FULL:
                raise
            terminal.say(f"cropzoom: a file cannot be written: {error.strerror}; free some space, then start again")
            return EXIT_BAD_INPUT
        hint = ". Give a shorter one" if error.errno == errno.ENAMETOOLONG else ""
        terminal.say(f"cropzoom: {shorten(str(error.filename))}: {error.strerror}{hint}")
        return EXIT_BAD_INPUT
    return code


def _check_thread_counts() -> None:
    """Raise ConfigError if a variable of numerical libraries is no number: some raise ValueError when imported."""
    for name in _THREAD_COUNTS:
        given = os.environ.get(name, "")
        if given and (not re.fullmatch(r"\s*\d{1,6}\s*", given) or int(given) == 0):
            raise ConfigError(
                f"the environment variable {name} is {shorten(given)}, expected a number of threads such as 4. "
                f"Remove it with: unset {name}"
            )


def _hyphenated(argv: Sequence[str]) -> list[str]:
    """Flags may be written with underscores, as Lightning Pose writes them. What comes after -- is no flag."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [*(_hyphenate(a) if a.startswith("--") else a for a in argv[:end]), *argv[end:]]


def _hyphenate(flag: str) -> str:
    name, equals, value = flag.partition("=")
    return name.replace("_", "-") + equals + value


def _parser() -> Parser:
    parser = Parser(prog="cropzoom", description="Cropzoom pose tracking, live and offline.")
    parser.add_argument("--version", action="version", version=f"cropzoom {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (
        run,
        listen,
        demo,
        trigger,
        zones,
        latency,
        check,
        cameras,
        keys,
        offline,
        train,
        quantize,
        calibrate,
        session,
    ):
        group.register(commands)
    return parser


class _Folded(logging.Formatter):
    """Warnings are folded where the terminal is narrower, as all other messages are."""

    def format(self, record: logging.LogRecord) -> str:
        return terminal.fold(super().format(record), terminal.columns())

"""Command line: parses the arguments, runs the command, and turns errors into one line and an exit code.

=====  ================================================================================================
0      done
1      doctor: something was found that hinders; pipeline --cluster: a task failed
2      bad input, or the run failed; one line says why
3      the run ended, but something is missing: a truncated file, rows lost to a full disk, failed frames
128+N  signal N ended it, with everything closed: 130 Ctrl-C, 143 SIGTERM, 129 a closed terminal
=====  ================================================================================================
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
    bench,
    calibrate,
    cameras,
    check,
    ctl,
    demo,
    doctor,
    evaluate,
    export_deeplabcut,
    frames,
    init,
    keys,
    labels,
    latency,
    listen,
    models,
    offline,
    quantize,
    run,
    session,
    terminal,
    train,
    trigger,
    view,
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

_IN_FILES = {
    *("run", "demo", "trigger", "latency", "train", "export", "export-deeplabcut", "quantize", "convert", "draw"),
    *("init", "frames", "labels", "evaluate", "pipeline", "predict", "create_bbox", "smooth_bbox", "crop", "remap"),
}
"""Commands whose result is in files. The result of the others is what they print."""
_THREAD_COUNTS = ("OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS")
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""Errors of a full disk or a used-up quota."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments without the program's name; None for those of the process, whose output then goes
            through ``terminal``.

    Returns:
        The exit code.
    """
    if argv is not None:
        return _run(argv)
    terminal.install()
    code = _written(_run(argv), sys.argv[1:2])
    if any(t.name.startswith("cropzoom-") for t in threading.enumerate()):
        # A source left a thread behind in native code. Everything is written; the normal end of the interpreter
        # would free memory that this thread uses.
        os._exit(code)
    return code


def _written(code: int, command: Sequence[str]) -> int:
    """Wait until the output is written, and return the exit code: another one if the printed result is incomplete."""
    error = terminal.finish()
    if error is not None and error.errno != errno.EPIPE:  # a reader such as head may close the pipe early
        terminal.say(f"cropzoom: cannot write the whole output: {error.strerror}; write it to another place")
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
            _check_folder()
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
    except OSError as error:  # a folder without permission, a name that is too long, a disk that is gone
        if error.filename is None:
            if error.errno not in _FULL:
                raise
            terminal.say(f"cropzoom: cannot write a file: {error.strerror}; free some space, then start again")
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


def _check_folder() -> None:
    """Raise ConfigError if the current folder is gone: libraries look for it when they are imported."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the folder in which you are was deleted. Go to one that exists, such as: cd ~") from None


def _hyphenated(argv: Sequence[str]) -> list[str]:
    """Return the arguments with hyphens in all flags. Lightning Pose uses underscores. After -- nothing is a flag."""
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
        view,
        demo,
        trigger,
        ctl,
        zones,
        latency,
        bench,
        check,
        doctor,
        cameras,
        keys,
        models,
        offline,
        init,
        frames,
        labels,
        train,
        evaluate,
        quantize,
        export_deeplabcut,
        calibrate,
        session,
    ):
        group.register(commands)
    return parser


class _Folded(logging.Formatter):
    """Formatter that folds warnings at the width of the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return terminal.fold(super().format(record), terminal.columns())

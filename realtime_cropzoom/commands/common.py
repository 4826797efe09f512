"""What the commands share: exit codes, and signals."""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Collection, Iterator
from typing import Any

EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 3


class Terminated(KeyboardInterrupt):
    """SIGTERM ends a command as Ctrl-C does."""


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM come in after the imports: one of compiled code that is interrupted fails obscurely."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def add_settings(parser: argparse.ArgumentParser, names: Collection[str] | None = None) -> None:
    """One flag a setting, from the one documented set; with ``names`` only these."""
    from realtime_cropzoom.config import Settings, literals

    for name, field in Settings.model_fields.items():
        if name == "source" or (names is not None and name not in names):
            continue
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": name}
        if field.annotation is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = "|".join(literals(field.annotation)) or name.split("_")[-1].upper()
        default = "" if field.default in (None, False) else f" ({field.default})"
        text = f"{field.description}{default}".replace("%", "%%")
        parser.add_argument(f"--{name.replace('_', '-')}", help=text, **options)


def settings_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as flags."""
    from realtime_cropzoom.config import Settings

    given = {name: value for name, value in vars(arguments).items() if name in Settings.model_fields}
    if given.get("source") is None:
        given.pop("source", None)
    return given

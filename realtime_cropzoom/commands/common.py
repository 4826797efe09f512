"""What the commands share: exit codes, and signals."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 3


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM come in after the imports: one of compiled code that is interrupted fails obscurely."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

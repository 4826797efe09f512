"""Guardian process: ends the commands of a shell output when the program that started them has died.

It reads lines ``+PID`` and ``-PID`` of process groups. When its input ends, which also happens when the program is
killed, it ends the groups that are left. It runs as a file and imports nothing of the package.
"""

from __future__ import annotations

import os
import signal
import sys
import time

_TERMINATE_TIMEOUT_S = 0.5


def main() -> int:
    """Read until the input ends, then end the groups that are left."""
    left: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            left.add(pid)
        else:
            left.discard(pid)
    _end(left, signal.SIGTERM)
    if left:
        time.sleep(_TERMINATE_TIMEOUT_S)
        _end(left, signal.SIGKILL)
    return 0


def _end(groups: set[int], how: signal.Signals) -> None:
    for pid in sorted(groups):
        try:
            os.killpg(pid, how)
        except (ProcessLookupError, PermissionError):
            groups.discard(pid)


if __name__ == "__main__":
    sys.exit(main())

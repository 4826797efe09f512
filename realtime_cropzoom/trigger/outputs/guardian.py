"""Guardian process: ends the commands of a shell output when the program that started them has died.

It reads lines ``+PID`` and ``-PID`` of process groups. When its input or the program ends, which also happens when the
program is killed, it ends the groups that are left. It runs as a file and imports nothing of the package.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

_TERMINATE_TIMEOUT_S = 0.5
_CHECK_AFTER_S = 0.5
"""Time (s) without input after which the guardian looks whether the program still runs."""
_CHUNK_BYTES = 4096


def main(parent: int) -> int:
    """Read until the input or the program ``parent`` ends, then end the groups that are left.

    A process that the program has forked may keep the input open after the program has ended.
    """
    left: set[int] = set()
    rest = b""
    while True:
        if select.select([sys.stdin], [], [], _CHECK_AFTER_S)[0]:
            data = os.read(sys.stdin.fileno(), _CHUNK_BYTES)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _take(line, left)
        elif os.getppid() != parent:
            break
    _end(left, signal.SIGTERM)
    if left:
        time.sleep(_TERMINATE_TIMEOUT_S)
        _end(left, signal.SIGKILL)
    return 0


def _take(line: bytes, left: set[int]) -> None:
    pid = int(line[1:])
    if line.startswith(b"+"):
        left.add(pid)
    else:
        left.discard(pid)


def _end(groups: set[int], how: signal.Signals) -> None:
    for pid in sorted(groups):
        try:
            os.killpg(pid, how)
        except (ProcessLookupError, PermissionError):
            groups.discard(pid)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

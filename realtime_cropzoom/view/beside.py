"""View beside a run: the process that ``cropzoom run --view`` starts, seen from the run, and the process itself.

The run never waits for it, and nothing that happens to it ends the run. It is in a session of its own, so that Ctrl-C
in the terminal does not reach it. It ends when its stdin is closed: when the run ends, however that happens.

On stdin comes one line of JSON, a ``Job``. On stdout goes one line: the address of the page, or why there is none.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from realtime_cropzoom.runtime.processes import apart, wait_or_kill

_COMMAND = [sys.executable, "-m", "realtime_cropzoom.view.beside"]
_END_TIMEOUT_S = 3.0
_LINGER_S = 1.0
"""Time (s) that pages have to show the end of the run."""


class Job(msgspec.Struct, frozen=True):
    """What the process shows."""

    endpoints: list[str]
    """Endpoints of the runs; none for all runs of this user on this machine."""
    open_browser: bool = False
    """Whether to open the page in the browser."""


class ViewBeside:
    """The process of the page, seen from the run. ``close`` it when the run has ended."""

    def __init__(self, endpoints: Sequence[str], say: Callable[[str], object], *, open_browser: bool = True) -> None:
        """Start the process.

        Args:
            endpoints: As in ``Job``.
            open_browser: As in ``Job``.
            say: Prints a line; called in another thread.
        """
        self._say, self._closing = say, False
        self.process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **apart(),
        )
        assert self.process.stdin is not None
        with suppress(OSError):  # it has ended, which the reader says
            self.process.stdin.write(msgspec.json.encode(Job(list(endpoints), open_browser)) + b"\n")
            self.process.stdin.flush()
        self._reader = threading.Thread(target=self._read, name="view", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """End the process, at most 3 s later."""
        self._closing = True
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(OSError):
            self.process.stdin.close()
        wait_or_kill(self.process, _END_TIMEOUT_S)
        self._reader.join()
        self.process.stdout.close()

    def __enter__(self) -> ViewBeside:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._say(line.decode(errors="replace").rstrip())
        if not self._closing:
            self._say("the page in the browser has ended; the run goes on. Open it again with 'cropzoom view'")


def main() -> None:
    """Show the page until stdin is closed."""
    from realtime_cropzoom.view.live import stand_back

    stand_back()
    from realtime_cropzoom.errors import CropzoomError
    from realtime_cropzoom.view.app import make_app
    from realtime_cropzoom.view.browser import open_page
    from realtime_cropzoom.view.live import following
    from realtime_cropzoom.view.serve import Site

    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    with following(job.endpoints) as hub:
        try:
            site = Site(make_app(hub), port=None)
        except CropzoomError as error:
            _tell(f"no page: {error}")
            return
        _tell(f"page: {site.url}")
        if job.open_browser:
            open_page(site)
        threading.Thread(target=_stop_at_end, args=(site.stop,), name="cropzoom-end", daemon=True).start()
        site.serve()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stop_at_end(stop: Callable[[], None]) -> None:
    while sys.stdin.buffer.read(1024):
        pass
    threading.Event().wait(_LINGER_S)
    stop()


if __name__ == "__main__":
    main()

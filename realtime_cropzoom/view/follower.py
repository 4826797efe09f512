"""Base of the threads of ``cropzoom view`` that follow something until they are stopped."""

from __future__ import annotations

import threading


class Follower:
    """A thread that follows something. A subclass says in ``_run`` what, and looks at ``_over`` to end."""

    def __init__(self, name: str) -> None:
        """Create the thread without starting it; ``name`` is its name."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._over.set()

    def join(self) -> None:
        """Wait until the thread has ended, if it was started."""
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError

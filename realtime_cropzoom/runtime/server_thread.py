"""Base of the servers that run beside a run: a thread with a socket of its own, from ``start`` to ``stop``."""

from __future__ import annotations

import threading

from realtime_cropzoom.runtime.started import Started


class ServerThread:
    """A thread that serves. A subclass says in ``_run`` what; it reports to ``_started`` and looks at ``_stop``."""

    def __init__(self, name: str, what: str, join_timeout_s: float) -> None:
        """Create the thread without starting it.

        Args:
            name: Name of the thread.
            what: What starts, for errors, such as ``the time server``.
            join_timeout_s: Maximum time (s) that ``stop`` waits for it.
        """
        self._what, self._join_timeout_s = what, join_timeout_s
        self._started, self._stop = Started(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start to serve.

        Raises:
            zmq.ZMQError: if the endpoint cannot be bound.
            ConfigError: if the endpoint is not allowed.
            SinkError: if the server does not start in time.
        """
        self._thread.start()
        try:
            self._started.wait(self._what)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop and release the endpoint. It may be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self._join_timeout_s)

    def _run(self) -> None:
        raise NotImplementedError

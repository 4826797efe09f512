"""Read timeout: decides when a machine-vision camera that sends no complete frame is treated as lost."""

from __future__ import annotations

from collections.abc import Callable

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError


class ReadTimeout:
    """Measures the time since the last complete frame of one camera."""

    def __init__(self, timeout_s: float, *, triggered: bool, now: Callable[[], int] = now_ns) -> None:
        """Begin to measure.

        Args:
            timeout_s: Maximum time (s) without a complete frame.
            triggered: Whether frames wait for pulses. Such a camera may send nothing for any time.
            now: Returns the time (ns).
        """
        self._timeout_s, self._triggered, self._now = timeout_s, triggered, now
        self._since_ns = now()
        self._incomplete = 0
        """Number of incomplete frames since the last complete one."""
        self._row_since_ns = self._row_until_ns = self._since_ns
        """Times of the first and last frame of a row of incomplete frames. A pause of ``timeout_s`` ends a row."""

    def restart(self) -> None:
        """Measure from now on: a complete frame has arrived."""
        self._since_ns, self._incomplete = self._now(), 0

    def check(self, camera: str, incomplete: int, advice: str) -> bool:
        """Check whether the camera has sent no complete frame for too long.

        Args:
            camera: Name of the camera, for the message.
            incomplete: Number of incomplete frames since the last complete one.
            advice: End of the message about incomplete frames: the cause, or what to do.

        Returns:
            Whether the time has passed although the camera is triggered. The caller then checks that the camera is
            still there; the measurement has begun again.

        Raises:
            SourceError: if the time has passed and the camera is not triggered, or if a triggered camera has sent
                incomplete frames alone for that time. Some incomplete frames and then no pulse are no loss.
        """
        now, timeout_ns = self._now(), self._timeout_s * 1e9
        if incomplete > self._incomplete:
            if self._incomplete == 0 or now - self._row_until_ns >= timeout_ns:
                self._row_since_ns = now
            self._row_until_ns = now
        self._incomplete = incomplete
        is_over = now - self._since_ns >= timeout_ns
        is_lost = self._row_until_ns - self._row_since_ns >= timeout_ns if self._triggered else is_over
        if is_lost and incomplete:
            raise SourceError(
                f"{camera} has sent no complete frame for {self._timeout_s:g} s, {incomplete} incomplete{advice}"
            )
        if is_over and not self._triggered:
            raise SourceError(f"{camera} has sent nothing for {self._timeout_s:g} s")
        if is_over:
            self._since_ns = now
        return is_over

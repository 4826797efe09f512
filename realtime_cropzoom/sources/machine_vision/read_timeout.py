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

    def restart(self) -> None:
        """Measure from now on: a complete frame has arrived."""
        self._since_ns = self._now()

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
            SourceError: if the time has passed, and frames were incomplete or the camera is not triggered.
        """
        if self._now() - self._since_ns < self._timeout_s * 1e9:
            return False
        if incomplete:
            raise SourceError(
                f"{camera} has sent no complete frame for {self._timeout_s:g} s, {incomplete} incomplete{advice}"
            )
        if not self._triggered:
            raise SourceError(f"{camera} has sent nothing for {self._timeout_s:g} s")
        self.restart()
        return True

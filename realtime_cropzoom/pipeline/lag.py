"""Lag watch: decides over a few seconds whether the machine keeps up with the frames. No I/O."""

from __future__ import annotations

from realtime_cropzoom.pipeline.report import TOO_SLOW, share_skipped

_WINDOW_NS = 3_000_000_000
"""Duration (ns) over which skipped frames are counted."""
_REPEAT_AFTER_NS = 60_000_000_000
"""Minimum time (ns) between two warnings."""


class LagWatch:
    """Words a warning if the poses fall behind: at once, and once per minute while they do."""

    def __init__(self) -> None:
        self._window: tuple[int, int, int] | None = None
        """Start of the window: time (ns), captured frames, skipped frames."""
        self._warned_ns: int | None = None
        """Time (ns) of the last warning; None before the first."""

    def check(self, at_ns: int, captured: int, skipped: int, age_ms: float) -> str | None:
        """Return a warning if the poses fall behind, else None.

        Args:
            at_ns: The current time (monotonic, ns).
            captured: Number of captured frames since the start of the run.
            skipped: Number of skipped frames since the start of the run.
            age_ms: Age (ms) of the newest pose when it was made.
        """
        if self._window is None:
            self._window = (at_ns, captured, skipped)
        since_ns, captured_before, skipped_before = self._window
        if at_ns - since_ns < _WINDOW_NS:
            return None
        self._window = (at_ns, captured, skipped)
        captured, skipped = captured - captured_before, skipped - skipped_before
        recently = self._warned_ns is not None and at_ns - self._warned_ns < _REPEAT_AFTER_NS
        if not share_skipped(captured, skipped) or recently:
            return None
        self._warned_ns = at_ns
        return (
            f"poses fall behind: {skipped} of the last {captured} frames were skipped, and poses are {age_ms:.0f} ms "
            f"old; {TOO_SLOW}"
        )

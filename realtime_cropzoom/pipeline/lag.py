"""Whether a machine keeps up with its frames, judged over a few seconds. Pure."""

from __future__ import annotations

from realtime_cropzoom.pipeline.report import TOO_SLOW, share_skipped

_WINDOW_NS = 3_000_000_000
_AGAIN_NS = 60_000_000_000


class LagWatch:
    """Says in words when the poses fall behind: at once, and once a minute while they do."""

    def __init__(self) -> None:
        self._since: tuple[int, int, int] | None = None
        """Time, frames captured and frames skipped at the begin of the window."""
        self._said_ns: int | None = None

    def look(self, at_ns: int, captured: int, skipped: int, age_ms: float) -> str | None:
        """Take in the counts of this moment and the age of the newest pose; return what to say, if anything."""
        if self._since is None:
            self._since = (at_ns, captured, skipped)
        since_ns, captured_before, skipped_before = self._since
        if at_ns - since_ns < _WINDOW_NS:
            return None
        self._since = (at_ns, captured, skipped)
        captured, skipped = captured - captured_before, skipped - skipped_before
        if not share_skipped(captured, skipped) or (self._said_ns is not None and at_ns - self._said_ns < _AGAIN_NS):
            return None
        self._said_ns = at_ns
        return (
            f"poses fall behind: {skipped} of the last {captured} frames were skipped, and poses are {age_ms:.0f} ms "
            f"old; {TOO_SLOW}"
        )

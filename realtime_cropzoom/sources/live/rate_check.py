"""The rate that a live source really has, two seconds in, against the one asked for and the one it announces."""

from __future__ import annotations

import logging

from realtime_cropzoom.sources.base import SourceInfo

logger = logging.getLogger(__name__)

_AFTER_NS = 2_000_000_000
_TOLERANCE = 0.1
_LEAST_FRAMES = 2
_STALL_NS = 500_000_000
_STALL_INTERVALS = 3
"""A stall is what the capture stage calls one by default."""
_CATCH_UP_NS = 1_000_000_000
"""So long after a stall frames may still come in a burst."""
_STALLS = 4
"""More long pauses in a row are no stalls: the source is as slow as that."""


class RateCheck:
    """Counts frames for two seconds and says once, where nobody can miss it, if they are too few or too many.

    A stall says nothing about the rate: after one, counting begins anew.
    """

    def __init__(self, info: SourceInfo) -> None:
        self._info = info
        self._stall_ns = max(_STALL_NS, round(_STALL_INTERVALS * 1e9 / info.fps) if info.fps else 0)
        self._begin_ns = 0
        """Frames before this moment do not count."""
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._frames = self._stalls = 0
        self.measured_fps: float | None = None
        """None until it is known."""

    def add(self, received_ns: int) -> None:
        """Count a frame."""
        if self.measured_fps is not None or self._after_stall(received_ns) or received_ns < self._begin_ns:
            return
        if self._first_ns is None:
            self._first_ns = received_ns
            return
        self._frames += 1
        elapsed_ns = received_ns - self._first_ns
        if elapsed_ns >= _AFTER_NS and self._frames >= _LEAST_FRAMES:
            self.measured_fps = self._frames * 1e9 / elapsed_ns
            self._say(self.measured_fps)

    def _after_stall(self, received_ns: int) -> bool:
        """Whether a stall has ended with this frame; if so, what was counted is forgotten."""
        last_ns, self._last_ns = self._last_ns, received_ns
        long = last_ns is not None and received_ns - last_ns > self._stall_ns
        self._stalls = self._stalls + 1 if long else 0
        if not 0 < self._stalls <= _STALLS:
            return False
        self._begin_ns, self._first_ns, self._frames = received_ns + _CATCH_UP_NS, None, 0
        return True

    def _say(self, fps: float) -> None:
        info = self._info
        for what, expected in (("asked for", info.asked_fps), ("it announces", info.fps)):
            if expected is not None and abs(fps - expected) > _TOLERANCE * expected:
                logger.warning(
                    "%s GIVES %.1f FRAMES A SECOND; %s %.4g. Often a long exposure, too little light, "
                    "the pixel format, or the cable is why", info.name, fps, what, expected,
                )  # fmt: skip
                return
        logger.info("%s gives %.1f frames a second", info.name, fps)

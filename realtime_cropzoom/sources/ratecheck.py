"""The rate that a live source really has, two seconds in, against the one asked for and the one it announces."""

from __future__ import annotations

import logging

from realtime_cropzoom.sources import SourceInfo

logger = logging.getLogger(__name__)

_AFTER_NS = 2_000_000_000
_TOLERANCE = 0.1
_LEAST_FRAMES = 2


class RateCheck:
    """Counts frames for two seconds and says once, where nobody can miss it, if they are too few or too many."""

    def __init__(self, info: SourceInfo) -> None:
        self._info = info
        self._first_ns: int | None = None
        self._frames = 0
        self.measured_fps: float | None = None
        """None until it is known."""

    def add(self, received_ns: int) -> None:
        """Count a frame."""
        if self.measured_fps is not None:
            return
        if self._first_ns is None:
            self._first_ns = received_ns
            return
        self._frames += 1
        elapsed_ns = received_ns - self._first_ns
        if elapsed_ns >= _AFTER_NS and self._frames >= _LEAST_FRAMES:
            self.measured_fps = self._frames * 1e9 / elapsed_ns
            self._say(self.measured_fps)

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

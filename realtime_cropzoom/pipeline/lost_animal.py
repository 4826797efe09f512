"""Lost animal: says once for each such stretch that the animal has not been found for ten seconds, and what is seen.

The watchdog asks ten times a second and reads three numbers. Only when the ten seconds are over, a thread of low
priority looks at the newest frame, once: no pose waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from av.video.reformatter import VideoReformatter

from realtime_cropzoom.inference.manifest import Trained
from realtime_cropzoom.inference.pose_quality import known_words
from realtime_cropzoom.pictures.small import Shrinker
from realtime_cropzoom.runtime.priority import lower_priority
from realtime_cropzoom.runtime.ring import EndOfStream, NewestReader, Ring

LOST_NS = 10_000_000_000
"""Time without the animal after which it is said (ns)."""
_DARK, _BRIGHT = 90, 150
"""Median gray up to which a picture is called dark, and from which on bright."""
_SIDE_PX = 160
"""Longer side of the picture whose gray is measured."""
_FRAME_S = 1.0
"""Maximum wait for a frame to look at (s)."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LostWords:
    """What the line says besides the picture."""

    source: str
    """The source, as the user gives it to a command, without a password."""
    shipped: bool
    """Whether the models come with the package."""
    trained: Trained | None
    """What the training of the models looked like; None if they do not say."""
    live: bool
    """Whether it is a device, which another program can open only when the run has ended."""

    def line(self, gray: float | None) -> str:
        """Return the line.

        Args:
            gray: Median gray of the newest frame, 0 to 255; None if there is none.
        """
        when = " when the run has ended" if self.live else ""
        picture = "" if gray is None else f"; this video is {_brightness(gray)} (gray {gray:.0f} of 255)"
        known = known_words(self.trained, shipped=self.shipped)
        said = f"the animal has not been found for {LOST_NS / 1e9:g} s: {known}{picture}"
        return f"{said}. Run 'cropzoom doctor {self.source}'{when} to see why"


def _brightness(gray: float) -> str:
    return "dark" if gray <= _DARK else "bright" if gray >= _BRIGHT else "neither dark nor bright"


class LostAnimal:
    """Notices that the animal is not found. Use it from one thread."""

    def __init__(
        self, words: LostWords, ring: Ring, seen_ns: Callable[[], int | None], captured: Callable[[], int]
    ) -> None:  # fmt: skip
        """Notice it from the first frame on.

        Args:
            words: What the line says.
            ring: The frames.
            seen_ns: Returns the frame time of the last frame with a found animal; None before the first.
            captured: Returns the number of captured frames.
        """
        self._words, self._ring, self._seen_ns, self._captured = words, ring, seen_ns, captured
        self._last_seen_ns: int | None = None
        self._since_ns: int | None = None
        """Since when it is not found, while frames come (monotonic, ns)."""
        self._said = False

    def check(self, at_ns: int, *, frames_come: bool) -> None:
        """Look at the counts, and say it if it is time.

        Args:
            at_ns: The time (monotonic, ns).
            frames_come: Whether the source gives frames.
        """
        if self.is_due(at_ns, frames_come=frames_come):
            threading.Thread(target=self._say, name="cropzoom-glance", daemon=True).start()

    def is_due(self, at_ns: int, *, frames_come: bool) -> bool:
        """Return whether to say it now; True once for each stretch without the animal. Arguments as of ``check``."""
        seen_ns = self._seen_ns()
        if seen_ns != self._last_seen_ns:
            self._last_seen_ns, self._since_ns, self._said = seen_ns, at_ns, False
        elif not frames_come or not self._captured():
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = at_ns
        elif not self._said and at_ns - self._since_ns >= LOST_NS:
            self._said = True
            return True
        return False

    def _say(self) -> None:
        lower_priority()
        logger.warning("%s", self._words.line(self._gray()))

    def _gray(self) -> float | None:
        """Return the median gray of the newest frame; None if the run ends."""
        try:
            lease = NewestReader(self._ring).take(_FRAME_S)
        except EndOfStream:
            return None
        if lease is None:
            return None
        with lease:
            small = Shrinker(_SIDE_PX).shrink(lease.frame.image)
        return float(np.median(small.bgr_or_gray(VideoReformatter())))

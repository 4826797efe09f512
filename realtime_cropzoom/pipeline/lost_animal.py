"""Lost animal: says once for each such stretch that the animal has not been found for ten seconds, and what is seen.

With regions one line names all whose animal is not found. A region that stays empty is named once.

The watchdog asks ten times a second and reads a few numbers. Only when the ten seconds are over, a thread of low
priority looks at the newest frame, once: no pose waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
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
_GATHER_NS = 1_000_000_000
"""Time for which a region waits for others that lose their animal soon after it, to be in one line with them (ns)."""
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

    def line(self, gray: float | None, regions: Sequence[str] = ()) -> str:
        """Return the line if no animal is found.

        Args:
            gray: Median gray of the newest frame, 0 to 255; None if there is none.
            regions: The regions that lack their animal; empty if there is one animal in the whole frame.
        """
        when = " when the run has ended" if self.live else ""
        picture = "" if gray is None else f"; this video is {_brightness(gray)} (gray {gray:.0f} of 255)"
        known = known_words(self.trained, shipped=self.shipped)
        where = f" in {', '.join(regions)}" if regions else ""
        said = f"the animal has not been found for {LOST_NS / 1e9:g} s{where}: {known}{picture}"
        return f"{said}. Run 'cropzoom doctor {self.source}'{when} to see why"


def line_of_some(regions: Sequence[str], count: int) -> str:
    """Return the line if regions lack their animal while others have theirs.

    Args:
        regions: The regions that lack it.
        count: The number of all regions.
    """
    return (
        f"no animal has been found for {LOST_NS / 1e9:g} s in {', '.join(regions)}, of {count} regions; this is said "
        "again when one was found there and is lost"
    )


def _brightness(gray: float) -> str:
    return "dark" if gray <= _DARK else "bright" if gray >= _BRIGHT else "neither dark nor bright"


@dataclass(slots=True)
class _Stretch:
    """The time without one animal."""

    seen_ns: int | None = None
    """Frame time of the last frame in which it was found (ns)."""
    since_ns: int | None = None
    """Since when it is not found, while frames come (monotonic, ns)."""
    said: bool = False

    def see(self, seen_ns: int | None, at_ns: int, *, frames_come: bool) -> None:
        """Take when it was last found, at ``at_ns``."""
        if seen_ns != self.seen_ns:
            self.seen_ns, self.since_ns, self.said = seen_ns, at_ns, False
        elif not frames_come:
            self.since_ns = None
        elif self.since_ns is None:
            self.since_ns = at_ns

    def lasts_ns(self, at_ns: int) -> int:
        """Return how long it has lasted (ns)."""
        return 0 if self.since_ns is None else at_ns - self.since_ns


class LostAnimal:
    """Notices that animals are not found. Use it from one thread."""

    def __init__(
        self,
        words: LostWords,
        ring: Ring,
        seen: Callable[[], Mapping[str, int | None]],
        captured: Callable[[], int],
    ) -> None:
        """Notice it from the first frame on.

        Args:
            words: What the line says.
            ring: The frames.
            seen: Returns the frame time of the last frame with a found animal by the name of the region, which is
                empty for the whole frame; None before the first.
            captured: Returns the number of captured frames.
        """
        self._words, self._ring, self._seen, self._captured = words, ring, seen, captured
        self._stretches: dict[str, _Stretch] = {}

    def check(self, at_ns: int, *, frames_come: bool) -> None:
        """Look at the counts, and say it if it is time.

        Args:
            at_ns: The time (monotonic, ns).
            frames_come: Whether the source gives frames.
        """
        due = self.due(at_ns, frames_come=frames_come)
        if not due:
            return
        if all(stretch.lasts_ns(at_ns) >= LOST_NS for stretch in self._stretches.values()):
            regions = [name for name in self._stretches if name]
            threading.Thread(target=self._say, args=(regions,), name="cropzoom-glance", daemon=True).start()
        else:  # the models know the animal, and the picture is good enough for them
            logger.warning("%s", line_of_some(due, len(self._stretches)))

    def due(self, at_ns: int, *, frames_come: bool) -> list[str]:
        """Return the regions to name now; each is due once for each stretch without its animal. Arguments as above."""
        seen = self._seen()
        comes = frames_come and self._captured() > 0
        for name, seen_ns in seen.items():
            self._stretches.setdefault(name, _Stretch()).see(seen_ns, at_ns, frames_come=comes)
        lasts = {name: s.lasts_ns(at_ns) for name, s in self._stretches.items() if not s.said}
        wait_ns = LOST_NS + (_GATHER_NS if len(self._stretches) > 1 else 0)
        if max(lasts.values(), default=0) < wait_ns:
            return []
        due = [name for name, ns in lasts.items() if ns >= LOST_NS]
        for name in due:
            self._stretches[name].said = True
        return due

    def _say(self, regions: Sequence[str]) -> None:
        lower_priority()
        logger.warning("%s", self._words.line(self._gray(), regions))

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

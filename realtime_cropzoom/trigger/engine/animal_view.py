"""Animal view: one animal as rules see it, from frame to frame, with what they share about it.

Rules that refuse an uncertain animal have a view of their own. It forgets an animal that may have been taken for
another one: a speed, a side or a duration never begins with one animal and ends with another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from realtime_cropzoom.trigger.engine.pose_sample import PoseSample, Smoother
from realtime_cropzoom.trigger.engine.trajectory import Track


class ViewKey(NamedTuple):
    """Which animal is seen, and how."""

    name: str | None
    """The region, or of several animals in one arena the name of the animal in files; None for the whole frame."""
    refuses_uncertain: bool = True


class AnimalView:
    """One animal, seen by the rules with the same ``ViewKey``."""

    def __init__(self, key: ViewKey, smoother: Smoother | None) -> None:
        """Begin to look at an animal.

        Args:
            key: Which animal, and how.
            smoother: Filter of its own; None without one.
        """
        self._refuses = key.refuses_uncertain
        self._smoother = smoother
        self._meetings: int | None = None

    def see(self, sample: PoseSample, meetings: int, tracks: Sequence[Track], ahead_s: float | None) -> None:
        """Take the next sample, and complete it with what is known from the samples before.

        Args:
            sample: The sample.
            meetings: Number of times that the animal became uncertain.
            tracks: Trajectories to feed.
            ahead_s: Time (s) by which positions are predicted; None without prediction.
        """
        met = self._meetings is not None and meetings != self._meetings  # between two frames that came
        self._meetings = meetings
        sample.exchangeable = self._refuses and (sample.uncertain or met)
        if sample.exchangeable:
            self._forget(tracks)
        if self._refuses and sample.uncertain:
            sample.moving = None if self._smoother is None else {}
            return
        if self._smoother is not None:
            sample.moving = self._smoother.update(sample.captured_ns, sample.keypoints)
            sample.ahead_s = ahead_s
        for track in tracks:
            track.feed(sample)

    def reset(self) -> None:
        """Forget the animal: the next sample is unrelated to earlier ones."""
        self._meetings = None
        self._forget(())

    def _forget(self, tracks: Sequence[Track]) -> None:
        if self._smoother is not None:
            self._smoother.reset()
        for track in tracks:
            track.reset()

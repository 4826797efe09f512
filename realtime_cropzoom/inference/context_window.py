"""Which frames a context model is shown for which answer.

Pure. A context model answers for the middle one of five consecutive frames, so it runs two
frames behind. The first and the last two frames of a sequence have no five around them: they
repeat their neighbour's answer (Lightning Pose, ``utils/predictions.py``,
``fix_context_preds_confs``). A model without context is a window of one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

REACH = 2
"""Frames that a context model sees on either side."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What to show the model, and whom its answer is for."""

    window: tuple[T, ...]
    """2 · reach + 1 frames, the one in question in the middle."""
    answers: tuple[T, ...]
    """The frames that get the answer, in order; the middle one is among them."""

    @property
    def middle(self) -> T:
        """The frame in question, whose box the answer is remapped with."""
        return self.window[len(self.window) // 2]


class ContextWindow(Generic[T]):
    """Takes the frames of a sequence one by one, and says what to ask the model."""

    def __init__(self, reach: int) -> None:
        self._reach = reach
        self._last: deque[T] = deque(maxlen=2 * reach + 1)
        self._count = 0

    def push(self, frame: T) -> Question[T] | None:
        """Take the next frame; return what can be asked now."""
        self._last.append(frame)
        self._count += 1
        if len(self._last) < 2 * self._reach + 1:
            return None
        window = tuple(self._last)
        first = self._count == len(window)
        return Question(window, window[: self._reach + 1] if first else (window[self._reach],))

    def flush(self) -> tuple[Question[T] | None, tuple[T, ...]]:
        """End the sequence: return a last question, if any, and the frames that repeat the last answer.

        A sequence shorter than the window is asked about once, its ends repeated to fill the window.
        """
        frames, short = tuple(self._last), self._count < 2 * self._reach + 1
        self._last.clear()
        self._count = 0
        if not frames or self._reach == 0:
            return None, ()
        if not short:
            return None, frames[self._reach + 1 :]
        middle = len(frames) // 2
        places = (min(max(i, 0), len(frames) - 1) for i in range(middle - self._reach, middle + self._reach + 1))
        return Question(tuple(frames[i] for i in places), frames), ()

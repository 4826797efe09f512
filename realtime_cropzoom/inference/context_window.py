"""Context window: collects the frames that a context model needs for each prediction. No I/O.

A context model predicts the middle one of five consecutive frames, so it runs two frames behind.
The first two and the last two frames of a sequence lack neighbours: they repeat the nearest
prediction (Lightning Pose, ``utils/predictions.py``, ``fix_context_preds_confs``). A model without
context has a window of one frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

CONTEXT_RADIUS = 2
"""Number of frames that a context model sees on each side of the predicted frame."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InferenceRequest(Generic[T]):
    """One call of the model: the frames to show it, and the frames that get its prediction."""

    window: tuple[T, ...]
    """2 · reach + 1 frames; the predicted frame is the middle one."""
    answers: tuple[T, ...]
    """The frames that get the prediction, in order; the middle one is among them."""

    @property
    def middle(self) -> T:
        """The predicted frame. Its box maps the keypoints back to frame pixels."""
        return self.window[len(self.window) // 2]


class ContextWindow(Generic[T]):
    """Takes the frames of a sequence one by one, and returns the next call of the model."""

    def __init__(self, context_radius: int) -> None:
        self._context_radius = context_radius
        self._last: deque[T] = deque(maxlen=2 * context_radius + 1)
        self._count = 0

    def push(self, frame: T) -> InferenceRequest[T] | None:
        """Take the next frame; return the call that is now possible, or None if the window is not full."""
        self._last.append(frame)
        self._count += 1
        if len(self._last) < 2 * self._context_radius + 1:
            return None
        window = tuple(self._last)
        first = self._count == len(window)
        return InferenceRequest(
            window, window[: self._context_radius + 1] if first else (window[self._context_radius],)
        )

    def flush(self) -> tuple[InferenceRequest[T] | None, tuple[T, ...]]:
        """End the sequence and prepare for the next one.

        Returns:
            A last call of the model, or None, and the frames that repeat the last prediction. A sequence
            shorter than the window gets one call; its end frames are repeated to fill the window.
        """
        frames, short = tuple(self._last), self._count < 2 * self._context_radius + 1
        self._last.clear()
        self._count = 0
        if not frames or self._context_radius == 0:
            return None, ()
        if not short:
            return None, frames[self._context_radius + 1 :]
        middle = len(frames) // 2
        places = (
            min(max(i, 0), len(frames) - 1)
            for i in range(middle - self._context_radius, middle + self._context_radius + 1)
        )
        return InferenceRequest(tuple(frames[i] for i in places), frames), ()

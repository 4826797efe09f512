"""Runs to which orders are given at their socket, right before given frames are captured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from realtime_cropzoom.control.client import give_order
from realtime_cropzoom.pipeline.pipeline import Pipeline
from support.pipelines import Files, Film, check_complete, make_settings, run_to_end, wait_for

Orders = Mapping[int, Sequence[tuple[Any, ...]]]
"""Frame → orders, as ``give_order`` takes them, that are obeyed before this frame is captured."""


class OrderedRun:
    """A run of a film, from its start to its end."""

    def __init__(
        self,
        folder: Path,
        orders: Orders,
        *,
        frames: int = 120,
        fps: float = 100.0,
        hidden: Collection[int] = (),
        before: Callable[[int], object] = lambda frame: None,
        **chosen: Any,
    ) -> None:
        """Run it. ``before(i)`` comes ahead of frame i and its orders; ``hidden`` frames show no animal."""
        self.answers: list[dict[str, Any]] = []
        """The answers, in order."""
        self._orders, self._before = orders, before
        self.film = Film(frames, fps, hidden=hidden, before=self._obey)
        self.pipeline: Pipeline = run_to_end(make_settings(folder, control="auto", **chosen), self.film)
        self.files: Files = check_complete(self.pipeline.folder)

    @property
    def folder(self) -> Path:
        return self.files.folder

    def events(self, *kinds: str) -> list[dict[str, str]]:
        """Return the rows of the events file of these kinds; all without one."""
        header, *rows = self.files.rows("_events")
        events = [dict(zip(header, row, strict=True)) for row in rows]
        return [event for event in events if not kinds or event["kind"] in kinds]

    def _obey(self, frame: int) -> None:
        self._before(frame)
        for order in self._orders.get(frame, ()):
            self.answers.append(wait_for(partial(_given, order), "the run takes orders"))


def _given(order: tuple[Any, ...]) -> dict[str, Any] | None:
    answer = give_order(*order, by="test")
    return None if "has not begun yet" in answer.get("error", "") else answer

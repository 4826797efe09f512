"""Progress of a training in the terminal: a bar with the time left; elsewhere a line every ten seconds."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from realtime_cropzoom.train import Epoch, Step

_BAR = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left{postfix}"
_PAIR_BAR = "{desc} {percentage:3.0f} %|{bar}| {elapsed}{postfix}"
_LINE_EVERY_S = 10.0
"""Time (s) between two lines of progress if stderr is not a terminal."""


class _OfModel(Protocol):
    @property
    def share(self) -> float: ...
    @property
    def seconds_left(self) -> float: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def held_out_px(self) -> float | None: ...


class _Bar:
    """A bar that is drawn when it is first moved."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def move(self, done: float, of: float) -> None:
        """Draw ``done`` parts of ``of``."""
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=of, desc="training", bar_format=self._form, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def add(self, words: str) -> None:
        """Write words behind the bar, if there is one."""
        if self._bar is not None:
            self._bar.set_postfix_str(words)

    def close(self) -> None:
        """Leave the bar as it is, and draw a new one when it is moved again."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class TrainProgress:
    """Shows the progress of one training."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._bar = _Bar(_BAR)
        self._line_due_s = 0.0

    def __enter__(self) -> TrainProgress:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()

    def say(self, line: str) -> None:
        """Print the name of a slow step before or after the batches, on a terminal only."""
        self._bar.close()
        if sys.stderr.isatty():
            say(f"{line} …")

    def step(self, step: Step) -> None:
        """Show a completed batch."""
        if sys.stderr.isatty():
            self._bar.move(step.done, step.of)
        elif step.seconds >= self._line_due_s:
            self._line_due_s = step.seconds + _LINE_EVERY_S
            say(f"training {step.done / step.of:.0%}, about {duration(step.seconds_left)} left")

    def epoch(self, epoch: Epoch) -> None:
        """Show the loss and error of an epoch."""
        if sys.stderr.isatty():
            error = "" if math.isnan(epoch.held_out_px) else f", held-out error {epoch.held_out_px:.1f} px"
            self._bar.add(f"loss {epoch.loss:.2f}{error}")
        else:
            say(str(epoch))


class PairProgress:
    """Shows the progress of two trainings at the same time in one bar or line: that of the slower one."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._bar = _Bar(_PAIR_BAR)
        self._seen: dict[str, _OfModel] = {}
        self._said_share = 0.0

    def __enter__(self) -> PairProgress:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.close()
        say(line)

    def show(self, role: str, progress: _OfModel) -> None:
        """Show how far a model is."""
        self._seen[role] = progress
        share = min(model.share for model in self._seen.values())
        left = duration(max(model.seconds_left for model in self._seen.values()))
        words = [f"about {left} left", *(_words(role, model) for role, model in sorted(self._seen.items()))]
        if sys.stderr.isatty():
            self._bar.move(round(100 * share, 1), 100)
            self._bar.add("; ".join(words))
        elif share >= self._said_share:
            self._said_share = share + 0.05
            say(f"training {share:.0%}, {'; '.join(words)}")


def _words(role: str, progress: _OfModel) -> str:
    if progress.loss is None:
        return f"{role}: begins"
    error = "" if progress.held_out_px is None else f", held-out error {progress.held_out_px:.1f} px"
    return f"{role}: loss {progress.loss:.2f}{error}"


def say(line: str) -> None:
    """Print a line to stderr."""
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return a time in words, such as ``4 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

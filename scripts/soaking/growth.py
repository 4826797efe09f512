"""Growth: readings once per second, and a line through those after the warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

WARM_UP = 0.2
"""Share of the run that is left out, in which buffers fill, such as the ring's 16 384 frame times."""
_FEWEST = 10


@dataclass(frozen=True)
class Aim:
    """Maximum change of each measurement along its line, from the end of the warm-up to the end."""

    name: str
    unit: str
    within: float


@dataclass
class Samples:
    """One reading per second of each measurement with an aim."""

    aims: Sequence[Aim]
    seconds: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, second: float, *values: float) -> None:
        """Add the readings of one second, in the order of the aims."""
        self.seconds.append(second)
        for aim, value in zip(self.aims, values, strict=True):
            self.values.setdefault(aim.name, []).append(value)

    def describe(self, place: int = -1) -> str:
        """Return the readings of one second as a line."""
        values = ", ".join(f"{a.name} {self.values[a.name][place]:.1f} {a.unit}".rstrip() for a in self.aims)
        return f"{self.seconds[place]:5.0f} s: {values}"

    def judge(self) -> bool:
        """Print the slope of each measurement; return whether all are level."""
        print(f"\n{'':<22}{'median':>10}{'slope an hour':>16}{'along the run':>16}{'aim':>8}")
        levels = [self._is_level(aim) for aim in self.aims]  # all are printed
        return all(levels)

    def _is_level(self, aim: Aim) -> bool:
        seconds, values = np.array(self.seconds), np.array(self.values.get(aim.name, []))
        steady = np.isfinite(values)
        if steady.any():
            steady &= seconds > WARM_UP * seconds[-1]
            steady[-2:] = False  # the run is ending
        if steady.sum() < _FEWEST:
            print(f"{aim.name:<22}too few readings")
            return False
        per_second = float(np.polyfit(seconds[steady], values[steady], 1)[0])
        change = per_second * float(np.ptp(seconds[steady]))
        level = change <= aim.within
        print(
            f"{aim.name:<22}{np.median(values[steady]):>7.1f} {aim.unit:<2}{per_second * 3600:>+13.2f} {aim.unit:<2}"
            f"{change:>+13.2f} {aim.unit:<2}{'≤ ' + format(aim.within, 'g'):>8}  {'level' if level else 'GROWS'}"
        )
        return level

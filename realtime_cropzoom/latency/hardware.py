"""The hardware loop: a board switches a light that the camera sees.

From the last byte written to the board until the first frame handed over that shows the light: the serial
line, the light, what is left of an exposure, read-out, transfer and decoding. The software loop takes over
where this one ends, at the frame that was handed over; together they are the whole loop, from something
that happens in the arena to a device that has been told.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import ConfigError, SinkError, SourceError
from realtime_cropzoom.files.atomic import MAKE_ROOM, to_json, write_whole
from realtime_cropzoom.latency.report import LatencyReport
from realtime_cropzoom.sources.base import Source, without_password
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.trigger.engine.events import Action, ActionType
from realtime_cropzoom.trigger.outputs.base import Job, Output
from realtime_cropzoom.trigger.outputs.factory import parse_output
from realtime_cropzoom.types import Float32, UInt8

_LEARN_S = 1.0
_SETTLED_S = 0.4
"""So long after a switch every camera shows it."""
_DARK_S = (0.15, 0.45)
"""Between two trials; drawn at random, so that they come at no fixed phase of the exposures."""
_GIVEN_UP_S = 1.0
_LEAST_LEVELS = 20.0


@dataclass(frozen=True, slots=True)
class Light:
    """Where in the picture the light is, and how bright it is there."""

    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    """(H, W)."""
    threshold: float
    """Gray level half-way between dark and bright, mean over the mask."""

    def shines(self, image: UInt8) -> bool:
        """Whether an (H, W, 3) frame shows it."""
        return float(image[self.mask].mean()) > self.threshold


@dataclass
class LightTrials:
    """What came of the trials."""

    latency_ms: list[float] = field(default_factory=list)
    missed: int = 0
    """Times that no frame showed the light within a second."""

    def percentiles(self) -> dict[str, float]:
        """Return p50, p95, p99 and max in ms; empty where there are none."""
        if not self.latency_ms:
            return {}
        p50, p95, p99 = np.percentile(self.latency_ms, [50, 95, 99]).tolist()
        return {"p50": p50, "p95": p95, "p99": p99, "max": max(self.latency_ms)}


def find_light(dark: Float32, bright: Float32) -> Light:
    """Return where two (H, W) mean pictures differ most. Raises SourceError where they hardly do."""
    difference = bright - dark
    most = float(difference.max())
    if most < _LEAST_LEVELS:
        raise SourceError(
            f"the camera does not see the light: where it changes most it is {most:.0f} gray levels brighter, expected "
            f"{_LEAST_LEVELS:.0f} or more; point the light at the camera, or shorten the exposure if all is white"
        )
    mask = difference > most / 2
    return Light(mask, float((dark[mask].mean() + bright[mask].mean()) / 2))


def measure_and_report(
    source: str, board: dict[str, Any], trials: int, folder: Path, say: Callable[[str], None]
) -> LatencyReport:
    """Measure with a camera and a board, leave a report in ``folder``, and return it.

    Raises ConfigError, SourceError and SinkError.
    """
    output = parse_output("board", board).make("board", {})
    opened = open_source(source)
    try:
        if not opened.info.live:
            raise ConfigError(f"--led is {source}, which is no camera; give one such as camera:0")
        output.open()
        try:
            blinks = measure_light(opened, output, "board", trials, say)
        finally:
            output.close()
    finally:
        opened.close()
    figures = {"source": without_password(source), "board": board, "trials": trials, "missed": blinks.missed,
               "fps": opened.info.fps, "latency_ms": blinks.percentiles()}  # fmt: skip
    write_whole(folder / "report.json", to_json(figures), MAKE_ROOM)
    rows = "".join(f"{trial},{ms:.3f}\n" for trial, ms in enumerate(blinks.latency_ms))
    write_whole(folder / "trials.csv", f"trial,latency_ms\n{rows}", MAKE_ROOM)
    p = blinks.percentiles()
    found = ", ".join(f"{name} {value:.1f}" for name, value in p.items()) + " ms" if p else "no trial was seen"
    text = f"light switched on → frame handed over: {found}; {trials} trials, {blinks.missed} missed"
    problems = () if 2 * blinks.missed <= trials else (
        f"the camera saw the light in {trials - blinks.missed} of {trials} trials. Point the light at the camera, "
        "and shorten the exposure if the picture is white",
    )  # fmt: skip
    return LatencyReport(f"{text}\nreport: {folder}", problems)


class _Frames:
    """The frames of a source, one picture at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.image: UInt8 = np.empty((source.info.height, source.info.width, 3), np.uint8)

    def __iter__(self) -> Iterator[int]:
        """Yield when each was handed over; its pixels are then in ``image``."""
        for captured in self._source.frames():
            captured_ns = now_ns()
            captured.copy_to(self.image)
            yield captured_ns

    def mean_of(self, seconds: float) -> Float32:
        """Return the mean (H, W) picture of so long, once what was before has settled."""
        total, count = np.zeros(self.image.shape[:2], np.float32), 0
        begin_ns = now_ns() + round(_SETTLED_S * 1e9)
        for captured_ns in self:
            if captured_ns >= begin_ns:
                total += self.image.mean(axis=2, dtype=np.float32)
                count += 1
            if captured_ns >= begin_ns + round(seconds * 1e9):
                return np.asarray(total / np.float32(count), np.float32)
        raise SourceError("the camera ended while the light was looked for")


class _Blinker(threading.Thread):
    """Switches at random moments; says when."""

    def __init__(self, trials: int, switch: Callable[[ActionType], int]) -> None:
        super().__init__(name="cropzoom-blinker", daemon=True)
        self._trials, self._switch = trials, switch
        self._draw = random.Random()
        self._dark = threading.Event()
        """Set from before the light is switched on until a frame shows it."""
        self._seen = threading.Event()
        self._seen_ns = 0
        self.over = threading.Event()
        """Set where nobody looks any more."""
        self.blinks = LightTrials()
        self.error: SinkError | None = None

    def see(self, captured_ns: int) -> None:
        """Take in that a frame shows the light."""
        if self._dark.is_set():
            self._dark.clear()
            self._seen_ns = captured_ns
            self._seen.set()

    def run(self) -> None:
        """Go through the trials."""
        try:
            for _ in range(self._trials):
                self._switch(ActionType.OFF)
                if self.over.wait(_SETTLED_S + self._draw.uniform(*_DARK_S)):
                    break
                self._blink()
            self._switch(ActionType.OFF)
        except SinkError as error:
            self.error = error

    def _blink(self) -> None:
        self._seen.clear()
        self._dark.set()
        written_ns = self._switch(ActionType.ON)
        if self._seen.wait(_GIVEN_UP_S):
            self.blinks.latency_ms.append((self._seen_ns - written_ns) / 1e6)
        else:
            self._dark.clear()
            self.blinks.missed += 1


def measure_light(source: Source, board: Output, name: str, trials: int, say: Callable[[str], None]) -> LightTrials:
    """Measure with an open ``source`` and an open ``board``. Raises SourceError and SinkError."""

    def switch(act: ActionType) -> int:
        written = board.perform(Job(Action(name, act), now_ns()))
        if written.written_ns is None or written.error:
            raise SinkError(f"the board did not switch: {written.error or 'nothing was written'}")
        return written.written_ns

    frames = _Frames(source)
    say("looking for the light …")
    switch(ActionType.OFF)
    dark = frames.mean_of(_LEARN_S)
    switch(ActionType.ON)
    light = find_light(dark, frames.mean_of(_LEARN_S))
    say(f"found it, {int(light.mask.sum())} pixels; {trials} trials …")
    blinker = _Blinker(trials, switch)
    blinker.start()
    for captured_ns in frames:
        if light.shines(frames.image):
            blinker.see(captured_ns)
        if not blinker.is_alive():
            break
    ended_early = blinker.is_alive()
    blinker.over.set()
    blinker.join()
    if ended_early:
        raise SourceError(f"the camera ended after {len(blinker.blinks.latency_ms)} of {trials} trials")
    if blinker.error is not None:
        raise blinker.error
    return blinker.blinks

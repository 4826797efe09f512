"""Hardware loop: a trigger board switches a light that the camera sees.

It measures the time from the last byte written to the board until the first captured frame that shows the light:
serial line, light, rest of an exposure, read-out, transfer and decoding. The software loop begins where this one ends,
at the captured frame. Together they are the whole loop, from an event in the arena to the command to a device.
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

_LOOK_S = 1.0
_SETTLED_S = 0.4
"""Time (s) after a switch until every camera shows it."""
_DARK_S = (0.15, 0.45)
"""Range of the pause between two trials (s). It is random, so that trials have no fixed phase to the exposures."""
_TRIAL_TIMEOUT_S = 1.0
_MIN_LEVELS = 20.0


@dataclass(frozen=True, slots=True)
class Light:
    """Position of the light in the picture, and the threshold that separates dark from bright."""

    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    """(H, W); True where the light is."""
    threshold: float
    """Gray level half-way between dark and bright; mean over the mask, 0 to 255."""

    def shines(self, image: UInt8) -> bool:
        """Return whether a frame (H, W, 3) shows the light."""
        return float(image[self.mask].mean()) > self.threshold


@dataclass
class LightTrials:
    """Results of the trials."""

    latency_ms: list[float] = field(default_factory=list)
    missed: int = 0
    """Number of trials in which no frame showed the light within 1 s."""

    def percentiles(self) -> dict[str, float]:
        """Return p50, p95, p99 and max (ms); empty without trials."""
        if not self.latency_ms:
            return {}
        p50, p95, p99 = np.percentile(self.latency_ms, [50, 95, 99]).tolist()
        return {"p50": p50, "p95": p95, "p99": p99, "max": max(self.latency_ms)}


def find_light(dark: Float32, bright: Float32) -> Light:
    """Find the light: the pixels in which two mean pictures differ most.

    Args:
        dark: Mean picture (H, W) without the light, gray levels.
        bright: The same with the light.

    Raises:
        SourceError: if the pictures hardly differ.
    """
    difference = bright - dark
    most = float(difference.max())
    if most < _MIN_LEVELS:
        raise SourceError(
            f"the camera does not see the light: where it changes most it is {most:.0f} gray levels brighter, expected "
            f"{_MIN_LEVELS:.0f} or more; point the light at the camera, or shorten the exposure if all is white"
        )
    mask = difference > most / 2
    return Light(mask, float((dark[mask].mean() + bright[mask].mean()) / 2))


def measure_and_report(
    source: str, board: dict[str, Any], trials: int, folder: Path, say: Callable[[str], None]
) -> LatencyReport:
    """Measure with a camera and a board, write a report, and return it.

    Args:
        source: The camera.
        board: Settings of the board: ``serial`` (port), ``channel``.
        trials: Number of trials.
        folder: Folder of the report.
        say: Prints a line.

    Raises:
        ConfigError: if the source is not a camera, or the settings of the board are wrong.
        SourceError: if the camera fails, or does not see the light.
        SinkError: if the board fails, or the report cannot be written.
    """
    output = parse_output("board", board).make("board", {})
    opened = open_source(source)
    try:
        if not opened.info.live:
            raise ConfigError(f"--led: got {source}, expected a camera such as camera:0")
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
    """Reads the frames of a source into one picture."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.image: UInt8 = np.empty((source.info.height, source.info.width, 3), np.uint8)

    def __iter__(self) -> Iterator[int]:
        """Yield the capture time (ns) of each frame; ``image`` then has its pixels."""
        for captured in self._source.frames():
            captured_ns = now_ns()
            captured.copy_to(self.image)
            yield captured_ns

    def mean_of(self, seconds: float) -> Float32:
        """Return the mean picture (H, W) over ``seconds``, after the last switch has settled."""
        total, count = np.zeros(self.image.shape[:2], np.float32), 0
        begin_ns = now_ns() + round(_SETTLED_S * 1e9)
        for captured_ns in self:
            if captured_ns >= begin_ns:
                total += self.image.mean(axis=2, dtype=np.float32)
                count += 1
            if captured_ns >= begin_ns + round(seconds * 1e9):
                return np.asarray(total / np.float32(count), np.float32)
        raise SourceError("the camera ended during the search for the light")


class _Blinker(threading.Thread):
    """Thread that switches the light at random times and measures until a frame shows it."""

    def __init__(self, trials: int, switch: Callable[[ActionType], int]) -> None:
        super().__init__(name="cropzoom-blinker", daemon=True)
        self._trials, self._switch = trials, switch
        self._draw = random.Random()
        self._dark = threading.Event()
        """Set from the time before the light is switched on until a frame shows it."""
        self._seen = threading.Event()
        self._seen_ns = 0
        self.over = threading.Event()
        """Set when no more frames are read."""
        self.blinks = LightTrials()
        self.error: SinkError | None = None

    def see(self, captured_ns: int) -> None:
        """Report a frame that shows the light."""
        if self._dark.is_set():
            self._dark.clear()
            self._seen_ns = captured_ns
            self._seen.set()

    def run(self) -> None:
        """Run all trials."""
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
        if self._seen.wait(_TRIAL_TIMEOUT_S):
            self.blinks.latency_ms.append((self._seen_ns - written_ns) / 1e6)
        else:
            self._dark.clear()
            self.blinks.missed += 1


def measure_light(source: Source, board: Output, name: str, trials: int, say: Callable[[str], None]) -> LightTrials:
    """Measure with an open source and an open board.

    Args:
        source: The camera.
        board: The output that switches the light.
        name: Name of the output.
        trials: Number of trials.
        say: Prints a line.

    Raises:
        SourceError: if the camera ends, or does not see the light.
        SinkError: if the board does not switch.
    """

    def switch(act: ActionType) -> int:
        written = board.perform(Job(Action(name, act), now_ns()))
        if written.written_ns is None or written.error:
            raise SinkError(f"the board did not switch: {written.error or 'nothing was written'}")
        return written.written_ns

    frames = _Frames(source)
    say("looking for the light …")
    switch(ActionType.OFF)
    dark = frames.mean_of(_LOOK_S)
    switch(ActionType.ON)
    light = find_light(dark, frames.mean_of(_LOOK_S))
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

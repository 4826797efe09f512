"""Check that a source opens and delivers frames as fast as it should."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import numpy as np

from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import CropzoomError, SourceError
from realtime_cropzoom.pipeline.startup import load_calibration
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceInfo, without_password
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.types import UInt8

SHORTFALL = 0.1
"""A source that is slower than expected by more than this share is too slow."""
_SETTLE = 0.1
"""Share of the measurement that is left out at the start, because a live source may begin with old frames."""
_SAMPLE_BYTES = 64 << 20
_SAMPLES = 30


class Measured(threading.Thread):
    """Thread that opens a source, reads its frames for some time, and closes it."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        super().__init__(name="cropzoom-measure", daemon=True)  # a driver may hang
        self.settings, self._seconds = settings, seconds
        self.info: SourceInfo | None = None
        self.fps: float | None = None
        """Measured frame rate; None if there were too few frames."""
        self.read_ms = 0.0
        """Processor time (ms) of reading, per frame."""
        self.samples: list[UInt8] = []
        """The first frames, (H, W, 3) RGB."""
        self.coded_bytes = 0.0
        """Mean size of the compressed frames (bytes); 0 unless the run records a copy of them."""
        self.problem: str | None = None
        """Why the source cannot be used; None if it can."""
        self.notes: list[str] = []

    @property
    def shown(self) -> str:
        """The source, without a password."""
        return without_password(str(self.settings.source))

    @property
    def wanted_fps(self) -> float | None:
        """Expected frame rate: of a camera, as requested or else as announced; of a recording, as it plays."""
        info, settings = self.info, self.settings
        if info is None or settings.pace == "fast":
            return None
        if info.live:
            return None if settings.trigger else settings.camera_fps or info.fps
        return None if info.fps is None else info.fps * settings.speed

    @property
    def run_fps(self) -> float | None:
        """Frame rate in the run; None if unknown, or in lockstep (``pace: fast``), which
        waits for the models."""
        live = self.info is not None and self.info.live and self.settings.pace != "fast"
        return self.fps if live else self.wanted_fps

    def run(self) -> None:
        """Measure."""
        try:
            source = open_source(str(self.settings.source), self.settings.source_options())
            try:
                self.info = source.info
                self._take(source, source.info)
                self.notes += [*source.info.notes, *source.problems()]
            finally:
                source.close()
        except CropzoomError as error:
            self.problem = str(error)
        except Exception as error:  # of a driver or its library
            self.problem = f"{self.shown} failed: {type(error).__name__}: {error}"

    def max_time_s(self) -> float:
        """Return the maximum time of the measurement (s)."""
        return self.settings.open_timeout_s + self.settings.read_timeout_s + 2 * self._seconds + 1.0

    def _take(self, source: Source, info: SourceInfo) -> None:
        image = np.empty((info.height, info.width, 3), np.uint8)
        settle_ns = round(_SETTLE * self._seconds * 1e9) if info.live else 0
        first_ns = begin_ns = end_ns = frames = taken = coded_bytes = 0
        began_s = time.thread_time()
        for captured in source.frames():
            taken += 1
            _check_size(captured, info)
            encoded = None if captured.encoded is None else captured.encoded()
            coded_bytes += 0 if encoded is None else encoded.nbytes
            captured.copy_to(image)  # the conversion is part of the rate
            end_ns = now_ns()
            if len(self.samples) < min(_SAMPLES, max(1, _SAMPLE_BYTES // image.nbytes)):
                self.samples.append(image.copy())
            first_ns = first_ns or end_ns
            if end_ns - first_ns >= settle_ns:
                begin_ns, frames = (begin_ns, frames + 1) if begin_ns else (end_ns, 0)
            if end_ns - first_ns - settle_ns >= self._seconds * 1e9:
                break
        if not first_ns:
            raise SourceError(
                f"{info.name} opens, but no frame comes. Does it wait for a trigger, or is the file empty?"
            )
        self.coded_bytes = coded_bytes / taken
        self.read_ms = (time.thread_time() - began_s) * 1e3 / taken
        self.fps = frames * 1e9 / (end_ns - begin_ns) if frames else None


def measure_all(cameras: Mapping[str, Settings], seconds: float) -> dict[str, tuple[Settings, Measured]]:
    """Measure all sources at the same time, because they share buses and processor.

    Args:
        cameras: {name: settings}.
        seconds: Time for which each source is measured.

    Returns:
        {name: (settings, finished measurement)}.
    """
    threads = {name: (settings, Measured(settings, seconds)) for name, settings in cameras.items()}
    for _, thread in threads.values():
        thread.start()
    until_ns = now_ns() + round(max(thread.max_time_s() for _, thread in threads.values()) * 1e9)
    for _, thread in threads.values():
        while thread.is_alive() and now_ns() < until_ns:  # short waits, because Ctrl-C must get through
            thread.join(0.1)
        if thread.is_alive():
            waited = f"{thread.shown} did not answer within {thread.max_time_s():.0f} s"
            thread.problem = f"{waited}; check the cable, and whether another program uses it"
    return threads


def check_source(settings: Settings, measured: Measured) -> CheckResult:
    """Return a line that says whether the source opens and is fast enough."""
    info = measured.info
    if measured.problem is not None or info is None:
        return bad("source", str(measured.problem))
    if info.live and settings.pace == "fast":
        return bad("source", f"{info.name} is a live source, and pace fast is for recordings; remove pace: fast")
    fps, wanted = measured.fps, measured.wanted_fps
    values = {"width": info.width, "height": info.height, "fps": _rounded(fps), "wanted_fps": _rounded(wanted)}
    came = "a few frames" if fps is None else f"{fps:.1f} frames per second"
    how = "gives" if info.live else "can be read at"
    text = f"{measured.shown}: {info.width}x{info.height}, {how} {came}"
    text += f", {wanted:.4g} expected" if wanted is not None else ""
    notes = "".join(f"; {note}" for note in measured.notes)
    if fps is not None and wanted is not None and fps < (1 - SHORTFALL) * wanted:
        return bad("source", f"{text}; {_what_to_do(info)}{notes}", **values)
    return good("source", text + notes, **values)


def _what_to_do(info: SourceInfo) -> str:
    if info.live:
        return (
            "shorten the exposure, add light, try another --pixel-format or a smaller --camera-size, "
            "or lower --camera-fps"
        )
    return "this machine cannot read the file in time: convert it, or set a lower speed"


def _check_size(captured: CapturedFrame, info: SourceInfo) -> None:
    if (captured.width, captured.height) != (info.width, info.height):
        raise SourceError(
            f"a frame of {info.name} is {captured.width}x{captured.height}, but the first was "
            f"{info.width}x{info.height}; a run would end there"
        )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)


def check_calibration(measured: Measured) -> CheckResult | None:
    """Return a line about the calibration; None without a calibration or frames."""
    if measured.info is None:
        return None
    try:
        calibration = load_calibration(measured.settings, measured.info)
    except CropzoomError as error:
        return bad("calibration", str(error))
    if calibration is None:
        return None
    px_per_cm = calibration.px_per_cm()
    return good("calibration", f"{px_per_cm:.2f} pixels per cm in the middle of the frame", px_per_cm=px_per_cm)

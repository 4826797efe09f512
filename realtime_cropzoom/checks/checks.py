"""``cropzoom check``: tries everything that a run needs, before an experiment. It leaves no files.

All cameras are measured at the same time, as in the run. The other checks follow one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from realtime_cropzoom.checks.animal import check_animal
from realtime_cropzoom.checks.machine import (
    check_clock,
    check_cores,
    check_disk,
    check_endpoints,
    check_orders,
    check_output,
)
from realtime_cropzoom.checks.models import CheckedModels, check_models
from realtime_cropzoom.checks.recording import check_recording
from realtime_cropzoom.checks.result import CheckResult
from realtime_cropzoom.checks.source import check_calibration, check_source, measure_all
from realtime_cropzoom.clock import unix_offset_ns
from realtime_cropzoom.config.settings import Settings

__all__ = ["CheckResult", "check"]


def check(cameras: Mapping[str, Settings], *, hours: float, measure_s: float = 2.0) -> Iterator[CheckResult]:
    """Run all checks and yield a line for each, as soon as it is known.

    Args:
        cameras: {name: settings}. All cameras have the same output folder.
        hours: Length of the run, for the disk.
        measure_s: Time (s) for which each source is measured.
    """
    anchor_ns = unix_offset_ns()
    rates: list[float | None] = []
    busy: list[float | None] = []
    for name, (settings, measured) in measure_all(cameras, measure_s).items():
        yield check_source(settings, measured).of(name)
        calibration = check_calibration(measured)
        if calibration is not None:
            yield calibration.of(name)
        models = CheckedModels(settings, measured)
        for line in check_models(models):
            yield line.of(name)
        animal = check_animal(models)
        if animal is not None:
            yield animal.of(name)
        recording, rate = check_recording(models)
        if recording is not None:
            yield recording.of(name)
        yield check_endpoints(settings).of(name)
        yield check_orders(settings).of(name)
        rates.append(rate)
        busy.append(models.cores)
    out = next(iter(cameras.values())).out
    yield check_output(out)
    yield check_disk(out, hours, rates)
    yield check_cores(busy)
    yield check_clock(anchor_ns)

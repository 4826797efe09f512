"""Whether the calibration goes with the frames."""

from __future__ import annotations

from realtime_cropzoom.checks.result import Line, bad, good
from realtime_cropzoom.checks.source import Measured
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.pipeline.pipeline import load_calibration


def check_calibration(measured: Measured) -> Line | None:
    """Return a line where there is a calibration, and frames to hold it against."""
    if measured.info is None:
        return None
    try:
        calibration = load_calibration(measured.settings, measured.info)
    except CropzoomError as error:
        return bad("calibration", str(error))
    if calibration is None:
        return None
    px_per_cm = calibration.px_per_cm()
    return good("calibration", f"{px_per_cm:.2f} pixels a cm in the middle of the frame", px_per_cm=px_per_cm)

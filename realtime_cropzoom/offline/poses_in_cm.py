"""Poses in centimetres: a second file next to the poses of an offline pass, in the same format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from realtime_cropzoom.calibration.calibration import Calibration, read_calibration
from realtime_cropzoom.files.atomic import Say, replacing
from realtime_cropzoom.offline.provenance import already_made, input_entry, write_origin
from realtime_cropzoom.sessions.dlc_csv import header_text, iter_predictions
from realtime_cropzoom.sessions.pose_rows import CM, cm_cells
from realtime_cropzoom.types import Keypoints


def write_cm(poses: Path, calibration: Path, *, overwrite: bool, say: Say) -> Path:
    """Write ``<poses>_cm.csv`` next to the poses and return it.

    Args:
        poses: File of the poses in frame pixels.
        calibration: File of the calibration.
        overwrite: Whether to replace an existing file.
        say: Shows the user a line.

    Raises:
        ConfigError: if the calibration is not valid.
        DataError: if the poses cannot be read, or an existing file was made of something else.
        SinkError: if the file cannot be written.
    """
    final = poses.with_name(f"{poses.stem}{CM}.csv")
    made_of = {"poses": input_entry(poses), "calibration": input_entry(calibration)}
    arena = read_calibration(calibration)

    def fits() -> bool:
        return final.read_text(encoding="utf-8") == "".join(_lines(poses, arena))

    if not already_made(final, "pipeline", made_of, overwrite=overwrite, say=say, fits=fits):
        with replacing(final) as file:
            file.writelines(_lines(poses, arena))
        write_origin(final, "pipeline", made_of)
    return final


def _lines(poses: Path, calibration: Calibration) -> Iterator[str]:
    yield header_text(poses)
    for chunk in iter_predictions(poses):
        for name, xy, likelihood in zip(chunk.index, chunk.xy, chunk.likelihood, strict=True):
            keypoints = Keypoints(xy, likelihood)  # float64, as in the file
            yield f"{name}{cm_cells(calibration, keypoints)}\n"

"""CSV rows of poses and boxes, in the format of DeepLabCut and Lightning Pose. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

from realtime_cropzoom.calibration.calibration import Calibration
from realtime_cropzoom.files.csv_text import text_cell
from realtime_cropzoom.types import ActiveBox, Keypoints

CM = "_cm"
"""End of the name of a file of poses in cm. Its format is the same as for poses in pixels."""
BBOX_COLUMNS = ",x,y,h,w,box_frame,box_age_ms,state,box_origin"
"""Header of a run's box file. The first column, without a name, is the frame number."""
IDENTITY_COLUMNS = ",uncertain,meetings"
"""Further columns of the box file of one of several animals."""
ANIMALS = "_animals"
"""End of the name of the file with the poses of several animals."""


def pose_header(keypoint_names: Sequence[str], scorer: str, *, sets: bool = False) -> str:
    """Return the three header rows scorer, bodyparts and coords.

    Args:
        keypoint_names: Names of the K keypoints.
        scorer: Name of the model or its kind.
        sets: Whether there is a last column ``set``, for labelled images.
    """
    n = len(keypoint_names)
    bodyparts = ",".join(cell for cell in map(text_cell, keypoint_names) for _ in range(3))
    scorer = text_cell(scorer)
    last = (",set", ",", ",") if sets else ("", "", "")
    rows = (f"scorer{f',{scorer}' * 3 * n}", f"bodyparts,{bodyparts}", f"coords{',x,y,likelihood' * n}")
    return "".join(f"{row}{end}\n" for row, end in zip(rows, last, strict=True))


def animal_name(number: int) -> str:
    """Return the name of one of several animals in files."""
    return f"animal{number}"


def animal_names(animals: int) -> tuple[str, ...]:
    """Return the names of several animals in files: ``animal1`` and so on; empty for one."""
    return tuple(animal_name(number) for number in range(1, animals + 1)) if animals > 1 else ()


def animals_header(keypoint_names: Sequence[str], scorer: str, animals: Sequence[str]) -> str:
    """Return the four header rows scorer, individuals, bodyparts and coords, as DeepLabCut writes for several animals.

    Args:
        keypoint_names: Names of the K keypoints.
        scorer: Name of the model or its kind.
        animals: Names of the animals.
    """
    n, cells = len(keypoint_names), [text_cell(name) for name in keypoint_names]
    rows = (
        f"scorer{f',{text_cell(scorer)}' * 3 * n * len(animals)}",
        "individuals" + "".join(f",{name}" * 3 * n for name in animals),
        "bodyparts" + "".join(f",{cell}" * 3 for _ in animals for cell in cells),
        f"coords{',x,y,likelihood' * n * len(animals)}",
    )
    return "".join(f"{row}\n" for row in rows)


def pose_cells(keypoints: Keypoints) -> str:
    """Return the 3 K cells of a pose, each with a comma before it; NaN is written as ``NaN``."""
    return _cells(keypoints.xy.tolist(), keypoints.likelihood.tolist())


def cm_cells(calibration: Calibration, keypoints: Keypoints) -> str:
    """Return the 3 K cells of a pose in cm, each with a comma before it; NaN where the calibration does not reach."""
    return _cells(calibration.to_arena(keypoints.xy).tolist(), keypoints.likelihood.tolist())


def blank_cells(keypoints: int) -> str:
    """Return the cells of a row without a pose: ``NaN``, because pandas drops a first row of empty cells."""
    return ",NaN" * (3 * keypoints)


def identity_cells(active: ActiveBox | None) -> str:
    """Return the cells of ``IDENTITY_COLUMNS`` of a row, each with a comma before it; empty cells if it was skipped."""
    if active is None:
        return ",,"
    return f",{'yes' if active.uncertain else 'no'},{active.meetings}"


def box_cells(active: ActiveBox | None) -> str:
    """Return the cells of a row of a box file, each with a comma before it; None gives empty cells (skipped)."""
    if active is None:
        return "," * (BBOX_COLUMNS.count(","))
    box = active.box
    cells = ",,,," if box is None else f",{box.x},{box.y},{box.h},{box.w}"
    frame = "" if active.frame < 0 else active.frame
    age = "" if math.isnan(active.age_ms) else repr(active.age_ms)
    origin = "" if box is None else active.origin.value
    return f"{cells},{frame},{age},{active.state.value},{origin}"


def _cells(xy: Sequence[Sequence[float]], likelihood: Sequence[float]) -> str:
    return "".join(f",{_cell(x)},{_cell(y)},{_cell(p)}" for (x, y), p in zip(xy, likelihood, strict=True))


def _cell(number: float) -> str:
    return "NaN" if math.isnan(number) else repr(number)

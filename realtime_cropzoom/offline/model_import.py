"""Model import: writes a model of any maker as one file that describes itself, and checks what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from realtime_cropzoom import __version__
from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.files.atomic import make_folder, write_whole
from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.self_describing import self_describing
from realtime_cropzoom.types import UInt8

_MAX_SHIFT_PX = 0.01
_MAX_DIFFERENCE = 1e-4
"""Largest difference of a likelihood."""
_FRAME = (640, 480)
"""(width, height) of the noise for a model that sees whole frames of any size."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that was written."""

    path: Path
    model: Model
    """The model, loaded from what was written."""
    shift_px: float
    """Largest distance between its keypoints and those of the original, on a picture of noise (pixels)."""


def import_model(original: Model, out: Path) -> Imported:
    """Write a model as one file, after loading, running and comparing it.

    Args:
        original: The model, loaded with what the user says of it.
        out: The file. It is replaced.

    Raises:
        ModelError: if the written file does not give what the original gives. Nothing is written then.
        SinkError: if the file cannot be written.
    """
    content = self_describing(original.file, f"realtime-cropzoom {__version__}")
    with TemporaryDirectory(prefix="cropzoom-import-") as scratch:
        path = Path(scratch) / out.name
        path.write_bytes(content)
        written = Model(path, threads=1)
        shift_px = _compare(original, written, out)
    make_folder(out.parent)
    write_whole(out, content)
    return Imported(out, written, shift_px)


def _compare(original: Model, written: Model, out: Path) -> float:
    """Return the largest shift of a keypoint on a picture of noise (pixels). Raises ModelError if it is one."""
    image = _noise(original)
    a, b = (model.predict_still(image, whole_image(image)) for model in (original, written))
    same = np.array_equal(np.isnan(a.xy), np.isnan(b.xy))
    shift_px = float(np.nanmax(np.abs(a.xy - b.xy), initial=0.0)) if same else np.inf
    difference = float(np.nanmax(np.abs(a.likelihood - b.likelihood), initial=0.0))
    if shift_px > _MAX_SHIFT_PX or difference > _MAX_DIFFERENCE:
        raise ModelError(
            f"{out} would not give what {original.path} gives: on a picture of noise keypoints differ by "
            f"{shift_px:.3g} px and likelihoods by {difference:.2g}. Nothing is written"
        )
    return shift_px


def _noise(model: Model) -> UInt8:
    """Return a picture of noise, (H, W, 3): coarse and fine, so that networks find something in it."""
    width, height = _FRAME if model.manifest.input.size is None else model.size
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(0, 128, (-(-height // 16), -(-width // 16), 3)), np.ones((16, 16, 1)))
    return np.asarray(coarse[:height, :width] + rng.integers(0, 128, (height, width, 3)), np.uint8)

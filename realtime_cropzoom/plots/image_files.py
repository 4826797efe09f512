"""Pictures and figures as files: whole or absent."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_cropzoom.errors import SinkError, error_text
from realtime_cropzoom.files.atomic import write_whole
from realtime_cropzoom.files.atomic_images import encode_image
from realtime_cropzoom.types import UInt8

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_png(path: Path, image: UInt8) -> None:
    """Write an RGB picture (H, W, 3); the file is complete or absent. Raises SinkError."""
    write_whole(path, encode_image(path, image[:, :, ::-1]))


def write_figure(path: Path, figure: Figure, *, dpi: int = 150) -> None:
    """Write a figure; the file is complete or absent. Raises SinkError."""
    write_whole(path, encode_figure(path, figure, dpi=dpi))


def encode_figure(path: Path, figure: Figure, *, dpi: int = 150) -> bytes:
    """Return a figure in the format of the suffix of ``path``. Raises SinkError if Matplotlib cannot write it."""
    encoded = BytesIO()
    try:
        figure.savefig(encoded, dpi=dpi, format=path.suffix[1:].lower() or "png")
    except ValueError as error:
        raise SinkError(f"cannot write {path}: {error_text(error)}; give a name such as picture.png") from None
    return encoded.getvalue()

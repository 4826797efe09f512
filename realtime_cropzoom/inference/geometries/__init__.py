"""Geometries: how a region of the frame becomes a picture of the input's size. One module a geometry.

* ``view`` – where the input lies in the frame, and the map between both
* ``scale`` – resized by one factor with antialiasing, and padded to a multiple
* ``stretch`` – resized to the input, width and height on their own
* ``letterbox`` – resized until it fits into the input, and padded
* ``affine`` – grown around its centre, and warped

``show`` and ``choose_size`` know all geometries: a new one is a module, and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.inference.crop import Edge
from realtime_cropzoom.inference.geometries import affine, letterbox, scale, stretch
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.manifest import Affine, Geometry, Letterbox, Manifest, Scale, Stretch
from realtime_cropzoom.types import Box, Picture, UInt8

Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True, slots=True)
class _Functions:
    """The functions of a geometry."""

    show: Callable[[Any, Size, Picture, Box, Edge], tuple[UInt8, View]]
    """(geometry, size of the input, frame, region, edge) → picture and view."""
    input_size: Callable[[Any, Size], Size | None] = lambda geometry, region: None
    """(geometry, size of the region) → size of the input; None if the input must have a size of its own."""


_GEOMETRIES: dict[type[Geometry], _Functions] = {
    Affine: _Functions(affine.show),
    Letterbox: _Functions(letterbox.show, letterbox.input_size),
    Scale: _Functions(scale.show, scale.input_size),
    Stretch: _Functions(stretch.show),
}


def show(geometry: Geometry, size: Size, image: Picture, box: Box, edge: Edge) -> tuple[UInt8, View]:
    """Show a region of a frame to a network.

    Args:
        geometry: How the region gets into the input.
        size: (W, H) of the input (pixels).
        image: The frame.
        box: The region (frame pixels). It may reach beyond the frame.
        edge: ``pad`` or ``clamp``, for geometries that leave the choice, see ``crop.cut``.

    Returns:
        (H, W, 3) uint8, RGB, and where it lies in the frame.
    """
    return _GEOMETRIES[type(geometry)].show(geometry, size, image, box, edge)


def choose_size(manifest: Manifest, region: Size, source: object) -> Size:
    """Return (W, H) of the input of a network for a region (pixels).

    Args:
        manifest: Description of the network.
        region: (width, height) of the region (frame pixels). It counts if the network takes any size.
        source: Where the network comes from, for error texts.

    Raises:
        ModelError: if neither the network nor its geometry has a size.
    """
    if manifest.input.size is not None:
        return manifest.input.size
    size = _GEOMETRIES[type(manifest.geometry)].input_size(manifest.geometry, region)
    if size is None:
        raise ModelError(f"{source} leaves its image size open; export it with a fixed height and width")
    return size

"""Decoders: how the outputs of a network become keypoints in input pixels. One module a decoder.

* ``litpose_heatmaps`` – heatmaps of Lightning Pose and cropzoom
* ``confidence_maps``, ``grid_peaks`` – confidence maps of SLEAP, and the peaks that its files find themselves
* ``heatmap_offsets`` – heatmaps and offsets of DeepLabCut
* ``coordinates`` – coordinates of a regression model
* ``simcc`` – classifications of columns and rows, of RTMPose
* ``rows`` – rows of a box and keypoints, of YOLO-pose

``decode`` and ``expected_shapes`` know all decoders: a new one is a module, and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.decoders import (
    confidence_maps,
    coordinates,
    grid_peaks,
    heatmap_offsets,
    litpose_heatmaps,
    rows,
    simcc,
)
from realtime_cropzoom.inference.manifest import (
    ConfidenceMaps,
    Coordinates,
    Decoder,
    GridPeaks,
    HeatmapOffsets,
    LitposeHeatmaps,
    Rows,
    SimCC,
)
from realtime_cropzoom.types import Float32, Keypoints

Size = tuple[int, int]
Shape = tuple[int | None, ...]
"""Shape of an output for one frame, without its batch axis; None where any number will do."""


@dataclass(frozen=True, slots=True)
class _Functions:
    """The functions of a decoder."""

    decode: Callable[[Any, Sequence[Float32], Size, Method], Keypoints]
    """(decoder, outputs of one frame, size of the input, method) → keypoints in input pixels."""
    shapes: Callable[[Any, int, Size], Sequence[Shape]]
    """(decoder, number of keypoints, size of the input) → shapes of the outputs that it reads."""


_DECODERS: dict[type[Decoder], _Functions] = {
    ConfidenceMaps: _Functions(confidence_maps.decode, confidence_maps.shapes),
    Coordinates: _Functions(coordinates.decode, coordinates.shapes),
    GridPeaks: _Functions(grid_peaks.decode, grid_peaks.shapes),
    HeatmapOffsets: _Functions(heatmap_offsets.decode, heatmap_offsets.shapes),
    LitposeHeatmaps: _Functions(litpose_heatmaps.decode, litpose_heatmaps.shapes),
    Rows: _Functions(rows.decode, rows.shapes),
    SimCC: _Functions(simcc.decode, simcc.shapes),
}


def decode(decoder: Decoder, outputs: Sequence[Float32], size: Size, method: Method) -> Keypoints:
    """Decode the outputs of one frame.

    Args:
        decoder: What the outputs are.
        outputs: The outputs of one frame, without the batch axis, in the order of the manifest.
        size: (W, H) of the network's input (pixels).
        method: ``reference`` or ``fast``, for decoders that have both.

    Returns:
        K keypoints in input pixels.
    """
    return _DECODERS[type(decoder)].decode(decoder, outputs, size, method)


def expected_shapes(decoder: Decoder, keypoints: int, size: Size) -> Sequence[Shape]:
    """Return the shapes of the outputs that a decoder reads.

    Args:
        decoder: What the outputs are.
        keypoints: Number of keypoints.
        size: (W, H) of the network's input (pixels).
    """
    return _DECODERS[type(decoder)].shapes(decoder, keypoints, size)

"""Decoders: how the outputs of a network become keypoints in input pixels. One module a decoder.

* ``litpose_heatmaps`` – heatmaps of Lightning Pose and cropzoom
* ``confidence_maps``, ``grid_peaks`` – confidence maps of SLEAP, and the peaks that its files find themselves
* ``heatmap_offsets`` – heatmaps and offsets of DeepLabCut
* ``coordinates`` – coordinates of a regression model
* ``simcc`` – classifications of columns and rows, of RTMPose
* ``rows`` – rows of a box and keypoints, of YOLO-pose

``instances`` is what those return that find several animals. ``decode``, ``decode_all`` and ``expected_shapes`` know
all decoders: a new one is a module, and an entry here.
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
from realtime_cropzoom.inference.decoders.instances import Instance
from realtime_cropzoom.inference.manifest import (
    ConfidenceMaps,
    Coordinates,
    Decoder,
    GridPeaks,
    HeatmapOffsets,
    LitposeHeatmaps,
    Manifest,
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
    decode_all: Callable[[Any, Sequence[Float32], Size, Method], list[Instance]] | None = None
    """As ``decode``, for all animals; None if the outputs have room for one."""


_DECODERS: dict[type[Decoder], _Functions] = {
    ConfidenceMaps: _Functions(confidence_maps.decode, confidence_maps.shapes, confidence_maps.decode_all),
    Coordinates: _Functions(coordinates.decode, coordinates.shapes),
    GridPeaks: _Functions(grid_peaks.decode, grid_peaks.shapes, grid_peaks.decode_all),
    HeatmapOffsets: _Functions(heatmap_offsets.decode, heatmap_offsets.shapes),
    LitposeHeatmaps: _Functions(litpose_heatmaps.decode, litpose_heatmaps.shapes),
    Rows: _Functions(rows.decode, rows.shapes, rows.decode_all),
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


def finds_several(manifest: Manifest) -> bool:
    """Return whether a network can find several animals in a picture, see ``decode_all``.

    Args:
        manifest: Its description.
    """
    decoder = manifest.decoder
    if isinstance(decoder, ConfidenceMaps):  # of several keypoints, peaks would have to be grouped to animals
        return len(manifest.keypoint_names) == 1
    if isinstance(decoder, GridPeaks):
        return decoder.several
    return _DECODERS[type(decoder)].decode_all is not None


def decode_all(decoder: Decoder, outputs: Sequence[Float32], size: Size, method: Method) -> list[Instance]:
    """Decode all animals in the outputs of one frame.

    Args:
        decoder: What the outputs are. ``finds_several`` holds for its manifest.
        outputs: As for ``decode``.
        size: (W, H) of the network's input (pixels).
        method: ``reference`` or ``fast``.

    Returns:
        The animals in input pixels, the surest first. Those with numbers that are not finite are left out.
    """
    functions = _DECODERS[type(decoder)]
    assert functions.decode_all is not None, f"{type(decoder).__name__} finds one animal"
    return functions.decode_all(decoder, outputs, size, method)


def expected_shapes(decoder: Decoder, keypoints: int, size: Size) -> Sequence[Shape]:
    """Return the shapes of the outputs that a decoder reads.

    Args:
        decoder: What the outputs are.
        keypoints: Number of keypoints.
        size: (W, H) of the network's input (pixels).
    """
    return _DECODERS[type(decoder)].shapes(decoder, keypoints, size)

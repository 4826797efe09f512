"""Manifest in words: what a network needs and gives, for a person who did not train it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from realtime_cropzoom.errors import listed, quoted
from realtime_cropzoom.inference.manifest import (
    Affine,
    ConfidenceMaps,
    Coordinates,
    GridPeaks,
    HeatmapOffsets,
    Input,
    Letterbox,
    LitposeHeatmaps,
    Manifest,
    Rows,
    Scale,
    SimCC,
    Stretch,
    Trained,
)

_PIXELS = {1.0: "pixel", 1 / 255: "pixel / 255"}
_ORDERS = {"rgb": "RGB", "bgr": "BGR", "gray": "gray (0.2989 R + 0.587 G + 0.114 B)"}
_LAYOUTS = {"nchw": "channels before rows (NCHW)", "nhwc": "channels last (NHWC)"}


def describe(manifest: Manifest, number_type: str) -> dict[str, str]:
    """Return what a manifest says, a line for each thing.

    Args:
        manifest: The manifest.
        number_type: Number type of the network's input, such as ``float32``.

    Returns:
        {thing: what it is}. Things about which nothing is known are left out.
    """
    lines = {
        "maker": f"{manifest.maker} {manifest.maker_version}".strip(),
        "kind": manifest.kind,
        "role": _role(manifest),
        "keypoints": f"{len(manifest.keypoint_names)}: {listed(manifest.keypoint_names)}",
        "skeleton": _skeleton(manifest),
        "input": _input(manifest, number_type),
        "values": values_text(manifest.input, number_type),
        "colours": _ORDERS[manifest.input.channels],
        "geometry": geometry_text(manifest),
        "decoder": decoder_text(manifest),
        "likelihood": manifest.score,
        "boxes": _boxes(manifest),
        "presence": "knows what its output is like without an animal" if manifest.presence else "",
        "trained on": manifest.trained_on,
        "knows": "" if manifest.trained is None else trained_text(manifest.trained),
        "licence": manifest.license,
    }
    return {title: text for title, text in lines.items() if text}


def _role(manifest: Manifest) -> str:
    if manifest.role == "detector":
        return "detector: finds the animal in the whole frame"
    if manifest.whole_frame:
        return "pose model of whole frames: needs no detector" + ("" if manifest.role else "; or a detector")
    return "pose model: sees boxes around the animal" if manifest.role == "pose" else "detector or pose model"


def _skeleton(manifest: Manifest) -> str:
    names = manifest.keypoint_names
    return ", ".join(f"{quoted(names[a])} - {quoted(names[b])}" for a, b in manifest.skeleton)


def _input(manifest: Manifest, number_type: str) -> str:
    size = manifest.input.size
    sides = "any size" if size is None else f"{size[0]}x{size[1]} px (width x height)"
    frames = "five frames, " if manifest.context else ""
    return f"{frames}{sides}, {number_type}, {_LAYOUTS[manifest.input.layout]}"


def values_text(given: Input, number_type: str) -> str:
    """Return how a pixel becomes a value of the input.

    Args:
        given: The input.
        number_type: Its number type.
    """
    if number_type == "uint8":
        return "pixels as they are, 0 to 255"
    pixel = next((text for scale, text in _PIXELS.items() if abs(given.scale / scale - 1) < 1e-9), "")
    pixel = pixel or f"pixel * {given.scale:g}"
    if not any(given.mean) and all(std == 1 for std in given.std):
        return pixel
    return f"({pixel} - {_numbers(given.mean)}) / {_numbers(given.std)}"


def _numbers(values: Sequence[float]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else f"({', '.join(texts)})"


def geometry_text(manifest: Manifest) -> str:
    """Return how a region of the frame becomes the input.

    Args:
        manifest: The manifest.
    """
    region = "frame" if manifest.role == "detector" or manifest.whole_frame else "box"
    match manifest.geometry:
        case Stretch(widen=True):
            return f"the {region} grows to the aspect of the input, and is resized to it"
        case Stretch():
            return f"the {region} is stretched to the input"
        case Letterbox(colour, place):
            where = "in the middle" if place == "centre" else "at the top left"
            return f"the {region} is resized until it fits into the input, {where}; the rest is {colour}"
        case Affine(padding):
            return f"the {region} grows by {padding:g}, then to the aspect of the input, and is warped to it"
        case Scale(factor, multiple, border):
            size = "keeps its size" if factor == 1 else f"is resized by {factor:g}"
            rest = "zeros" if border == "zero" else "a mirrored border"
            padded = "" if multiple == 1 else f", and gets {rest} right and below, to a multiple of {multiple} px"
            return f"the {region} {size}{padded}"


def decoder_text(manifest: Manifest) -> str:
    """Return how the outputs become keypoints.

    Args:
        manifest: The manifest.
    """
    match manifest.decoder:
        case LitposeHeatmaps():
            return "heatmaps: soft-argmax of the enlarged map, as Lightning Pose does"
        case ConfidenceMaps(stride, threshold, refinement):
            fine = "refined by the 5x5 cells around it" if refinement == "integral" else "not refined"
            return f"confidence maps: the highest cell of {stride:g} px, {fine}; absent below {threshold:g}"
        case GridPeaks(stride, threshold):
            return (
                f"peaks that the network finds itself, in steps of {stride:g} px of the input"
                f"{_absent_below(threshold)}: no position between these steps"
            )
        case HeatmapOffsets(stride, None):
            return f"heatmaps: the middle of the highest cell of {stride:g} px"
        case HeatmapOffsets(stride):
            return f"heatmaps with offsets: the highest cell of {stride:g} px, and its offset"
        case SimCC(split, sharpening, score):
            shown = "" if sharpening is None else ", after a softmax"
            return f"SimCC: the highest column and row{shown}, in steps of 1/{split:g} px; the {score} of both counts"
        case Rows(form, _, confidence):
            kind = "raw rows" if form == "raw" else "final rows"
            return f"{kind} of a box and its keypoints: the one with the highest score, above {confidence:g}"
        case Coordinates():
            return "coordinates, without a likelihood"


def _absent_below(threshold: float) -> str:
    return f"; absent below {threshold:g}" if threshold > 0 else ""


def _boxes(manifest: Manifest) -> str:
    if isinstance(manifest.decoder, Rows):
        return "the model finds the box itself"
    if manifest.role == "detector" or manifest.whole_frame:
        return "none: it sees the whole frame"
    side = "size unknown: a run needs the crop size" if manifest.crop_size is None else f"{manifest.crop_size} px wide"
    centre = manifest.anchor or "the mean of all keypoints"
    fraction = "; corners keep their fraction" if manifest.unrounded else ""
    return f"{side}, centred on {centre} in the training{fraction}"


def trained_text(trained: Trained) -> str:
    """Return what the training looked like, in plain words with its numbers.

    Args:
        trained: The facts of the training.
    """
    low, middle, high = trained.length_px
    size = f"{middle:.0f} px long ({low:.0f}–{high:.0f}) in frames of {trained.frame_size[0]}×{trained.frame_size[1]}"
    return f"{trained.description or 'an animal'}, {size}"

"""Manifest: all that is needed to run a network of any maker, as JSON in the ``cropzoom`` entry of its metadata.

A manifest says what the network sees (``Input``), how a region of the frame gets there (a geometry), and what its
outputs mean (a decoder). Each maker's files become a manifest when they are read (``makers``); everything else
knows manifests only. ``docs/reference/manifest.md`` has the schema.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal, TypeAlias

import msgspec

from realtime_cropzoom.errors import ModelError, quoted, shorten

VERSION = 1
"""Version of the manifests that this package writes."""
MAX_SIDE = 8192
"""Maximum side of a network's input (pixels)."""
MAX_FRAME_SIDE = 65_535
"""Maximum side of the frames of a training (pixels)."""
MAX_KEYPOINTS = 1000
"""Maximum number of keypoints."""
_MAX_FACTOR = 10_000
"""Maximum of strides, factors and numbers of classes."""
MAX_BYTES = 1 << 20
"""Maximum size of a manifest as JSON (bytes)."""
_MAX_TEXT = 10_000
"""Maximum length of a text that is no name (characters)."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that end a line, or that a terminal obeys."""
_MAX_NAME_LENGTH = 255
"""Maximum length of a keypoint's name: that of a file name (bytes)."""

Channels = Literal["rgb", "bgr", "gray"]
Role = Literal["detector", "pose"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a manifest."""


class Input(_Part, frozen=True):
    """What the network takes: values (pixel · scale − mean) / std."""

    size: tuple[int, int] | None = None
    """(width, height) in pixels; None if the network takes any size, and the geometry decides."""
    channels: Channels = "rgb"
    """Colour order. ``gray`` is 0.2989 R + 0.587 G + 0.114 B, of the resized picture."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Order of the axes: channels before the rows, or after the columns."""
    scale: float = 1 / 255
    """Factor of a pixel's value."""
    mean: tuple[float, ...] = (0.0,)
    """Mean of each channel in the order of ``channels``, or one number for all."""
    std: tuple[float, ...] = (1.0,)
    """Standard deviation of each channel, likewise."""


class Stretch(_Part, frozen=True, tag="stretch"):
    """The region is resized to the input, width and height each on its own."""

    resize: Literal["float32", "uint8"] = "float32"
    """Number type in which the picture is resized, bilinearly. Lightning Pose resizes in float32."""
    widen: bool = False
    """Whether the shorter side of the region is first made longer, to the aspect of the input, and its corners are
    rounded (half to even), as DeepLabCut does for its RTMPose models."""


class Letterbox(_Part, frozen=True, tag="letterbox"):
    """The region is resized in uint8 until it fits into the input, and the rest gets one colour."""

    colour: int = 114
    """Value of all channels outside the region."""
    place: Literal["centre", "top_left"] = "centre"
    """Where the region lies in the input."""
    target: tuple[int, int] | None = None
    """(width, height) into which the region fits if the network takes any size; the input then has only as much
    padding as ``multiple`` needs."""
    multiple: int = 32
    """The sides of such an input are multiples of this (pixels)."""


class Affine(_Part, frozen=True, tag="affine"):
    """The region grows around its centre, then its shorter side to the aspect of the input, and is warped to it."""

    padding: float = 1.25
    """Factor by which both sides grow."""


class Scale(_Part, frozen=True, tag="scale"):
    """The region is resized by one factor with antialiasing, and padded right and below to a multiple."""

    factor: float = 1.0
    """Input pixels per frame pixel."""
    multiple: int = 1
    """The sides of the input are multiples of this (pixels)."""
    border: Literal["zero", "reflect"] = "zero"
    """What the padding shows: zeros, or the picture mirrored at its last pixel."""


Geometry: TypeAlias = Stretch | Letterbox | Affine | Scale


class LitposeHeatmaps(_Part, frozen=True, tag="litpose_heatmaps"):
    """Heatmaps (N, K, h, w) of Lightning Pose or cropzoom: soft-argmax of the upsampled map."""

    downsample_factor: int = 2
    """Number of doublings from a heatmap to the input: 1, 2 or 3."""
    context: bool = False
    """Whether the network sees five frames and gives two sets of heatmaps."""


class ConfidenceMaps(_Part, frozen=True, tag="confidence_maps"):
    """Confidence maps (N, K, h, w) as SLEAP trains them: the highest cell, refined, at cell · stride."""

    stride: float = 2.0
    """Input pixels per cell."""
    threshold: float = 0.2
    """A keypoint whose highest cell is below is absent."""
    refinement: Literal["integral", "none"] = "integral"
    """``integral`` adds the centre of mass of the 5×5 cells around the highest one."""


class GridPeaks(_Part, frozen=True, tag="grid_peaks"):
    """Peaks that the network has found itself: positions (N, K, 2) in input pixels, values (N, K)."""

    stride: float = 2.0
    """Step of the positions (input pixels), for the user to know."""
    threshold: float = 0.0
    """A keypoint with a lower value is absent."""
    several: bool = False
    """Whether the outputs have an axis of instances, (N, I, …), of which the one with the highest value counts."""


class HeatmapOffsets(_Part, frozen=True, tag="heatmap_offsets"):
    """Heatmaps (N, K, h, w) and offsets (N, 2 K, h, w) of DeepLabCut: (cell + ½) · stride + offset."""

    stride: float = 8.0
    """Input pixels per cell."""
    offset_scale: float | None = 7.2801
    """Input pixels per unit of the offsets; None for a model without offsets."""
    sigmoid: bool = False
    """Whether the heatmaps are logits."""
    clip: bool = True
    """Whether the likelihood is cut to 0 to 1."""


class SimCC(_Part, frozen=True, tag="simcc"):
    """One classification of columns (N, K, W · split) and one of rows (N, K, H · split): the highest bin / split."""

    split: float = 2.0
    """Bins per input pixel."""
    sharpening: float | None = None
    """Factor of the logits before a softmax; None for outputs that are taken as they are."""
    score: Literal["mean", "minimum"] = "mean"
    """How the two maxima become a likelihood."""
    floor: float = 0.0
    """A keypoint whose likelihood is not above is absent; its maker puts it at bin −1."""


class Rows(_Part, frozen=True, tag="rows"):
    """Rows of a box, a score and K keypoints, as YOLO-pose gives them; the row with the highest score counts."""

    form: Literal["raw", "final"] = "raw"
    """``raw``: (N, 4 + classes + 3 K, anchors), boxes as centre and size. ``final``: (N, rows, 6 + 3 K), corners."""
    classes: int = 1
    """Number of classes."""
    confidence: float = 0.25
    """Rows with a score that is not above do not count."""
    visibility: bool = True
    """Whether each keypoint has a third number, its likelihood; else the score of the row is taken."""


class Coordinates(_Part, frozen=True, tag="coordinates"):
    """Coordinates (N, 2 K) in input pixels, without a likelihood: a regression model."""


Decoder: TypeAlias = (
    LitposeHeatmaps | ConfidenceMaps | GridPeaks | HeatmapOffsets | SimCC | Rows | Coordinates
)  # fmt: skip


class Trained(_Part, frozen=True):
    """What animal and frames looked like in the training, measured on its labels: 5 %, median and 95 % of them."""

    frame_size: tuple[int, int]
    """(width, height) of most frames (pixels)."""
    length_px: tuple[float, float, float]
    """Length of the animal, the largest distance between two of its keypoints (frame pixels)."""
    contrast: tuple[float, float, float]
    """Gray of the animal minus that of its surroundings, from -1 to 1: below 0 for a dark animal on a bright floor."""
    brightness: tuple[float, float, float]
    """Mean gray of the frame, from 0 to 1."""
    description: str = ""
    """What it shows, such as ``a dark mouse on a bright floor, seen from above``."""


class Manifest(_Part, frozen=True):
    """Description of a network."""

    maker: str
    """Program that trained it, for messages."""
    keypoint_names: tuple[str, ...]
    """Names of the K keypoints, in order."""
    input: Input
    """What the network takes."""
    geometry: Geometry
    """How a region of the frame gets into the input."""
    decoder: Decoder
    """What the outputs of the network mean."""
    outputs: tuple[str, ...] = ()
    """Names of the outputs that the decoder reads, in its order; empty for all outputs in the order of the file."""
    version: int = VERSION
    """Version of this form."""
    maker_version: str = ""
    """Version of that program."""
    kind: str = ""
    """The maker's word for this kind of model."""
    role: Role | None = None
    """What it was trained for; None if it may be either."""
    whole_frame: bool = False
    """Whether it was trained on whole frames. As pose model it then needs no detector."""
    score: str = "probability"
    """What the likelihood is, in a few words."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of keypoints (indices) that are drawn joined."""
    anchor: str = ""
    """Keypoint on which boxes were centred in training; empty for the mean of all."""
    crop_size: int | None = None
    """Side of the boxes of its training (frame pixels); None if unknown."""
    unrounded: bool = False
    """Whether boxes keep the fraction of their corner, which SLEAP adds to the keypoints."""
    presence: dict[str, Any] | None = None
    """Limits that tell an animal in its output, see ``presence.Presence``."""
    created_with: str = ""
    """Program that wrote the file."""
    trained_on: str = ""
    """Its training data."""
    trained: Trained | None = None
    """What its training data look like; None if unknown."""
    license: str = ""
    """Its licence."""
    assumed: tuple[str, ...] = ()
    """What the file does not say, and was assumed, a sentence each."""

    @property
    def has_likelihood(self) -> bool:
        """Whether keypoints have a likelihood."""
        return not isinstance(self.decoder, Coordinates)

    @property
    def context(self) -> bool:
        """Whether the network sees five frames."""
        return isinstance(self.decoder, LitposeHeatmaps) and self.decoder.context

    def to_json(self) -> str:
        """Return the manifest as JSON."""
        return msgspec.json.encode(self).decode()


def read_manifest(text: str | bytes, source: object) -> Manifest:
    """Read a manifest from JSON.

    Args:
        text: The JSON.
        source: Where it comes from, for error texts.

    Raises:
        ModelError: if it is not a valid manifest.
    """
    if len(text) > MAX_BYTES:
        raise ModelError(f"{source}: its manifest is larger than 1 MB; export it again")
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error) if len(str(error)) <= 200 else f"{str(error)[:200]}…"
        raise ModelError(f"{source}: its manifest is not valid: {reason}; export it again with this version") from error
    check_manifest(manifest, source)
    return manifest


def check_manifest(manifest: Manifest, source: object) -> None:
    """Raise ModelError if a manifest contradicts itself, or has values that no network can have.

    Args:
        manifest: The manifest.
        source: Where it comes from, for error texts.
    """
    if manifest.version > VERSION:
        raise ModelError(f"{source}: its manifest has version {manifest.version}, expected {VERSION}; update cropzoom")
    check_names(manifest.keypoint_names, source)
    _check_texts(manifest, source)
    _check_trained(manifest.trained, source)
    _check_input(manifest.input, source)
    _check_positive(manifest.geometry, source, "factor", "padding", "multiple")
    _check_letterbox(manifest.geometry, source)
    _check_positive(manifest.decoder, source, "stride", "offset_scale", "split", "sharpening", "classes")
    _check_finite(manifest.decoder, source, "threshold", "confidence", "floor")
    count = len(manifest.keypoint_names)
    if any(not 0 <= place < count for pair in manifest.skeleton for place in pair):
        raise ModelError(f"{source}: its skeleton joins a keypoint that is not there; expected indices below {count}")
    if manifest.crop_size is not None and not 0 < manifest.crop_size <= MAX_SIDE:
        raise ModelError(f"{source}: crop_size is {manifest.crop_size}; expected 1 to {MAX_SIDE} pixels")
    if isinstance(manifest.decoder, LitposeHeatmaps) and manifest.decoder.downsample_factor not in (1, 2, 3):
        raise ModelError(
            f"{source} has downsample_factor {manifest.decoder.downsample_factor}; expected 1, 2 or 3"
        )  # fmt: skip


def check_names(names: tuple[str, ...], source: object) -> None:
    """Raise ModelError if keypoints have no name, two have the same, or a name is too long.

    Args:
        names: The names, in order.
        source: Where they come from, for error texts.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelError(f"{source}: two keypoints have the name {quoted(twice)}; rename one of them in keypoint_names")
    if not 0 < len(names) <= MAX_KEYPOINTS or any(len(name) > _MAX_NAME_LENGTH for name in names):
        raise ModelError(f"{source}: expected keypoint_names of 1 to {_MAX_NAME_LENGTH} characters each")
    if not all(name.strip() for name in names):
        raise ModelError(f"{source}: a keypoint has no name; give it one in keypoint_names")


def _check_texts(manifest: Manifest, source: object) -> None:
    names = ("maker", "maker_version", "kind", "score", "anchor", "created_with", "trained_on", "license")
    texts = [(name, getattr(manifest, name)) for name in names] + [("assumed", text) for text in manifest.assumed]
    texts += [("trained.description", manifest.trained.description)] if manifest.trained is not None else []
    for name, text in texts:
        if len(text) > _MAX_TEXT or _CONTROL.search(text):
            raise ModelError(f"{source}: {name} is {shorten(text)}; expected one line of up to {_MAX_TEXT} characters")


def _check_trained(trained: Trained | None, source: object) -> None:
    """Raise ModelError if a range is none, or lies outside of what pictures can have."""
    if trained is None:
        return
    if not all(0 < side <= MAX_FRAME_SIDE for side in trained.frame_size):
        got = f"trained.frame_size is {shorten(trained.frame_size)}"
        raise ModelError(f"{source}: {got}; expected sides of 1 to {MAX_FRAME_SIDE} px")
    limits = {"length_px": (0.0, 2.0 * MAX_FRAME_SIDE), "contrast": (-1.0, 1.0), "brightness": (0.0, 1.0)}
    for name, (least, most) in limits.items():
        low, middle, high = getattr(trained, name)
        if not least <= low <= middle <= high <= most:  # also refuses NaN
            got = f"trained.{name} is {[low, middle, high]}"
            raise ModelError(f"{source}: {got}; expected three rising numbers from {least:g} to {most:g}")


def _check_input(model_input: Input, source: object) -> None:
    channels = 1 if model_input.channels == "gray" else 3
    for name in ("mean", "std"):
        numbers = getattr(model_input, name)
        if len(numbers) not in (1, channels) or not all(map(math.isfinite, numbers)):
            raise ModelError(f"{source}: {name} is {list(numbers)}; expected one number, or {channels}")
    if not all(model_input.std) or not model_input.scale or not math.isfinite(model_input.scale):
        raise ModelError(f"{source}: its input cannot be normalised; expected a finite scale, and std, other than 0")
    if model_input.size is not None and not all(0 < side <= MAX_SIDE for side in model_input.size):
        raise ModelError(f"{source}: its input is {shorten(model_input.size)}; expected sides of 1 to {MAX_SIDE} px")


def _check_letterbox(geometry: Geometry, source: object) -> None:
    if not isinstance(geometry, Letterbox):
        return
    if not 0 <= geometry.colour <= 255:
        raise ModelError(f"{source}: colour is {geometry.colour}; expected 0 to 255")
    if geometry.target is not None and not all(0 < side <= MAX_SIDE for side in geometry.target):
        raise ModelError(f"{source}: target is {shorten(geometry.target)}; expected sides of 1 to {MAX_SIDE} px")


def _check_positive(part: Geometry | Decoder, source: object, *names: str) -> None:
    for name in names:
        number = getattr(part, name, None)
        if number is not None and not 0 < number <= _MAX_FACTOR:
            raise ModelError(f"{source}: {name} is {number}; expected a number above 0, and up to {_MAX_FACTOR}")


def _check_finite(part: Decoder, source: object, *names: str) -> None:
    for name in names:
        number = getattr(part, name, None)
        if number is not None and not math.isfinite(number):
            raise ModelError(f"{source}: {name} is {number}; expected a finite number")

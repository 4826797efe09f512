"""What a maker module provides. A new maker is one module with such functions, and a line in ``registry``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realtime_cropzoom.inference.manifest import Manifest, Role
from realtime_cropzoom.inference.manifest_changes import Change
from realtime_cropzoom.inference.onnx_file import OnnxFile

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which export of a folder is wanted."""

    precision: Precision | None = None
    """None prefers fp32 on the CPU and fp16 elsewhere."""
    on_gpu: bool = False
    """Whether the model runs on a GPU."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The export of a folder that is taken."""

    onnx: Path
    note: str = ""
    """Sentence that names it if the folder has several; else empty."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user says of a file that does not say it itself."""

    keypoint_names: tuple[str, ...] = ()
    """Names of the keypoints; empty if the file has them."""
    changes: tuple[Change, ...] = ()
    """Fields of the manifest that the user sets; they count more than what the file says."""
    role: Role | None = None
    """Role in which the model is used. It counts for a file that holds a detector and a pose model."""


@dataclass(frozen=True, slots=True)
class Described:
    """A file that a maker has recognised."""

    manifest: Manifest
    network: bytes | None = None
    """The network that runs, as an ONNX file with its weights inside; None for the file as it is."""
    has_detector: bool = False
    """Whether the file of a pose model also holds the detector that finds its boxes."""
    scorer: str = ""
    """Scorer in the first header row of CSV files; empty for ``<maker>_<kind>``."""
    trained_side: int | None = None
    """Median side of the boxes of its training (frame pixels), read from other files; None if unknown."""


@dataclass(frozen=True, slots=True)
class Maker:
    """A program that trains models."""

    name: str
    """Its name as its users write it."""
    read: Callable[[OnnxFile, Path | None, Settings], Described | None]
    """Describes a file, which lies in the given model folder if there is one. None if it is not of this maker. Raises
    ModelError if it is, but cannot be used."""
    find: Callable[[Path, Wanted], Choice | None] = lambda folder, wanted: None
    """Finds the export in a model folder. None if the folder is not of this maker. Raises ModelError if it is, but has
    no such export."""
    folder: str = ""
    """What its model folders contain, for error texts; empty if it has none."""

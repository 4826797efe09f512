"""Model file: finds a model on disk, and its description, whoever made it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import ModelError, advise
from realtime_cropzoom.files.paths import is_file, is_folder, is_there
from realtime_cropzoom.inference.makers import by_hand
from realtime_cropzoom.inference.makers.maker import Choice, Settings, Wanted
from realtime_cropzoom.inference.makers.registry import MAKERS
from realtime_cropzoom.inference.manifest import Manifest, check_manifest
from realtime_cropzoom.inference.manifest_changes import with_changes
from realtime_cropzoom.inference.model_paths import PROJECT_FILE, int8_beside, is_shipped
from realtime_cropzoom.inference.onnx_file import read_onnx_file
from realtime_cropzoom.inference.presence import Presence, read_presence


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk: all that is needed to run it."""

    onnx: Path
    manifest: Manifest
    scorer: str
    """Scorer in the first header row of CSV files."""
    presence: Presence
    """Limits that tell an animal in its output."""
    trained_side: int | None = None
    """Median side of the boxes that its training images were cut to (frame pixels); None without their file."""
    chosen: str = ""
    """Sentence that names the chosen export if its directory has several; else empty."""
    network: bytes | None = None
    """The network that runs, if it is not the file as it is."""
    has_detector: bool = False
    """Whether the file of a pose model also holds the detector that finds its boxes."""


def find_model(path: Path, wanted: Wanted, settings: Settings | None = None) -> ModelFile:
    """Find a model and read its description.

    Args:
        path: A model folder, or an .onnx file.
        wanted: Which export of a folder, or beside a file.
        settings: What the user says of it.

    Raises:
        ModelError: if there is none, or if it cannot be used.
    """
    folder = path if is_folder(path) else None
    settings = settings or Settings()
    choice = _in_folder(path, wanted) if folder is not None else Choice(_single_file(path, wanted))
    file = read_onnx_file(choice.onnx)
    for maker in MAKERS:
        described = maker.read(file, folder, settings)
        if described is not None:
            break
    else:
        raise ModelError(
            f"{choice.onnx} carries no cropzoom metadata, and is not a file of {_names()} as far as one can see; "
            "give a model folder or an .onnx made by one of them"
            + advise(
                ", or say what it is: --keypoints A,B --set decoder=TYPE geometry=TYPE",
                ", or say what it is with 'cropzoom models import'",
            )
        )
    manifest = with_changes(described.manifest, settings.changes, choice.onnx)
    check_manifest(manifest, choice.onnx)
    try:
        presence = read_presence(manifest.presence, manifest.keypoint_names)
    except ValueError as error:
        raise ModelError(f"{choice.onnx}: {error}; export it again") from None
    scorer = described.scorer or f"{manifest.maker}_{manifest.kind}".strip("_").replace(" ", "_")
    return ModelFile(
        choice.onnx, manifest, scorer, presence, described.trained_side, choice.note, described.network,
        described.has_detector,
    )  # fmt: skip


def _in_folder(folder: Path, wanted: Wanted) -> Choice:
    for maker in MAKERS:
        choice = maker.find(folder, wanted)
        if choice is not None:
            return choice
    if is_file(folder / PROJECT_FILE):
        give = advise(f"Give it with --project {shlex.quote(str(folder))}", "Give one of them")
        raise ModelError(f"{folder} is a project, expected a model. Its models are in models/. {give}")
    *known, last = (f"{maker.folder} ({maker.name})" for maker in MAKERS if maker.folder)
    raise ModelError(
        f"{folder} is no model folder; expected one with {', '.join(known)} or {last}. Give another, or an .onnx file"
    )


def _single_file(path: Path, wanted: Wanted) -> Path:
    if not is_there(path):
        raise ModelError(f"no model at {path}; expected a model folder or an .onnx file")
    return int8_beside(path) if wanted.precision == "int8" and not is_shipped(path) else path


def _names() -> str:
    return ", ".join(maker.name for maker in MAKERS if maker is not by_hand.MAKER)

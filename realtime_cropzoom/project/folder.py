"""The folder of a project, and where its things are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.paths import is_file, is_folder, is_there, user_path
from realtime_cropzoom.inference.model_paths import PROJECT_FILE
from realtime_cropzoom.project.schema import Pair, ProjectFile, parse_project
from realtime_cropzoom.yaml_file import read_text


@dataclass(frozen=True, slots=True)
class Project:
    """A project: its folder, and what its file says."""

    folder: Path
    """The folder, absolute."""
    file: ProjectFile
    """Content of ``project.yaml``."""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names of the K keypoints, in order."""
        return self.file.keypoints

    @property
    def skeleton(self) -> tuple[tuple[int, int], ...]:
        """Pairs of indices of keypoints between which pictures draw a line."""
        return self._indices(self.file.skeleton)

    @property
    def symmetric_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of indices of keypoints that change places in a mirror."""
        return self._indices(self.file.symmetric)

    @property
    def recordings(self) -> tuple[Path, ...]:
        """Paths of the recordings that frames come from, absolute."""
        return tuple(self.folder / user_path(given) for given in self.file.recordings)

    @property
    def project_file(self) -> Path:
        """``project.yaml``."""
        return self.folder / PROJECT_FILE

    @property
    def frames_folder(self) -> Path:
        """``frames/``: a folder of pictures for each recording."""
        return self.folder / "frames"

    @property
    def frames_table(self) -> Path:
        """``frames/frames.csv``: where each picture comes from."""
        return self.frames_folder / "frames.csv"

    @property
    def labels_folder(self) -> Path:
        """``labels/``."""
        return self.folder / "labels"

    @property
    def labels_file(self) -> Path:
        """``labels/CollectedData.csv``: the labels, in DeepLabCut's form. Its paths are relative to the folder."""
        return self.labels_folder / "CollectedData.csv"

    @property
    def exports_folder(self) -> Path:
        """``labels/exports/``: frames and labels for other programs."""
        return self.labels_folder / "exports"

    @property
    def models_folder(self) -> Path:
        """``models/``."""
        return self.folder / "models"

    @property
    def detector(self) -> Path:
        """``models/detector/``: the model directory of the detector."""
        return self.models_folder / "detector"

    @property
    def pose(self) -> Path:
        """``models/pose/``: the model directory of the pose model."""
        return self.models_folder / "pose"

    @property
    def split_file(self) -> Path:
        """``models/split.csv``: which labelled frames were trained on, and which were held out."""
        return self.models_folder / "split.csv"

    @property
    def training_folder(self) -> Path:
        """``models/training/``: the state of an interrupted training."""
        return self.models_folder / "training"

    @property
    def predictions_folder(self) -> Path:
        """``predictions/``: what ``cropzoom pipeline`` has found in recordings."""
        return self.folder / "predictions"

    @property
    def evaluation_folder(self) -> Path:
        """``evaluation/``."""
        return self.folder / "evaluation"

    def _indices(self, pairs: tuple[Pair, ...]) -> tuple[tuple[int, int], ...]:
        index = {name: k for k, name in enumerate(self.keypoints)}
        return tuple((index[a], index[b]) for a, b in pairs)


def is_project(path: Path) -> bool:
    """Return whether a path is the folder of a project, or its ``project.yaml``."""
    return is_file(path / PROJECT_FILE) or (path.name == PROJECT_FILE and is_file(path))


def load_project(folder: str | Path) -> Project:
    """Open a project.

    Args:
        folder: Its folder, or its ``project.yaml``.

    Raises:
        ConfigError: if there is no project, or something in its file is wrong; one line for each fault.
    """
    path = user_path(folder)
    if path.name == PROJECT_FILE and is_file(path):
        path = path.parent
    if not is_project(path):
        found = f"a folder without {PROJECT_FILE}" if is_folder(path) else "a file" if is_there(path) else "nothing"
        make = f"Make one with: cropzoom init {path} --keypoints nose,tail_base"
        raise ConfigError(f"project {path}: got {found}, expected the folder of a project. {make}")
    absolute = path.resolve()
    return Project(absolute, parse_project(read_text(absolute / PROJECT_FILE), str(path / PROJECT_FILE)))

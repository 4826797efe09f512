"""A Lightning Pose model directory: the paths of its files, and what its configuration says about them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_cropzoom.config.overrides import apply_override
from realtime_cropzoom.errors import ConfigError, ModelError
from realtime_cropzoom.files.paths import is_file, is_there, user_path
from realtime_cropzoom.inference.model_paths import PROJECT_FILE
from realtime_cropzoom.offline.train_split import split_frames
from realtime_cropzoom.yaml_file import read_mapping

_READ = {
    *("data.data_dir", "data.csv_file", "eval.confidence_thresh_for_vid"),
    *("training.train_prob", "training.val_prob", "training.rng_seed_data_pt", "training.train_frames"),
}
"""Keys of the configuration that are read here; overrides may add them."""


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """Paths as in Lightning Pose, ``api/model.py``."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, path: Path, overrides: Sequence[str] = ()) -> ModelDirectory:
        """Read the configuration of a directory.

        Args:
            path: The directory.
            overrides: ``section.name=value`` for keys to replace.

        Raises:
            ModelError: if the path is not a model directory.
            ConfigError: if an override is not valid.
        """
        if not is_there(path):
            raise ModelError(f"no model directory at {path}; expected one with a config.yaml and exports_onnx/")
        if is_file(path):
            raise ModelError(
                f"{path} is a file; expected a model directory, because the predictions are written there "
                "(cropzoom pipeline takes a bare .onnx)"
            )
        try:
            config = read_mapping(path / "config.yaml", "the sections of a Lightning Pose config", unique_keys=False)
        except ConfigError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                if is_file(path / PROJECT_FILE):
                    raise ModelError(
                        f"{path} is a project, expected a model directory, such as {path / 'models' / 'pose'}. Both of "
                        f"its models run with: cropzoom pipeline VIDEO --project {shlex.quote(str(path))}"
                    ) from None
                raise ModelError(
                    f"{path} has no config.yaml; expected a Lightning Pose model directory "
                    "(cropzoom pipeline takes models of other makers)"
                ) from error
            raise ModelError(str(error)) from error
        for override in overrides:
            apply_override(config, override, lambda parts: ".".join(parts) in _READ)
        return cls(path, config)

    @property
    def video_preds(self) -> Path:
        """Predictions and boxes of videos."""
        return self.path / "video_preds"

    @property
    def labeled_videos(self) -> Path:
        """Videos with their keypoints drawn."""
        return self.video_preds / "labeled_videos"

    @property
    def cropped_videos(self) -> Path:
        """Videos that ``crop`` writes."""
        return self.path / "cropped_videos"

    @property
    def cropped_images(self) -> Path:
        """Labelled images that ``crop`` writes."""
        return self.path / "cropped_images"

    def image_preds(self, name: str) -> Path:
        """Predictions and boxes of a label file, or of a folder of images."""
        return self.path / "image_preds" / name

    def data_dir(self) -> Path | None:
        """Return the folder of the paths in the model's label files; None if the configuration names none."""
        named = self._get("data", "data_dir")
        return None if named is None else user_path(str(named))

    def frames_dir(self) -> Path | None:
        """Return the folder of the paths in label files of whole frames; None if no configuration names one.

        The ``data_dir`` of a pose model holds the detector's crops. The detector's one holds the whole frames.
        """
        folder = self.data_dir()
        if folder is None or folder.name != "cropped_images":
            return folder
        detector = folder.parent
        return ModelDirectory.open(detector).data_dir() if (detector / "config.yaml").is_file() else None

    def sets(self, label_file: Path, count: int) -> list[str]:
        """Return the training set of each row of a label file: train, validation, test or unused.

        If the model was trained on the crops of the label file, each row has the set of its crop.

        Args:
            label_file: The label file.
            count: Number of its rows.
        """
        trained_on = self._get("data", "csv_file")
        names = [Path(str(name)).name for name in (trained_on if isinstance(trained_on, list) else [trained_on])]
        if not {label_file.name, f"cropped_{label_file.name}"} & set(names):
            return ["unused"] * count
        split = split_frames(
            count,
            float(self._get("training", "train_prob", 0.95)),
            self._get("training", "val_prob"),
            int(self._get("training", "rng_seed_data_pt", 0)),
            self._get("training", "train_frames"),
        )
        return split.sets(count)

    @property
    def shown_above(self) -> float:
        """Likelihood above which keypoints are drawn filled (``eval.confidence_thresh_for_vid``)."""
        return float(self._get("eval", "confidence_thresh_for_vid", 0.9))

    def _get(self, section: str, name: str, default: Any = None) -> Any:
        settings = self.config.get(section)
        value = settings.get(name) if isinstance(settings, dict) else None
        return default if value is None else value

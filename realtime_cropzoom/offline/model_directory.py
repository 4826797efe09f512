"""A Lightning Pose model directory: where its files lie, and what its configuration says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_cropzoom.config.overrides import apply_override
from realtime_cropzoom.errors import ConfigError, ModelError
from realtime_cropzoom.files.paths import is_file, is_there, user_path
from realtime_cropzoom.offline.train_split import split_frames
from realtime_cropzoom.yaml_file import read_mapping

_READ = {
    *("data.data_dir", "data.csv_file", "eval.confidence_thresh_for_vid"),
    *("training.train_prob", "training.val_prob", "training.rng_seed_data_pt", "training.train_frames"),
}
"""What is read of a configuration; it may be given where the file leaves it out."""


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """Paths as in Lightning Pose, ``api/model.py``."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, path: Path, overrides: Sequence[str] = ()) -> ModelDirectory:
        """Read the directory's configuration, with ``section.name=value`` in place of what it says.

        Raises ModelError or ConfigError.
        """
        if not is_there(path):
            raise ModelError(f"no model directory at {path}; expected one with a config.yaml and exports_onnx/")
        if is_file(path):
            raise ModelError(
                f"{path} is a file; expected a model directory, where the predictions go "
                "(cropzoom pipeline takes a bare .onnx)"
            )
        try:
            config = read_mapping(path / "config.yaml", "the sections of a Lightning Pose config", unique_keys=False)
        except ConfigError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                raise ModelError(f"{path} has no config.yaml; expected a Lightning Pose model directory") from error
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
        """Videos with the keypoints drawn into them."""
        return self.video_preds / "labeled_videos"

    @property
    def cropped_videos(self) -> Path:
        """Videos that ``crop`` makes."""
        return self.path / "cropped_videos"

    @property
    def cropped_images(self) -> Path:
        """Labelled images that ``crop`` makes."""
        return self.path / "cropped_images"

    def image_preds(self, name: str) -> Path:
        """Predictions and boxes of a label file, or of a folder of images."""
        return self.path / "image_preds" / name

    def data_dir(self) -> Path | None:
        """The folder that the model's label files are relative to, None where the configuration names none."""
        named = self._get("data", "data_dir")
        return None if named is None else user_path(str(named))

    def frames_dir(self) -> Path | None:
        """The folder that the label files of whole frames are relative to, None where nothing names one.

        A pose model's own is of the detector's crops, so it is that of the detector.
        """
        folder = self.data_dir()
        if folder is None or folder.name != "cropped_images":
            return folder
        detector = folder.parent
        return ModelDirectory.open(detector).data_dir() if (detector / "config.yaml").is_file() else None

    def sets(self, label_file: Path, count: int) -> list[str]:
        """Return what each row of a label file was to the training: train, validation, test or unused.

        Of a model trained on the crops of a label file, that file's rows were what its crops' were.
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
        """Keypoints with a likelihood above it are drawn (``eval.confidence_thresh_for_vid``)."""
        return float(self._get("eval", "confidence_thresh_for_vid", 0.9))

    def _get(self, section: str, name: str, default: Any = None) -> Any:
        settings = self.config.get(section)
        value = settings.get(name) if isinstance(settings, dict) else None
        return default if value is None else value

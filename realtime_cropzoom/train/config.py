"""Training configuration: a Lightning Pose ``config.yaml`` with an extra section ``cropzoom``.

Read: ``data`` (image_resize_dims, data_dir, csv_file, keypoint_names), ``training``
(train_prob, val_prob, train_frames, train_batch_size, max_epochs, imgaug_hflip,
rng_seed_data_pt, rng_seed_model_pt, optimizer_params.learning_rate) and ``model``
(model_type, backbone, losses_to_use). ``litpose_only`` refuses values that ask for a training that only
Lightning Pose can do. All other keys of a Lightning Pose file (augmentations, learning rate schedule, early
stopping, validation batch size, videos to predict afterwards) are copied to the model's ``config.yaml``, but not
read. An unknown name in the ``cropzoom`` section is an error.

A pose model can be trained in two ways:

* As in Lightning Pose: a detector model is given, and ``cropzoom.crop_size`` is not. The data are the crops in
  the detector's directory, and the model input is a whole crop.
* With ``cropzoom.crop_size``: the crops are cut from whole frames during the training, at a random place around
  the animal. A detector model then only gives the boxes for measuring the error on held-out frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from realtime_cropzoom.config.overrides import apply_override
from realtime_cropzoom.errors import ConfigError, quoted
from realtime_cropzoom.sessions.dlc_csv import read_header
from realtime_cropzoom.train.dataset import CROPPED_IMAGES, train_on_crops
from realtime_cropzoom.train.litpose_only import refuse_litpose_only
from realtime_cropzoom.train.network import DOWNSAMPLE_FACTOR, GRID
from realtime_cropzoom.yaml_file import read_mapping


def _only(csv_file: Any) -> Any:
    """Return the file of a list with one label file. Lightning Pose lists one per camera."""
    return csv_file[0] if isinstance(csv_file, list) and len(csv_file) == 1 else csv_file


class _LightningPose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageSize(_LightningPose):
    """``data.image_resize_dims``: size of the model input (pixels)."""

    height: int = Field(gt=0, multiple_of=GRID)
    width: int = Field(gt=0, multiple_of=GRID)


class DataSection(_LightningPose):
    """``data``: the labels."""

    image_resize_dims: ImageSize
    data_dir: Path = Path(".")
    """Folder of the paths in the label file; relative to the working directory."""
    csv_file: Annotated[str | None, BeforeValidator(_only)] = None
    """Label file, relative to ``data_dir``; null to train only on the synthetic arena."""
    keypoint_names: Annotated[tuple[str, ...], BeforeValidator(lambda given: given or ())] = ()
    """Keypoints in the order of the heatmaps; if empty, the keypoints of the label file."""
    downsample_factor: Literal[2] = DOWNSAMPLE_FACTOR
    """The only value that this network has."""

    def labels(self) -> Path:
        """Return the path of the label file: in ``data_dir``, or else relative to the working directory."""
        inside, given = self.data_dir / str(self.csv_file), Path(str(self.csv_file))
        return given if given.is_file() and not inside.is_file() else inside


class OptimizerSection(_LightningPose):
    """``training.optimizer_params``."""

    learning_rate: float = Field(default=0.003, gt=0)
    """Maximum learning rate of the schedule, which is one cycle over the whole training."""


class TrainingSection(_LightningPose):
    """``training``: duration, batches and seeds."""

    train_prob: float = Field(default=0.9, gt=0, le=1)
    val_prob: float | None = Field(default=None, ge=0, le=1)
    """Null means half of the frames that are not for training."""
    train_frames: float | None = Field(default=None, gt=0)
    """Number (above 1) or fraction (below 1) of the training frames to use; 1 or null uses all."""
    train_batch_size: int = Field(default=32, gt=1)
    max_epochs: int = Field(default=50, gt=0)
    imgaug_hflip: bool = False
    """Whether to mirror half of the views. Keypoints with left and right in their names then swap."""
    rng_seed_data_pt: int = Field(default=0, ge=0, lt=1 << 32)
    """Seed of the split, which is that of Lightning Pose, and of the views."""
    rng_seed_model_pt: int = Field(default=0, ge=0, lt=1 << 32)
    """Seed of the initial weights."""
    optimizer_params: OptimizerSection = OptimizerSection()


class ModelSection(_LightningPose):
    """``model``: the network."""

    model_type: Literal["heatmap"]
    backbone: Literal["cropzoom_small"]


class CropzoomSection(BaseModel):
    """``cropzoom``: settings that Lightning Pose does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_size: int | None = Field(default=None, gt=0)
    """Side of the box around the animal (frame pixels) that is cut during the training of a pose model; null for a
    detector, and for a pose model that is trained on the crops of a detector."""
    jitter: float = Field(default=6.0, ge=0)
    """Standard deviation of the centre of the box (frame pixels), like the error of a detector."""
    views_per_epoch: int | None = Field(default=None, gt=0)
    """Number of views per epoch; null means the number of training frames."""
    natural_share: float = Field(default=0.3, ge=0, le=1)
    """Share of views with a small rotation; the others are rotated by any angle."""
    paste_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the other views that put the animal elsewhere on its background, for a camera that does not move. It is
    not used for crops, which move with the animal."""
    arena_share: float = Field(default=0.0, ge=0, le=1)
    """Share of views of the synthetic arena."""
    arena_frames: int = Field(default=400, gt=0)
    """Number of frames that the arena renders."""
    scale_range: tuple[float, float] = (0.82, 1.22)
    """Smallest and largest size of the animal in turned and pasted views, relative to its size in the frames."""
    invert_share: float = Field(default=0.0, ge=0, le=1)
    """Share of views with reversed contrast, so that the model finds a white animal on a dark floor, too."""
    empty_share: float = Field(default=0.05, ge=0, le=1)
    """Share of views without an animal, for which the heatmaps are flat."""
    symmetric: tuple[tuple[str, str], ...] = ()
    """Keypoints that change places in a mirror; if empty, those with left and right in their names."""
    sigma: float = Field(default=1.25, gt=0)
    """Standard deviation of the target heatmaps, in cells of four model pixels."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay per step of the moving average of the weights. The average is the model that is saved."""
    bfloat16: bool = False
    """Whether to train in bfloat16: up to twice as fast on CPUs that support it, much slower on others."""
    license: str = ""
    """Licence of the model, for the metadata of the exported file."""
    trained_on: str = ""
    """Description of the data, for the metadata; if empty, the name of the label file."""

    @field_validator("scale_range")
    @classmethod
    def _check_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.05 <= value[0] <= value[1] <= 20:
            raise ValueError(f"got {list(value)}, expected the smallest and the largest size, from 0.05 to 20")
        return value


class TrainConfig(_LightningPose):
    """A checked configuration."""

    data: DataSection
    training: TrainingSection = TrainingSection()
    model: ModelSection
    cropzoom: CropzoomSection = CropzoomSection()

    @model_validator(mode="after")
    def _has_frames(self) -> TrainConfig:
        if self.data.csv_file is None and self.cropzoom.arena_share < 1:
            raise ValueError("data.csv_file is null: name a label file, or set cropzoom.arena_share to 1")
        if self.data.csv_file is None and not self.data.keypoint_names:
            raise ValueError("data.keypoint_names is empty, and there is no label file to take them from")
        names = self.data.keypoint_names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"data.keypoint_names has {quoted(twice)} twice: rename one of them, there and in the label file"
            )
        if self.on_crops and self.cropzoom.arena_share > 0:
            raise ValueError(
                f"cropzoom.arena_share is {self.cropzoom.arena_share:g}, but the arena's frames are whole and the "
                "data are crops: set it to 0, or set cropzoom.crop_size to cut both from whole frames"
            )
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the model's input."""
        return self.data.image_resize_dims.width, self.data.image_resize_dims.height

    @property
    def on_crops(self) -> bool:
        """Whether the images are the crops of a detector, and the model input is a whole crop."""
        return self.cropzoom.crop_size is None and self.data.data_dir.name == CROPPED_IMAGES

    @property
    def role(self) -> Literal["detector", "pose"]:
        """Role of the model."""
        return "pose" if self.on_crops or self.cropzoom.crop_size is not None else "detector"


def load_config(
    path: Path, overrides: Sequence[str], detector_model: Path | None = None
) -> tuple[TrainConfig, dict[str, Any]]:
    """Read and check a configuration.

    Args:
        path: The file.
        overrides: ``section.name=value`` for keys to replace.
        detector_model: A detector's directory. Without ``cropzoom.crop_size``, the data are its crops.

    Returns:
        The checked configuration, and all keys for the model's own ``config.yaml``, with the overrides, the paths
        of the crops and the keypoint names filled in.

    Raises:
        ConfigError: if a value is not valid.
        DataError: if the crops of the detector are missing.
    """
    tree = _read(path)
    for override in overrides:
        apply_override(tree, override, _is_read)
    refuse_litpose_only(tree, path, detector_model)
    config = _checked(tree, path)
    if detector_model is not None and config.cropzoom.crop_size is None:
        if config.data.csv_file is None:
            raise ConfigError("data.csv_file is null; name the label file that the detector's crops were made of")
        train_on_crops(tree, config.data.labels(), detector_model)
        config = _checked(tree, path)
    if not config.data.keypoint_names:
        names = list(read_header(config.data.labels()).keypoint_names)
        tree["data"].update(keypoint_names=names, num_keypoints=len(names))
        config = _checked(tree, path)
    return config, tree


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_mapping(path, "the sections of a Lightning Pose config.yaml", unique_keys=False)
    except ConfigError as error:
        raise ConfigError(f"cannot read the training configuration {path}: {error}") from None


def _checked(tree: dict[str, Any], path: Path) -> TrainConfig:
    try:
        return TrainConfig.model_validate(tree)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in e['loc']) or path}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise ConfigError("; ".join(faults)) from None


def _is_read(parts: Sequence[str]) -> bool:
    section: Any = TrainConfig
    for part in parts:
        if not (isinstance(section, type) and issubclass(section, BaseModel)) or part not in section.model_fields:
            return False
        section = section.model_fields[part].annotation
    return True

"""The training configuration: a Lightning Pose ``config.yaml``, with a section of our own.

Obeyed: ``data`` (image_resize_dims, data_dir, csv_file, keypoint_names), ``training``
(train_prob, val_prob, train_frames, train_batch_size, max_epochs, imgaug_hflip,
rng_seed_data_pt, rng_seed_model_pt, optimizer_params.learning_rate) and ``model``
(model_type, backbone, losses_to_use). Refused where it asks for another training than ours:
``litpose_only``. Whatever else a Lightning Pose file holds (its augmentations, learning rate
schedule, early stopping, batch sizes of validation, videos to predict afterwards) is carried
along unread. The ``cropzoom`` section is ours, and a misspelt name in it is an error.

There are two ways to a pose model:

* Lightning Pose's: a detector model is given, ``cropzoom.crop_size`` is not. The data are then
  the crops in the detector's directory (``crops``), and the whole of each is the model's input.
* Ours: ``cropzoom.crop_size`` is set. The crops are cut from the whole frames while training,
  each time elsewhere around the animal; a detector model only gives the boxes in which the
  held-out frames are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from realtime_cropzoom.config.overrides import apply_override
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sessions.dlc_csv import read_header
from realtime_cropzoom.train.dataset import CROPPED_IMAGES, train_on_crops
from realtime_cropzoom.train.litpose_only import refuse_litpose_only
from realtime_cropzoom.train.network import DOWNSAMPLE_FACTOR, GRID
from realtime_cropzoom.yaml_file import read_mapping


def _only(csv_file: Any) -> Any:
    """A list of one label file is that file; Lightning Pose has one a camera."""
    return csv_file[0] if isinstance(csv_file, list) and len(csv_file) == 1 else csv_file


class _LightningPose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageSize(_LightningPose):
    """``data.image_resize_dims``: the model's input."""

    height: int = Field(gt=0, multiple_of=GRID)
    width: int = Field(gt=0, multiple_of=GRID)


class DataSection(_LightningPose):
    """``data``: which labels."""

    image_resize_dims: ImageSize
    data_dir: Path = Path(".")
    """Folder the label file's paths are relative to; itself relative to the working directory."""
    csv_file: Annotated[str | None, BeforeValidator(_only)] = None
    """Label file, relative to ``data_dir``; null to train on the synthetic arena alone."""
    keypoint_names: Annotated[tuple[str, ...], BeforeValidator(lambda given: given or ())] = ()
    """In the order of the heatmaps; those of the label file where there are none."""
    downsample_factor: Literal[2] = DOWNSAMPLE_FACTOR
    """This network knows no other."""

    def labels(self) -> Path:
        """Return where the label file is: under ``data_dir``, or else under the working directory."""
        inside, given = self.data_dir / str(self.csv_file), Path(str(self.csv_file))
        return given if given.is_file() and not inside.is_file() else inside


class OptimizerSection(_LightningPose):
    """``training.optimizer_params``."""

    learning_rate: float = Field(default=0.003, gt=0)
    """The highest of the schedule, one cycle over the whole training."""


class TrainingSection(_LightningPose):
    """``training``: how long, in what portions, from which seeds."""

    train_prob: float = Field(default=0.9, gt=0, le=1)
    val_prob: float | None = Field(default=None, ge=0, le=1)
    """Null for half of what is not trained on."""
    train_frames: float | None = Field(default=None, gt=0)
    """Of the training frames so many (above 1) or such a fraction (below 1) are used; 1 or null for all."""
    train_batch_size: int = Field(default=32, gt=1)
    max_epochs: int = Field(default=50, gt=0)
    imgaug_hflip: bool = False
    """Mirror half of the views; keypoints named left and right swap."""
    rng_seed_data_pt: int = Field(default=0, ge=0, lt=1 << 32)
    """Seed of the split, which is Lightning Pose's, and of the views."""
    rng_seed_model_pt: int = Field(default=0, ge=0, lt=1 << 32)
    """Seed of the first weights."""
    optimizer_params: OptimizerSection = OptimizerSection()


class ModelSection(_LightningPose):
    """``model``: which network."""

    model_type: Literal["heatmap"]
    backbone: Literal["cropzoom_small"]


class CropzoomSection(BaseModel):
    """``cropzoom``: what Lightning Pose has no word for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_size: int | None = Field(default=None, gt=0)
    """Side in frame pixels of the box that is cut around the animal while training a pose model; null for a
    detector, and for a pose model that is trained on a detector's cropped images."""
    jitter: float = Field(default=6.0, ge=0)
    """Standard deviation in frame pixels of the box's place around the animal, as a detector errs."""
    views_per_epoch: int | None = Field(default=None, gt=0)
    """Augmented views an epoch; null for as many as there are training frames."""
    natural_share: float = Field(default=0.3, ge=0, le=1)
    """How many of the views are nearly as filmed; the others are turned about the full circle."""
    paste_share: float = Field(default=0.5, ge=0, le=1)
    """How many of those put the animal elsewhere on its background. For a camera that stands still; never done
    to cropped images, which move with the animal."""
    arena_share: float = Field(default=0.0, ge=0, le=1)
    """How many of the views are of the synthetic arena."""
    arena_frames: int = Field(default=400, gt=0)
    """Frames rendered of the arena."""
    sigma: float = Field(default=1.25, gt=0)
    """Standard deviation of the target heatmaps, in cells of four model pixels."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Of the moving average of the weights, which is what is kept."""
    bfloat16: bool = False
    """Train in bfloat16: up to twice as fast on CPUs that have it, far slower on others."""
    license: str = ""
    """What the exported model's metadata say about its licence."""
    trained_on: str = ""
    """What they say about its data; the label file's name where empty."""


class TrainConfig(_LightningPose):
    """A configuration, checked."""

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
            raise ValueError(f"data.keypoint_names has {twice} twice: rename one of them, there and in the label file")
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
        """Whether the images are a detector's crops, of which the model sees the whole."""
        return self.cropzoom.crop_size is None and self.data.data_dir.name == CROPPED_IMAGES

    @property
    def role(self) -> Literal["detector", "pose"]:
        """What the model will be used for."""
        return "pose" if self.on_crops or self.cropzoom.crop_size is not None else "detector"


def load_config(
    path: Path, overrides: Sequence[str], detector_model: Path | None = None
) -> tuple[TrainConfig, dict[str, Any]]:
    """Read and check a configuration; also return it as it is obeyed, for the model's own ``config.yaml``.

    In that, overrides are applied; with ``detector_model`` and no ``cropzoom.crop_size`` the
    data are the detector's crops; missing keypoint names are those of the label file. Raises
    ConfigError in one line, and DataError where there are no crops.
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

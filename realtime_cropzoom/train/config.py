"""The training configuration: a Lightning Pose ``config.yaml``, with a section of our own.

Read from it: ``data`` (image_resize_dims, data_dir, csv_file, keypoint_names), ``training``
(train_prob, val_prob, train_batch_size, max_epochs, imgaug_hflip, rng_seed_data_pt,
rng_seed_model_pt, optimizer_params.learning_rate) and ``model`` (model_type, backbone).
Whatever else a Lightning Pose file holds is carried along unread. The ``cropzoom`` section
is ours, and a misspelt name in it is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.train.network import GRID

BACKBONE = "cropzoom_small"


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
    csv_file: str | None = None
    """Label file, relative to ``data_dir``; null to train on the synthetic arena alone."""
    keypoint_names: tuple[str, ...] = Field(min_length=1)


class OptimizerSection(_LightningPose):
    """``training.optimizer_params``."""

    learning_rate: float = Field(default=0.003, gt=0)
    """The highest of the schedule, one cycle over the whole training."""


class TrainingSection(_LightningPose):
    """``training``: how long, in what portions, from which seeds."""

    train_prob: float = Field(default=0.9, gt=0, le=1)
    val_prob: float = Field(default=0.1, ge=0, le=1)
    train_batch_size: int = Field(default=32, gt=1)
    max_epochs: int = Field(default=50, gt=0)
    imgaug_hflip: bool = False
    """Mirror half of the views; keypoints named left and right swap."""
    rng_seed_data_pt: int = Field(default=0, ge=0)
    """Seed of the split and of the views."""
    rng_seed_model_pt: int = Field(default=0, ge=0)
    """Seed of the first weights."""
    optimizer_params: OptimizerSection = OptimizerSection()


class ModelSection(_LightningPose):
    """``model``: which network."""

    model_type: Literal["heatmap"]
    backbone: str


class CropzoomSection(BaseModel):
    """``cropzoom``: what Lightning Pose has no word for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_size: int | None = Field(default=None, gt=0)
    """Side in frame pixels of the box a pose model sees; null for a detector."""
    jitter: float = Field(default=6.0, ge=0)
    """Standard deviation in frame pixels of the box's place around the animal, as a detector errs."""
    views_per_epoch: int | None = Field(default=None, gt=0)
    """Augmented views an epoch; null for as many as there are training frames."""
    natural_share: float = Field(default=0.3, ge=0, le=1)
    """How many of the views are nearly as filmed; the others are turned about the full circle."""
    paste_share: float = Field(default=0.5, ge=0, le=1)
    """How many of those put the animal elsewhere on its background. For a camera that stands still."""
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
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the model's input."""
        return self.data.image_resize_dims.width, self.data.image_resize_dims.height

    @property
    def role(self) -> Literal["detector", "pose"]:
        """What the model will be used for."""
        return "detector" if self.cropzoom.crop_size is None else "pose"


def load_config(path: Path, overrides: Sequence[str]) -> tuple[TrainConfig, dict[str, Any]]:
    """Read and check a configuration; also return it as it was read, overrides applied.

    Raises ConfigError with a line a field.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the training configuration {path}: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no sections; expected a Lightning Pose config.yaml")
    for override in overrides:
        _override(tree, override)
    _refuse_other_backbones(tree)
    try:
        return TrainConfig.model_validate(tree), tree
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in e['loc']) or path}: {e['msg']}" for e in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _refuse_other_backbones(tree: dict[str, Any]) -> None:
    model = tree.get("model")
    backbone = model.get("backbone") if isinstance(model, dict) else None
    if backbone is not None and backbone != BACKBONE:
        raise ConfigError(f"model.backbone is {backbone}; only {BACKBONE} is trained here; use litpose train for it")


def _override(tree: dict[str, Any], override: str) -> None:
    """Set one ``a.b=value`` in place; the name must be in the file, or be one that is read."""
    name, equals, text = override.partition("=")
    parts = name.split(".")
    if not equals or not all(parts):
        raise ConfigError(f"override {override!r} is not of the form section.name=value")
    if not _in_file(tree, parts) and not _is_read(parts):
        raise ConfigError(f"override {override!r}: there is no setting {name}; expected one of the file's, or of ours")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override {override!r}: {text!r} is not a value YAML can read") from None
    node = tree
    for part in parts[:-1]:
        node[part] = node.get(part) or {}
        node = node[part]
    node[parts[-1]] = value


def _in_file(tree: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _is_read(parts: Sequence[str]) -> bool:
    section: Any = TrainConfig
    for part in parts:
        if not (isinstance(section, type) and issubclass(section, BaseModel)) or part not in section.model_fields:
            return False
        section = section.model_fields[part].annotation
    return True

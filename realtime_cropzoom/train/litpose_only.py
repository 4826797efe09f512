"""Check for configurations that only Lightning Pose can train. They are refused instead of giving another network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.train.dataset import CROPPED_IMAGES
from realtime_cropzoom.train.network import BACKBONE


def refuse_litpose_only(tree: dict[str, Any], path: Path, detector_model: Path | None) -> None:
    """Check a configuration.

    Args:
        tree: The configuration.
        path: Its file, for the error text.
        detector_model: The detector's directory, if one is given.

    Raises:
        ConfigError: if only Lightning Pose can train it. The text gives the command to run instead.
    """
    data, training, model = (_section(tree, name) for name in ("data", "training", "model"))
    losses = model.get("losses_to_use") or []
    if "pca_multiview" in losses and _is_pose(tree, detector_model):
        raise ConfigError(
            "model.losses_to_use has pca_multiview, which Lightning Pose does not support for pose models "
            "on crops: remove it from the list"
        )
    instead = f"run litpose train {path}" + (f" --detector_model {detector_model}" if detector_model else "")
    kind, backbone, csv_file = model.get("model_type"), model.get("backbone"), data.get("csv_file")
    if kind not in (None, "heatmap"):
        raise ConfigError(f"model.model_type is {kind}; cropzoom trains only heatmap models: {instead}")
    if backbone not in (None, BACKBONE):
        raise ConfigError(
            f"model.backbone is {backbone}; cropzoom trains only {BACKBONE}: for {backbone} {instead}, "
            f"for {BACKBONE} add --overrides model.backbone={BACKBONE}"
        )
    if losses:
        raise ConfigError(f"model.losses_to_use is {losses}; cropzoom learns only from labels: {instead}")
    if isinstance(csv_file, list) and len(csv_file) != 1:
        raise ConfigError(
            f"data.csv_file names {len(csv_file)} files, one per camera view; cropzoom reads one: {instead}"
        )
    if model.get("checkpoint"):
        raise ConfigError(
            f"model.checkpoint is {model['checkpoint']}; cropzoom starts every training from new weights: {instead}"
        )
    if training.get("max_steps"):
        raise ConfigError(f"training.max_steps is set; set training.max_epochs in its place, or {instead}")


def _is_pose(tree: dict[str, Any], detector_model: Path | None) -> bool:
    on_crops = Path(str(_section(tree, "data").get("data_dir"))).name == CROPPED_IMAGES
    return detector_model is not None or on_crops or _section(tree, "cropzoom").get("crop_size") is not None


def _section(tree: dict[str, Any], name: str) -> dict[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, dict) else {}

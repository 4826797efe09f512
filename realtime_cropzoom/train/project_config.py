"""Configuration of a project's two trainings, in the form of a Lightning Pose ``config.yaml``, as a model keeps it."""

from __future__ import annotations

from typing import Any

import msgspec

from realtime_cropzoom.inference.manifest import Manifest
from realtime_cropzoom.project.folder import Project
from realtime_cropzoom.train.config import TrainConfig
from realtime_cropzoom.train.export import new_manifest
from realtime_cropzoom.train.network import BACKBONE
from realtime_cropzoom.train.training_state import Role, TrainingJob

_VIEWS_PER_EPOCH = 800
_LEARNING_RATE = 0.004
_PASTE_SHARE = {"detector": 0.7, "pose": 0.5}
"""Share of the turned views in which the animal is elsewhere on its background."""


def role_config(project: Project, job: TrainingJob, role: Role) -> tuple[TrainConfig, dict[str, Any]]:
    """Return the configuration of one training, checked, and as a tree for the model's ``config.yaml``."""
    width, height = job.plan.detector_input if role == "detector" else job.plan.pose_input
    seed, keypoints = project.file.training.seed, list(project.keypoints)
    tree = {
        "data": {
            "image_resize_dims": {"height": height, "width": width},
            "data_dir": str(project.folder),
            "csv_file": project.labels_file.relative_to(project.folder).as_posix(),
            "num_keypoints": len(keypoints),
            "keypoint_names": keypoints,
        },
        "training": {
            "imgaug_hflip": bool(project.symmetric_pairs),
            "rng_seed_data_pt": seed,
            "rng_seed_model_pt": seed,
            "optimizer_params": {"learning_rate": _LEARNING_RATE},
        },
        "model": {"model_type": "heatmap", "backbone": BACKBONE},
        "cropzoom": {
            "crop_size": None if role == "detector" else job.plan.crop_size,
            "jitter": job.plan.jitter,
            "views_per_epoch": _VIEWS_PER_EPOCH,
            "paste_share": _PASTE_SHARE[role],
            "symmetric": [list(pair) for pair in project.file.symmetric],
            "trained_on": f"{sum(word == 'train' for word in job.sets.values())} frames of the project {project.name}",
        },
    }
    return TrainConfig.model_validate(tree), tree


def role_manifest(project: Project, job: TrainingJob, config: TrainConfig) -> Manifest:
    """Return the manifest of one model, without its limits of presence."""
    return msgspec.structs.replace(
        new_manifest(config.role, project.keypoints, config.size),
        crop_size=job.plan.crop_size,
        skeleton=project.skeleton,
        trained_on=config.cropzoom.trained_on,
        trained=job.trained,
    )

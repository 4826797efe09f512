"""From the weights of a training to the file that ships: export, limits of presence, and facts about the training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from realtime_cropzoom.inference.appearance import measure_training
from realtime_cropzoom.train.config import load_config
from realtime_cropzoom.train.dataset import LabelledFrame
from realtime_cropzoom.train.export import new_manifest
from realtime_cropzoom.train.result import write_model
from shipping.data import NAMES, SKELETON, arenas, labelled
from shipping.students import CONFIGS, Place, Role, new_student

_DESCRIPTION = "a mouse, darker or brighter than the floor, seen from above"


def finish(role: Role, place: Place, models: Path) -> None:
    """Export a trained network, measure its limits, and copy it to the models that ship.

    Args:
        role: Which of the two.
        place: Files of the training.
        models: Folder of the two files.
    """
    config, _ = load_config(CONFIGS[role], [f"data.data_dir={place.data.resolve()}"])
    frames = labelled(place.data, place.held_out).train
    usual, varied, empty = arenas(80, 200, 200, 20)
    seen = measure_training(((f.image, f.xy) for f in [*frames, *map(_inverted, frames[::3]), *varied]), "mouse")
    assert seen is not None
    manifest = msgspec.structs.replace(
        new_manifest(role, NAMES, config.size),
        crop_size=config.cropzoom.crop_size,
        skeleton=SKELETON,
        trained=msgspec.structs.replace(seen, description=_DESCRIPTION),
        trained_on=config.cropzoom.trained_on,
        license=config.cropzoom.license,
    )
    network = new_student(role)
    network.load_state_dict(torch.load(place.weights(role), weights_only=True))
    directory = place.output / role
    directory.mkdir(exist_ok=True)
    model, presence = write_model(network.eval(), manifest, config, [*frames, *usual, *empty], directory)
    print(f"{role}: {presence}")
    shutil.copyfile(model, models / f"{role}.onnx")


def _inverted(frame: LabelledFrame) -> LabelledFrame:
    return LabelledFrame(frame.name, np.asarray(255 - frame.image, np.uint8), frame.xy)


def finish_all(place: Place, models: Path, roles: Sequence[Role] = ("detector", "pose")) -> None:
    """Finish both models."""
    for role in roles:
        finish(role, place, models)

"""Model paths: which file a setting means, and where its int8 export lies."""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.errors import ModelError, advise
from realtime_cropzoom.files.paths import is_there, user_path
from realtime_cropzoom.inference.manifest import Role

PROJECT_FILE = "project.yaml"
"""File in the folder of a project, which holds models and is none."""
SHIPPED = "shipped"
"""Value of a setting, instead of a path, for the model that comes with the package."""


def model_path(given: str, role: Role) -> Path:
    """Return the path of the model that a setting names.

    Args:
        given: A path, or ``shipped``.
        role: Which of the shipped models is meant.

    Raises:
        ModelError: if a shipped model is meant, and this installation has none.
    """
    if given not in (SHIPPED, "auto"):
        return user_path(given)
    path = shipped_model(role)
    if not path.is_file():
        raise ModelError(
            f"shipped {role} model: got no file {path}, expected it to come with the package. "
            f"Install the package again, from a wheel with its models{advise(f', or give a model with --{role} PATH')}"
        )
    return path


def shipped_model(role: Role) -> Path:
    """Return the path of a model that comes with the package."""
    package = Path(__file__).parents[1]
    beside_package = package.parent / "models" / f"{role}.onnx"  # a clone, installed in editable mode
    return beside_package if beside_package.exists() else package / "models" / f"{role}.onnx"


def is_shipped(path: Path) -> bool:
    """Return whether a model comes with the package."""
    return path in (shipped_model("detector"), shipped_model("pose"))


def int8_path(onnx: Path) -> Path:
    """Return the path of the int8 export that belongs to an fp32 export."""
    return onnx.with_stem(f"{onnx.stem.removesuffix('_fp32')}_int8")


def int8_beside(path: Path) -> Path:
    """Return the int8 export next to an .onnx file, or the file itself if it is one.

    Raises:
        ModelError: if there is none.
    """
    if path.stem.endswith("_int8"):
        return path
    beside = int8_path(path)
    if not is_there(beside):
        raise ModelError(f"{path} has no int8 export {beside.name}; run: cropzoom quantize {path} --calibrate VIDEO")
    return beside

"""Training: ``train`` and ``export``."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from realtime_cropzoom.errors import ConfigError, ModelError

OUR_CHECKPOINT = "cropzoom_small.pt"


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    train = commands.add_parser("train", help="train a detector or pose model (needs the extra 'train')")
    train.add_argument("config", type=Path, metavar="CONFIG.yaml", help="a Lightning Pose config")
    train.add_argument(
        "--output-dir", type=Path, help="the new model directory (./outputs/YYYY-MM-DD/HH-MM-SS)", metavar="DIR"
    )
    train.add_argument(
        "--detector-model", type=Path, metavar="DIR",
        help="train a pose model on the images that 'crop' has cropped in this detector's directory; where the config "
        "sets cropzoom.crop_size, crops are cut while training, and the held-out error is measured in its boxes",
    )  # fmt: skip
    train.add_argument("--overrides", nargs="*", default=[], metavar="KEY=VALUE", help="settings to change")
    train.add_argument("--overwrite", action="store_true", help="replace the model that is in the output directory")
    train.set_defaults(command=_train)
    export = commands.add_parser("export", help="write a trained model as ONNX, which is what runs")
    export.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="a directory that train has left")
    export.add_argument("--runtime", choices=["onnx", "tensorrt"], default="onnx", help="onnx serves every provider")
    export.add_argument(
        "--onnx-precision", choices=["fp32", "fp16"], default="fp32",
        help="of input and weights (fp32, which is what a CPU computes in; fp16 is for GPUs, and rounds)",
    )  # fmt: skip
    export.set_defaults(command=_export)


def _train(arguments: argparse.Namespace) -> int:
    with _extra("train"):
        from realtime_cropzoom.train import train

    report = train(
        arguments.config,
        arguments.output_dir or Path("outputs") / datetime.now().strftime("%Y-%m-%d/%H-%M-%S"),
        detector_model=arguments.detector_model,
        overrides=arguments.overrides,
        progress=lambda line: print(line, file=sys.stderr),
        overwrite=arguments.overwrite,
    )
    print(report)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    directory, precision = arguments.model_dir, arguments.onnx_precision
    if arguments.runtime == "tensorrt":
        raise ConfigError(
            f"TensorRT needs no export of its own: run cropzoom export {directory} --runtime onnx, and run the model "
            "with --provider tensorrt, with which ONNX Runtime builds the engine itself"
        )
    if (directory / OUR_CHECKPOINT).is_file():
        with _extra("export"):
            from realtime_cropzoom.train import export_checkpoint
        print(export_checkpoint(directory, precision))
    elif (directory / "config.yaml").is_file() and next(directory.rglob("*.ckpt"), None) is not None:
        print(_export_by_litpose(directory, precision))
    else:
        raise ModelError(
            f"{directory} has nothing to export; expected {OUR_CHECKPOINT}, as cropzoom train leaves it, "
            "or the config.yaml and the checkpoint (*.ckpt) of a Lightning Pose model"
        )
    return 0


def _export_by_litpose(directory: Path, precision: str) -> Path:
    if importlib.util.find_spec("lightning_pose") is None:
        raise ModelError(
            f"{directory} is a Lightning Pose model and lightning-pose is not installed here; where it is, "
            f"run: litpose export {directory} --runtime onnx --onnx-precision {precision}"
        )
    try:
        api = importlib.import_module("lightning_pose.api")
        exported: Path = api.Model.from_dir(directory).export("onnx", onnx_precision=precision)
    except Exception as error:  # lightning-pose's have no common base
        raise ModelError(f"lightning-pose cannot export {directory}: {' '.join(str(error).split())}") from error
    return exported


@contextlib.contextmanager
def _extra(command: str) -> Iterator[None]:
    """Say in a line which extra an import lacks."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"cropzoom {command} needs {error.name}, which comes with the extra 'train'; "
            "run: pip install 'realtime-cropzoom[cpu,train]' (in a clone of it: pip install -e '.[cpu,train]')"
        ) from None

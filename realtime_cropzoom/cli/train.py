"""``cropzoom train`` and ``cropzoom export``: train a model, and write it as ONNX."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from realtime_cropzoom.cli.common import add_overwrite, say_next
from realtime_cropzoom.cli.train_progress import PairProgress, TrainProgress, say
from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import ConfigError, ModelError, install_command

if TYPE_CHECKING:
    from realtime_cropzoom.project.folder import Project

OUR_CHECKPOINT = "cropzoom_small.pt"


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    train = commands.add_parser("train", help="train the models of a project, or one by a Lightning Pose config")
    train.add_argument(
        "what", type=a_path, metavar="PROJECT",
        help="folder of a project: both models are trained. Or a Lightning Pose config.yaml: one model is",
    )  # fmt: skip
    train.add_argument("--resume", action="store_true", help="project: go on with a training that was interrupted")
    train.add_argument(
        "--overwrite", action="store_true",
        help="project: begin again, and forget a training that was interrupted; the finished models are kept. "
        "Config: replace the model in the output directory",
    )  # fmt: skip
    train.add_argument(
        "--output-dir",
        type=a_path,
        help="config: new model directory (default: ./outputs/YYYY-MM-DD/HH-MM-SS)",
        metavar="DIR",
    )
    train.add_argument(
        "--detector-model", type=a_path, metavar="DIR",
        help="config: train a pose model on the crops that 'crop' wrote to this detector's directory. If "
        "cropzoom.crop_size is set, training makes the crops, and the held-out error uses the detector's boxes",
    )  # fmt: skip
    train.add_argument(
        "--overrides", nargs="*", default=[], metavar="KEY=VALUE", help="config: change settings of the config"
    )
    train.set_defaults(command=_train)
    export = commands.add_parser("export", help="write a trained model as ONNX, the format that runs")
    export.add_argument("model_dir", type=a_path, metavar="MODEL_DIR", help="directory made by train")
    export.add_argument("--runtime", choices=["onnx", "tensorrt"], default="onnx", help="onnx runs with every provider")
    export.add_argument(
        "--onnx-precision", choices=["fp32", "fp16"], default="fp32",
        help="precision of input and weights: fp32 for CPUs, fp16 (less exact) for GPUs (default: fp32)",
    )  # fmt: skip
    add_overwrite(export)
    export.set_defaults(command=_export)


def _train(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.project.folder import is_project

    is_no_config = not arguments.what.suffix and not arguments.what.exists()  # most likely a folder, misspelt
    if arguments.what.is_dir() or is_project(arguments.what) or is_no_config:
        return _train_project(arguments)
    if arguments.resume:
        raise ConfigError("--resume: a training by a Lightning Pose config cannot go on, only that of a project can")
    with TrainProgress() as progress:
        progress.say("loading PyTorch")
        with _extra("train"):
            from realtime_cropzoom.train import train

        report = train(
            arguments.what,
            arguments.output_dir or Path("outputs") / datetime.now().strftime("%Y-%m-%d/%H-%M-%S"),
            detector_model=arguments.detector_model,
            overrides=arguments.overrides,
            progress=progress.epoch,
            step=progress.step,
            say=progress.say,
            overwrite=arguments.overwrite,
        )
    print(report)
    say_next("run", "VIDEO", f"--{report.role}", report.output_dir)
    return 0


def _train_project(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.project.in_use import project_in_use

    with project_in_use(arguments.what, "train", "training") as project:
        return _train_pair(project, arguments)


def _train_pair(project: Project, arguments: argparse.Namespace) -> int:
    of_config = {
        "--output-dir": arguments.output_dir,
        "--detector-model": arguments.detector_model,
        "--overrides": arguments.overrides,
    }
    if given := [flag for flag, value in of_config.items() if value]:
        raise ConfigError(
            f"{given[0]} is for a Lightning Pose config, and {arguments.what} is a project. Set what you want to "
            "change under training in its project.yaml"
        )
    with PairProgress() as progress:
        with _extra("train"):
            from realtime_cropzoom.train.project_training import train_project

        report = train_project(
            project, resume=arguments.resume, overwrite=arguments.overwrite, say=progress.say, show=progress.show
        )
        progress.say("judging the models")
    from realtime_cropzoom.evaluation import evaluate_project

    try:
        summary = evaluate_project(project)
        print("\n".join(summary.lines))
    finally:
        print(report)
    print(f"look at {report.curves} and {summary.report}")
    say_next("run", "camera:0", "--project", arguments.what)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    directory, precision = arguments.model_dir, arguments.onnx_precision
    if arguments.runtime == "tensorrt":
        raise ConfigError(
            f"TensorRT needs no export of its own: run cropzoom export {directory} --runtime onnx, and run the model "
            "with --provider tensorrt. ONNX Runtime then builds the TensorRT engine"
        )
    if (directory / OUR_CHECKPOINT).is_file():
        print(_export_ours(directory, precision, overwrite=arguments.overwrite))
        say_next("predict", directory, "VIDEO")
    elif (directory / "config.yaml").is_file() and next(directory.rglob("*.ckpt"), None) is not None:
        print(_export_by_litpose(directory, precision))
        say_next("predict", directory, "VIDEO")
    else:
        raise ModelError(
            f"{directory} has nothing to export; expected {OUR_CHECKPOINT}, as cropzoom train leaves it, "
            "or the config.yaml and the checkpoint (*.ckpt) of a Lightning Pose model"
        )
    return 0


def _export_ours(directory: Path, precision: Literal["fp32", "fp16"], *, overwrite: bool) -> Path:
    """Export our checkpoint and return the ONNX file. An existing result of the same checkpoint is kept."""
    from realtime_cropzoom.offline.provenance import already_made, input_entry, write_origin

    path = directory / "exports_onnx" / f"{Path(OUR_CHECKPOINT).stem}_{precision}.onnx"
    made_of = {"checkpoint": input_entry(directory / OUR_CHECKPOINT)}
    if already_made(path, "export", made_of, overwrite=overwrite, say=say, fits=lambda: False):
        return path
    with _extra("export"):
        from realtime_cropzoom.train import export_checkpoint
    path = export_checkpoint(directory, precision)
    write_origin(path, "export", made_of)
    return path


def _export_by_litpose(directory: Path, precision: str) -> Path:
    if importlib.util.find_spec("lightning_pose") is None:
        raise ModelError(
            f"{directory} is a Lightning Pose model, and lightning-pose is not installed here. On a machine "
            f"that has it, run: litpose export {directory} --runtime onnx --onnx-precision {precision}"
        )
    try:
        api = importlib.import_module("lightning_pose.api")
        exported: Path = api.Model.from_dir(directory).export("onnx", onnx_precision=precision)
    except Exception as error:  # the errors of lightning-pose have no common base class
        raise ModelError(f"lightning-pose cannot export {directory}: {' '.join(str(error).split())}") from error
    return exported


@contextlib.contextmanager
def _extra(command: str) -> Iterator[None]:
    """Turn a missing library into a ConfigError that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"cropzoom {command} needs {error.name}, which comes with the extra 'train'; "
            f"run: {install_command('cpu,train')}"
        ) from None

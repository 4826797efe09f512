"""``cropzoom train`` and ``cropzoom export``: train a model, and write it as ONNX."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import math
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from realtime_cropzoom.cli.common import add_overwrite, say_next
from realtime_cropzoom.cli.values import a_path
from realtime_cropzoom.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from realtime_cropzoom.train import Epoch, Step

_BAR = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left{postfix}"
_LINE_EVERY_S = 10.0
"""Time (s) between two lines of progress if stderr is not a terminal."""

OUR_CHECKPOINT = "cropzoom_small.pt"


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    train = commands.add_parser("train", help="train a detector or pose model (needs the extra 'train')")
    train.add_argument("config", type=a_path, metavar="CONFIG.yaml", help="Lightning Pose configuration")
    train.add_argument(
        "--output-dir",
        type=a_path,
        help="new model directory (default: ./outputs/YYYY-MM-DD/HH-MM-SS)",
        metavar="DIR",
    )
    train.add_argument(
        "--detector-model", type=a_path, metavar="DIR",
        help="train a pose model on the crops that 'crop' wrote to this detector's directory. If cropzoom.crop_size is "
        "set, training makes the crops, and the held-out error uses the detector's boxes",
    )  # fmt: skip
    train.add_argument("--overrides", nargs="*", default=[], metavar="KEY=VALUE", help="change settings of the config")
    train.add_argument("--overwrite", action="store_true", help="replace the model in the output directory")
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
    with _Progress() as progress:
        progress.say("loading PyTorch")
        with _extra("train"):
            from realtime_cropzoom.train import train

        report = train(
            arguments.config,
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


class _Progress:
    """Shows the progress of a training: on a terminal a bar with the remaining time, elsewhere a line every 10 s."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._line_due_s = 0.0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

    def say(self, line: str) -> None:
        """Print the name of a slow step before or after the batches, on a terminal only."""
        self._close_bar()
        if sys.stderr.isatty():
            _say(f"{line} …")

    def step(self, step: Step) -> None:
        """Show a completed batch."""
        if sys.stderr.isatty():
            if self._bar is None:
                from tqdm import tqdm

                self._bar = tqdm(total=step.of, desc="training", bar_format=_BAR, dynamic_ncols=True)
            self._bar.update(step.done - self._bar.n)
        elif step.seconds >= self._line_due_s:
            self._line_due_s = step.seconds + _LINE_EVERY_S
            _say(f"batch {step.done} of {step.of}, about {_duration(step.seconds_left)} left")

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def epoch(self, epoch: Epoch) -> None:
        """Show the loss and error of an epoch."""
        if self._bar is not None:
            error = "" if math.isnan(epoch.held_out_px) else f", held-out {epoch.held_out_px:.1f} px"
            self._bar.set_postfix_str(f"loss {epoch.loss:.2f}{error}")
        else:
            _say(str(epoch))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


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
    if already_made(path, "export", made_of, overwrite=overwrite, say=_say, fits=lambda: False):
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
            "run: pip install 'realtime-cropzoom[cpu,train]' (in a clone of it: pip install -e '.[cpu,train]')"
        ) from None

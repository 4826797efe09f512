"""int8 models: ``quantize``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_overwrite, check_free, say_next
from realtime_cropzoom.cli.values import a_path, number, whole
from realtime_cropzoom.errors import ConfigError, quoted
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.inference.boxes import BoxRule
    from realtime_cropzoom.inference.manifest import Role
    from realtime_cropzoom.inference.model import Model
    from realtime_cropzoom.offline.quantization import Quantization


def register(commands: Any) -> None:
    """Add the command to the parser."""
    quantize = commands.add_parser("quantize", help="make a model faster on a CPU: int8, checked against fp32")
    quantize.add_argument("model", type=a_path, metavar="MODEL", help="a model directory, or an .onnx file of cropzoom")
    quantize.add_argument(
        "--calibrate", type=a_path, nargs="+", required=True, metavar="INPUT",
        help="videos, label files (CSV) or folders of videos: recordings like those that the model will see",
    )  # fmt: skip
    quantize.add_argument(
        "--detector", metavar="MODEL",
        help="for a pose model: the detector that finds the animal, in the form of 'cropzoom run'",
    )  # fmt: skip
    quantize.add_argument(
        "--crop-size", type=whole(1, 8192, "pixels"), metavar="PX",
        help="for a pose model: side of the box (default: that of its training)",
    )  # fmt: skip
    quantize.add_argument(
        "--max-shift", type=number(0.001, 1000, "pixels"), default=0.5, metavar="PX",
        help="largest shift that 95 %% of the keypoints may have; nothing is written beyond it (default: 0.5)",
    )  # fmt: skip
    quantize.add_argument(
        "--frames", type=whole(16, 100_000, "frames"), default=200, metavar="N",
        help="number of frames: half for calibration, half for the comparison with fp32 (default: 200)",
    )  # fmt: skip
    quantize.add_argument(
        "--out", type=a_path, metavar="FILE.onnx", help="file to write (default: next to the fp32 export)"
    )
    add_overwrite(quantize)
    quantize.set_defaults(command=_quantize)


def _quantize(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.inference.boxes import BoxRule
        from realtime_cropzoom.inference.model import Model
        from realtime_cropzoom.inference.model_paths import int8_path, model_path
        from realtime_cropzoom.offline.inputs import gather
        from realtime_cropzoom.offline.quantization import check_quantizable, quantize
        from realtime_cropzoom.offline.quantization_frames import Cutter, collect

    inputs = gather(arguments.calibrate, images=True)
    model = Model(arguments.model, precision="fp32")
    if model.file.chosen:
        terminal.say(model.file.chosen)
    check_quantizable(model)
    out = arguments.out or int8_path(model.file.onnx)
    check_free(out, overwrite=arguments.overwrite)
    detector, rule = None, BoxRule()
    if arguments.detector is not None:
        detector = Model(model_path(arguments.detector, "detector"), "detector")
        rule = _box_rule(model, arguments.crop_size)
    else:
        _check_sees_whole_frames(model, arguments.crop_size)
    role: Role = "detector" if detector is None else "pose"
    terminal.say(f"reading {arguments.frames} frames")
    samples = collect(inputs, Cutter(model, detector, rule), arguments.frames)
    made = quantize(model, role, samples, out, max_shift_px=arguments.max_shift, say=terminal.say)
    print("\n".join(_report(made)))
    say_next(*_next_command(arguments, made.path, detector))
    return 0


def _next_command(arguments: argparse.Namespace, made: Path, detector: Model | None) -> list[object]:
    """Return the words of the command that runs the int8 export with the detector and the box that were given.

    ``--precision int8`` is for both models. If the detector has no int8 export, the command names the file instead.
    """
    from realtime_cropzoom.inference.model_paths import int8_path

    both = detector is None or detector.is_shipped or int8_path(detector.file.onnx).exists()
    by_precision = arguments.out is None and both
    model = arguments.model if by_precision else made
    words: list[object] = ["run", "VIDEO"]
    words += ["--detector", model] if detector is None else ["--detector", arguments.detector, "--pose", model]
    words += [] if arguments.crop_size is None else ["--crop-size", arguments.crop_size]
    return [*words, *(("--precision", "int8") if by_precision else ())]


def _box_rule(model: Model, crop_size: int | None) -> BoxRule:
    """Return how the detector's keypoints become a box. Raises ConfigError if its size is unknown."""
    from realtime_cropzoom.inference.boxes import BoxRule

    side = crop_size or model.trained_crop_size or model.file.trained_side
    if side is None:
        raise ConfigError(
            f"{model.path} does not say the size of the boxes of its training; "
            "give --crop-size with the side that 'cropzoom run' will have"
        )
    return BoxRule(crop_size=side, unrounded=model.manifest.unrounded)


def _check_sees_whole_frames(model: Model, crop_size: int | None) -> None:
    sees_crops = (
        model.manifest.role == "pose" or model.trained_crop_size is not None or model.file.trained_side is not None
    )
    if sees_crops or crop_size is not None:
        raise ConfigError(
            f"{model.path} is a pose model, which sees crops; give the detector that makes them: --detector MODEL"
        )


def _report(made: Quantization) -> list[str]:
    """Return what the user reads at the end, lines of at most 80 columns."""
    import numpy as np

    width = max(len(quoted(name)) for name in (*made.keypoint_names, "all keypoints"))
    lines = [
        f"calibrated on {made.calibrated_on} frames; compared with fp32 on {made.judged_on} others",
        f"{'shift (px)':<{width}}  median     95 %      max",
    ]
    for name, px in zip(made.keypoint_names, made.shift.px.T, strict=True):
        numbers = (np.nanmedian(px), np.nanpercentile(px, 95), np.nanmax(px))
        lines.append(f"{quoted(name):<{width}}" + "".join(f"{value:>8.2f} " for value in numbers).rstrip())
    total = (made.shift.median_px, made.shift.p95_px, made.shift.max_px)
    lines.append(f"{'all keypoints':<{width}}" + "".join(f"{value:>8.2f} " for value in total).rstrip())
    lines.append(f"likelihoods change by at most {made.shift.likelihood:.2f}")
    if made.errors_px is not None:
        lines.append("mean error against the labels: {:.2f} px fp32, {:.2f} px int8".format(*made.errors_px))
    if made.in_float:
        lines.append(f"{len(made.in_float)} sensitive convolutions stay in float")
    lines.append("size: {:.1f} MB fp32, {:.1f} MB int8".format(*made.sizes_mb))
    lines.append(
        f"network alone, one thread: {made.speed.fp32_ms:.1f} ms fp32, {made.speed.int8_ms:.1f} ms int8 "
        f"({made.speed.ratio:.1f} times as fast)"
    )
    return [*lines, str(made.path)]

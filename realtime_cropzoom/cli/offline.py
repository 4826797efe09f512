"""``predict``, ``create_bbox``, ``smooth_bbox``, ``crop``, ``remap``, ``pipeline``: their arguments, as a table.

Arguments and flags are as in ``litpose``, so that a script can replace one program by the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from realtime_cropzoom.cli import cluster, offline_commands
from realtime_cropzoom.cli.common import add_settings
from realtime_cropzoom.cli.values import a_path, number, whole

OF_PIPELINE = (
    *("detector", "pose", "crop_size", "crop_ratio", "anchor_keypoints", "min_likelihood", "min_box", "edge"),
    *("detector_every", "box_from", "box_check_s", "schedule", "frames", "decoder", "provider", "precision"),
    *("coast_after_ms", "lost_after_ms"),
    *("calibration", "project"),
)
"""Settings of a run that ``pipeline`` accepts, too."""
_MAX_BATCH, _MAX_CORES, _MAX_WINDOW = 100_000, 10_000, 1_000_000

_Add = Callable[[argparse.ArgumentParser], None]
"""Adds arguments to the parser of a command."""


@dataclass(frozen=True, slots=True)
class _Command:
    """One row of the table."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: tuple[_Add, ...]
    """In the order of the help."""


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    for command in _COMMANDS:
        parser: argparse.ArgumentParser = commands.add_parser(command.name, help=command.help)
        for add in command.arguments:
            add(parser)
        parser.set_defaults(command=command.run)


def _model_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model_dir", type=a_path, metavar="MODEL_DIR", help="model directory")


def _inputs(what: str, nargs: str = "+") -> _Add:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("input_path", type=a_path, nargs=nargs, metavar="INPUT", help=what)

    return add


def _bbox_dir(help: str) -> _Add:
    return lambda parser: _add(parser, "--bbox-dir", type=a_path, metavar="DIR", help=help)


def _box_rule(parser: argparse.ArgumentParser) -> None:
    ratio = "side of the box, as a multiple of the span of the keypoints (default: 2.0)"
    parser.add_argument("--crop-ratio", type=number(0.001, 1000), metavar="R", help=ratio)
    parser.add_argument("--crop-size", type=whole(1, 8192, "pixels"), metavar="PX", help="side of the box in pixels")
    anchors = "keypoints that make the box (default: all)"
    parser.add_argument("--anchor-keypoints", default="", metavar="A,B", help=anchors)


def _batch_and_workers(parser: argparse.ArgumentParser) -> None:
    batch = "frames that go to the model at once"
    parser.add_argument("--batch-size", type=whole(1, _MAX_BATCH, "frames"), metavar="N", help=batch)
    cores = "cores to use (default: all)"
    parser.add_argument("--workers", type=whole(1, _MAX_CORES, "cores"), metavar="N", help=cores)


def _inference(parser: argparse.ArgumentParser) -> None:
    _batch_and_workers(parser)
    _choose(parser, "--provider", "auto cpu cuda tensorrt", "what runs the model (default: auto)", default="auto")
    _choose(parser, "--runtime", "eager onnx tensorrt", "the ONNX export always runs; tensorrt runs it with TensorRT")
    _choose(parser, "--onnx-precision", "fp16 fp32 int8", "which export (default: fp32 on a CPU, fp16 on a GPU)")
    _choose(parser, "--precision", "fp32 fp16 bf16", "ignored: a flag of the eager runtime of litpose")
    _choose(parser, "--reader", "dali pynvvc opencv", "ignored: PyAV always reads the frames")
    parser.add_argument("--compile", action="store_true", help="ignored: a flag of the eager runtime of litpose")


def _choose(parser: argparse.ArgumentParser, flag: str, words: str, help: str, **options: Any) -> None:
    parser.add_argument(flag, choices=words.split(), help=help, **options)


def _overrides(parser: argparse.ArgumentParser) -> None:
    what = "change the configuration of the model"
    parser.add_argument("--overrides", nargs="*", default=[], metavar="KEY=VALUE", help=what)


def _overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")


def _resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resume", action="store_true", help="continue where an interrupted command stopped")


def _skip_viz(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--skip-viz", action="store_true", help="write no labelled videos or images")


def _smoothing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bbox_dir", type=a_path, metavar="BBOX_DIR", help="folder with *_bbox.csv files")
    folder = "folder for the smoothed boxes, not BBOX_DIR"
    parser.add_argument("--output-dir", type=a_path, required=True, metavar="DIR", help=folder)
    parser.add_argument("--method", default="median", help="median is the only method (default: median)")
    size, window = whole(1, _MAX_WINDOW, "frames"), "number of frames around each that count (default: 5)"
    parser.add_argument("--window", type=size, default=5, metavar="N", help=window)


def _cropped_files(parser: argparse.ArgumentParser) -> None:
    predictions = "predictions on a cropped video or cropped images"
    parser.add_argument("preds_file", type=a_path, metavar="PREDS", help=predictions)
    parser.add_argument("bbox_file", type=a_path, metavar="BBOX", help="boxes with which it was cropped")
    video = "the cropped video, if it is not where crop wrote it"
    parser.add_argument("--cropped-video", type=a_path, metavar="FILE", help=video)


def _pipeline_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=a_path, metavar="FILE.yaml", help="settings from a file")
    folder = "folder of the results (default: predictions of the project, else video_preds of the pose model)"
    parser.add_argument("--out", type=a_path, dest="folder", metavar="DIR", help=folder)


def _pipeline_settings(parser: Any) -> None:
    parser.add_later(lambda: add_settings(parser, OF_PIPELINE))


def _add(parser: argparse.ArgumentParser, flag: str, **options: Any) -> None:
    parser.add_argument(flag, **options)


_COMMANDS = (
    _Command(
        "predict",
        "predict keypoints in videos, labelled images and images",
        offline_commands.run_predict,
        (
            _model_dir,
            _inputs("videos, images, label files (CSV), or folders of videos or images"),
            _inference,
            _bbox_dir("crop to the boxes in this folder: VIDEO_bbox.csv, bbox.csv"),
            *(_overrides, _overwrite, _resume, _skip_viz),
        ),
    ),
    _Command(
        "create_bbox",
        "make boxes from the predictions of a detector",
        offline_commands.run_create_bbox,
        (
            _model_dir,
            _inputs("videos, label files (CSV), or folders of videos, with predictions"),
            *(_box_rule, _overwrite),
        ),
    ),
    _Command("smooth_bbox", "smooth the boxes of a folder", offline_commands.run_smooth_bbox, (_smoothing, _overwrite)),
    _Command(
        "crop",
        "cut videos or labelled images to their boxes",
        offline_commands.run_crop,
        (
            _model_dir,
            _inputs("videos, label files (CSV), or folders of videos"),
            _bbox_dir("boxes from another folder: VIDEO_bbox.csv, bbox.csv"),
            *(_box_rule, _inference, _overwrite, _resume),
        ),
    ),
    _Command(
        "remap",
        "convert predictions on crops to coordinates of the original image",
        offline_commands.run_remap,
        (_cropped_files, _overwrite),
    ),
    _Command(
        "pipeline",
        "run detector, boxes and pose in one pass over each video",
        offline_commands.run_pipeline,
        (
            _inputs("videos, folders of videos, or synthetic:arena", "*"),  # none with --cluster-status
            *(_pipeline_files, _pipeline_settings, _batch_and_workers, _overwrite, _resume, _skip_viz),
            cluster.add_arguments,
        ),
    ),
)

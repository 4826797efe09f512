"""``predict``, ``create_bbox``, ``smooth_bbox``, ``crop``, ``remap``, ``pipeline``: what they run.

What a command needs is imported when it runs, so that ``--help`` loads none of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli.batch import Batch, name_input, say
from realtime_cropzoom.cli.cluster import check_flags, run_on_cluster, run_status
from realtime_cropzoom.cli.common import say_next, settings_given
from realtime_cropzoom.files.paths import is_folder, user_path
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.config.settings import Settings
    from realtime_cropzoom.inference.model import Model
    from realtime_cropzoom.inference.providers import Provider
    from realtime_cropzoom.offline.predict import Predictor

_CROPPED = ("video", "labels")
"""Names of the inputs of ``crop`` in the notes of predictions."""


def run_predict(arguments: argparse.Namespace) -> int:
    """Predict keypoints in each input; return the exit code."""
    from realtime_cropzoom.offline.inputs import Video, gather

    batch = Batch()
    inputs = gather(arguments.input_path, batch.fail, images=True)

    def next_command(given: Any, path: Path) -> Sequence[object]:
        if arguments.bbox_dir is None:
            return _remap_command(given, path) or ("create_bbox", arguments.model_dir, *arguments.input_path)
        return _draw_command(path, given.path) if isinstance(given, Video) else ()

    with _predictor(arguments, batch) as predictor:
        return batch.run(inputs, lambda given: predictor.predict(given, arguments.bbox_dir), next_command)


def _draw_command(predictions: Path, source: object) -> Sequence[object]:
    """Return the command that draws predictions; it names the source only if the note next to them does not."""
    from realtime_cropzoom.sessions.files import read_noted_source

    return ("draw", predictions, *(() if read_noted_source(predictions) else ("--source", source)))


def _remap_command(given: Any, predictions: Path) -> Sequence[object]:
    """Return the command that moves predictions on crops back to the whole frame; empty for those on whole frames."""
    from realtime_cropzoom.offline.provenance import find_input, read_origin

    note = read_origin(predictions)
    boxes = next((found for kind in _CROPPED if (found := find_input(note, kind, "boxes")) is not None), None)
    if boxes is not None:
        return "remap", predictions, boxes["path"]
    cropped = Path(name_input(given)).name.startswith("cropped_")
    return ("remap", predictions, "BOXES_bbox.csv") if cropped else ()


def run_create_bbox(arguments: argparse.Namespace) -> int:
    """Make boxes from the predictions on each input; return the exit code."""
    from realtime_cropzoom.offline.create_bbox import box_files, create_bbox
    from realtime_cropzoom.offline.inputs import gather
    from realtime_cropzoom.offline.model_directory import ModelDirectory

    flags = _make_box_flags(arguments)
    directory = ModelDirectory.open(arguments.model_dir)

    def create(given: Any) -> Path:
        files = box_files(directory, given)
        create_bbox(files, flags, given.path, overwrite=arguments.overwrite, say=say)
        return files.boxes

    batch = Batch()
    next_command = ("crop", arguments.model_dir, *arguments.input_path)
    return batch.run(gather(arguments.input_path, batch.fail), create, lambda given, path: next_command)


def run_smooth_bbox(arguments: argparse.Namespace) -> int:
    """Smooth the boxes of a folder; return the exit code."""
    from realtime_cropzoom.offline.create_bbox import Smoothing

    smoothing = Smoothing(arguments.output_dir, arguments.method, arguments.window, arguments.overwrite)
    next_command = ("predict", "POSE_DIR", "VIDEO", "--bbox_dir", arguments.output_dir)
    files = smoothing.files(arguments.bbox_dir)
    return Batch().run(files, lambda path: smoothing.smooth(path, say), lambda given, path: next_command)


def run_crop(arguments: argparse.Namespace) -> int:
    """Cut each input to its boxes; return the exit code."""
    from realtime_cropzoom.offline.crop import Cropper
    from realtime_cropzoom.offline.inputs import gather
    from realtime_cropzoom.offline.model_directory import ModelDirectory

    batch = Batch()
    inputs = gather(arguments.input_path, batch.fail)
    flags = _make_box_flags(arguments)
    cropper = Cropper(
        ModelDirectory.open(arguments.model_dir),
        flags,
        lambda: _predictor(arguments, batch),
        bbox_dir=arguments.bbox_dir,
        overwrite=arguments.overwrite,
        say=say,
        warn=batch.warn,
    )
    return batch.run(inputs, cropper.crop, lambda given, path: ("predict", "POSE_DIR", path))


def run_remap(arguments: argparse.Namespace) -> int:
    """Move predictions on crops back to the original image; return the exit code."""
    from realtime_cropzoom.offline.remap import remap

    path = remap(
        arguments.preds_file, arguments.bbox_file, arguments.cropped_video, overwrite=arguments.overwrite, say=say
    )
    print(path)
    say_next("draw", path, "--traces")
    return 0


def run_pipeline(arguments: argparse.Namespace) -> int:
    """Run detector, boxes and pose on each video, here or on a cluster; return the exit code."""
    from realtime_cropzoom.config.resolve import load_settings

    check_flags(arguments)
    if arguments.cluster_status is not None:
        return run_status(arguments.cluster_status)
    settings = load_settings(settings_given(arguments), arguments.config)
    with signals_held_back():
        from realtime_cropzoom.offline.command import OfflineCommand
        from realtime_cropzoom.offline.inference_pool import worker_pool
        from realtime_cropzoom.offline.pipeline import OfflinePipeline, find_sources
        from realtime_cropzoom.pipeline.startup import load_models

    batch = Batch()
    sources = find_sources(arguments.input_path, None if arguments.cluster else batch.fail)
    folder = arguments.folder or _choose_folder(settings)
    if arguments.cluster:
        return run_on_cluster(arguments, settings, sources, folder)
    # One thread each: all cores work on different frames, and more threads in a network add up in another order.
    settings, models = load_models(settings, threads=1)
    _say_which("detector model", models.detector)
    _say_which("pose model", models.pose)
    workers = _count_workers(arguments, models.pose)
    with worker_pool(workers) as pool:
        command = OfflineCommand(pool, workers, _make_options(arguments), say, batch.warn)
        pipeline = OfflinePipeline(settings, models, command)
        return batch.run(
            sources,
            lambda source: pipeline.run(source, folder),
            lambda source, path: _draw_command(path, source),
        )


@contextmanager
def _predictor(arguments: argparse.Namespace, batch: Batch) -> Iterator[Predictor]:
    """Load the model, and yield a predictor with its pool of threads."""
    with signals_held_back():
        from realtime_cropzoom.inference.model import Model
        from realtime_cropzoom.offline.command import OfflineCommand
        from realtime_cropzoom.offline.inference_pool import worker_pool
        from realtime_cropzoom.offline.model_directory import ModelDirectory
        from realtime_cropzoom.offline.predict import Predictor

    _say_ignored_flags(arguments)
    directory = ModelDirectory.open(arguments.model_dir, getattr(arguments, "overrides", ()))
    provider: Provider = "tensorrt" if arguments.runtime == "tensorrt" else arguments.provider
    model = Model(arguments.model_dir, provider=provider, precision=arguments.onnx_precision, method="reference")
    _say_which("model", model)
    workers = _count_workers(arguments, model)
    with worker_pool(workers) as pool:
        command = OfflineCommand(pool, workers, _make_options(arguments), say, batch.warn)
        yield Predictor(model, directory, command)


def _say_which(what: str, model: Model | None) -> None:
    """Say in a line which file of which maker runs, and in another one why, if its folder has several."""
    if model is not None and not model.is_shipped:
        say(f"{what}: {model.path} ({model.title})")
        if model.file.chosen:
            say(model.file.chosen)


def _make_options(arguments: argparse.Namespace) -> Any:
    from realtime_cropzoom.offline.command import OfflineOptions

    return OfflineOptions(
        overwrite=getattr(arguments, "overwrite", False),
        resume=getattr(arguments, "resume", False),
        skip_viz=getattr(arguments, "skip_viz", True),
        batch=arguments.batch_size or 1,
    )


def _count_workers(arguments: argparse.Namespace, model: Model) -> int:
    from realtime_cropzoom.runtime.tuning import usable_cores

    return arguments.workers or (usable_cores() if model.session.provider == "cpu" else min(4, usable_cores()))


def _make_box_flags(arguments: argparse.Namespace) -> Any:
    """Return the flags about boxes. The predictions, which name the keypoints, are read later."""
    from realtime_cropzoom.offline.create_bbox import BoxFlags

    anchors = tuple(name.strip() for name in arguments.anchor_keypoints.split(",") if name.strip())
    return BoxFlags(arguments.crop_size, arguments.crop_ratio, anchors)


def _choose_folder(settings: Settings) -> Path:
    """Return the folder of the results: that of the project, whose models move when it trains again, or the model's."""
    if settings.project is not None:
        from realtime_cropzoom.project.folder import load_project

        return load_project(settings.project).predictions_folder
    path = user_path(settings.pose)
    return path / "video_preds" if is_folder(path) else Path("predictions")


def _say_ignored_flags(arguments: argparse.Namespace) -> None:
    if arguments.reader is not None:
        say(f"--reader {arguments.reader} is ignored: PyAV reads the frames")
    if arguments.runtime == "eager":
        say("--runtime eager is ignored: the ONNX export of the model runs")
    if arguments.precision not in (None, "fp32"):
        say(f"--precision {arguments.precision} is ignored: --onnx-precision chooses the export")
    if arguments.compile:
        say("--compile is ignored: the ONNX export of the model runs")

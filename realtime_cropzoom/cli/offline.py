"""Recordings and labelled images: ``predict``, ``create_bbox``, ``smooth_bbox``, ``crop``, ``remap``, ``pipeline``.

Arguments and flags are those of ``litpose``, so that a script may put our word in its place.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_settings, say_next, settings_given
from realtime_cropzoom.cli.values import a_path, number, whole
from realtime_cropzoom.errors import EXIT_BAD_INPUT, EXIT_INCOMPLETE, ConfigError, CropzoomError
from realtime_cropzoom.files.paths import is_folder, user_path
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.inference.model import Model
    from realtime_cropzoom.inference.onnx_session import Provider
    from realtime_cropzoom.offline.predict import Predictor

T = TypeVar("T")
logger = logging.getLogger(__name__)

_CROPPED = ("video", "labels")
"""What ``crop`` cuts, as the notes of predictions call it."""
OF_PIPELINE = (
    *("detector", "pose", "crop_size", "crop_ratio", "anchor_keypoints", "min_likelihood", "min_box", "edge"),
    *("detector_every", "schedule", "frames", "decoder", "provider", "precision", "coast_after_ms", "lost_after_ms"),
    "calibration",
)
"""The settings of a run that an offline run obeys."""


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    predict = commands.add_parser("predict", help="keypoints for videos, labelled images and images")
    _add_model_dir(predict)
    _add_inputs(predict, "videos, images, label files (CSV), or folders of videos or images")
    _add_inference(predict)
    predict.add_argument(
        "--bbox-dir", type=a_path, metavar="DIR", help="crop to the boxes there: VIDEO_bbox.csv, bbox.csv"
    )
    predict.add_argument("--overrides", nargs="*", default=[], metavar="KEY=VALUE", help="change the model's config")
    _add_writing(predict)
    predict.set_defaults(command=_predict)

    create = commands.add_parser("create_bbox", help="boxes from a detector's predictions")
    _add_model_dir(create)
    _add_inputs(create, "videos, label files (CSV), or folders of videos, that have been predicted")
    _add_box_rule(create)
    _add_overwrite(create)
    create.set_defaults(command=_create_bbox)

    smooth = commands.add_parser("smooth_bbox", help="smooth the boxes of a folder")
    smooth.add_argument("bbox_dir", type=a_path, metavar="BBOX_DIR", help="folder with *_bbox.csv files")
    smooth.add_argument(
        "--output-dir", type=a_path, required=True, metavar="DIR", help="folder for the smoothed boxes, not BBOX_DIR"
    )
    smooth.add_argument("--method", default="median", help="median, the only one (default: median)")
    smooth.add_argument(
        "--window",
        type=whole(1, 1_000_000, "frames"),
        default=5,
        metavar="N",
        help="frames around each that count (default: 5)",
    )
    _add_overwrite(smooth)
    smooth.set_defaults(command=_smooth_bbox)

    crop = commands.add_parser("crop", help="cut videos or labelled images to their boxes")
    _add_model_dir(crop)
    _add_inputs(crop, "videos, label files (CSV), or folders of videos")
    crop.add_argument("--bbox-dir", type=a_path, metavar="DIR", help="boxes from elsewhere: VIDEO_bbox.csv, bbox.csv")
    _add_box_rule(crop)
    _add_inference(crop)
    _add_overwrite(crop)
    crop.add_argument("--resume", action="store_true", help="go on predicting where an interrupted command has stopped")
    crop.set_defaults(command=_crop)

    remap = commands.add_parser("remap", help="predictions on crops, back in the coordinates of the original image")
    remap.add_argument(
        "preds_file", type=a_path, metavar="PREDS", help="predictions on a cropped video or cropped images"
    )
    remap.add_argument("bbox_file", type=a_path, metavar="BBOX", help="the boxes they were cropped with")
    remap.add_argument("--cropped-video", type=a_path, metavar="FILE", help="where it is not where crop has left it")
    _add_overwrite(remap)
    remap.set_defaults(command=_remap)

    pipeline = commands.add_parser("pipeline", help="detector, boxes and pose in one pass over each video")
    _add_inputs(pipeline, "videos, folders of videos, or synthetic:arena")
    pipeline.add_argument("--config", type=a_path, metavar="FILE.yaml", help="settings from a file")
    pipeline.add_argument(
        "--out",
        type=a_path,
        dest="folder",
        metavar="DIR",
        help="folder of the files (default: video_preds of the pose model)",
    )
    pipeline.add_later(lambda: add_settings(pipeline, OF_PIPELINE))
    pipeline.add_argument(
        "--batch-size", type=whole(1, 100_000, "frames"), metavar="N", help="frames that go to a model at once"
    )
    pipeline.add_argument("--workers", type=whole(1, 10_000, "cores"), metavar="N", help="cores to use (default: all)")
    _add_writing(pipeline)
    pipeline.set_defaults(command=_pipeline)


def _add_model_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model_dir", type=a_path, metavar="MODEL_DIR", help="a model directory")


def _add_inputs(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("input_path", type=a_path, nargs="+", metavar="INPUT", help=what)


def _add_box_rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crop-ratio",
        type=number(0.001, 1000),
        metavar="R",
        help="side of the box, times the keypoints' span (default: 2.0)",
    )
    parser.add_argument("--crop-size", type=whole(1, 8192, "pixels"), metavar="PX", help="side of the box in pixels")
    parser.add_argument(
        "--anchor-keypoints", default="", metavar="A,B", help="keypoints that make the box (default: all)"
    )


def _add_inference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size", type=whole(1, 100_000, "frames"), metavar="N", help="frames that go to the model at once"
    )
    parser.add_argument("--workers", type=whole(1, 10_000, "cores"), metavar="N", help="cores to use (default: all)")
    parser.add_argument(
        "--provider",
        choices=("auto", "cpu", "cuda", "tensorrt"),
        default="auto",
        help="what runs the model (default: auto)",
    )
    parser.add_argument(
        "--runtime",
        choices=("eager", "onnx", "tensorrt"),
        help="the ONNX export runs in any case; tensorrt runs it with TensorRT",
    )
    parser.add_argument(
        "--onnx-precision", choices=("fp16", "fp32"), help="which export (default: fp32 on a CPU, fp16 on a GPU)"
    )
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), help="of litpose's eager runtime; does not apply"
    )
    parser.add_argument(
        "--reader", choices=("dali", "pynvvc", "opencv"), help="frames are read with PyAV, whatever is said here"
    )
    parser.add_argument("--compile", action="store_true", help="of litpose's eager runtime; does not apply")


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="make again what is there already")


def _add_writing(parser: argparse.ArgumentParser) -> None:
    _add_overwrite(parser)
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted command has stopped")
    parser.add_argument("--skip-viz", action="store_true", help="draw no labelled video or images")


def _predict(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.offline.inputs import Video, gather

    batch = _Batch()
    inputs = gather(arguments.input_path, batch.refuse, images=True)

    def then(given: Any, path: Path) -> Sequence[object]:
        if arguments.bbox_dir is None:
            return _to_frames(given, path) or ("create_bbox", arguments.model_dir, *arguments.input_path)
        return _draw(path, given.path) if isinstance(given, Video) else ()

    with _predictor(arguments, batch) as predictor:
        return batch.each(inputs, lambda given: predictor.predict(given, arguments.bbox_dir), then)


def _draw(predictions: Path, source: object) -> Sequence[object]:
    """Return the command that draws predictions; it names the source only if the note beside them does not."""
    from realtime_cropzoom.sessions.files import read_noted_source

    return ("draw", predictions, *(() if read_noted_source(predictions) else ("--source", source)))


def _to_frames(given: Any, predictions: Path) -> Sequence[object]:
    """Return how predictions on crops get back into the whole frame; nothing where they are of whole frames."""
    from realtime_cropzoom.offline.provenance import find_input, read_origin

    note = read_origin(predictions)
    boxes = next((found for kind in _CROPPED if (found := find_input(note, kind, "boxes")) is not None), None)
    if boxes is not None:
        return "remap", predictions, boxes["path"]
    cropped = Path(_name_of(given)).name.startswith("cropped_")
    return ("remap", predictions, "BOXES_bbox.csv") if cropped else ()


def _create_bbox(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.offline.create_bbox import box_files, create_bbox
    from realtime_cropzoom.offline.inputs import gather
    from realtime_cropzoom.offline.model_directory import ModelDirectory

    flags = _box_flags(arguments)
    directory = ModelDirectory.open(arguments.model_dir)

    def create(given: Any) -> Path:
        files = box_files(directory, given)
        create_bbox(files, flags, given.path, overwrite=arguments.overwrite, say=_say)
        return files.boxes

    batch = _Batch()
    then = ("crop", arguments.model_dir, *arguments.input_path)
    return batch.each(gather(arguments.input_path, batch.refuse), create, lambda given, path: then)


def _smooth_bbox(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.offline.create_bbox import Smoothing

    smoothing = Smoothing(arguments.output_dir, arguments.method, arguments.window, arguments.overwrite)
    then = ("predict", "POSE_DIR", "VIDEO", "--bbox_dir", arguments.output_dir)
    files = smoothing.files(arguments.bbox_dir)
    return _Batch().each(files, lambda path: smoothing.smooth(path, _say), lambda given, path: then)


def _crop(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.offline.crop import Cropper
    from realtime_cropzoom.offline.inputs import gather
    from realtime_cropzoom.offline.model_directory import ModelDirectory

    batch = _Batch()
    inputs = gather(arguments.input_path, batch.refuse)
    flags = _box_flags(arguments)
    cropper = Cropper(
        ModelDirectory.open(arguments.model_dir),
        flags,
        lambda: _predictor(arguments, batch),
        bbox_dir=arguments.bbox_dir,
        overwrite=arguments.overwrite,
        say=_say,
        warn=batch.warn,
    )
    return batch.each(inputs, cropper.crop, lambda given, path: ("predict", "POSE_DIR", path))


def _remap(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.offline.remap import remap

    path = remap(
        arguments.preds_file, arguments.bbox_file, arguments.cropped_video, overwrite=arguments.overwrite, say=_say
    )
    print(path)
    say_next("draw", path, "--traces")
    return 0


def _pipeline(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.config.resolve import load_settings

    settings = load_settings(settings_given(arguments), arguments.config)
    with signals_held_back():
        from realtime_cropzoom.offline.command import OfflineCommand
        from realtime_cropzoom.offline.inference_pool import worker_pool
        from realtime_cropzoom.offline.pipeline import OfflinePipeline, find_sources, load_models

    batch = _Batch()
    sources = find_sources(arguments.input_path, batch.refuse)
    folder = arguments.folder or _default_folder(settings.pose)
    models = load_models(settings)
    for model in (models.detector, models.pose):
        _say_which(model)
    workers = _workers(arguments, models.pose)
    with worker_pool(workers) as pool:
        command = OfflineCommand(pool, workers, _options(arguments, models.pose), _say, batch.warn)
        pipeline = OfflinePipeline(settings, models, command)
        return batch.each(
            sources,
            lambda source: pipeline.run(source, folder),
            lambda source, path: _draw(path, source),
        )


@contextmanager
def _predictor(arguments: argparse.Namespace, batch: _Batch) -> Iterator[Predictor]:
    """Load the model, and give it all cores."""
    with signals_held_back():
        from realtime_cropzoom.inference.model import Model
        from realtime_cropzoom.offline.command import OfflineCommand
        from realtime_cropzoom.offline.inference_pool import worker_pool
        from realtime_cropzoom.offline.model_directory import ModelDirectory
        from realtime_cropzoom.offline.predict import Predictor

    _say_what_does_not_apply(arguments)
    directory = ModelDirectory.open(arguments.model_dir, getattr(arguments, "overrides", ()))
    provider: Provider = "tensorrt" if arguments.runtime == "tensorrt" else arguments.provider
    model = Model(arguments.model_dir, provider=provider, precision=arguments.onnx_precision, method="reference")
    _say_which(model)
    workers = _workers(arguments, model)
    with worker_pool(workers) as pool:
        command = OfflineCommand(pool, workers, _options(arguments, model), _say, batch.warn)
        yield Predictor(model, directory, command)


def _say_which(model: Model | None) -> None:
    if model is not None and model.file.chosen:
        _say(model.file.chosen)


def _options(arguments: argparse.Namespace, model: Model) -> Any:
    from realtime_cropzoom.offline.command import OfflineOptions

    if arguments.batch_size is not None and arguments.batch_size < 1:
        raise ConfigError(f"batch_size is {arguments.batch_size}; expected a number of frames, 1 or more")
    return OfflineOptions(
        overwrite=getattr(arguments, "overwrite", False),
        resume=getattr(arguments, "resume", False),
        skip_viz=getattr(arguments, "skip_viz", True),
        batch=arguments.batch_size or (1 if model.session.provider == "cpu" else 8),
    )


def _workers(arguments: argparse.Namespace, model: Model) -> int:
    from realtime_cropzoom.runtime.tuning import usable_cores

    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"workers is {arguments.workers}; expected a number of cores, 1 or more")
    return arguments.workers or (usable_cores() if model.session.provider == "cpu" else min(4, usable_cores()))


def _box_flags(arguments: argparse.Namespace) -> Any:
    """Return how boxes are made; which keypoints there are is only known with the predictions."""
    from realtime_cropzoom.offline.create_bbox import BoxFlags

    anchors = tuple(name.strip() for name in arguments.anchor_keypoints.split(",") if name.strip())
    return BoxFlags(arguments.crop_size, arguments.crop_ratio, anchors)


def _default_folder(pose: str) -> Path:
    path = user_path(pose)
    return path / "video_preds" if is_folder(path) else Path("predictions")


def _say_what_does_not_apply(arguments: argparse.Namespace) -> None:
    if arguments.reader is not None:
        _say(f"--reader {arguments.reader} does not apply: frames are read with PyAV")
    if arguments.runtime == "eager":
        _say("--runtime eager does not apply: the model's ONNX export runs")
    if arguments.precision not in (None, "fp32"):
        _say(f"--precision {arguments.precision} does not apply: --onnx-precision chooses the export")
    if arguments.compile:
        _say("--compile does not apply: the model's ONNX export runs")


class _Batch:
    """Inputs that are done one after the other. One that fails says so and lets the others go on."""

    def __init__(self) -> None:
        self._done = 0
        self._lacking = False

    def warn(self, text: str) -> None:
        """Say what is missing from an input that is done all the same."""
        _say(text)
        self._lacking = True

    def refuse(self, error: Exception) -> None:
        """Say why an input is not done."""
        self.warn("; ".join([str(error), *getattr(error, "__notes__", ())]))

    def each(
        self, inputs: Sequence[T], do: Callable[[T], Path], then: Callable[[T, Path], Sequence[object]] | None = None
    ) -> int:
        """Do the inputs and return the exit code: 2 if none could be done, 3 if something is missing.

        ``then`` gives the command that comes next, for the last input and its result, if there is one.
        """
        words: Sequence[object] = ()
        for given in inputs:
            try:
                path = do(given)
            except CropzoomError as error:
                self.refuse(error)
            except Exception as error:  # whatever is wrong with one file, the night's other files are done
                logger.debug("%s failed", _name_of(given), exc_info=True)
                self.refuse(_unexpected(given, error))
            else:
                print(path)
                words = () if then is None else then(given, path)
                self._done += 1
        if not self._lacking:
            if words:
                say_next(*words)
            return 0
        return EXIT_INCOMPLETE if self._done else EXIT_BAD_INPUT


def _unexpected(given: object, error: Exception) -> CropzoomError:
    """Word what no part of the program has foreseen."""
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return CropzoomError(f"{_name_of(given)}: {error.filename or 'a file'}: {error.strerror or error}")
    if isinstance(error, BrokenPipeError):
        raise error
    what = " ".join(str(error).split())
    return CropzoomError(f"{_name_of(given)} failed: {type(error).__name__}: {what}; please report it")


def _name_of(given: object) -> str:
    return str(getattr(given, "path", None) or getattr(given, "name", None) or given)


def _say(text: str) -> None:
    terminal.say(f"cropzoom: {text}")

"""Train the two models in models/, and measure the numbers in models/README.md.

    python scripts/train_shipped_models.py --data FOLDER

FOLDER is the openfield example of the DeepLabCut repository: CollectedData.csv and the
images it names. The models are trained at the same time, each on one thread: two small networks use two cores
better than one network on two threads, which wait for each other at every layer.

models/held_out.txt names the frames that the models beside it were not trained on. The measurement uses this file,
because the split of a later training may be another one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.train_split import split_frames
from realtime_cropzoom.sessions.dlc_csv import read_labels
from realtime_cropzoom.train import Epoch, TrainReport, train
from realtime_cropzoom.train.augmentation import labelled_box
from realtime_cropzoom.train.config import load_config
from realtime_cropzoom.train.dataset import LabelledFrame, arena_frames, read_frames
from realtime_cropzoom.train.evaluate import Prediction, pixel_errors, predict, predict_frames
from realtime_cropzoom.types import Box, UInt8

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = {role: ROOT / "configs" / f"train_openfield_{role}.yaml" for role in ("detector", "pose")}
UNSEEN_ARENAS = 10_000
"""Seed of arenas that no training uses."""
HELD_OUT = "held_out.txt"
"""File in the folder of the models: the frames that neither model was trained on, one path per line."""


def main() -> None:
    """Train, copy, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the openfield folder, with CollectedData.csv")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("outputs"), help="folder of the trained model directories"
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of the two .onnx files")
    parser.add_argument("--overrides", nargs="*", default=[], help="KEY=VALUE for both trainings")
    parser.add_argument("--overwrite", action="store_true", help="replace what earlier trainings have left there")
    parser.add_argument("--measure_only", action="store_true", help="measure the models that are there")
    args = parser.parse_args()
    overrides = [f"data.data_dir={args.data.resolve()}", *args.overrides]
    if not args.measure_only:
        train_both(args.output_dir, overrides, args.overwrite)
        args.models.mkdir(exist_ok=True)
        write_held_out(args.models / HELD_OUT, overrides)
        for role in CONFIGS:
            shutil.copyfile(exported(args.output_dir / role), args.models / f"{role}.onnx")
    measure(args.models, overrides)


def train_both(output_dir: Path, overrides: Sequence[str], overwrite: bool) -> None:
    """Train detector and pose model in two processes."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(len(CONFIGS)) as pool:
        for report in pool.starmap(train_one, [(role, output_dir / role, overrides, overwrite) for role in CONFIGS]):
            print(f"{report.role}: {report.seconds / 60:.1f} min, {report.held_out_frames} frames held out")


def train_one(role: str, output_dir: Path, overrides: Sequence[str], overwrite: bool) -> TrainReport:
    """Train one model on one thread."""
    torch.set_num_threads(1)

    def progress(epoch: Epoch) -> None:
        print(f"{role:8s} {epoch}", flush=True)

    return train(
        CONFIGS[role], output_dir, detector_model=None, overrides=overrides, progress=progress, overwrite=overwrite
    )


def exported(output_dir: Path) -> Path:
    """Return the ONNX file of a training."""
    return next((output_dir / "exports_onnx").glob("*_fp32.onnx"))


def write_held_out(path: Path, overrides: Sequence[str]) -> None:
    """Write the list of validation and test frames, which is the same for both models."""
    config, _ = load_config(CONFIGS["pose"], overrides)
    training, images = config.training, read_labels(config.data.labels()).images
    split = split_frames(
        len(images), training.train_prob, training.val_prob, training.rng_seed_data_pt, training.train_frames
    )
    names = [images[i] for i in sorted((*split.validation, *split.test))]
    path.write_text("\n".join(names) + "\n", encoding="utf-8")


def measure(models: Path, overrides: Sequence[str]) -> None:
    """Print accuracy on frames that were never trained on, and speed."""
    detector, pose = Model(models / "detector.onnx", "detector"), Model(models / "pose.onnx", "pose")
    config, _ = load_config(CONFIGS["pose"], overrides)
    data, crop_size = config.data, config.cropzoom.crop_size
    unseen = (models / HELD_OUT).read_text(encoding="utf-8").splitlines()
    frames = read_frames(data.data_dir, data.labels(), data.keypoint_names)
    held_out = [frame for frame in frames if frame.name in unseen]
    arenas = arena_frames(400, data.keypoint_names, UNSEEN_ARENAS)
    for title, chosen in (("openfield, held out", held_out), ("synthetic arena, unseen seeds", arenas)):
        print(f"{title}: {len(chosen)} frames")
        seen = predict_frames(detector, chosen, crop_size=None, detector=None)
        report("  detector, whole frame", seen, chosen)
        found = predict_frames(pose, chosen, crop_size=crop_size, detector=detector)
        report("  pose, detector's box", found, chosen)
        contained = np.mean([contains(p, frame) for p, frame in zip(found, chosen, strict=True)])
        print(f"  boxes that hold all keypoints: {100 * contained:.1f} %")
        each = np.nanmean(pixel_errors(found, chosen), axis=0)
        print("  pose by keypoint:", ", ".join(f"{n} {e:.2f}" for n, e in zip(data.keypoint_names, each, strict=True)))
    image = arenas[0].image
    print_speed(detector, image, whole_image(image))
    print_speed(pose, image, labelled_box(arenas[0].xy, int(crop_size or 240)))


def print_speed(model: Model, image: UInt8, box: Box) -> None:
    """Print how long a model takes for one frame, step by step."""
    model_input = model.new_input()
    resize, whole = partial(model.prepare, image, box, "pad", model_input), partial(predict, model, image, box)
    named: dict[str, Callable[[], object]] = {
        "crop and resize": resize,
        "inference": partial(model.infer, model_input),
        "both and decoding": whole,
    }
    speeds = ", ".join(f"{name} {median_ms(step):.2f} ms" for name, step in named.items())
    print(f"{model.path.name}: {model.path.stat().st_size / 1e6:.2f} MB; on one thread {speeds}")


def report(what: str, predictions: Sequence[Prediction], frames: Sequence[LabelledFrame]) -> None:
    """Print mean, median and 95th percentile of the errors."""
    errors = pixel_errors(predictions, frames)
    errors = errors[np.isfinite(errors)]
    print(f"{what}: mean {errors.mean():.2f}, median {np.median(errors):.2f}, 95 % {np.quantile(errors, 0.95):.2f} px")


def contains(prediction: Prediction, frame: LabelledFrame) -> bool:
    """Return whether every labelled keypoint lies inside the box."""
    box = prediction.box
    inside = (frame.xy >= (box.x, box.y)) & (frame.xy < (box.x + box.w, box.y + box.h))
    return bool((inside | np.isnan(frame.xy)).all())


def median_ms(step: Callable[[], object], runs: int = 500) -> float:
    """Return the median time of a step."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1000


if __name__ == "__main__":
    main()

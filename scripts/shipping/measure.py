"""Measurement of the models that ship: accuracy on unseen frames, on which pictures an animal is found, and speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.presence import JudgeLimits, PoseJudge
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.train.augmentation import labelled_box
from realtime_cropzoom.train.dataset import LabelledFrame, arena_frames, with_backgrounds
from realtime_cropzoom.train.empty import KINDS, empty_picture
from realtime_cropzoom.train.evaluate import Prediction, pixel_errors, predict, predict_frames
from realtime_cropzoom.types import Box, FrameMeta, UInt8
from shipping.data import NAMES, VIDEO, labelled, video_frames

UNSEEN_ARENAS = 10_000
"""Seed of arenas that no training uses."""
_CROP_SIZE = 240
_MIN_LIKELIHOOD = 0.1


def measure(data: Path, held_out: Path, models: Path, every: int = 5) -> None:
    """Print the numbers of models/README.md.

    Args:
        data: The openfield folder.
        held_out: List of the frames that no model is trained on.
        models: Folder of the two files.
        every: One frame of the recording in so many is looked at.
    """
    detector, pose = Model(models / "detector.onnx", "detector"), Model(models / "pose.onnx", "pose")
    frames, arenas = labelled(data, held_out).held_out, arena_frames(400, NAMES, UNSEEN_ARENAS)
    varied = arena_frames(400, NAMES, UNSEEN_ARENAS + 1, look="varied")
    for title, chosen in (("openfield, held out", frames), ("arena, usual", arenas), ("arena, varied", varied)):
        print_accuracy(title, chosen, detector, pose)
    for title, images in found_in(video_frames(data / VIDEO)[::every], arenas):
        print(f"found: {title}: {found(detector, pose, images)}")
    for title, images in not_found_in(with_backgrounds(labelled(data, held_out).train)):
        print(f"empty: {title}: {found(detector, pose, images)}")
    image = arenas[0].image
    print_speed(detector, image, whole_image(image))
    print_speed(pose, image, labelled_box(arenas[0].xy, _CROP_SIZE))


def print_accuracy(title: str, frames: Sequence[LabelledFrame], detector: Model, pose: Model) -> None:
    """Print the errors of both models on frames with known keypoints."""
    print(f"{title}: {len(frames)} frames")
    report("  detector, whole frame", predict_frames(detector, frames, crop_size=None, detector=None), frames)
    seen = predict_frames(pose, frames, crop_size=_CROP_SIZE, detector=detector)
    report("  pose, detector's box", seen, frames)
    contained = np.mean([contains(p, frame) for p, frame in zip(seen, frames, strict=True)])
    each = np.nanmean(pixel_errors(seen, frames), axis=0)
    print("  pose by keypoint:", ", ".join(f"{n} {e:.2f}" for n, e in zip(NAMES, each, strict=True)))
    print(f"  boxes that hold all keypoints: {contained:.1%}")


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


def found(detector: Model, pose: Model, images: Iterable[UInt8]) -> str:
    """Say on how many pictures the two models together find an animal, as a run with the default settings does."""
    judge = PoseJudge(JudgeLimits(pose.presence, 1000.0))
    rule = BoxRule(_CROP_SIZE, min_likelihood=_MIN_LIKELIHOOD, min_box=32)
    total, boxes, tracked, likely = 0, 0, 0, []
    for number, image in enumerate(images):
        total += 1
        seen = predict(detector, image, whole_image(image))
        likely.append(float(np.median(seen.likelihood)))
        box = rule.box(seen) if detector.presence.is_sharp(seen) else None
        if box is not None:
            boxes += 1
            pts_ns = number * 10**9  # a second apart, so that no animal jumps
            tracked += judge.doubt(FrameMeta(number, pts_ns, None, pts_ns), box, predict(pose, image, box)) is None
    high = np.mean(np.array(likely) > 0.3)
    return (
        f"{total} pictures, animal found on {tracked / total:.1%}, box on {boxes / total:.1%}, "
        f"detector's likelihood above 0.3 on {high:.1%}"
    )


def found_in(video: Sequence[UInt8], arenas: Sequence[LabelledFrame]) -> Iterator[tuple[str, Iterable[UInt8]]]:
    """Yield pictures with an animal, which should be found on at least 95 %."""
    yield "recording", video
    yield "recording, inverted", (np.asarray(255 - image, np.uint8) for image in video)
    yield "recording, half size", (_padded(image) for image in video)
    yield "recording, twice the size", (_enlarged(image) for image in video)
    yield "arena", [frame.image for frame in arenas]
    for scale in (0.5, 1.0, 2.0):
        white = [ArenaSettings(seed=900_000 + n, coat=225, floor=40, scale=scale) for n in range(20)]
        yield f"arena, white on dark, scale {scale}", (Arena(s).render(i) for s in white for i in range(0, 100, 10))
        usual = [ArenaSettings(seed=910_000 + n, scale=scale) for n in range(20)]
        yield f"arena, scale {scale}", (Arena(s).render(i) for s in usual for i in range(0, 100, 10))


def not_found_in(frames: Sequence[LabelledFrame]) -> Iterator[tuple[str, Iterable[UInt8]]]:
    """Yield pictures without an animal."""
    background = frames[0].background
    assert background is not None
    moved = [np.roll(background, shift, (0, 1)) for shift in ((0, 0), (7, 3), (-5, 9), (20, -11))]
    yield "background of the recording", moved
    yield "background of the recording, inverted", (np.asarray(255 - image, np.uint8) for image in moved)
    usual = [Arena(ArenaSettings(seed=920_000 + n, animal=0)).render(n) for n in range(60)]
    yield "arena, empty", usual
    yield "arena, empty and inverted", (np.asarray(255 - image, np.uint8) for image in usual)
    varied = [f.image for f in arena_frames(400, NAMES, UNSEEN_ARENAS + 2, look="varied", empty=1.0)]
    yield "arena, varied and empty", varied
    rng = np.random.default_rng(5)
    for kind, name in ((2, "scrambled frames"), (3, "noise"), (4, "bars")):
        assert kind < KINDS
        yield name, (empty_picture(frame, kind, rng) for frame in frames for _ in range(3))


def _padded(image: UInt8) -> UInt8:
    """Return the picture at half its size in the middle of a gray one."""
    whole = np.full_like(image, 90)
    height, width = image.shape[0] // 2, image.shape[1] // 2
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    whole[height // 2 : height // 2 + height, width // 2 : width // 2 + width] = small
    return whole


def _enlarged(image: UInt8) -> UInt8:
    """Return the quarter of the picture around what is dark, at twice its size."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    inner = image[60:-40, 20:-20, 0] < 60
    y, x = (np.argwhere(inner).mean(axis=0) + np.array([60, 20])).astype(int) if inner.any() else (height, width)
    top, left = int(np.clip(y - height // 2, 0, height)), int(np.clip(x - width // 2, 0, width))
    part = image[top : top + height, left : left + width]
    return np.asarray(cv2.resize(part, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC), np.uint8)


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


def print_ratio(new: Path, old: Path) -> None:
    """Print the time of inference of two pairs of models, relative to each other, measured in turns."""
    for role in ("detector", "pose"):
        models = [Model(folder / f"{role}.onnx", role) for folder in (new, old)]
        steps = [partial(model.infer, model.new_input()) for model in models]
        times = np.array([[median_ms(step, 20) for step in steps] for _ in range(60)])
        one, other = np.median(times, axis=0)
        ratio = np.median(times[:, 0] / times[:, 1])
        print(f"{role}: inference takes {one:.3f} ms, that of {old} {other:.3f} ms: {ratio:.3f} times as long")


def median_ms(step: Callable[[], object], runs: int = 500) -> float:
    """Return the median time of a step."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1000

"""Models of other makers: our share of a frame beside the network, one thread, 640×480; and boxes that poses give.

Our share is all but the network: cutting, resizing, normalising and decoding. A model that sees boxes gets one of the
side of its training.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.material import CROP_SIZE, SHIPPED, Bench
from benchmarks.results import Row
from benchmarks.runs import run_lockstep
from realtime_cropzoom.bench.material import MemorySource
from realtime_cropzoom.bench.networks import time_ms
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.makers.maker import Settings
from realtime_cropzoom.inference.manifest import Rows
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Box, UInt8

TITLE = "Models of other makers: our share of a frame, one thread, 640×480"
_AIM_MS, _AIM_ROWS_MS = 0.3, 0.5
_CALLS, _FRAMES, _ROUNDS = 100, 800, 3
_MODELS = {
    "SLEAP centroid": "sleap/centroid",
    "SLEAP centered instance": "sleap/centered_instance",
    "SLEAP single instance": "sleap/single_instance",
    "DeepLabCut ResNet": "deeplabcut/bottom_up.onnx",
    "DeepLabCut RTMPose": "deeplabcut/top_down_rtmpose.onnx",
    "YOLO11-pose": "ultralytics/yolo11_default.onnx",
    "YOLO11-pose, NMS inside": "ultralytics/yolo11_nms.onnx",
    "YOLO26-pose, end to end": "ultralytics/yolo26_nms_false_end2end.onnx",
    "RTMPose": "rtmpose/rtmpose_tiny_192x256.onnx",
}
_NAMES = Settings(keypoint_names=("snout", "leftear", "rightear", "tailbase"))


def run(bench: Bench) -> Iterator[Row]:
    """Yield a row for each model of another maker, and one about boxes that poses give."""
    folder = None if bench.data is None else bench.data / "foreign"
    for name, place in _MODELS.items():
        if folder is None or not (folder / place).exists():
            yield Row(name, "skipped: its file is not there")
            continue
        try:
            yield _measured(name, folder / place, bench)
        except CropzoomError as error:
            yield Row(name, f"skipped: {error}")
    yield _boxes_from_poses(bench)


def _boxes_from_poses(bench: Bench) -> Row:
    """Compare the processor time of lockstep runs that detect on every frame with runs whose poses give the boxes."""
    count, rounds = bench.count(_FRAMES), 1 if bench.quick else _ROUNDS
    spent: dict[str, list[float]] = {"detection": [], "pose": []}
    for _ in range(rounds):
        for box_from, ms in spent.items():
            before = time.process_time()
            rows = run_lockstep(bench, SHIPPED, count, MemorySource(bench.frames, 30.0, count), box_from=box_from)
            ms.append((time.process_time() - before) * 1e3 / len(rows))
    detection, pose = (float(np.median(ms)) for ms in spent.values())
    value = (
        f"{pose:.2f} ms of processor time a frame, {detection:.2f} ms with detections: {pose / detection:.2f} times it"
    )
    numbers = {"pose_ms": pose, "detection_ms": detection}
    return Row("shipped pair, box_from pose", value, n=f"{rounds} × {count} frames", numbers=numbers)


def _measured(name: str, path: Path, bench: Bench) -> Row:
    image = bench.frames[0]
    model = _load(path)
    box = _box(model, image)
    into = model.new_input()
    view = model.prepare(image, box, "pad", into)
    outputs = model.infer(into)
    count = bench.count(_CALLS)
    prepare, infer, decode = (
        float(np.median(times))
        for times in (
            time_ms(lambda: model.prepare(image, box, "pad", into), count),
            time_ms(lambda: model.infer(into), count),
            time_ms(lambda: model.decode(outputs, view), count),
        )
    )
    ours, aim = prepare + decode, _AIM_ROWS_MS if isinstance(model.manifest.decoder, Rows) else _AIM_MS
    value = (
        f"{ours:.3f} ms (prepare {prepare:.3f}, decode {decode:.3f}), network {infer:.2f} ms: "
        f"a frame takes {1 + ours / infer:.2f} times the network"
    )
    numbers = {"ours_ms": ours, "prepare_ms": prepare, "decode_ms": decode, "network_ms": infer}
    return Row(name, value, f"≤ {aim:g} ms", ours <= aim, f"{count} frames", numbers)


def _load(path: Path) -> Model:
    """Return a model; a file that names no keypoints gets those of the recording."""
    try:
        return Model(path)
    except CropzoomError:
        return Model(path, settings=_NAMES)


def _box(model: Model, image: UInt8) -> Box:
    manifest = model.manifest
    if manifest.whole_frame or manifest.role == "detector":
        return whole_image(image)
    side = manifest.crop_size or CROP_SIZE
    return Box((image.shape[1] - side) // 2, (image.shape[0] - side) // 2, side, side)

"""Peer loop: a typical script with OpenCV, ONNX Runtime, Lightning Pose's decoding in NumPy or torch, and ZeroMQ.

    python scripts/peer_loop.py VIDEO --detector DETECTOR.onnx --pose POSE.onnx [--fps 30]

One thread does everything, frame by frame: read, resize, normalise, detect, crop, infer, decode the full maps,
publish JSON. It imports nothing of this package: ``bench.py`` compares the package with it. Without ``--fps``
it runs as fast as it can.

``--runner litpose`` calls Lightning Pose's own ``Model.predict_frame``, with model directories for the two
models. It needs lightning_pose.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import zmq

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
DOUBLINGS = 2
"""``downsample_factor`` of the models. The grid offset 1.5 below depends on it."""
TEMPERATURE = 1000.0
TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16

Keypoints = tuple[np.ndarray, np.ndarray]
"""(K, 2) keypoints (pixels), and (K,) likelihoods."""


def decode_numpy(maps: np.ndarray) -> Keypoints:
    """Soft-argmax of (K, h, w) heatmaps over the whole upsampled map, with cv2 and NumPy."""
    up = maps.transpose(1, 2, 0)
    for _ in range(DOUBLINGS):
        up = cv2.resize(up, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        up = cv2.sepFilter2D(up, -1, TAPS, TAPS, borderType=cv2.BORDER_CONSTANT)
    height, width, count = up.shape
    logits = up.reshape(-1, count) * TEMPERATURE
    weights = np.exp(logits - logits.max(axis=0))
    weights = (weights / weights.sum(axis=0)).reshape(height, width, count)
    x = (weights * np.arange(width)[None, :, None]).sum(axis=(0, 1))
    y = (weights * np.arange(height)[:, None, None]).sum(axis=(0, 1))
    return np.stack([x, y], axis=1) - 1.5, _mass_around(weights.transpose(2, 0, 1), x, y)


def decode_torch(maps: np.ndarray) -> Keypoints:
    """Soft-argmax of (K, h, w) heatmaps as Lightning Pose does it, with torch."""
    import torch
    from torch.nn.functional import conv2d, interpolate

    with torch.inference_mode():
        up = torch.from_numpy(maps)[:, None]
        kernel = torch.from_numpy(np.outer(TAPS, TAPS))[None, None]
        for _ in range(DOUBLINGS):
            up = interpolate(up, scale_factor=2, mode="bicubic", align_corners=False)
            up = conv2d(up, kernel, padding=2)
        height, width = up.shape[2:]
        weights = torch.softmax(up.reshape(len(up), -1) * TEMPERATURE, dim=1).reshape(len(up), height, width)
        x = (weights.sum(dim=1) * torch.arange(width)).sum(dim=1).numpy()
        y = (weights.sum(dim=2) * torch.arange(height)).sum(dim=1).numpy()
        return np.stack([x, y], axis=1) - 1.5, _mass_around(weights.numpy(), x, y)


def _mass_around(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    padded = np.pad(weights, ((0, 0), (2, 2), (2, 2)))
    cells = zip(padded, y.astype(int), x.astype(int), strict=True)
    return np.array([one[j : j + 5, i : i + 5].sum() for one, j, i in cells])


class OnnxModel:
    """An exported model with its pre- and postprocessing."""

    def __init__(self, path: str, threads: int | None, decode: Callable[[np.ndarray], Keypoints]) -> None:
        """Load ``path``. With ``threads`` None, ONNX Runtime chooses the number of threads."""
        options = ort.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        model_input = self._session.get_inputs()[0]
        self._name, (_, _, self._height, self._width) = model_input.name, model_input.shape
        self._decode = decode

    def predict(self, image: np.ndarray) -> Keypoints:
        """Return the keypoints of an RGB image, in pixels of the image."""
        resized = cv2.resize(image, (self._width, self._height), interpolation=cv2.INTER_LINEAR)
        tensor = ((resized.astype(np.float32) / 255.0 - MEAN) / STD).transpose(2, 0, 1)[None]
        maps = self._session.run(None, {self._name: np.ascontiguousarray(tensor)})[0][0]
        xy, likelihood = self._decode(maps)
        height, width = image.shape[:2]
        return xy / (self._width, self._height) * (width, height), likelihood


class LitposeModel:
    """A Lightning Pose model directory through Lightning Pose itself."""

    def __init__(self, path: str) -> None:
        """Load ``path``. Raises ImportError if lightning_pose is not installed."""
        from lightning_pose.api import Model

        self._model = Model.from_dir(path, runtime="onnx")

    def predict(self, image: np.ndarray) -> Keypoints:
        """Return the keypoints of an RGB image, in pixels of the image."""
        result = self._model.predict_frame(np.ascontiguousarray(image))
        return result["keypoints"], result["confidence"]


def crop(image: np.ndarray, xy: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the square of side ``size`` around the mean of ``xy``, cut off at the frame's edge, and its corner."""
    height, width = image.shape[:2]
    left, top = np.trunc(xy.mean(axis=0) - size // 2).astype(int)
    left, top = np.clip(left, 0, width - 2), np.clip(top, 0, height - 2)
    return image[top : top + size, left : left + size], np.array([left, top])


def loop(video: str, detector: Any, pose: Any, publish: Callable[[bytes], Any], args: argparse.Namespace) -> float:
    """Track ``args.frames`` frames of ``video``, over and over; return frames per second."""
    capture = cv2.VideoCapture(video)
    started = time.monotonic()
    for index in range(args.frames):
        there, bgr = capture.read()
        if not there:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            _, bgr = capture.read()
        if args.fps:
            time.sleep(max(0.0, started + index / args.fps - time.monotonic()))
        captured_ns = time.monotonic_ns()
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        found, _ = detector.predict(image)
        pixels, corner = crop(image, found, args.crop_size)
        xy, likelihood = pose.predict(pixels)
        keypoints = np.column_stack([xy + corner, likelihood]).tolist()
        publish(json.dumps({"frame": index, "captured_ns": captured_ns, "keypoints": keypoints}).encode())
    return float(args.frames / (time.monotonic() - started))


def load(args: argparse.Namespace) -> tuple[Any, Any]:
    """Load detector and pose model with the chosen runner."""
    if args.runner == "litpose":
        return LitposeModel(args.detector), LitposeModel(args.pose)
    if args.threads is not None:
        cv2.setNumThreads(args.threads)
    if args.runner == "torch" and args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)
    decode = decode_torch if args.runner == "torch" else decode_numpy
    return OnnxModel(args.detector, args.threads, decode), OnnxModel(args.pose, args.threads, decode)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("--detector", required=True, help=".onnx; a model directory with --runner litpose")
    parser.add_argument("--pose", required=True, help=".onnx; a model directory with --runner litpose")
    parser.add_argument("--runner", choices=["numpy", "torch", "litpose"], default="numpy")
    parser.add_argument("--threads", type=int, help="threads of everything; the libraries' defaults if not given")
    parser.add_argument("--crop_size", type=int, default=240)
    parser.add_argument("--fps", type=float, help="play at this rate; as fast as possible if not given")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--endpoint", default="tcp://127.0.0.1:5670")
    return parser.parse_args()


def main() -> None:
    """Wait for a subscriber, track, and print the rate as JSON."""
    args = parse_args()
    detector, pose = load(args)
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.bind(args.endpoint)
        print(json.dumps({"endpoint": socket.get_string(zmq.LAST_ENDPOINT)}), flush=True)
        socket.recv()  # a subscriber has connected
        fps = loop(args.video, detector, pose, socket.send, args)
        socket.send(b'{"end": true}')
        print(json.dumps({"fps": fps}), flush=True)


if __name__ == "__main__":
    main()

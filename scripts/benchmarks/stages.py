"""Where the time goes: the steps of a frame, hot and live, and how long the pose stage holds the interpreter's lock.

*Hot* is each step in a loop that does nothing else, in one thread. *Live* is a run at 200 frames/s. The lock: the time
of a frame in the pose stage, less the time inside the network and the compiled loops, which run without the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.material import CROP_SIZE, SHIPPED, Bench, prepare
from benchmarks.results import Row
from benchmarks.runs import run_live
from realtime_cropzoom.bench.networks import time_ms
from realtime_cropzoom.inference import crop, heatmaps
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.onnx_session import Session
from realtime_cropzoom.pipeline.pose import PoseStage
from realtime_cropzoom.sinks.zmq_publisher import ZmqPublisher
from realtime_cropzoom.types import Box

TITLE = "Where the time goes: the steps of a frame, shipped pair, 640×480"
_FPS, _FRAMES = 200, 1200
_ROUNDS = 3
_POSE_THREAD = "cropzoom-pose"
_FRAME = (PoseStage, "_process")
"""All that the pose stage does for a frame."""
_SEND = (ZmqPublisher, "publish")
_WITHOUT_LOCK = ((Session, "run"), (crop, "resize_bilinear"), (heatmaps, "decode_peaks"))

Watched = dict[tuple[Any, str], list[float]]
"""{owner and name of a function: its times (ms) in the pose stage}."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield the median of each step, then the share of time with the lock."""
    hot = _hot(bench)
    rounds, count = 1 if bench.quick else _ROUNDS, bench.count(_FRAMES)
    with _watched(_FRAME, _SEND, *_WITHOUT_LOCK) as watched:
        runs = [run_live(bench, SHIPPED, _FPS, count) for _ in range(rounds)]
    n = f"{rounds} × {count} frames"
    live = {step: float(np.median([run.stages_ms[step] for run in runs])) for step in runs[0].stages_ms}
    for step, ms in _with_send(live, float(np.median(watched[_SEND]))).items():
        beside = f"; hot {hot[step]:.3f} ms" if step in hot else ""
        numbers = {"live_ms": ms, "hot_ms": hot.get(step)}
        yield Row(f"{_FPS} fps: {step}", f"{ms:.3f} ms{beside}", n=n, numbers=numbers)
    frame, without = (float(np.sum(watched[_FRAME])), sum(float(np.sum(watched[one])) for one in _WITHOUT_LOCK))
    share, frame_ms = 1 - without / frame, frame / len(watched[_FRAME])
    value = f"{100 * share:.0f} % of its time for a frame ({share * frame_ms:.2f} of {frame_ms:.2f} ms, mean)"
    numbers = {"share": share, "frame_ms": frame_ms}
    yield Row(f"{_FPS} fps: the pose stage holds the interpreter's lock", value, n=n, numbers=numbers)


def _with_send(live: dict[str, float], send_ms: float) -> dict[str, float]:
    """Split the last step: the call that sends, and the way to the receiver."""
    steps = dict(live)
    whole, rest = steps.pop("all"), steps.pop("send, wire, receive")
    return {**steps, "send": send_ms, "wire, receive": rest - send_ms, "all": whole}


def _hot(bench: Bench) -> dict[str, float]:
    """Return the median (ms) of the steps of the model, each in a loop of its own."""
    _, pose = prepare(SHIPPED, bench.frames[0])
    image, box, count = bench.frames[0], Box(200, 120, CROP_SIZE, CROP_SIZE), bench.count(1000)
    outputs, into = pose.infer(), pose.model.new_input()
    steps: dict[str, Callable[[], object]] = {
        "crop": lambda: pose.model.prepare(image, box, "pad", into),
        "infer": pose.infer,
        "decode": lambda: pose.model.decode(outputs, View.of(box, pose.model.size)),
    }
    return {name: float(np.median(time_ms(step, count))) for name, step in steps.items()}


@contextmanager
def _watched(*functions: tuple[Any, str]) -> Iterator[Watched]:
    """Yield the times of these functions, which grow while a pipeline runs."""
    times: Watched = {function: [] for function in functions}
    with ExitStack() as stack:
        for owner, name in functions:
            stack.enter_context(patch.object(owner, name, _timed(getattr(owner, name), times[owner, name])))
        yield times


def _timed(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        begun = perf_counter()
        result = function(*arguments)
        if threading.current_thread().name == _POSE_THREAD:
            into.append((perf_counter() - begun) * 1e3)
        return result

    return call

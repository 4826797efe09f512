"""Side by side with the loop people write today (``scripts/peer_loop.py``), on the same frames."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from benchmarks.int8 import int8_pair
from benchmarks.material import SHIPPED, Bench, Pair
from benchmarks.results import ROOT, Row, percentiles
from benchmarks.runs import receive_peer, run_fast, run_live
from realtime_cropzoom.bench.live import Listener

TITLE = "Side by side with the loop people write today"
_ROUNDS = 2
_CAMERA_FPS = 30.0
_UTILISATION = 0.6
_LITPOSE = ["--runner", "litpose"]
_VARIANTS = {
    "NumPy, default threads": ["--runner", "numpy"],
    "NumPy, 1 thread": ["--runner", "numpy", "--threads", "1"],
    "torch, default threads": ["--runner", "torch"],
    "torch, 1 thread": ["--runner", "torch", "--threads", "1"],
    "Lightning Pose's predict_frame": _LITPOSE,
}


class PeerFailed(Exception):
    """The peer did not run. The text is the last line of its output."""


@dataclass(frozen=True)
class _Variant:
    """A variant of the peer that runs here."""

    name: str
    flags: list[str]
    fps: float
    """Frames per second, as fast as it can."""


def run(bench: Bench) -> Iterator[Row]:
    """Yield latency and throughput of ours and of the peer, for both pairs of models; the large one also in int8."""
    yield from _compare(bench, SHIPPED, SHIPPED, bench.count(200), 2.0)
    if bench.litpose is None:
        yield Row("ResNet-18 pair", "skipped: the data folder with the models is missing")
    else:
        yield from _compare(bench, bench.litpose, int8_pair(bench).pair, bench.count(40), 8.0)


def _compare(bench: Bench, theirs: Pair, ours: Pair, count: int, aim: float) -> Iterator[Row]:
    """Measure every variant flat out, then the quickest one and ours in turns, at a rate that the variant holds.

    Lightning Pose itself is compared with where it is installed.
    """
    variants, absent = _measure_all(bench, theirs, count)
    yield from (Row(f"{theirs.name}: {name}", why) for name, why in absent.items())
    for variant in variants:
        yield Row(f"{theirs.name}: {variant.name}, flat out", f"{variant.fps:.1f} frames/s", n=f"{count} frames",
                  numbers={"fps": variant.fps})  # fmt: skip
    best = next((v for v in variants if v.flags == _LITPOSE), max(variants, key=lambda variant: variant.fps))
    fps = round(min(_CAMERA_FPS, _UTILISATION * best.fps), 1)
    their_ms, our_ms, our_fps = [], [], []
    for _ in range(1 if bench.quick else _ROUNDS):
        their_ms.append(run_peer(bench, theirs, best.flags, count, fps)[1])
        our_ms.append(run_live(bench, ours, fps, count).latency_ms)
        our_fps.append(run_fast(bench, ours, count, None, publish=True))
    for name, times in ((best.name, their_ms), (f"ours ({ours.name})", our_ms)):
        found = percentiles(np.concatenate(times))
        value = f"{found['p50']:.2f} ms median, {found['p99']:.2f} ms p99"
        yield Row(f"{theirs.name}, {fps:g} fps: {name}", value, n=f"{found['n']} frames", numbers=found)
    ratio = float(np.median([np.median(t) / np.median(o) for t, o in zip(their_ms, our_ms, strict=True)]))
    name = f"{theirs.name}, {fps:g} fps: ours ({ours.name}) against {best.name}"
    yield Row(name, f"{ratio:.1f}× lower latency in the median", f"≥ {aim:g}×", ratio >= aim, f"{_ROUNDS} rounds",
              {"ratio": ratio, "against": best.name})  # fmt: skip
    gain = float(np.median(our_fps)) / best.fps
    yield Row(f"{name}, throughput", f"{gain:.1f}× ({np.median(our_fps):.0f} frames/s)", numbers={"ratio": gain})


def _measure_all(bench: Bench, pair: Pair, count: int) -> tuple[list[_Variant], dict[str, str]]:
    """Run each variant flat out. Return those that run, and why the others do not."""
    wanted, absent = _variants(pair)
    variants = []
    for name, flags in wanted.items():
        try:
            variants.append(_Variant(name, flags, run_peer(bench, pair, flags, count, None)[0]))
        except PeerFailed as error:
            absent[name] = f"does not run: {error}"
    return variants, absent


def _variants(pair: Pair) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the variants that can run here, and the reason for each other one."""
    variants, absent = dict(_VARIANTS), {}
    needs = {"torch": "torch", "Lightning": "lightning_pose"}
    for name in _VARIANTS:
        module = needs.get(name.split(",")[0].split("'")[0].split()[0])
        if module and find_spec(module) is None:
            absent[name] = "not installed"
        elif module == "lightning_pose" and not pair.pose.is_dir():
            absent[name] = "not measured: it runs model directories only"
    for name in absent:
        del variants[name]
    return variants, absent


def run_peer(bench: Bench, pair: Pair, flags: list[str], count: int, fps: float | None) -> tuple[float, np.ndarray]:
    """Run the peer in a process of its own; return its frames per second and the latencies (ms)."""
    command = [sys.executable, str(ROOT / "scripts" / "peer_loop.py"), str(bench.recording), *flags]
    command += ["--frames", str(count), "--endpoint", "tcp://127.0.0.1:*", *(["--fps", str(fps)] if fps else [])]
    models = _onnx(pair) if "litpose" not in flags else (str(pair.detector), str(pair.pose))
    command += ["--detector", models[0], "--pose", models[1]]
    with Listener(receive_peer) as listener:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            summary = _follow(process, listener, 60 + 5 * count / (fps or _CAMERA_FPS))
        finally:
            process.kill()
            process.communicate()
        received = listener.result()
    steady = received.frame >= min(count // 4, round((fps or 30) / 2))
    return float(summary["fps"]), received.latency_ms[steady]


def _follow(process: subprocess.Popen[str], listener: Listener, timeout_s: float) -> dict[str, float]:
    """Connect peer and listener, and return the last line of the peer. Raises PeerFailed."""
    assert process.stdout is not None
    first = process.stdout.readline()
    if first:
        listener.connect(json.loads(first)["endpoint"])
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"not done after {timeout_s:.0f} s") from None
    if process.returncode:
        raise PeerFailed(errors.strip().splitlines()[-1])
    summary: dict[str, float] = json.loads(output)
    return summary


def _onnx(pair: Pair) -> tuple[str, str]:
    detector, pose = pair.load()
    return str(detector.file.onnx), str(pose.file.onnx)

"""Side by side with the loop people write today (``scripts/peer_loop.py``), on the same frames."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np

from benchmarks.material import Bench, Pair
from benchmarks.results import ROOT, Row, percentiles
from benchmarks.runs import Listener, receive_peer, run_fast, run_live

TITLE = "Side by side with the loop people write today"
_AIM = 2.0
_ROUNDS = 2
_CAMERA_FPS = 30.0
_UTILISATION = 0.6
_VARIANTS = {
    "NumPy, default threads": ["--runner", "numpy"],
    "NumPy, 1 thread": ["--runner", "numpy", "--threads", "1"],
    "torch, default threads": ["--runner", "torch"],
    "torch, 1 thread": ["--runner", "torch", "--threads", "1"],
    "Lightning Pose's predict_frame": ["--runner", "litpose"],
}


class PeerFailed(Exception):
    """The peer did not run. The text is the last line of its output."""


@dataclass
class _Measured:
    """The results of one program in all rounds."""

    fps: list[float] = field(default_factory=list)
    latency_ms: list[np.ndarray] = field(default_factory=list)

    @property
    def latency(self) -> dict[str, float]:
        return percentiles(np.concatenate(self.latency_ms))


def run(bench: Bench) -> Iterator[Row]:
    """Yield latency and throughput of ours and of each variant of the peer, and how they compare."""
    for pair in bench.pairs:
        yield from _pair(bench, pair)
    if bench.litpose is None:
        yield Row("ResNet-18 pair", "skipped: the data folder with the models is missing")


def _pair(bench: Bench, pair: Pair) -> Iterator[Row]:
    variants, absent = _variants(pair)
    count = bench.count(300 if pair.name == "shipped" else 60)
    rate, unfit = _common_rate(bench, pair, variants, bench.count(60))
    for name in unfit:
        del variants[name]
    ours, theirs = _Measured(), {name: _Measured() for name in variants}
    for _ in range(1 if bench.quick else _ROUNDS):
        for name, flags in variants.items():
            theirs[name].latency_ms.append(run_peer(bench, pair, flags, count, rate)[1])
            theirs[name].fps.append(run_peer(bench, pair, flags, count, None)[0])
        ours.latency_ms.append(run_live(bench, pair, rate, count).latency_ms)
        ours.fps.append(run_fast(bench, pair, count, None, publish=True))
    yield from _compare(f"{pair.name}, {rate:.1f} fps", ours, theirs)
    yield from (Row(f"{pair.name}: {name}", why) for name, why in {**absent, **unfit}.items())


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


def _common_rate(bench: Bench, pair: Pair, variants: dict[str, list[str]], count: int) -> tuple[float, dict[str, str]]:
    """Return a rate below that of the fastest variant, and the variants that do not run.

    A variant that is too slow for it has no disadvantage: the peer takes the time of a frame when it reads it.
    """
    rates, unfit = [], {}
    for name, flags in variants.items():
        try:
            rates.append(run_peer(bench, pair, flags, count, None)[0])
        except PeerFailed as error:
            unfit[name] = f"does not run: {error}"
    return round(min(_CAMERA_FPS, _UTILISATION * max(rates)), 1), unfit


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


def _compare(name: str, ours: _Measured, theirs: dict[str, _Measured]) -> Iterator[Row]:
    yield _row(f"{name}: ours", ours)
    for variant, measured in theirs.items():
        yield _row(f"{name}: {variant}", measured)
    # Compared with the fastest variant: the ratio in each round, then the median.
    best = min(theirs, key=lambda variant: theirs[variant].latency["p50"])
    pairs = zip(theirs[best].latency_ms, ours.latency_ms, strict=True)
    ratio = float(np.median([np.median(t) / np.median(o) for t, o in pairs]))
    worst_case = theirs[best].latency["p99"] / ours.latency["p99"]
    numbers = {"ratio_median": ratio, "ratio_p99": worst_case, "against": best}
    value = f"{ratio:.1f}× quicker in the median, {worst_case:.1f}× in p99"
    yield Row(f"{name}: ours against the quickest ({best})", value, f"≥ {_AIM:.0f}×", ratio >= _AIM, "", numbers)
    fastest = max(theirs, key=lambda variant: np.median(theirs[variant].fps))
    gain = float(np.median(ours.fps) / np.median(theirs[fastest].fps))
    yield Row(f"{name}: throughput against the fastest ({fastest})", f"{gain:.1f}×", numbers={"ratio": gain})


def _row(name: str, measured: _Measured) -> Row:
    times, fps = measured.latency, float(np.median(measured.fps))
    value = f"{times['p50']:.2f} ms median, {times['p99']:.2f} ms p99; {fps:.0f} frames/s flat out"
    return Row(name, value, n=f"{times['n']} frames, {len(measured.fps)} runs", numbers={**times, "fps": measured.fps})

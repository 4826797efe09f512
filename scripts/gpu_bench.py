"""Measure the models and the whole live loop on a GPU, in about ten minutes; print a table and write a JSON file.

    pip install -e '.[gpu]'
    python scripts/gpu_bench.py [--provider cuda] [--pair NAME DETECTOR POSE] [--out gpu_bench.json]

It needs this repository and its package with the extra ``gpu``. Without the data folder beside the repository, frames
are those of the synthetic arena, and only the shipped pair is measured: ``--pair`` adds another one. ``--provider cpu
--quick`` runs the same on a machine without a GPU, to see that it works; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from benchmarks.material import Bench, Pair
from benchmarks.runs import run_fast, run_live

from realtime_cropzoom import __version__
from realtime_cropzoom.bench.networks import time_ms
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.inference import gpu_loading, providers
from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.engine_cache import find_gpu
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.types import Box, Keypoints, UInt8

ROOT = Path(__file__).resolve().parents[1]
_AIMS_MS = {"shipped": 1.2, "ResNet-18": 2.0}
"""Largest median from the hand-over of a frame to its pose in another process (ms)."""
_SHARE = 0.9
_SHIFT_PX = 0.05
"""Largest distance of a keypoint from that of the same file on the CPU (frame pixels)."""
_RATES = (100, 200)
_SIDE = 240


@dataclass(frozen=True)
class GpuBench(Bench):
    """Material whose runs use the provider."""

    provider: str = "cuda"

    def settings(self, pair: Pair, **more: Any) -> Settings:
        """Return the settings of a run on the provider."""
        return super().settings(pair, **{"provider": self.provider, **more})


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    value: str
    aim: str = ""
    met: bool | None = None
    numbers: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the row as one line of text."""
        verdict = {True: "met     ", False: "MISSED  ", None: "        "}[self.met]
        return f"{verdict}{self.name}: {self.value}" + (f" (aim {self.aim})" if self.aim else "")


@dataclass
class Ready:
    """A model, an image and a box, for the steps of a frame."""

    model: Model
    image: UInt8
    box: Box

    def __post_init__(self) -> None:
        self.model_input = self.model.new_input()
        self.prepare()

    def prepare(self) -> View:
        """Crop."""
        return self.model.prepare(self.image, self.box, "pad", self.model_input)

    def infer(self) -> object:
        """Run the network on the prepared input."""
        return self.model.infer(self.model_input)

    def whole(self) -> Keypoints:
        """Crop, run and decode."""
        used = self.prepare()
        return self.model.decode(self.model.infer(self.model_input), used)


def measure(bench: GpuBench, pair: Pair) -> Iterator[Row]:
    """Yield all rows of a pair of models."""
    detector, pose = _load(bench, pair)
    yield from _alone(bench, pair, detector, pose)
    yield from _exactness(bench, pair, detector, pose)
    yield from _live(bench, pair)
    yield _share(bench, pair, detector, pose)
    yield from _variants(bench, pair, pose)


def _load(bench: GpuBench, pair: Pair, provider: str | None = None) -> tuple[Ready, Ready]:
    image = bench.frames[0]
    given: Any = provider or bench.provider
    detector = Ready(Model(pair.detector, "detector", provider=given), image, whole_image(image))
    x, y = np.nan_to_num(detector.whole().xy.mean(axis=0), nan=_SIDE)
    box = Box(int(x) - _SIDE // 2, int(y) - _SIDE // 2, _SIDE, _SIDE)
    return detector, Ready(Model(pair.pose, "pose", provider=given), image, box)


def _alone(bench: GpuBench, pair: Pair, detector: Ready, pose: Ready) -> Iterator[Row]:
    """Yield the times of the networks alone, hot and called at a rate, and of the steps around the pose model."""
    for role, ready in (("detector", detector), ("pose", pose)):
        count = bench.count(2000)
        times = {"hot": time_ms(ready.infer, count)}
        for fps in _RATES:
            times[f"at {fps} fps"] = _paced(ready.infer, fps, bench.count(10 * fps))
        value = ", ".join(f"{name} {_p(ms)}" for name, ms in times.items())
        numbers = {name: _quantiles(ms) for name, ms in times.items()}
        yield Row(f"{pair.name} {role} ({ready.model.file.onnx.name}), network alone", value, numbers=numbers)
    steps: dict[str, Callable[[], object]] = {"crop": pose.prepare, "infer": pose.infer, "all three": pose.whole}
    times = {name: time_ms(step, bench.count(2000)) for name, step in steps.items()}
    numbers = {name: _quantiles(ms) for name, ms in times.items()}
    yield Row(f"{pair.name} pose, steps", ", ".join(f"{name} {_p(ms)}" for name, ms in times.items()), numbers=numbers)


def _exactness(bench: GpuBench, pair: Pair, detector: Ready, pose: Ready) -> Iterator[Row]:
    """Yield how far keypoints are from those that the same file gives on the CPU."""
    for role, ready in zip(("detector", "pose"), (detector, pose), strict=True):
        file = ready.model.file.onnx
        on_cpu = Model(pair.detector if role == "detector" else pair.pose, role, provider="cpu")  # type: ignore[arg-type]
        same = on_cpu.file.onnx == file
        reference, shifts = Ready(on_cpu, ready.image, ready.box), []
        for image in bench.frames[:: max(1, len(bench.frames) // bench.count(100))]:
            reference.image = ready.image = image
            shifts.append(np.linalg.norm(ready.whole().xy - reference.whole().xy, axis=1))
        px = np.array(shifts)
        aim = _SHIFT_PX if same else None
        value = f"median {np.median(px):.4f}, max {px.max():.4f} px" + (
            "" if same else f" from {on_cpu.file.onnx.name}"
        )
        met = None if aim is None else bool(px.max() <= aim)
        numbers = {"median_px": float(np.median(px)), "max_px": float(px.max()), "n": px.size}
        yield Row(f"{pair.name} {role}, keypoints against the CPU", value, f"≤ {aim} px" if aim else "", met, numbers)


def _live(bench: GpuBench, pair: Pair) -> Iterator[Row]:
    """Yield the latency from the hand-over of a frame to its pose in another process."""
    for fps in _RATES:
        run = run_live(bench, pair, fps, bench.count(15 * fps))
        aim = _AIMS_MS.get(pair.name)
        median = float(np.median(run.latency_ms))
        numbers = {**_quantiles(run.latency_ms), "lost": run.lost, "stages_ms": run.summary["latency_ms"]}
        value = f"{_p(run.latency_ms)}, {run.lost} lost"
        met = None if aim is None else median <= aim
        yield Row(f"{pair.name} whole loop, {fps} fps", value, f"median ≤ {aim} ms" if aim else "", met, numbers)


def _share(bench: GpuBench, pair: Pair, detector: Ready, pose: Ready) -> Row:
    """Return the rate of the pipeline as a share of that of the networks one after the other."""
    count = bench.count(1500)
    begun = time.perf_counter()
    for _ in range(count):
        detector.infer()
        pose.infer()
    bare = count / (time.perf_counter() - begun)
    fps = run_fast(bench, pair, count, bench.frames)
    numbers = {"fps": fps, "bare_fps": bare, "share": fps / bare}
    value = f"{fps / bare:.2f} ({fps:.0f} of {bare:.0f} frames/s)"
    return Row(f"{pair.name} lockstep / networks in sequence", value, f"≥ {_SHARE}", fps / bare >= _SHARE, numbers)


def _variants(bench: GpuBench, pair: Pair, pose: Ready) -> Iterator[Row]:
    """Yield the time from crop to keypoints with other options, each against the usual ones in turns."""
    for name, changed in _CHANGES.items():
        if name.startswith("like a GPU") != (bench.provider == "cpu"):
            continue
        try:
            with changed():
                other = Ready(Model(pair.pose, "pose", provider=bench.provider), pose.image, pose.box)  # type: ignore[arg-type]
        except CropzoomError as error:
            yield Row(f"{pair.name} pose, {name}", f"refused: {error}")
            continue
        times: dict[str, list[np.ndarray]] = {"usual": [], name: []}
        for _ in range(4):
            times["usual"].append(time_ms(pose.whole, bench.count(400)))
            times[name].append(time_ms(other.whole, bench.count(400)))
        usual, changed_ms = (np.concatenate(blocks) for blocks in times.values())
        numbers = {"usual": _quantiles(usual), "changed": _quantiles(changed_ms)}
        yield Row(f"{pair.name} pose, {name}", f"{_p(changed_ms)}; usual options {_p(usual)}", numbers=numbers)


def _option(**options: str) -> Callable[[], Any]:
    return lambda: mock.patch.dict(providers.CUDA_OPTIONS, options)


def _target(name: str, **changes: bool) -> Callable[[], Any]:
    return lambda: mock.patch.dict(providers.TARGETS, {name: replace(providers.TARGETS[name], **changes)})  # type: ignore[arg-type]


@contextmanager
def _without_graph() -> Iterator[None]:
    def listed(target: providers.Target, *, cuda_graph: bool, **more: Any) -> list[Any]:
        return providers.provider_list(target, cuda_graph=False, **more)

    with mock.patch.object(gpu_loading, "provider_list", listed):
        yield


_CHANGES: dict[str, Callable[[], Any]] = {
    "without a CUDA graph": _without_graph,
    "image prepared on the CPU": _target("cuda", image_in_graph=False),
    "convolutions chosen by measuring": _option(cudnn_conv_algo_search="EXHAUSTIVE"),
    "convolutions by default": _option(cudnn_conv_algo_search="DEFAULT"),
    "channels last": _option(prefer_nhwc="1"),
    "TF32": _option(use_tf32="1"),
    "like a GPU: bound, image in the graph": _target("cpu", one_image=True, image_in_graph=True),
    "like a GPU: bound": _target("cpu", one_image=True),
}


def _paced(step: Callable[[], object], fps: float, count: int) -> np.ndarray:
    times, begin = np.empty(count), time.perf_counter()
    for index in range(count):
        time.sleep(max(0.0, begin + index / fps - time.perf_counter()))
        begun = time.perf_counter_ns()
        step()
        times[index] = time.perf_counter_ns() - begun
    return times[count // 10 :] / 1e6


def _quantiles(ms: np.ndarray) -> dict[str, float]:
    return {**{f"p{q:g}": round(float(np.percentile(ms, q)), 4) for q in (50, 99, 99.9)}, "n": len(ms)}


def _p(ms: np.ndarray) -> str:
    return f"{np.median(ms):.3f} / {np.percentile(ms, 99):.3f} ms"


def machine(provider: str) -> dict[str, Any]:
    """Return what the numbers depend on."""
    about: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "provider": provider,
        "system": platform.platform(),
        "python": platform.python_version(),
        "realtime-cropzoom": __version__,
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "onnxruntime": providers.runtime.__version__,
        "cuda": getattr(providers.runtime, "cuda_version", ""),
        "cpu": _said("sh", "-c", "grep -m1 'model name' /proc/cpuinfo").partition(":")[2].strip(),
    }
    if provider != "cpu":
        about |= asdict(find_gpu())
        about["nvidia-smi"] = _said(
            "nvidia-smi", "--query-gpu=driver_version,power.limit,clocks.max.sm", "--format=csv"
        )
    return about


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _pairs(bench: GpuBench, args: argparse.Namespace) -> list[Pair]:
    given = [Pair(name, Path(detector), Path(pose)) for name, detector, pose in args.pair]
    return [*bench.pairs, *given]


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--provider", choices=["cuda", "tensorrt", "cpu"], default="cuda")
    parser.add_argument("--pair", nargs=3, action="append", default=[], metavar=("NAME", "DETECTOR", "POSE"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="openfield/ and litpose/")
    parser.add_argument("--out", type=Path, default=Path("gpu_bench.json"))
    parser.add_argument("--quick", action="store_true", help="only see whether it runs; the numbers mean nothing")
    return parser.parse_args()


def main() -> int:
    """Measure, print and write. The exit code is 0 if everything ran, 1 if a pair broke off, 2 if it was refused."""
    args = _parse_args()
    data = args.data if (args.data / "openfield").exists() else None
    rows: list[Row] = []
    with ExitStack() as held:
        scratch = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="cropzoom-gpu-")))
        bench = GpuBench(data, args.quick, scratch, provider=args.provider)
        try:
            providers.resolve_provider(args.provider)
            about = machine(args.provider)
        except CropzoomError as error:
            print(f"gpu_bench: {error}", file=sys.stderr)
            return 2
        print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
        print("\n(median / 99th percentile)", flush=True)
        for pair in _pairs(bench, args):
            try:
                for row in measure(bench, pair):
                    rows.append(row)
                    print(row.line(), flush=True)
            except CropzoomError as error:
                rows.append(Row(f"{pair.name} broke off", str(error), numbers={"error": str(error)}))
                print(rows[-1].line(), flush=True)
            content = {"machine": about, "quick": args.quick, "rows": [asdict(row) for row in rows]}
            args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {args.out}")
    return int(any("error" in row.numbers for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""``cropzoom pipeline`` compared with decoding and the bare models, and with Lightning Pose's commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.material import SHIPPED, Bench, Pair, prepare
from benchmarks.results import Row
from benchmarks.throughput import in_sequence, ratio_row
from realtime_cropzoom.bench.networks import Ready
from realtime_cropzoom.inference.model import Models
from realtime_cropzoom.offline.command import OfflineCommand, OfflineOptions
from realtime_cropzoom.offline.inference_pool import worker_pool
from realtime_cropzoom.offline.pipeline import OfflinePipeline
from realtime_cropzoom.runtime.tuning import tuned, usable_cores
from realtime_cropzoom.sources.video_file import VideoFile

TITLE = "Offline: one pass over a recording, files written"
_AIM = 0.9
_AIM_LITPOSE = {"ResNet-18": 1.8, "shipped": 10.0}
_ALL_FRAMES = 2330
"""Length of the open-field recording."""
_COMMAND_FRAMES = {"ResNet-18": 400, "shipped": _ALL_FRAMES}
"""Number of frames that our command tracks. Its time is scaled to the whole recording, the start of Python too."""
_LITPOSE_COMMANDS = ("predict detector_0 videos/", "create_bbox detector_0 videos/", "predict pose_0 videos/")


def run(bench: Bench) -> Iterator[Row]:
    """Yield the rates as fractions of both limits, and the comparison with litpose."""
    limits = {}
    for pair in bench.pairs:
        count, repeats = bench.count(1200 if pair.name == "shipped" else 80), 2 if bench.quick else 3
        detector, pose = prepare(pair, bench.frames[0])
        ours, sequence, limit = [], [], []
        for _ in range(repeats):
            sequence.append(in_sequence(detector, pose, count // 2))
            ours.append(_rate(bench, pair, count))
            limit.append(_limit(bench, (detector, pose), count))
        limits[pair.name] = float(np.median(limit))
        name, n = f"{pair.name}: {bench.recording_name}", f"{repeats} × {count} frames"
        yield ratio_row(f"{name} / models in sequence", ours, sequence, _AIM, n)
        yield ratio_row(f"{name} / decoding and both bare models on {usable_cores()} cores", ours, limit, _AIM, n)
    if bench.litpose is not None:
        yield from _against_litpose(bench, limits["ResNet-18"])


def _limit(bench: Bench, models: tuple[Ready, Ready], count: int) -> float:
    """Return the frames per second if one thread decodes and each core runs the next inference."""
    decoder = threading.Thread(target=_decode, args=(bench.recording, count))
    with tuned(), ThreadPoolExecutor(usable_cores()) as pool:
        begun = perf_counter()
        decoder.start()
        for done in [pool.submit(model.infer) for _ in range(count) for model in models]:
            done.result()
        decoder.join()
        return count / (perf_counter() - begun)


def _decode(video: Path, count: int) -> None:
    source = VideoFile(video)
    for captured, _ in zip(source.frames(), range(count), strict=False):
        captured.copy_to(np.empty((captured.height, captured.width, 3), np.uint8))
    source.close()


def _rate(bench: Bench, pair: Pair, count: int) -> float:
    settings = bench.settings(pair, frames=count)
    models, folder = Models(*pair.load()), bench.scratch / "offline"
    with worker_pool(usable_cores()) as pool:
        pipeline = OfflinePipeline(settings, models, offline_command(pool))
        begun = perf_counter()
        pipeline.run(str(bench.recording), folder)
        return count / (perf_counter() - begun)


def offline_command(pool: ThreadPoolExecutor) -> OfflineCommand:
    """Return the options of a command that tracks a recording, and writes no video."""
    return OfflineCommand(pool, usable_cores(), OfflineOptions(overwrite=True, skip_viz=True), _silent, _silent)


def _silent(line: str) -> None:
    """Show nothing: what the command says is not measured."""


def _against_litpose(bench: Bench, bare_fps: float) -> Iterator[Row]:
    """Whole commands, from the start of Python to the last file, over the whole recording."""
    assert bench.data is not None
    assert bench.litpose is not None
    litpose_s, how = _litpose_seconds(bench, bare_fps)
    for pair in (bench.litpose, SHIPPED):
        frames = bench.count(_COMMAND_FRAMES[pair.name])
        ours_s = _command_seconds(bench, pair, frames) * _ALL_FRAMES / frames
        ratio, aim = litpose_s / ours_s, _AIM_LITPOSE[pair.name]
        name = f"{pair.name}: cropzoom pipeline / litpose predict, create_bbox, predict --bbox_dir (ResNet-18)"
        value = f"{ratio:.1f}× ({ours_s:.0f} s; litpose {litpose_s:.0f} s, {how})"
        yield Row(
            name, value, f"≥ {aim}×", ratio >= aim, f"{frames} frames", {"ours_s": ours_s, "litpose_s": litpose_s}
        )


def _litpose_seconds(bench: Bench, bare_fps: float) -> tuple[float, str]:
    """Return the time (s) of Lightning Pose's commands: measured, or recorded and scaled if it is missing."""
    assert bench.data is not None
    if shutil.which("litpose"):
        return _run_litpose(bench), "run here"
    text = (bench.data / "litpose" / "TIMES.md").read_text()
    recorded = [float(s) for c in _LITPOSE_COMMANDS for s in re.findall(rf"`litpose {c}.*\| ([\d.]+) \|", text)]
    # On the machine of the recorded time, the bare fp32 models took 102 s. The ratio compares the machines.
    seconds = sum(recorded[:3]) * (_ALL_FRAMES / bare_fps) / 102.0
    return seconds, "not installed; from TIMES.md, scaled by the bare models"


def _run_litpose(bench: Bench) -> float:
    assert bench.data is not None
    folder = bench.scratch / "litpose"
    shutil.copytree(bench.data / "litpose" / "openfield", folder, dirs_exist_ok=True)
    video, detector, pose = str(bench.recording), str(folder / "detector_0"), str(folder / "pose_0")
    onnx = ["--runtime", "onnx", "--onnx-precision", "fp32", "--skip_viz", "--reader", "opencv", "--overwrite"]
    begun = perf_counter()
    for command in (
        ["predict", detector, video, *onnx],
        ["create_bbox", detector, video, "--crop_size", "240"],
        ["predict", pose, video, "--bbox_dir", f"{detector}/video_preds", *onnx],
    ):
        subprocess.run(["litpose", *command], check=True, capture_output=True)
    return perf_counter() - begun


def _command_seconds(bench: Bench, pair: Pair, frames: int) -> float:
    command = [sys.executable, "-m", "realtime_cropzoom", "pipeline", str(bench.recording), "--skip_viz", "--overwrite"]
    models = ["--detector", str(pair.detector), "--pose", str(pair.pose), "--crop_size", "240"]
    begun = perf_counter()
    subprocess.run(
        [*command, *models, "--frames", str(frames), "--out", str(bench.scratch / "command")],
        check=True, capture_output=True,
    )  # fmt: skip
    return perf_counter() - begun

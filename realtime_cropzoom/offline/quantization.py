"""Quantization: makes an int8 export of a model, and measures what it costs in exactness and gains in time.

Weights and activations of the convolutions become 8-bit integers (static quantization, QDQ format, one scale per
output channel). The head that turns features into heatmaps stays in float: rounding it moves keypoints. If the
keypoints still move too far, the most sensitive convolutions stay in float, too.

Source: ONNX Runtime, ``onnxruntime.quantization.quantize_static``.
"""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import ModelError
from realtime_cropzoom.files.atomic import Say, write_whole
from realtime_cropzoom.inference.manifest import Manifest, Role
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.inference.onnx_session import Session
from realtime_cropzoom.inference.providers import TARGETS
from realtime_cropzoom.offline.quantization_frames import Sample, Samples
from realtime_cropzoom.types import Float32, Float64

MIN_SPEEDUP = 1.1
"""Minimum gain in speed. A smaller one is not worth the rounding."""
_QUANTIZED = ("Conv", "Relu", "Clip", "Add", "MaxPool", "AveragePool", "Concat")
"""Operators that compute in int8. Those of the head are none of them."""
_CALIBRATED_ONLY = "Softmax"
"""Stays in float as well, but ONNX Runtime 1.19 fails if it is not among the operators that are calibrated."""
_RANKING_FRAMES = 8
"""Number of calibration frames on which the sensitivity of each convolution is measured."""
_TIMED_RUNS = 30


@dataclass(frozen=True, slots=True)
class Shift:
    """How far int8 moves keypoints from fp32, on frames that calibration did not see."""

    px: Float64
    """(N, K) distances (frame pixels); NaN if a keypoint is not finite."""
    likelihood: float
    """Largest change of a likelihood."""

    @property
    def median_px(self) -> float:
        """Median over frames and keypoints (frame pixels)."""
        return float(np.nanmedian(self.px))

    @property
    def p95_px(self) -> float:
        """95th percentile over frames and keypoints (frame pixels)."""
        return float(np.nanpercentile(self.px, 95))

    @property
    def max_px(self) -> float:
        """Largest shift (frame pixels)."""
        return float(np.nanmax(self.px))


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of the networks alone on this machine, one thread, measured in turns."""

    fp32_ms: float
    int8_ms: float

    @property
    def ratio(self) -> float:
        """How many times as fast int8 is."""
        return self.fp32_ms / self.int8_ms


@dataclass(frozen=True, slots=True)
class Quantization:
    """The int8 export, and what is known of it."""

    path: Path
    keypoint_names: tuple[str, ...]
    calibrated_on: int
    """Number of frames."""
    judged_on: int
    """Number of frames."""
    shift: Shift
    speed: Speed
    errors_px: tuple[float, float] | None
    """Mean error against labels (frame pixels), fp32 and int8; None without labels."""
    sizes_mb: tuple[float, float]
    """Size of the files, fp32 and int8."""
    in_float: tuple[str, ...]
    """Convolutions that stay in float."""


def quantize(model: Model, role: Role, samples: Samples, out: Path, *, max_shift_px: float, say: Say) -> Quantization:
    """Write the int8 export of a model. The file describes itself: it also runs without its model directory.

    Args:
        model: The fp32 export.
        role: Whether it sees whole frames (``detector``) or crops (``pose``).
        samples: Frames for calibration and for the judgement.
        out: The file to write. It is replaced.
        max_shift_px: Limit of the 95th percentile of the shift (frame pixels).
        say: Shows a line about a slow step.

    Raises:
        ModelError: if the model cannot be quantized, moves keypoints beyond the limit, or is not faster.
        SinkError: if the file cannot be written.
    """
    with TemporaryDirectory(prefix="cropzoom-int8-") as scratch:
        graph = _Graph(model, role, Path(scratch), [sample.prepared for sample in samples.calibration])
        say(f"calibrating on {len(samples.calibration)} frames")
        in_float: list[str] = []
        candidate = graph.quantized(in_float)
        say(f"comparing with fp32 on {len(samples.held_out)} other frames")
        judge = _Judge(model, samples.held_out)
        found = judge.predict(candidate)
        shift = judge.shift(found)
        if shift.p95_px > max_shift_px:
            say(f"the keypoints shift by {shift.p95_px:.2f} px (95 %): looking for the sensitive layers")
            ranked = _ranked(graph, _Judge(model, samples.calibration[:_RANKING_FRAMES]))
            for kept in _doubling(len(ranked)):
                say(f"trying with the most sensitive layers in float: {kept} of {len(ranked)}")
                in_float = ranked[:kept]
                candidate = graph.quantized(in_float)
                found = judge.predict(candidate)
                shift = judge.shift(found)
                if shift.p95_px <= max_shift_px:
                    break
        say("measuring the time of both networks")
        speed = _measure_speed(model, candidate, samples.held_out[0].prepared)
        _check(shift, speed, max_shift_px)
        content = graph.with_metadata(candidate, _note(shift, speed, samples, in_float))
    write_whole(out, content)
    return Quantization(
        path=out,
        keypoint_names=model.keypoint_names,
        calibrated_on=len(samples.calibration),
        judged_on=len(samples.held_out),
        shift=shift,
        speed=speed,
        errors_px=judge.errors_px(found),
        sizes_mb=(_size_mb(model.file.onnx), len(content) / 1e6),
        in_float=tuple(in_float),
    )


def check_quantizable(model: Model) -> Any:
    """Return the graph of an fp32 export (``onnx.ModelProto``).

    Raises:
        ModelError: if it cannot become int8.
    """
    import onnx

    path = model.file.onnx
    if model.file.network is not None:
        raise ModelError(
            f"{path} runs with another network than it holds; write that first: "
            f"cropzoom models import {model.path} --out FILE.onnx"
        )
    proto = onnx.load(str(path))
    operators = {node.op_type for node in proto.graph.node}
    if operators & {"QuantizeLinear", "DequantizeLinear", "QLinearConv"}:
        raise ModelError(f"{path} is quantized already; give the fp32 export")
    if model.session.input_type != "tensor(float)":
        raise ModelError(f"{path} computes in fp16; give the fp32 export")
    if model.context_radius:
        raise ModelError(f"{path} is a context model, which sees five frames: only single-frame models become int8")
    if "Conv" not in operators:
        raise ModelError(f"{path} has no convolutions, which are what becomes int8; run it in fp32")
    return proto


class _Graph:
    """The fp32 graph, and the int8 graphs made of it."""

    def __init__(self, model: Model, role: Role, scratch: Path, calibration: Sequence[Float32]) -> None:
        self._scratch, self._calibration, self._made = scratch, calibration, 0
        import onnx

        proto = check_quantizable(model)
        for index, node in enumerate(proto.graph.node):
            node.name = node.name or f"{node.op_type}_{index}"
        self.convolutions = [node.name for node in proto.graph.node if node.op_type == "Conv"]
        self._calibrated_only = [node.name for node in proto.graph.node if node.op_type == _CALIBRATED_ONLY]
        described = {entry.key: entry.value for entry in proto.metadata_props}
        self._metadata = {"cropzoom": _description(model, role).to_json(), **described}
        self._input = model.session.inputs[0]
        self._source = scratch / "fp32.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(proto), str(self._source))

    def quantized(self, in_float: Sequence[str]) -> Path:
        """Return a new int8 graph in which these nodes stay in float."""
        from onnxruntime import quantization as q

        self._made += 1
        path = self._scratch / f"int8-{self._made}.onnx"
        with _quiet():
            q.quantize_static(
                str(self._source),
                str(path),
                _reader(self._input, self._calibration),
                quant_format=q.QuantFormat.QDQ,
                op_types_to_quantize=[*_QUANTIZED, _CALIBRATED_ONLY],
                nodes_to_exclude=[*in_float, *self._calibrated_only],
                per_channel=True,
                activation_type=q.QuantType.QUInt8,
                weight_type=q.QuantType.QInt8,
                calibrate_method=q.CalibrationMethod.MinMax,
            )
        return path

    def only(self, node: str) -> Path:
        """Return a graph in which only this convolution computes in int8."""
        return self.quantized([other for other in self.convolutions if other != node])

    def with_metadata(self, path: Path, note: str) -> bytes:
        """Return the bytes of an int8 graph with the metadata of the fp32 export and ``note``."""
        import onnx

        proto = onnx.load(str(path))
        onnx.helper.set_model_props(proto, {**self._metadata, "cropzoom_int8": note})
        content: bytes = proto.SerializeToString()
        return content


class _Judge:
    """Compares the keypoints of int8 graphs with the keypoints of the fp32 export, on the same frames."""

    def __init__(self, model: Model, samples: Sequence[Sample]) -> None:
        self._model, self._samples = model, samples
        self._expected = self._predict(model.session)

    def predict(self, path: Path) -> Float64:
        """Return the poses of a graph: (N, K, 3) with x, y (frame pixels) and likelihood."""
        return self._predict(Session(path, TARGETS["cpu"], 1))

    def shift(self, found: Float64) -> Shift:
        """Return how far the poses of a graph are from those of fp32."""
        px: Float64 = np.linalg.norm(found[..., :2] - self._expected[..., :2], axis=2)
        changed = np.abs(found[..., 2] - self._expected[..., 2])
        return Shift(px, float(np.nanmax(changed, initial=0.0)))

    def errors_px(self, found: Float64) -> tuple[float, float] | None:
        """Return the mean error against the labels (frame pixels) of fp32 and int8; None without labels."""
        labelled = [(row, sample.labels) for row, sample in enumerate(self._samples) if sample.labels is not None]
        if not labelled:
            return None
        rows = [row for row, _ in labelled]
        truth = np.stack([xy for _, xy in labelled])
        if not np.isfinite(truth).any():
            return None
        each = [np.linalg.norm(poses[rows, :, :2] - truth, axis=2) for poses in (self._expected, found)]
        return float(np.nanmean(each[0])), float(np.nanmean(each[1]))

    def _predict(self, session: Session) -> Float64:
        """Return (N, K, 3): x, y (frame pixels) and likelihood."""
        poses = []
        for sample in self._samples:
            outputs = session.run(sample.prepared[None])
            found = self._model.decode(tuple(output[0] for output in outputs), sample.view)
            poses.append(np.column_stack([found.xy, found.likelihood]))
        return np.stack(poses).astype(np.float64)


def _ranked(graph: _Graph, judge: _Judge) -> list[str]:
    """Return the convolutions, the one first that moves the keypoints most if it alone computes in int8."""
    moved = {node: judge.shift(judge.predict(graph.only(node))).p95_px for node in graph.convolutions}
    return sorted(graph.convolutions, key=lambda node: -moved[node])


def _doubling(limit: int) -> Iterator[int]:
    """Yield 1, 2, 4, … below ``limit``."""
    count = 1
    while count < limit:
        yield count
        count *= 2


def _measure_speed(model: Model, candidate: Path, prepared: Float32) -> Speed:
    sessions = [Session(path, TARGETS["cpu"], 1) for path in (model.file.onnx, candidate)]
    taken: tuple[list[float], list[float]] = [], []
    for _ in range(_TIMED_RUNS):
        for session, times in zip(sessions, taken, strict=True):
            begin = now_s()
            session.run(prepared[None])
            times.append((now_s() - begin) * 1e3)
    return Speed(*map(statistics.median, taken))


def _check(shift: Shift, speed: Speed, max_shift_px: float) -> None:
    """Raise ModelError if the int8 graph is not worth its rounding."""
    if shift.p95_px > max_shift_px:
        raise ModelError(
            f"int8 moves the keypoints by {shift.p95_px:.2f} px (95 % of them by less); expected at most "
            f"{max_shift_px:g} px. Nothing is written. Use the fp32 export"
        )
    if speed.ratio < MIN_SPEEDUP:
        cause = "" if has_int8_instructions() else ": it has no instructions for int8 (VNNI)"
        raise ModelError(
            f"int8 is {speed.ratio:.2f} times as fast as fp32 on this CPU{cause}; expected {MIN_SPEEDUP:g} or more. "
            "Nothing is written. Use the fp32 export"
        )


def has_int8_instructions() -> bool:
    """Return whether this CPU multiplies 8-bit integers fast (VNNI on x86); True if that is unknown."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return "flags" not in flags or "vnni" in flags


def _description(model: Model, role: Role) -> Manifest:
    """Return the manifest for an export without one, such as an export of Lightning Pose."""
    manifest = model.manifest
    side = manifest.crop_size or model.file.trained_side
    return msgspec.structs.replace(manifest, role=manifest.role or role, crop_size=side)


def _note(shift: Shift, speed: Speed, samples: Samples, in_float: Sequence[str]) -> str:
    """Return the metadata entry ``cropzoom_int8`` as JSON."""
    return json.dumps(
        {
            "calibrated_on": len(samples.calibration),
            "judged_on": len(samples.held_out),
            "shift_px": {"median": shift.median_px, "p95": shift.p95_px, "max": shift.max_px},
            "speedup": speed.ratio,
            "in_float": list(in_float),
        }
    )


def _reader(name: str, inputs: Sequence[Float32]) -> Any:
    """Return ONNX Runtime's iterator over calibration inputs."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> dict[str, Float32] | None:
            prepared = next(self._left, None)
            return None if prepared is None else {name: prepared[None]}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence ONNX Runtime's advice, which it logs on the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _size_mb(onnx_file: Path) -> float:
    parts = (onnx_file, onnx_file.with_name(onnx_file.name + ".data"))
    return sum(part.stat().st_size for part in parts if part.exists()) / 1e6

"""What the tests of running pipelines share: sources and models under a test's control, runs, and processes."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import helper, numpy_helper

from realtime_cropzoom.cli.main import _parser
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import FLAG
from realtime_cropzoom.inference.manifest import Role
from realtime_cropzoom.inference.model import Model, Outputs
from realtime_cropzoom.pipeline.pipeline import Pipeline
from realtime_cropzoom.sources.base import CapturedFrame, Source, SourceInfo
from realtime_cropzoom.types import Box, Float32, UInt8
from support.films import Footage
from support.models import onnx_model, tiny_manifest

LONG_S = 60.0
"""How long a test waits for what must happen, however busy the machine is."""
ANY_PORT = "tcp://127.0.0.1:*"

ANNOUNCED = """
import sys
from realtime_cropzoom.cli.main import main
try:
    print("go", flush=True)
    sys.exit(main())
except KeyboardInterrupt:  # between the two: main has not begun
    sys.exit(130)
"""


class Film:
    """A source object: ``Footage`` drawn on the spot, with whatever a test wants to happen on the way."""

    def __init__(
        self,
        frames: int = 40,
        fps: float = 60.0,
        *,
        size: tuple[int, int] = (160, 96),
        hidden: Collection[int] = (),
        white: Collection[int] = (),
        before: Callable[[int], None] | None = None,
        blob_at: Callable[[int], tuple[float, float]] | None = None,
        grows_at: int | None = None,
    ) -> None:
        """``hidden`` frames show the bare floor, ``white`` ones nothing; ``before(i)`` comes ahead of frame i."""
        self.footage = Footage(size)
        if blob_at is not None:
            self.footage.blob_at = blob_at  # type: ignore[method-assign,assignment]
        self.info = SourceInfo("film", *size, fps, frames)
        self.closed_in: str | None = None
        self._hidden, self._white, self._before, self._grows_at = hidden, white, before, grows_at

    def frames(self) -> Iterator[CapturedFrame]:
        for index in range(self.info.frame_count or 0):
            if self._before is not None:
                self._before(index)
            image = self.draw(index)
            if self._grows_at is not None and index >= self._grows_at:
                image = np.repeat(image, 2, axis=1)
            pts_ns = round(index * 1e9 / (self.info.fps or 1))
            yield CapturedFrame(pts_ns, None, image.shape[1], image.shape[0], partial(_copy, image))

    def draw(self, index: int) -> UInt8:
        image = self.footage.draw(index)
        if index in self._hidden:
            image[:] = self.footage._FLOOR
        if index in self._white:
            image[:] = 255
        return image

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        self.closed_in = threading.current_thread().name


def _copy(image: UInt8, out: UInt8) -> None:
    np.copyto(out, image)


def tiny_models(
    folder: Path,
    *,
    nan_on_white: bool = False,
    pose: str = "heatmap",
    detector: str = "heatmap",
    keypoints: Sequence[str] = ("middle", "right", "low"),
    batches: bool = False,
) -> dict[str, str]:
    """Write a detector and a pose model that find the blob, of the kinds given, and return them as settings.

    ``keypoints`` are the pose model's. With ``batches`` both take several images at once. With ``nan_on_white`` the
    pose model gives not-a-number where a crop is white all over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, str] = {}
    usual = ("middle", "right", "low")
    roles: tuple[tuple[Role, str, Sequence[str]], ...] = (("detector", detector, usual), ("pose", pose, keypoints))
    for role, kind, names in roles:
        taken = ("N", 3, 64, 64) if batches else None
        manifest = tiny_manifest(role, names, kind=kind)
        model = onnx_model(keypoints=names, kind=kind, manifest=manifest, input_shape=taken)
        if nan_on_white and role == "pose":
            _spoil(model)
        paths[role] = str(folder / f"{role}.onnx")
        onnx.save(model, paths[role])
    return paths


def _spoil(model: onnx.ModelProto) -> None:
    """Add 0 · sqrt(2 − mean) to each image: white is 2.4 once normalised, and has no root."""
    graph = model.graph
    graph.initializer.extend(
        [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("two", 2.0), ("zero", 0.0))]
    )
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[-3, -2, -1], keepdims=1),
        helper.make_node("Sub", ["two", "mean"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["root"]),
        helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        helper.make_node("Add", ["images", "nothing"], ["healthy"]),
    ]
    graph.node[0].input[0] = "healthy"
    for node in reversed(nodes):
        graph.node.insert(0, node)


class HeldModel(Model):
    """The real model, held up in ``infer`` where a test says so; call k of a role is its k-th frame."""

    holds: ClassVar[dict[str, Callable[[int], None]]] = {}

    def __init__(self, path: Path, role: Any, **options: Any) -> None:
        self._role, self._calls = role, -1
        super().__init__(path, role, **options)
        self._calls = 0

    def infer(self, *window: Float32) -> Outputs:
        if self._calls >= 0 and self._role in self.holds:
            self.holds[self._role](self._calls)
        self._calls += self._calls >= 0
        return super().infer(*window)


def hold_models(monkeypatch: pytest.MonkeyPatch, **holds: Callable[[int], None]) -> None:
    """Call ``holds[role](k)`` ahead of the k-th inference of each role. The first one is that of a frame."""
    monkeypatch.setattr("realtime_cropzoom.pipeline.startup.load_quickest", lambda load: load(1))
    monkeypatch.setattr(HeldModel, "holds", holds)
    monkeypatch.setattr("realtime_cropzoom.pipeline.startup.Model", HeldModel)


def at_least(seconds: float) -> Callable[[int], None]:
    """Make a model that takes so long without costing anything."""
    return lambda _: time.sleep(seconds)


def make_settings(folder: Path, **chosen: Any) -> Settings:
    """Settings of a run with the tiny models that writes below ``folder``, publishes nothing and takes no orders."""
    quiet = {"publish": "none", "publish_latest": "none", "control": "none"}  # all tests share the default ones
    return load_settings(
        {**quiet, "out": folder / "sessions", "crop_size": 64, **tiny_models(folder / "models"), **chosen}
    )


def run_to_end(settings: Settings, source: Source | None = None) -> Pipeline:
    """Run a pipeline to its end and return it, joined."""
    pipeline = Pipeline(settings, None if source is None else lambda: source)
    pipeline.start()
    try:
        ended = pipeline.wait(LONG_S)
    finally:
        if not pipeline.wait(0):
            pipeline.stop("the test gave up")
        pipeline.join()
    assert ended
    return pipeline


def cropzoom_threads() -> set[str]:
    """Names of the pipeline threads that are alive, here and now."""
    return {t.name for t in threading.enumerate() if t.name.startswith("cropzoom-")}


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = LONG_S) -> Any:
    """Poll until ``condition`` gives something true, and return that."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.01)
    return result


class Files:
    """The files a run has left, read as their users read them."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        (timing_path,) = self.folder.glob("*_timing.csv")
        self.name = timing_path.name.removesuffix("_timing.csv")
        self.pose = pd.read_csv(self.folder / f"{self.name}.csv", header=[0, 1, 2], index_col=0)
        self.bbox = pd.read_csv(self.bbox_path, index_col=0)
        self.timing = pd.read_csv(timing_path, index_col=0)

    @property
    def bbox_path(self) -> Path:
        return self.folder / f"{self.name}_bbox.csv"

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary

    def boxes(self) -> list[Box]:
        """The boxes of all frames, each of which must have one."""
        return [Box(*map(int, row)) for row in self.bbox[["x", "y", "w", "h"]].to_numpy()]

    def keypoint(self, name: str) -> Any:
        """(n, 2) of one keypoint."""
        scorer = self.pose.columns[0][0]
        return self.pose[scorer][name][["x", "y"]].to_numpy(np.float64)

    def rows(self, suffix: str) -> list[list[str]]:
        """The cells of a file as they are written."""
        with (self.folder / f"{self.name}{suffix}.csv").open(newline="") as file:
            return list(csv.reader(file))


def the_session(out: Path) -> Path:
    """The one session folder below ``out``."""
    (folder,) = [p for p in out.iterdir() if p.is_dir()]
    return folder


def check_counts(counts: dict[str, int]) -> None:
    """Every captured frame has one outcome."""
    assert counts["captured"] == counts["processed"] + counts["skipped"] + counts["failed"], counts


def check_complete(folder: Path | None) -> Files:
    """One row a captured frame in every file, and a summary that agrees with them."""
    assert folder is not None, "the run has made no folder"
    files = Files(folder)
    counts = files.summary["counts"]
    check_counts(counts)
    for table in (files.pose, files.bbox, files.timing):
        assert list(table.index) == list(range(counts["captured"]))
    outcomes = files.timing["outcome"].value_counts()
    for outcome in ("processed", "skipped", "failed"):
        assert outcomes.get(outcome, 0) == counts[outcome], outcome
    return files


def _environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CROPZOOM_")}
    return {**clean, "PYTHONWARNINGS": "error", **(extra or {})}


def start_process(*arguments: object, code: str | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start ``cropzoom ARGUMENTS`` (or ``code`` with them) as a process of its own, stdout and stderr piped."""
    command = ["-c", code] if code else ["-m", "realtime_cropzoom"]
    environment = _environment(options.pop("env", None))
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, *command, *map(str, arguments)], env=environment, **options)


def finish(process: subprocess.Popen[str], timeout_s: float = LONG_S) -> subprocess.CompletedProcess[str]:
    """Wait for a process and return what it has said; a process that does not end is killed, and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"did not end within {timeout_s} s\n{out}\n{err}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def cropzoom(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``cropzoom ARGUMENTS`` as a process of its own to its end."""
    done = finish(start_process(*arguments, **options))
    words = [str(argument) for argument in arguments]
    assert not (foreign := foreign_flags(words, done.stderr)), f"{words[0]} has no {foreign}: {done.stderr}"
    return done


def foreign_flags(arguments: Sequence[str], said: str) -> set[str]:
    """Flags that a command names in what it says, and does not have; those of ``'cropzoom OTHER --flag'`` are none."""
    parser = _parser().add_all()
    commands: dict[str, Any] = next(iter(parser._subparsers._group_actions)).choices  # type: ignore[union-attr,assignment]
    if not arguments or arguments[0] not in commands:
        return set()
    ways = commands[arguments[0]]._subparsers  # those of ``calibrate``
    inner = ways._group_actions[0].choices if ways else {}
    known = set(inner.get(arguments[1], commands[arguments[0]]).flags if len(arguments) > 1 else ())
    own = re.sub(
        r"(cropzoom|litpose|run) [a-z_]+\b[^;.)\n]*", "", re.sub(r"(?m)^ .*$|^(usage|Next:|example:).*$", "", said)
    )
    given = {argument.partition("=")[0] for argument in arguments}
    return {flag for flag in FLAG.findall(own) if flag.replace("_", "-") not in known} - given


def model_flags(models: dict[str, str]) -> list[str]:
    """The flags of a run with these models that publishes nothing."""
    flags = ["--detector", models["detector"], "--pose", models["pose"], "--crop-size", 64, "--publish", "none"]
    return [str(flag) for flag in flags]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_video(path: Path, film: Film, codec: str = "mpeg4", file_format: str | None = None) -> Path:
    """Encode a film and return the path of the video."""
    with av.open(str(path), "w", format=file_format) as container:
        stream = container.add_stream(codec, rate=round(film.info.fps or 30))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = film.info.width, film.info.height
        stream.pix_fmt = "yuv420p"
        for index in range(film.info.frame_count or 0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(film.draw(index), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def fail_at(call: int, text: str) -> Callable[[int], None]:
    """Return a function for ``hold_models`` that makes a model raise an error in the given call."""

    def hold(k: int) -> None:
        if k == call:
            raise RuntimeError(text)

    return hold

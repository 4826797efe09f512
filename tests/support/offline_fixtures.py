"""What the tests of the offline commands share: model directories, videos and labelled images, and the command line."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.offline.provenance import ENDING
from realtime_cropzoom.types import UInt8
from support.films import Footage
from support.models import onnx_model
from support.pipelines import (
    Film,
)

KEYPOINTS = ("middle", "right", "low")
WHICH = ("cropzoom: model: ", "cropzoom: detector model: ", "cropzoom: pose model: ")


def run_here(*arguments: object) -> int:
    """Run a command in this process, and return its exit code."""
    return main([str(argument) for argument in arguments])


@dataclass(frozen=True)
class CommandResult:
    """What a command has said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What was said, without which model runs, how poses look (a file's name with indented lines below), and what
        comes next."""
        said = self.err.splitlines()
        return [line for line in said if not line.startswith((*WHICH, "Next: ", "  ")) and not line.endswith(":")]


class Workplace:
    """A folder with whatever the offline commands are to work on, and the command line in this process."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str], size: tuple[int, int] = (160, 96)) -> None:
        self.folder = folder
        self.footage = Footage(size)
        self._capfd = capfd

    def run(self, *arguments: object) -> CommandResult:
        """Run a command."""
        self._capfd.readouterr()
        code = run_here(*arguments)
        return CommandResult(code, *self._capfd.readouterr())

    def refused(self, *arguments: object) -> str:
        """Run a command that must fail with one line, and return the line."""
        done = self.run(*arguments)
        assert done.code == 2, done
        assert len(done.lines) == 1, done.err
        assert done.lines[0].startswith("cropzoom: ")
        return done.lines[0] + "\n"

    def did(self, *arguments: object) -> CommandResult:
        """Run a command that must succeed."""
        done = self.run(*arguments)
        assert done.code == 0, done.err
        return done

    def went_through(self, *arguments: object) -> CommandResult:
        """Run a command that must go to its end, whether or not the tiny model is sure of the animal."""
        done = self.run(*arguments)
        assert done.code in (0, 3), done.err
        return done

    def model(self, name: str = "model", **options: Any) -> Path:
        """Write a model directory, see ``model_directory``."""
        return model_directory(self.folder / name, data_dir=self.folder, **options)

    def video(self, name: str = "clip.mp4", frames: int = 20, **options: Any) -> Path:
        """Write a video."""
        return self.footage.write(self.folder / name, frames, **options)

    def labels(
        self,
        frames: Sequence[int] = (5, 12, 30, 41, 63),
        name: str = "Labels.csv",
        *,
        around: bool = False,
        **options: Any,
    ) -> Path:
        """Write a label file and its images; with ``around`` also the two images before and after each."""
        for frame in frames:
            for near in range(max(0, frame - 2), frame + 3) if around else (frame,):
                write_image(self.folder / image_name(near), self.footage.draw(near))
        xy = {frame: self.footage.blob_at(frame) for frame in frames}
        return write_labels(self.folder / name, {image_name(frame): [at] * 3 for frame, at in xy.items()}, **options)


def image_name(frame: int) -> str:
    return f"labeled-data/film/img{frame:04d}.png"


def write_image(path: Path, image: UInt8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return path


def load_image(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Return an image file in OpenCV's channel order (BGR)."""
    image = cv2.imread(str(path), flags)
    assert image is not None, path
    return np.asarray(image)


def write_labels(
    path: Path,
    labels: Mapping[str, Sequence[tuple[float, float] | None]],
    keypoints: Sequence[str] = KEYPOINTS,
    *,
    index_columns: int = 1,
) -> Path:
    """Write a label file, image → (x, y) of each keypoint or None, as DeepLabCut and Lightning Pose do."""
    blank = "," * (index_columns - 1)
    lines = [
        "scorer" + blank + ",somebody" * 2 * len(keypoints),
        "bodyparts" + blank + "".join(f",{name},{name}" for name in keypoints),
        "coords" + blank + ",x,y" * len(keypoints),
    ]
    for image, points in labels.items():
        cells = "".join(",," if point is None else f",{point[0]!r},{point[1]!r}" for point in points)
        lines.append((image if index_columns == 1 else ",".join(image.split("/"))) + cells)
    path.write_text("\n".join(lines) + "\n")
    return path


def model_directory(
    path: Path,
    *,
    kind: str = "heatmap",
    keypoints: Sequence[str] = KEYPOINTS,
    size: tuple[int, int] = (64, 64),
    levels: int = 2,
    exports: Sequence[str] = ("epoch=1-step=2_fp32",),
    data_dir: Path | None = None,
    sections: dict[str, dict[str, object]] | None = None,
    **network: Any,
) -> Path:
    """Write a Lightning Pose model directory around a tiny model. ``sections`` adds to its config."""
    config: dict[str, dict[str, object]] = {
        "data": {
            "image_resize_dims": {"height": size[1], "width": size[0]},
            "keypoint_names": list(keypoints),
            "downsample_factor": levels,
            "data_dir": str(data_dir),
            "csv_file": "CollectedData.csv",
        },
        "model": {"model_type": kind},
    }
    for name, section in (sections or {}).items():
        config.setdefault(name, {}).update(section)
    (path / "exports_onnx").mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    for stem in exports:
        network_of_it = onnx_model(keypoints=keypoints, kind=kind, size=size, levels=levels, **network)
        onnx.save(network_of_it, path / "exports_onnx" / f"{stem}.onnx")
    return path


def poses_in(path: Path) -> np.ndarray:
    """(rows, K, 3): x, y, likelihood, whether or not there is a last column ``set``."""
    table = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    coords = [column for column in table.columns if column[2] in ("x", "y", "likelihood")]
    return table[coords].to_numpy(np.float64).reshape(len(table), -1, 3)


def index_of(path: Path) -> list[str]:
    """The first cell of each row under the three header rows."""
    return [line.split(",")[0] for line in path.read_text().splitlines()[3:]]


def write_boxes(path: Path, boxes: Sequence[Sequence[object]], index: Iterable[object] | None = None) -> Path:
    """Write a box file of (x, y, h, w) rows."""
    names = range(len(boxes)) if index is None else index
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{name},{','.join(map(str, box))}\n" for name, box in zip(names, boxes, strict=True)]
    path.write_text(",x,y,h,w\n" + "".join(rows))
    return path


def frames_of(video: Path) -> list[np.ndarray]:
    """All frames of a video, (H, W, 3) RGB."""
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def first_packets(source: Path, target: Path, frames: int, *, skip: int = 0) -> Path:
    """Copy the first packets of a video, not re-encoded: their pixels are those of the source."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = reading.streams.video[0]
        copied = writing.add_stream_from_template(stream)
        for number, packet in enumerate(reading.demux(stream)):
            if number == frames or packet.dts is None:
                break
            if number >= skip:
                packet.stream = copied
                writing.mux(packet)
    return target


def files_below(folder: Path, *, notes: bool = False) -> set[str]:
    """All files; those that say what others were made of, only with ``notes``."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files if notes or not path.name.endswith(ENDING)}


@contextmanager
def nothing_changes_in(folder: Path) -> Iterator[None]:
    """Whatever happens inside leaves every file below a folder as it was."""
    before = {name: (folder / name).read_bytes() for name in files_below(folder, notes=True)}
    yield
    assert {name: (folder / name).read_bytes() for name in files_below(folder, notes=True)} == before


def full_disk(limit: int) -> str:
    """Code of a process in which no file can grow beyond ``limit`` bytes; its arguments are cropzoom's."""
    return (
        "import resource, sys\n"
        "from realtime_cropzoom.cli.main import main\n"
        "sys.dont_write_bytecode = True\n"  # half of a file of bytecode would stay for all others
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "sys.exit(main())\n"
    )


def touch_later(path: Path) -> None:
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 10))


def film(path: Path, frames: int = 90, *, hidden: Collection[int] = (), fps: int = 30) -> Path:
    """Write a video in which the animal comes and goes."""
    drawn = Film(frames, fps, hidden=hidden)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = drawn.info.width, drawn.info.height, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn.draw(index), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def flags_of(settings: dict[str, Any]) -> list[str]:
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]

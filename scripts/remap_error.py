"""Error of remapped keypoints, with our formula and with Lightning Pose's.

    python scripts/remap_error.py --data FOLDER [--litpose FOLDER]

``--data`` is the openfield example of the DeepLabCut repository: CollectedData.csv and the images it
names. The images become a video, the labels make its boxes (``create_bbox --crop_ratio 2.0``), and
``crop`` and ``remap`` do the rest. Two sets of keypoints are remapped: the labels themselves in pixels of the
cropped video, which must come back to their places, and the keypoints of the shipped pose model on that video.

``--litpose`` holds ``detector_0`` and ``pose_0`` as Lightning Pose writes them with predict,
create_bbox, crop, predict and remap of a video, and ``predict --bbox_dir`` with the same boxes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from realtime_cropzoom.cli.main import main as cropzoom
from realtime_cropzoom.inference.model_paths import shipped_model
from realtime_cropzoom.offline.bbox_csv import Boxes, read_boxes
from realtime_cropzoom.offline.crop import video_size
from realtime_cropzoom.offline.video_writer import VideoWriter
from realtime_cropzoom.sessions.dlc_csv import Labels, read_labels, read_predictions
from realtime_cropzoom.sessions.pose_rows import pose_cells, pose_header
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Float64, Keypoints

CROP_RATIO = 2.0
SURE = 0.9
"""Minimum likelihood of a compared keypoint, for models that are weak on these images."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    what: str
    ours_px: Float64
    """Errors (pixels) of our remapped keypoints."""
    litpose_px: Float64
    """Errors (pixels) without the scale of the crop."""

    def __str__(self) -> str:
        """Return the row in Markdown."""
        return f"| {self.what} | {self.ours_px.size} | {_percentiles(self.ours_px)} | {_percentiles(self.litpose_px)} |"


HEADER = """\
| remapped | keypoints | ours: median / 95 % / max | litpose: median / 95 % / max |
|---|---|---|---|"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the openfield folder, with CollectedData.csv")
    parser.add_argument("--litpose", type=Path, help="detector_0 and pose_0, as Lightning Pose left them")
    args = parser.parse_args()
    print(HEADER)
    with tempfile.TemporaryDirectory() as scratch:
        for row in rows(args.data, args.litpose, Path(scratch)):
            print(row)


def rows(data: Path, litpose: Path | None, scratch: Path) -> Iterator[Row]:
    """Measure, in the folder ``scratch``."""
    labels = read_labels(data / "CollectedData.csv")
    video = scratch / "labelled.mp4"
    write_video(data, labels, video)
    boxes, cropped = crop_to_labels(video, labels, scratch / "detector")
    size = video_size(cropped)
    predictions = scratch / "labels" / f"{cropped.stem}.csv"
    write_predictions(predictions, labels, to_crop(labels.xy, boxes, size))
    yield compare("the labels", predictions, boxes, labels.xy)
    found = predict_shipped(cropped, labels.keypoint_names, scratch / "pose")
    yield compare("the shipped pose model's keypoints, from the labels", found, boxes, labels.xy)
    if litpose is not None:
        yield compare_with_litpose(litpose, scratch / "golden")


def write_video(data: Path, labels: Labels, path: Path) -> None:
    """Write the labelled images as a video, in the order of the label file."""
    images = [read_image(data / name) for name in labels.images]
    height, width = images[0].shape[:2]
    with VideoWriter(path, (width, height), 30.0) as writer:
        for i, image in enumerate(images):
            writer.write(np.ascontiguousarray(image), round(i * 1e9 / 30))
        writer.commit()


def crop_to_labels(video: Path, labels: Labels, directory: Path) -> tuple[Boxes, Path]:
    """Use the labels as a detector's predictions; return their boxes and the cropped video."""
    write_directory(directory, labels.keypoint_names)
    write_predictions(directory / "video_preds" / f"{video.stem}.csv", labels, labels.xy)
    run("create_bbox", directory, video, "--crop_ratio", CROP_RATIO)
    run("crop", directory, video)
    boxes = read_boxes(directory / "video_preds" / f"{video.stem}_bbox.csv")
    return boxes, directory / "cropped_videos" / f"cropped_{video.name}"


def predict_shipped(video: Path, names: tuple[str, ...], directory: Path) -> Path:
    """Predict ``video`` with the shipped pose model; return the predictions."""
    write_directory(directory, names)
    (directory / "exports_onnx").mkdir()
    shutil.copyfile(shipped_model("pose"), directory / "exports_onnx" / "pose_fp32.onnx")
    run("predict", directory, video, "--skip_viz")
    return directory / "video_preds" / f"{video.stem}.csv"


def to_crop(xy: Float64, boxes: Boxes, size: tuple[int, int]) -> Float64:
    """Return (N, K, 2) keypoints in pixels of the cropped video, from frame pixels."""
    moved: Float64 = (xy - corners(boxes)) / sides(boxes) * np.array(size, np.float64)
    return moved


def compare(what: str, predictions: Path, boxes: Boxes, truth_xy: Float64) -> Row:
    """Remap a file, and measure the errors against ``truth_xy``, with scale and without."""
    before = read_predictions(predictions).xy
    run("remap", predictions, boxes.path)
    ours = read_predictions(predictions.with_name(f"remapped_{predictions.name}")).xy
    return Row(what, distances(ours, truth_xy), distances(before + corners(boxes), truth_xy))


def compare_with_litpose(litpose: Path, scratch: Path) -> Row:
    """Remap Lightning Pose's predictions, and compare both formulas with its own ``predict --bbox_dir``."""
    folder = litpose / "pose_0" / "video_preds"
    (box_file,) = (litpose / "detector_0" / "video_preds").glob("*_bbox.csv")
    name = box_file.name.removesuffix("_bbox.csv")
    scratch.mkdir()
    copied = Path(shutil.copy(folder / f"cropped_{name}.csv", scratch))
    run("remap", copied, box_file)
    whole = read_predictions(folder / f"{name}.csv")
    ours, theirs = (
        distances(read_predictions(path).xy, whole.xy)[whole.likelihood > SURE]
        for path in (scratch / f"remapped_cropped_{name}.csv", folder / f"remapped_cropped_{name}.csv")
    )
    return Row("Lightning Pose's keypoints, from those of its `predict --bbox_dir`", ours, theirs)


def corners(boxes: Boxes) -> Float64:
    """Return (N, 1, 2): x, y."""
    return boxes.xyhw[:, None, :2].astype(np.float64)


def sides(boxes: Boxes) -> Float64:
    """Return (N, 1, 2): w, h."""
    return boxes.xyhw[:, None, :1:-1].astype(np.float64)


def distances(xy: Float64, truth_xy: Float64) -> Float64:
    """Return distances in frame pixels."""
    px: Float64 = np.linalg.norm(xy - truth_xy, axis=2)
    return px


def _percentiles(px: Float64) -> str:
    return " / ".join(f"{value:.2f}" for value in np.percentile(px, [50, 95, 100]))


def write_directory(directory: Path, names: tuple[str, ...]) -> None:
    """Make a model directory with the least configuration that the commands need."""
    directory.mkdir(parents=True)
    data = {"keypoint_names": list(names), "image_resize_dims": {"height": 160, "width": 160}}
    (directory / "config.yaml").write_text(yaml.safe_dump({"data": data, "model": {"model_type": "heatmap"}}))


def write_predictions(path: Path, labels: Labels, xy: Float64) -> None:
    """Write keypoints as predictions of a video, each with a likelihood of 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [pose_header(labels.keypoint_names, "labels")]
    rows += [f"{i}{pose_cells(Keypoints(row, np.ones(len(row), np.float32)))}\n" for i, row in enumerate(xy)]
    path.write_text("".join(rows))


def run(*arguments: object) -> None:
    """Run a cropzoom command without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        code = cropzoom([str(argument) for argument in arguments])
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()

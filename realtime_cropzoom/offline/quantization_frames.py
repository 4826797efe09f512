"""Frames for quantization: the network inputs on which a model is calibrated, and others on which it is judged.

A pose model is calibrated on the crops that it sees in a run: a detector finds the animal, and the box is cut as
``cropzoom run`` cuts it. A detector is calibrated on whole frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime_cropzoom.errors import DataError, advise
from realtime_cropzoom.inference.boxes import BoxRule, whole_image
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.offline.frame_reader import FrameReader, progress
from realtime_cropzoom.offline.images import ImageFolder
from realtime_cropzoom.offline.inputs import Images, Input, LabelFile, Video
from realtime_cropzoom.sessions.dlc_csv import read_labels
from realtime_cropzoom.types import Box, Float32, Float64, Picture

FRAMES = 200
"""Number of frames that are chosen if the user names none: half for calibration, half for the judgement."""
MIN_FRAMES = 8
"""Minimum number of frames on either side."""
_LONGEST = 20_000
"""Number of frames of a video among which frames are chosen. They are decoded in order, which takes time."""
_BLOCKS = 10
"""Number of parts of a recording that go in turn to calibration and judgement: neighbours never go to both."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame as the model sees it."""

    prepared: Float32
    """(3, H, W): the input of the network."""
    view: View
    """Where it lies in the frame."""
    labels: Float64 | None
    """(K, 2) labelled keypoints (frame pixels), NaN where unlabelled; None for a frame of a video."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Frames of both kinds."""

    calibration: list[Sample]
    held_out: list[Sample]


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts a frame to what the model sees of it."""

    model: Model
    detector: Model | None
    """None cuts nothing: the model sees whole frames."""
    rule: BoxRule

    def sample(self, image: Picture, labels: Float64 | None = None) -> Sample | None:
        """Return the model's input for a frame; None if the detector finds no animal."""
        box = whole_image(image) if self.detector is None else self._find(self.detector, image)
        if box is None:
            return None
        prepared = self.model.new_input()
        return Sample(prepared, self.model.prepare(image, box, "pad", prepared), labels)

    def _find(self, detector: Model, image: Picture) -> Box | None:
        found = detector.predict_still(image, whole_image(image))
        if not (detector.presence.is_sharp(found) and detector.presence.is_likely(found)):
            return None
        return self.rule.box(found)


def collect(given: Sequence[Input], cutter: Cutter, count: int) -> Samples:
    """Choose frames of recordings and label files, spread evenly over each, and prepare them.

    Args:
        given: Videos and label files.
        cutter: Prepares a frame.
        count: Number of frames together.

    Raises:
        DataError: if fewer than ``MIN_FRAMES`` are left on one side.
    """
    share = -(-count // len(given))
    calibration: list[Sample] = []
    held_out: list[Sample] = []
    looked_at = 0
    for one in given:
        for block, sample in _samples(one, cutter, share):
            looked_at += 1
            if sample is not None:
                (held_out if block % 2 else calibration).append(sample)
    if min(len(calibration), len(held_out)) < MIN_FRAMES:
        found = len(calibration) + len(held_out)
        why = "" if cutter.detector is None or found == looked_at else ", as the detector finds no animal in the others"
        raise DataError(
            f"{found} of {looked_at} frames can be used{why}; expected {MIN_FRAMES} for calibration and "
            f"{MIN_FRAMES} others. " + advise("Give more recordings with --calibrate", "Give more recordings")
        )
    return Samples(calibration, held_out)


def _samples(given: Input, cutter: Cutter, share: int) -> Iterator[tuple[int, Sample | None]]:
    """Yield (block, sample) of one input. Even blocks are for calibration; None is a frame without an animal."""
    if isinstance(given, Video):
        yield from _of_video(given.path, cutter, share)
    elif isinstance(given, LabelFile):
        yield from _of_labels(given.path, cutter, share)
    else:
        yield from _of_images(given, cutter, share)


def _of_video(path: Path, cutter: Cutter, share: int) -> Iterator[tuple[int, Sample | None]]:
    with FrameReader(str(path)) as reader:
        total = min(reader.info.frame_count or _LONGEST, _LONGEST)
        chosen = spread(total, share)
        wanted = {index: place for place, index in enumerate(chosen)}
        with progress(path.name, chosen[-1] + 1) as bar:
            for frame in reader.frames():
                bar.update(1)
                place = wanted.get(frame.meta.index)
                if place is not None:
                    yield place * _BLOCKS // len(chosen), cutter.sample(frame.image)
                if frame.meta.index >= chosen[-1]:
                    return


def _of_labels(csv: Path, cutter: Cutter, share: int) -> Iterator[tuple[int, Sample | None]]:
    names = cutter.model.keypoint_names
    labels = read_labels(csv)
    if set(names) <= set(labels.keypoint_names):
        labels = read_labels(csv, names)
        known: Float64 | None = labels.xy
    else:
        known = None
    images = ImageFolder.of_labels(csv, labels.images, None)
    chosen = spread(len(images.paths), share)
    with progress(csv.name, len(chosen), unit="images") as bar:
        for place, row in enumerate(chosen):
            bar.update(1)
            yield place, cutter.sample(images.read(images.paths[row]), None if known is None else known[row])


def _of_images(given: Images, cutter: Cutter, share: int) -> Iterator[tuple[int, Sample | None]]:
    images = ImageFolder(tuple(path.name for path in given.paths), given.paths)
    for place, row in enumerate(spread(len(given.paths), share)):
        yield place, cutter.sample(images.read(given.paths[row]))


def spread(total: int, share: int) -> list[int]:
    """Return up to ``share`` different indices below ``total`` at equal distances, in order."""
    return sorted({int(index) for index in np.linspace(0, max(total - 1, 0), min(share, max(total, 1)))})

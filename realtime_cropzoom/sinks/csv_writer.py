"""CSV writer: writes the records of a run to its CSV files, complete up to the last flush after any failure.

The files are ``<name>.csv`` in the format of DeepLabCut and Lightning Pose, ``<name>_bbox.csv``,
``<name>_timing.csv`` and, with a calibration, ``<name>_cm.csv`` with the poses in cm. Each has one row per
captured frame. A run with regions writes them for each region, as ``<name>_<region>.csv`` and so on. Rows go to the
operating system every ``_FLUSH_S`` seconds, so kill -9 loses no more than that.

A full disk does not stop the run: rows that could not be written are kept and tried again, up to
``_PENDING_BYTES`` per file. Rows beyond that are lost, counted, and reported at the end. If a disk does not
answer, the rows wait in the queue until it does.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.calibration.calibration import Calibration
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files.append import NO_ANSWER, RowFile
from realtime_cropzoom.inference.pose_quality import PoseQuality
from realtime_cropzoom.runtime.queues import Sink
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sessions.pose_rows import (
    ANIMALS,
    BBOX_COLUMNS,
    CM,
    IDENTITY_COLUMNS,
    animals_header,
    blank_cells,
    box_cells,
    cm_cells,
    identity_cells,
    pose_cells,
    pose_header,
)
from realtime_cropzoom.sinks.event_watch import AnimalWatch
from realtime_cropzoom.types import FrameMeta, Keypoints, State

logger = logging.getLogger(__name__)

_QUEUE = 1 << 16
"""Maximum number of queued records of one animal. A disk may hang for minutes before one is dropped."""
_FLUSH_S = 0.1
"""Interval (s) at which rows are handed to the operating system."""
TIMING_COLUMNS = (
    "frame,outcome,seq,pts_ns,device_ns,captured_ns,box_frame,detected_ns,cropped_ns,inferred_ns,published_ns,segment,"
    "plausible"
)
"""Columns of ``<name>_timing.csv``."""


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """Options of the CSV files."""

    name: str
    """Stem of the file names."""
    keypoint_names: tuple[str, ...]
    """Keypoints, in the order of the columns."""
    scorer: str
    """Name for the first header row of the poses."""
    lockstep: bool = False
    """Whether a full queue makes the pose stage wait, instead of dropping records."""
    calibration: Calibration | None = None
    """Conversion from pixels to cm for ``<name>_cm.csv``; without one that file is not written."""
    regions: tuple[str, ...] = ()
    """Names of the regions or of the animals, by the number of their subjects; empty for one animal in the whole
    frame."""
    together: bool = False
    """Whether these are animals in one arena, whose poses are also in one file."""

    @property
    def stems(self) -> list[str]:
        """Stem of the files of each subject."""
        return [f"{self.name}_{region}" for region in self.regions] or [self.name]


class CsvSink(Sink):
    """Writes one row per record to each of the files."""

    def __init__(
        self,
        folder: Path,
        control: RunControl,
        options: CsvOptions,
        on_change: Callable[[str, FrameMeta, str | None], object] | None = None,
    ) -> None:
        """Create the files with their headers.

        Args:
            folder: Folder of the run.
            control: Control of the run.
            options: Options of the files.
            on_change: Is told when an animal is ``lost`` and ``found``, with the first frame of that and its region.

        Raises:
            SinkError: if a file cannot be created.
        """
        super().__init__("write", control, limit=_QUEUE * len(options.stems), wait_when_full=options.lockstep)
        names, calibration = options.keypoint_names, options.calibration
        self._missing_reported = False
        self.quality = PoseQuality(names)
        """Plausibility of the poses. It is counted in this thread because no other thread waits for it."""
        self.qualities = {region: PoseQuality(names) for region in options.regions}
        """The same for each region, by its name; empty without regions."""
        self._with_animal: set[str] = set()
        """The regions in which an animal has been found."""
        self._regions, self._on_change = options.regions, on_change
        self._animals = [AnimalWatch() for _ in options.stems]
        self._blank_pose = blank_cells(len(names))
        self._calibration = calibration
        poses = pose_header(names, options.scorer)
        self._together, self._of_frame = options.together, dict[int, Record]()
        boxes = BBOX_COLUMNS + (IDENTITY_COLUMNS if options.together else "")
        files = {"": poses, "_bbox": boxes + "\n", "_timing": TIMING_COLUMNS + "\n"}
        if calibration is not None:
            files[CM] = poses
        self._files: list[RowFile] = []
        self._files_of_one = len(files)
        refused = set[str]() if options.regions else None  # else a full disk is a line for each file of each region
        try:
            for stem in options.stems:
                for suffix, header in files.items():
                    self._files.append(RowFile(folder / f"{stem}{suffix}.csv", header, refused))
            if options.together:
                header = animals_header(names, options.scorer, options.regions)
                self._files.append(RowFile(folder / f"{options.name}{ANIMALS}.csv", header, refused))
        except SinkError:
            for file in self._files:
                file.close()
            raise

    def work(self) -> None:
        """Write records until the last one is in the files."""
        ended = False
        try:
            while not ended:
                self._end_announced.wait(_FLUSH_S)
                records, ended = self._take_all(0)
                for record in records:
                    self._format(record)
                    if self._together:
                        self._add_to_frame(record)
                    time.sleep(0)  # lets the pose stage have the interpreter between two rows
                self._flush()
        finally:
            self.busy_since_ns = now_ns()
            self.close()

    def close(self) -> None:
        """Close the files. A writer that was started does that itself."""
        for file in self._files:
            file.close()

    def _flush(self) -> None:
        self.busy_since_ns = now_ns()
        for file in self._files:
            file.flush()
        self._warn_of_missing_files()
        self.busy_since_ns = 0

    def left_behind(self) -> list[str]:
        """Return messages with the missing rows of each file, for a sink abandoned because its disk does not answer."""
        queued = math.ceil(len(self._queue) / len(self._animals))
        missing = [(file, file.waiting_rows() + queued) for file in self._files]
        return [f"{file.path}: {NO_ANSWER}; its last {rows} rows are not in it" for file, rows in missing if rows]

    def problems(self) -> list[str]:
        """Return messages about files that could not be written and the number of missing rows; empty if none."""
        incomplete = [file for file in self._files if file.problem()]
        refused = [file for file in incomplete if file.is_refused]
        if len(refused) > self._files_of_one and len({file.error for file in refused}) == 1:
            others = [file.problem() for file in incomplete if not file.is_refused]
            problems = [_refused_line(refused), *others]
        else:
            problems = [file.problem() for file in incomplete]
        if self.dropped:
            what = "poses" if self._regions else "frames"
            problems.append(f"{self.dropped} {what} are in no file: the disk was too slow")
        return problems

    def _warn_of_missing_files(self) -> None:
        """Warn once, while the run can still be repeated, if a file was deleted or moved."""
        missing = "" if self._missing_reported else next(filter(None, (file.missing() for file in self._files)), "")
        if missing:
            self._missing_reported = True
            logger.warning("%s", missing)

    def _format(self, record: Record) -> None:
        meta, active_box = record.meta, record.active_box
        first = record.subject * self._files_of_one
        poses, boxes, timing, *cm = self._files[first : first + self._files_of_one]
        region = self._regions[record.subject] if self._regions else None
        if record.outcome is FrameOutcome.PROCESSED:
            self._count(record, region)
        if record.outcome is not FrameOutcome.SKIPPED:
            change = self._animals[record.subject].see(meta, active_box.state)
            if change is not None and self._on_change is not None:
                self._on_change(*change, region)
        pose = self._blank_pose if record.keypoints is None else pose_cells(record.keypoints)
        poses.add(f"{meta.index}{pose}\n")
        for file in cm:
            file.add(f"{meta.index}{self._in_cm(record.keypoints)}\n")
        # A frame that failed keeps its box: a replay must show a context model the same frames.
        shown = None if record.outcome is FrameOutcome.SKIPPED else active_box
        boxes.add(f"{meta.index}{box_cells(shown)}{identity_cells(shown) if self._together else ''}\n")
        box_frame = "" if active_box.frame < 0 else active_box.frame
        timing.add(
            f"{meta.index},{record.outcome},{'' if record.seq < 0 else record.seq},{meta.pts_ns},"
            f"{'' if meta.device_ns is None else meta.device_ns},{meta.captured_ns},{box_frame},"
            f"{active_box.detected_ns or ''},{record.cropped_ns or ''},{record.inferred_ns or ''},"
            f"{record.published_ns or ''},{meta.segment},{_plausible_cell(record)}\n"
        )

    def _add_to_frame(self, record: Record) -> None:
        """Collect the records of a frame; with the last of them, write the row of all animals."""
        self._of_frame[record.subject] = record
        if record.subject < len(self._regions) - 1:
            return
        found = [self._of_frame.get(number) for number in range(len(self._regions))]
        here = [one if one is not None and one.meta.index == record.meta.index else None for one in found]
        poses = [None if one is None else one.keypoints for one in here]
        cells = "".join(self._blank_pose if pose is None else pose_cells(pose) for pose in poses)
        self._files[-1].add(f"{record.meta.index}{cells}\n")
        self._of_frame.clear()

    def _count(self, record: Record, region: str | None) -> None:
        """Count the pose. All regions together do not count those in which no animal has ever been found."""
        state = record.active_box.state
        if region is not None:
            self.qualities[region].add(state, record.keypoints, record.doubt)
            if state is State.TRACKING:
                self._with_animal.add(region)
            elif self._with_animal and region not in self._with_animal:
                return
        self.quality.add(state, record.keypoints, record.doubt)

    def _in_cm(self, keypoints: Keypoints | None) -> str:
        if keypoints is None or self._calibration is None:
            return self._blank_pose
        return cm_cells(self._calibration, keypoints)


def _refused_line(files: Sequence[RowFile]) -> str:
    """Return one line about the files of several regions or animals that the disk refused for one reason."""
    least, most = (pick(file.lost_rows for file in files) for pick in (min, max))
    rows = f"{least}" if least == most else f"{least} to {most}"
    folder, names = files[0].path.parent, [file.path.name for file in files]
    return f"{folder}: {files[0].error}; {rows} rows are lost in each of {len(files)} files, {names[0]} to {names[-1]}"


def _plausible_cell(record: Record) -> str:
    """Return ``yes``, the reason for doubt, or an empty string if the frame has no pose."""
    if record.keypoints is None:
        return ""
    return "yes" if record.doubt is None else record.doubt.value

"""Records → the CSV files of a run, complete up to the last flush whatever happens.

``<name>.csv`` as DeepLabCut and Lightning Pose write it, ``<name>_bbox.csv`` and
``<name>_timing.csv``: one row a captured frame in each, and with a calibration
``<name>_cm.csv``, the poses in cm. Rows are written every
``_FLUSH_S`` seconds, straight to the operating system, so kill -9 costs no more than that.

A full disk stops nothing: what could not be written is kept and tried again, up to
``_PENDING_BYTES`` a file; what is beyond that is lost, counted, and said at the end.
Nor does a disk that does not answer: the rows wait in the queue, and are written when it does.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from threading import Thread

from realtime_cropzoom.calibration.calibration import Calibration
from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.files.append import NO_ANSWER, RowFile
from realtime_cropzoom.inference.pose_quality import PoseQuality
from realtime_cropzoom.runtime.queues import Sink
from realtime_cropzoom.runtime.records import FrameOutcome, Record
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sessions.pose_rows import (
    BBOX_COLUMNS,
    CM,
    blank_cells,
    box_cells,
    cm_cells,
    pose_cells,
    pose_header,
)
from realtime_cropzoom.types import Keypoints

logger = logging.getLogger(__name__)

_QUEUE = 1 << 16
_FLUSH_S = 0.1
TIMING_COLUMNS = (
    "frame,fate,seq,pts_ns,device_ns,captured_ns,box_frame,detected_ns,cropped_ns,inferred_ns,published_ns,segment,"
    "plausible"
)


class CsvSink(Sink):
    """Writes one row a record to each of the files."""

    def __init__(
        self,
        folder: Path,
        name: str,
        keypoint_names: tuple[str, ...],
        scorer: str,
        control: RunControl,
        *,
        lockstep: bool,
        publisher: Thread | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        """Create the files with their headers; with a calibration also ``<name>_cm.csv``. Raises SinkError.

        ``publisher`` leaves in a record when it was published; the last ones are its as long as it runs.
        """
        super().__init__("write", control, limit=_QUEUE, wait_when_full=lockstep)
        self._missing_said = False
        self.quality = PoseQuality(keypoint_names)
        """How much the poses look like an animal: counted here, as nobody waits for this thread."""
        self._publisher = publisher
        self._blank_pose = blank_cells(len(keypoint_names))
        self._calibration = calibration
        poses = pose_header(keypoint_names, scorer)
        files = {"": poses, "_bbox": BBOX_COLUMNS + "\n", "_timing": TIMING_COLUMNS + "\n"}
        if calibration is not None:
            files[CM] = poses
        self._files: list[RowFile] = []
        try:
            for suffix, header in files.items():
                self._files.append(RowFile(folder / f"{name}{suffix}.csv", header))
        except SinkError:
            for file in self._files:
                file.close()
            raise

    def work(self) -> None:
        """Write until the last record is in the files."""
        waiting: list[Record] = []
        ended = False
        try:
            while waiting or not ended:
                # Records wait one round on purpose: by then the publishing thread has left its time in them.
                if self._end_told.wait(_FLUSH_S) and self._publisher is not None:
                    self._publisher.join(_FLUSH_S)
                for record in waiting:
                    self._format(record)
                    time.sleep(0)  # lets the pose stage have the interpreter between two rows
                self.busy_since_ns = now_ns()
                for file in self._files:
                    file.flush()
                self._say_what_is_missing()
                self.busy_since_ns = 0
                waiting, ended = self._take_all(0)
        finally:
            self.busy_since_ns = now_ns()
            for file in self._files:
                file.close()

    def left_behind(self) -> list[str]:
        """Say what is not in the files of a sink that a disk holds up, which nobody waits for any more."""
        queued = len(self._queue)
        missing = [(file, file.waiting_rows() + queued) for file in self._files]
        return [f"{file.path}: {NO_ANSWER}; its last {rows} rows are not in it" for file, rows in missing if rows]

    def problems(self) -> list[str]:
        """Say which files could not be written, and how many rows are not in them."""
        problems = [problem for file in self._files if (problem := file.problem())]
        if self.dropped:
            problems.append(f"{self.dropped} frames are in no file: the disk was too slow")
        return problems

    def _say_what_is_missing(self) -> None:
        """Warn once, while the run can still be begun again, that somebody takes its files away."""
        missing = "" if self._missing_said else next(filter(None, (file.missing() for file in self._files)), "")
        if missing:
            self._missing_said = True
            logger.warning("%s", missing)

    def _format(self, record: Record) -> None:
        stamp, in_force = record.stamp, record.in_force
        poses, boxes, timing, *cm = self._files
        if record.fate is FrameOutcome.PROCESSED:
            self.quality.add(in_force.state, record.keypoints, record.doubt)
        pose = self._blank_pose if record.keypoints is None else pose_cells(record.keypoints)
        poses.add(f"{stamp.index}{pose}\n")
        for file in cm:
            file.add(f"{stamp.index}{self._in_cm(record.keypoints)}\n")
        # A frame that failed keeps its box: a replay must show a context model the same frames.
        boxes.add(f"{stamp.index}{box_cells(None if record.fate is FrameOutcome.SKIPPED else in_force)}\n")
        box_frame = "" if in_force.frame < 0 else in_force.frame
        timing.add(
            f"{stamp.index},{record.fate},{'' if record.seq < 0 else record.seq},{stamp.pts_ns},"
            f"{'' if stamp.device_ns is None else stamp.device_ns},{stamp.captured_ns},{box_frame},"
            f"{in_force.detected_ns or ''},{record.cropped_ns or ''},{record.inferred_ns or ''},"
            f"{record.published_ns or ''},{stamp.segment},{_plausible_cell(record)}\n"
        )

    def _in_cm(self, keypoints: Keypoints | None) -> str:
        if keypoints is None or self._calibration is None:
            return self._blank_pose
        return cm_cells(self._calibration, keypoints)


def _plausible_cell(record: Record) -> str:
    """``yes``, what speaks against the pose, or nothing where there is none."""
    if record.keypoints is None:
        return ""
    return "yes" if record.doubt is None else record.doubt.value

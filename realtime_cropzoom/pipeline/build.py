"""Builder: makes the stages of a run from its plan, and closes all of them if one cannot be made."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from realtime_cropzoom.calibration.calibration import calibration_yaml
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.messaging.keys import read_server_keys
from realtime_cropzoom.messaging.security import Security
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.detect import DetectStage, Target
from realtime_cropzoom.pipeline.disk_use import DiskUse
from realtime_cropzoom.pipeline.live_settings import LiveSettings
from realtime_cropzoom.pipeline.lost_animal import LostAnimal
from realtime_cropzoom.pipeline.pose import PoseStage, RecordSink
from realtime_cropzoom.pipeline.recordings import Recordings
from realtime_cropzoom.pipeline.run_folder import RunFolder
from realtime_cropzoom.pipeline.stages import SINK_JOIN_TIMEOUT_S, StageSet, end_sink
from realtime_cropzoom.pipeline.startup import RunPlan
from realtime_cropzoom.pipeline.startup_messages import listener_notes
from realtime_cropzoom.pipeline.status import RunDescription, StartingReporter
from realtime_cropzoom.pipeline.subject import Subject
from realtime_cropzoom.pipeline.watchdog import Watchdog
from realtime_cropzoom.runtime.queues import SCRIPT_LIMIT, QueueSink
from realtime_cropzoom.runtime.ring import NewestReader, OrderedReader, Ring
from realtime_cropzoom.runtime.worker import RunControl
from realtime_cropzoom.sessions.folder import CALIBRATION
from realtime_cropzoom.sinks.csv_writer import CsvSink
from realtime_cropzoom.sinks.event_log import EventLog
from realtime_cropzoom.sinks.recorder import CropRecorder, Recorder, RecorderMaker
from realtime_cropzoom.sinks.zmq_publisher import ZmqPublisher
from realtime_cropzoom.types import FrameMeta

logger = logging.getLogger(__name__)


class StageBuilder:
    """Builds the stages of one run.

    The order is that of what can be refused: the publisher binds its endpoints before there is a folder, and the
    files are open before the first frame.
    """

    def __init__(self, description: RunDescription, control: RunControl, folder: RunFolder) -> None:
        self._plan: RunPlan = description.plan
        self._description = description
        self._control = control
        self._folder = folder
        self.notes: list[str] = []
        """Messages for the user about the publisher, one line each."""

    def build(self, capture: CaptureStage, *, tracked: bool) -> StageSet:
        """Build all stages. The publisher and the recorders run already; ``StageSet.start`` starts the others.

        Args:
            capture: The capture stage, whose source is open.
            tracked: Whether a script receives the messages, too.

        Raises:
            SinkError: if an endpoint cannot be bound, or a file or folder cannot be made.
            ConfigError: if the keys or the endpoints are refused.
        """
        plan, control = self._plan, self._control
        ring = Ring(
            plan.slots(recording=plan.settings.recording), plan.info.height, plan.info.width, kept=plan.info.kept
        )
        with ExitStack() as undo:
            publish = self._start_publisher()
            if publish is not None:
                undo.callback(end_sink, publish)
            folder = self._make_folder()
            recordings = self._start_recorders(ring, folder, undo)
            events = self._folder.in_time(lambda: self._open_events(folder, ring, capture))
            undo.callback(events.close)
            write = self._folder.in_time(lambda: self._open_files(folder, events))
            undo.callback(write.close)
            subjects = plan.subjects()
            limit = SCRIPT_LIMIT * len(subjects)
            script = QueueSink(control, lockstep=plan.lockstep, limit=limit) if tracked else None
            sinks = [sink for sink in (write, script, *recordings.all) if sink is not None]
            pose = self._pose_stage(ring, subjects, publish, sinks, recordings.all)
            recordings.attach(pose, capture.reader, events)
            if publish is not None and publish.preview is not None:
                publish.preview.show(NewestReader(ring), None if plan.lockstep else pose.pauses)
            detect = self._detect_stage(ring, pose)
            watchdog = self._watchdog(capture, detect, pose, write, ring)
            disk = None if publish is None else DiskUse(folder)
            settings = LiveSettings(plan, pose, detect)
            stages = StageSet(
                *(capture, ring, detect, pose, publish, write, recordings, events, settings, script, watchdog, disk)
            )
            undo.pop_all()
        return stages

    def _start_publisher(self) -> ZmqPublisher | None:
        s, options = self._plan.settings, self._plan.publish_options()
        if options is None:
            return None
        security = Security(None if s.key_folder is None else read_server_keys(s.key_folder), s.insecure)
        reporter = StartingReporter(self._description, self._control)
        publisher = ZmqPublisher(reporter, self._control, options, security=security)
        publisher.start()
        try:
            publisher.wait_bound()
        except SinkError as error:
            publisher.join(SINK_JOIN_TIMEOUT_S)
            if not s.publish_optional:
                raise
            logger.warning("%s; continuing with files alone", error)
            return None
        self.notes += listener_notes(s, security.keys)
        echo = "" if publisher.echo is None else f"; clock echo at {publisher.echo}"
        previews = "" if publisher.preview is None else f"; previews at {publisher.preview.endpoint}"
        self.notes.append(f"publishing at {' and, newest pose only, at '.join(publisher.bound_to)}{echo}{previews}")
        return publisher

    def _make_folder(self) -> Path:
        folder, calibration = self._folder.make(self._plan.info.name), self._plan.calibration
        if calibration is not None:
            text = calibration_yaml(calibration)
            self._folder.in_time(lambda: self._folder.save(CALIBRATION, text))
        return folder

    def _start_recorders(self, ring: Ring, folder: Path, undo: ExitStack) -> Recordings:
        plan = self._plan
        maker = RecorderMaker(plan.settings, plan.info, ring, folder, self._control, plan.slots(recording=True))
        recorders = maker.at_start(plan.crop_size)
        for recorder in recorders:
            recorder.start()
            undo.callback(end_sink, recorder)
        for recorder in recorders:
            recorder.recording.wait_open(self._control.stop.is_set)
        return Recordings(maker, recorders)

    def _open_events(self, folder: Path, ring: Ring, capture: CaptureStage) -> EventLog:
        path = folder / f"{self._plan.info.name}_events.csv"
        return EventLog(path, self._description.identity, ring, capture.stream, self._control)

    def _open_files(self, folder: Path, events: EventLog) -> CsvSink:
        def on_change(kind: str, meta: FrameMeta, region: str | None) -> None:
            where = "" if region is None else f"in {region}" if self._plan.regions else region
            events.add(kind, where, by="pose", meta=meta)

        sink = CsvSink(folder, self._control, self._plan.csv_options(), on_change)
        self._folder.save("config.yaml", self._plan.settings.to_yaml())
        return sink

    def _pose_stage(
        self,
        ring: Ring,
        subjects: Sequence[Subject],
        publisher: ZmqPublisher | None,
        sinks: Sequence[RecordSink],
        recorders: tuple[Recorder, ...],
    ) -> PoseStage:
        plan = self._plan
        on_box = next((recorder.show for recorder in recorders if isinstance(recorder, CropRecorder)), None)
        reader = OrderedReader(ring, plan.max_lag)
        pose, options = plan.models.pose, plan.pose_options()
        return PoseStage(pose, reader, subjects, sinks, self._control, options, publisher=publisher, on_box=on_box)

    def _detect_stage(self, ring: Ring, pose: PoseStage) -> DetectStage | None:
        plan = self._plan
        if plan.models.detector is None or plan.box_rule is None:
            return None
        reader = OrderedReader(ring, None) if plan.lockstep else NewestReader(ring)
        pauses = None if plan.lockstep else pose.pauses
        options, targets = plan.detect_options(plan.box_rule), [Target(s.slot, s.region) for s in pose.subjects]
        return DetectStage(
            plan.models.detector, reader, targets, self._control, options, pauses, assign=plan.in_one_look()
        )

    def _watchdog(
        self, capture: CaptureStage, detect: DetectStage | None, pose: PoseStage, write: CsvSink, ring: Ring
    ) -> Watchdog | None:
        if self._plan.lockstep:  # there a stage may have to wait for a disk
            return None
        watched = [stage for stage in (detect, pose) if stage is not None]
        limit_s = self._plan.settings.hang_after_s
        words = self._plan.lost_words()
        lost = LostAnimal(words, ring, pose.seen, lambda: pose.counts.captured)
        return Watchdog(watched, limit_s, capture.stream, self._control, write, pose.progress, lost)

"""Stages of a run: all its threads and the ring between them, started and ended together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.pipeline.capture import CaptureStage
from realtime_cropzoom.pipeline.detect import DetectStage
from realtime_cropzoom.pipeline.disk_use import DiskUse
from realtime_cropzoom.pipeline.live_settings import LiveSettings
from realtime_cropzoom.pipeline.pose import PoseStage
from realtime_cropzoom.pipeline.recordings import Recordings
from realtime_cropzoom.pipeline.watchdog import Watchdog
from realtime_cropzoom.runtime.queues import QueueSink, Sink
from realtime_cropzoom.runtime.ring import Ring
from realtime_cropzoom.runtime.worker import Stage
from realtime_cropzoom.sinks.csv_writer import CsvSink
from realtime_cropzoom.sinks.event_log import EventLog
from realtime_cropzoom.sinks.packet_recorder import PacketRecorder
from realtime_cropzoom.sinks.recorder import Recorder
from realtime_cropzoom.sinks.zmq_publisher import ZmqPublisher

STAGE_JOIN_TIMEOUT_S = 1.0
"""Timeout (s) for joining the stages at the end."""
SINK_JOIN_TIMEOUT_S = 0.7
"""Timeout (s) for joining the sinks after that, in addition to what the stages have left of theirs. Both together leave
room in the 2 s within which a run ends.
"""

_EVENTS_JOIN_TIMEOUT_S = 0.1
"""Timeout (s) for the last events."""


@dataclass(frozen=True, slots=True)
class StageSet:
    """The threads of a run, and the ring between them."""

    capture: CaptureStage
    ring: Ring
    detect: DetectStage | None
    """None if the run replays a schedule."""
    pose: PoseStage
    publish: ZmqPublisher | None
    """None if nothing is published."""
    write: CsvSink
    recordings: Recordings
    events: EventLog
    settings: LiveSettings
    """What orders may set while the run goes."""
    script: QueueSink | None = None
    """The queue of messages for the user's script; None without one. It has no thread."""
    watchdog: Watchdog | None = None
    """None in lockstep (``pace: fast``), where a stage may have to wait for a disk."""
    disk: DiskUse | None = None
    """Measures the disk for the status messages; None if nothing is published. It processes no frames."""

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """All recorders, those that have ended included."""
        return self.recordings.all

    @property
    def with_models(self) -> list[DetectStage | PoseStage]:
        """The stages that run a model."""
        return [self.pose] if self.detect is None else [self.detect, self.pose]

    @property
    def sinks(self) -> list[Sink | Recorder | ZmqPublisher]:
        """The sinks with a thread."""
        return [sink for sink in (self.publish, self.write, *self.recorders) if sink is not None]

    @property
    def threads(self) -> list[Stage]:
        """All threads that process frames or records."""
        return [self.capture, *self.with_models, *self.sinks]

    def frames_to_record(self) -> int | None:
        """Return the number of frames that the recorders still have to write, if nothing else is left to do.

        Returns:
            None while frames are captured or tracked, and once the recorders have ended.
        """
        if any(stage.is_alive() for stage in (self.capture, *self.with_models)):
            return None
        left = [r.recording.waiting(self.ring.newest + 1) for r in self.recorders if r.is_alive()]
        return max(left, default=None)

    def start(self) -> None:
        """Start the threads that do not run yet, then let the frames flow. Publisher and recorders run already."""
        self.events.start()
        self.write.start()
        self.pose.start()
        if self.detect is not None:
            self.detect.start()
        if self.watchdog is not None:
            self.watchdog.start()
        if self.disk is not None:
            self.disk.start()
        packets = next((recorder for recorder in self.recorders if isinstance(recorder, PacketRecorder)), None)
        self.capture.begin(self.ring, None if packets is None else packets.offer)

    def wait(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` (s) for all threads to end by themselves; return whether they have."""
        return _join(self.threads, timeout_s)

    def end(self) -> list[str]:
        """Join all threads, the stages first, and end the sinks even if the pose stage hangs.

        Returns:
            The names of the threads that did not end in time.
        """
        sinks_until_s = now_s() + STAGE_JOIN_TIMEOUT_S + SINK_JOIN_TIMEOUT_S
        _join([self.capture, *self.with_models], STAGE_JOIN_TIMEOUT_S)
        if self.watchdog is not None:
            self.watchdog.join(STAGE_JOIN_TIMEOUT_S)
        if self.disk is not None:
            self.disk.stop()
        if self.pose.is_alive():
            self.pose.abandon()
        for sink in self.sinks:
            sink.end()
        if self.script is not None:
            self.script.end()
        _join(self.sinks, max(SINK_JOIN_TIMEOUT_S, sinks_until_s - now_s()))
        self.recordings.log_end()
        self.events.end()  # last: the sinks add events
        self.events.join(_EVENTS_JOIN_TIMEOUT_S)
        return [thread.stage for thread in self.threads if thread.is_alive()]

    def take_back(self) -> None:
        """End the threads of a run whose start failed; some may not have been started. The stop is set already."""
        for sink in self.sinks:
            sink.end()
        if self.disk is not None:
            self.disk.stop()
        for thread in self.threads:
            if thread.is_alive():
                thread.join(STAGE_JOIN_TIMEOUT_S)
        if not self.write.is_alive():
            self.write.close()
        self.events.end()
        if self.events.is_alive():
            self.events.join(STAGE_JOIN_TIMEOUT_S)
        else:
            self.events.close()


def end_sink(sink: Sink | Recorder | ZmqPublisher) -> None:
    """End a sink that was started before the start of the run failed."""
    sink.end()
    sink.join(SINK_JOIN_TIMEOUT_S)


def _join(threads: Sequence[Stage], timeout_s: float) -> bool:
    """Join threads within ``timeout_s`` (s) in all; return whether they have ended."""
    deadline = now_s() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - now_s()))
    return not any(thread.is_alive() for thread in threads)

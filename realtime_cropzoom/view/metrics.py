"""Metrics for Prometheus: what the page shows in numbers, in base units (seconds, bytes)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.view.camera_view import EDGES_MS, CameraView
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.protocol import Status, Trigger

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STATES = ("searching", "tracking", "coasting", "lost")
_FRAMES = {"lost", "stale", "skipped", "failed"}
"""Causes of losses in which a frame has no pose."""
_GAUGES: dict[str, tuple[str, Callable[[Status], float | None]]] = {
    "cropzoom_stream_up": ("1 while frames arrive and the run can be heard, else 0.", lambda s: s.stream == "live"),
    "cropzoom_fps": ("Frames captured in the last second.", lambda s: s.fps),
    "cropzoom_detector_fps": ("Detections in the last second.", lambda s: s.detector_fps),
    "cropzoom_backlog_frames": ("Captured frames without an outcome yet.", lambda s: s.backlog),
    "cropzoom_recording": ("1 while frames are recorded, else 0.", lambda s: s.recording is not None),
    "cropzoom_publishing": ("0 while publishing is paused, else 1.", lambda s: s.publishing),
    "cropzoom_last_message_age_seconds": ("Time since the last message of the run.", lambda s: s.age_s),
    "cropzoom_disk_free_bytes": ("Free space where the session is written.", lambda s: s.disk_free_bytes),
    "cropzoom_disk_full_in_seconds": (
        "Time until that disk is full at the present rate.",
        lambda s: None if s.disk_hours is None else s.disk_hours * 3600,
    ),
}


def metrics_text(hub: Hub) -> bytes:
    """Return all metrics in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_HubCollector(hub))
    return generate_latest(registry)


class _HubCollector(Collector):
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        with self._hub.lock:
            cameras, triggers = [*self._hub.cameras.values()], [*self._hub.triggers.values()]
            at_ns = now_ns()
            statuses = [status for camera in cameras if (status := camera.status_message(at_ns)) is not None]
            found = [
                _latencies(cameras),
                *_of_frames(statuses),
                *_of_cameras(statuses),
                *_of_animals(cameras),
                *_of_triggers(triggers),
            ]
            pages = len(self._hub.pages)
        yield from found
        yield GaugeMetricFamily("cropzoom_pages", "Number of open pages.", pages)


def _latencies(cameras: list[CameraView]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "cropzoom_pose_latency_seconds", "Time from capture to reception in this server.", labels=["camera"]
    )
    ends = [*(str(edge / 1000) for edge in EDGES_MS[1:]), "+Inf"]
    for camera in cameras:
        counts = camera.latencies.counts
        family.add_metric(
            [camera.camera], [*zip(ends, accumulate(counts), strict=True)], camera.latencies.sum_ms / 1000
        )
    return family


def _of_frames(statuses: list[Status]) -> Iterator[Metric]:
    frames = CounterMetricFamily(
        "cropzoom_frames",
        "Frames by outcome; lost and stale ones have no index.",
        labels=["camera", "outcome"],
    )
    messages = CounterMetricFamily(
        "cropzoom_messages_missing", "Messages that were not sent, or did not arrive here.", labels=["camera", "cause"]
    )
    unrecorded = CounterMetricFamily("cropzoom_frames_unrecorded", "Frames that a recording lacks.", labels=["camera"])
    for status in statuses:
        camera, losses = status.camera, status.losses
        frames.add_metric([camera, "processed"], status.counts["processed"])
        for outcome in sorted(_FRAMES):
            frames.add_metric([camera, outcome], losses[outcome])
        for cause in ("unsent", "missed"):
            messages.add_metric([camera, cause], losses[cause])
        unrecorded.add_metric([camera], losses["unrecorded"])
    yield from (frames, messages, unrecorded)


def _of_cameras(statuses: list[Status]) -> Iterator[Metric]:
    for name, (text, read) in _GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=["camera"])
        for status in statuses:
            if (value := read(status)) is not None:
                gauge.add_metric([status.camera], float(value))
        yield gauge
    states = GaugeMetricFamily("cropzoom_state", "1 for the state of the newest pose.", labels=["camera", "state"])
    for status in statuses:
        for state in _STATES:
            states.add_metric([status.camera, state], float(status.state == state))
    yield states


def _of_animals(cameras: list[CameraView]) -> Iterator[Metric]:
    """Yield what is known of each of several animals."""
    states = GaugeMetricFamily(
        "cropzoom_animal_state", "1 for the state of each of several animals.", labels=["camera", "animal", "state"]
    )
    uncertain = GaugeMetricFamily(
        "cropzoom_animal_uncertain", "1 while an animal may be another one.", labels=["camera", "animal"]
    )
    for camera in cameras:
        for subject, view in zip(camera.subjects, camera.views, strict=False):
            for state in _STATES:
                states.add_metric([camera.camera, subject.name, state], float(view.state == state))
            if not subject.outline:
                uncertain.add_metric([camera.camera, subject.name], float(view.uncertain))
    yield from (states, uncertain)


def _of_triggers(triggers: list[Trigger]) -> Iterator[Metric]:
    up = GaugeMetricFamily("cropzoom_trigger_up", "1 while the trigger process answers.", labels=["trigger"])
    armed = GaugeMetricFamily("cropzoom_trigger_armed", "1 while the rule is armed.", labels=["trigger", "rule"])
    fired = CounterMetricFamily("cropzoom_trigger_fired", "How often rules have fired.", labels=["trigger"])
    for trigger in triggers:
        is_up = trigger.link == "connected"
        up.add_metric([trigger.name], float(is_up))
        for rule in trigger.rules:
            name = str(rule.get("name"))
            armed.add_metric([trigger.name, name], float(is_up and name in trigger.armed))
        fired.add_metric([trigger.name], trigger.fired)
    yield from (up, armed, fired)

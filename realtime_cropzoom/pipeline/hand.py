"""Hand: what orders do in a run. ``orders`` checks what they say; each that is obeyed is an event.

The pose stage is told of an order by one assignment, and never waits for one.
"""

from __future__ import annotations

from typing import Any

from realtime_cropzoom.control.protocol import OrderError
from realtime_cropzoom.files.paths import as_text
from realtime_cropzoom.pipeline.live_settings import SettingChange
from realtime_cropzoom.pipeline.orders import Settable
from realtime_cropzoom.pipeline.stages import StageSet
from realtime_cropzoom.types import FrameMeta


class Hand:
    """The actions of one run whose stages exist: ``orders.RunActions``. The thread that takes orders calls it."""

    def __init__(self, stages: StageSet, *, lockstep: bool) -> None:
        """Take the stages.

        Args:
            stages: The stages of the run.
            lockstep: Whether each stage waits for the one before it.
        """
        self._stages, self._events, self._lockstep = stages, stages.events, lockstep

    def record(self, name: str | None, by: str) -> None:
        """Start a recording of the frames; return once its files are open. Raises SinkError and StateError."""
        recording = self._stages.recordings.start(name).recording
        self._events.add("recording_started", f"{recording.video.name} from frame {recording.first}", by)

    def stop_recording(self, by: str) -> None:
        """End the recording of the frames; return once its files are closed. Raises SinkError and StateError."""
        recording = self._stages.recordings.stop().recording
        if not recording.failed:  # the recorder told that when it happened
            self._events.add("recording_stopped", recording.as_text(), by)

    def marker(self, text: str, by: str) -> None:
        """Put a marker with a text into the events file, and publish it."""
        self._events.add("marker", text, by)

    def pause(self, by: str) -> None:
        """Publish no poses until ``resume``. Raises OrderError if none are published."""
        if self._stages.publish is None:
            raise OrderError("pause: this run publishes nothing; start it with an endpoint to publish at")
        if self._stages.pose.publishing:
            self._stages.pose.publishing = False
            self._events.add("publishing_paused", "", by)

    def resume(self, by: str) -> None:
        """Publish poses again."""
        if not self._stages.pose.publishing:
            self._stages.pose.publishing = True
            self._events.add("publishing_resumed", "", by)

    def detect(self, by: str) -> None:
        """Let the detector look at the next frame. Raises OrderError if the run has no detector, or is in lockstep."""
        detect = self._stages.detect
        if detect is None:
            raise OrderError("detect: this run has no detector; expected one that finds its boxes itself")
        if self._lockstep:
            raise OrderError("detect: with pace fast each run over a recording is the same; expected pace realtime")
        detect.detect_now(self._stages.ring.newest)
        self._events.add("detect_now", "", by)

    def set(self, setting: str, value: float | list[float], by: str) -> None:
        """Change a setting of ``settable`` from the next frame on. Raises OrderError if it cannot be set."""
        if isinstance(value, list):
            raise OrderError(f"set: got {value} for {setting}, expected one number")
        self._stages.settings.set(setting, value, by, self._log_change)

    def _log_change(self, change: SettingChange, meta: FrameMeta) -> None:
        text = f"{change.setting}: {change.before:g} → {change.after:g}"
        self._events.add("setting_changed", text, change.by, meta)

    def stop_asked(self, by: str) -> None:
        """Note who ends the run, which the caller does."""
        self._events.add("stop_asked", "", by)

    def recording(self) -> dict[str, Any] | None:
        """Return what is recorded now: ``file``, ``frames``, ``first_frame``; None if nothing is."""
        now = self._stages.recordings.now
        if now is None:
            return None
        return {"file": as_text(now.video.name), "frames": now.recorded, "first_frame": now.first}

    def publishing(self) -> bool:
        """Return whether poses are published: false while paused, or if the run publishes nothing."""
        return self._stages.publish is not None and self._stages.pose.publishing

    def settable(self) -> dict[str, Settable]:
        """Return what ``set`` may change."""
        return self._stages.settings.settable()

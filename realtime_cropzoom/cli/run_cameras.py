"""``cropzoom run`` with several cameras: shows the progress of each, and a report of each at the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_draw
from realtime_cropzoom.cli.run import check_view, show_view
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.config.multi_camera import Cameras
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import EXIT_INCOMPLETE, ConfigError
from realtime_cropzoom.messaging.endpoints import as_reached_here
from realtime_cropzoom.multicamera.supervisor import CameraGroup, CameraRun
from realtime_cropzoom.pipeline.report import expected_frame_count, nothing_found_line, progress_line, report
from realtime_cropzoom.runtime.signals import stop_on_signals
from realtime_cropzoom.sessions.latest import note_session
from realtime_cropzoom.types import StreamState

_POLL_S = 0.1
_STOPPING = (
    "stopping: the cameras finish their recordings and files (3 s at most); a second Ctrl-C ends them at once, and "
    "the end of a recording may be lost …"
)
"""Line at the first signal."""
_STARTING = "starting"


def run_cameras(cameras: Cameras, *, quiet: bool, view: bool = False) -> int:
    """Run all cameras to their end and return the exit code.

    Args:
        cameras: The cameras.
        quiet: Whether to print problems only.
        view: Whether to show all of them in one page.
    """
    endpoints = _endpoints(cameras) if view else []
    if view:
        check_view(*cameras.settings.values())
    group = CameraGroup(cameras)
    received = stop_on_signals(lambda why: group.stop(why, 128 + received[-1]))
    progress = CameraProgress(cameras.settings)
    is_told = quiet
    page = ExitStack()
    try:
        group.start()
        if view:
            page.enter_context(show_view(endpoints))
        if group.folder is not None:
            note_session(group.folder)
        while group.running:
            if received and not is_told:
                is_told = True
                terminal.say(_STOPPING)
            group.supervise()
            _say(_news(group, quiet=quiet))
            if not quiet:
                progress.show([run for run in group.runs if run.process.poll() is None])
            time.sleep(_POLL_S)
    finally:
        summary = group.close()
        page.close()
        terminal.show([])
        _say(_news(group, quiet=quiet))
    if quiet:
        _say(_nothing_found(summary))
    else:
        print(_report(summary))
        for name, camera in summary["cameras"].items():
            if camera["folder"] is not None:
                say_draw(Path(summary["folder"]) / name, str(cameras.settings[name].source))
                break
    return int(summary["exit"])


def _endpoints(cameras: Cameras) -> list[str]:
    """Return where the cameras publish. Raises ConfigError if the system chooses a port, which is not known here."""
    for name, settings in cameras.settings.items():
        if settings.publish.endswith("*"):
            raise ConfigError(f"--view: camera {name} publishes at {settings.publish}. Give its publish a port")
    return [as_reached_here(settings.publish) for settings in cameras.settings.values()]


class CameraProgress:
    """Shows how the cameras are: on a terminal a line each, renewed once a second; elsewhere a line at each change."""

    def __init__(self, settings: Mapping[str, Settings]) -> None:
        """Create the display; ``settings`` has the settings of each camera."""
        self._settings = settings
        self._width = max(map(len, settings))
        self._shown_at_s = now_s()
        self._said: dict[str, str] = {}
        """{camera: state that was said last}"""

    def show(self, runs: Sequence[CameraRun]) -> None:
        """Show the cameras that run."""
        if not terminal.is_live():
            self._say_changes(runs)
        elif now_s() - self._shown_at_s >= 1.0:
            self._shown_at_s = now_s()
            terminal.show([self._line(run) for run in runs])

    def _say_changes(self, runs: Sequence[CameraRun]) -> None:
        for run in runs:
            state = _state(run)
            if state != self._said.get(run.name):
                self._said[run.name] = state
                terminal.say(self._line(run))

    def _line(self, run: CameraRun) -> str:
        columns = terminal.columns() - self._width - 2
        doing = _STARTING if run.status is None else _progress_of(run, self._settings[run.name], columns)
        return f"{run.name:<{self._width}}  {doing}"


def _state(run: CameraRun) -> str:
    """Return the stream state if it is not live, else the state of the pose; ``starting`` before the first one."""
    if run.status is None:
        return _STARTING
    return run.status.state if run.status.stream == StreamState.LIVE else run.status.stream


def _progress_of(run: CameraRun, settings: Settings, columns: int) -> str:
    assert run.status is not None
    total = expected_frame_count(run.frame_count, settings.frames)
    return progress_line(
        run.status,
        total,
        columns,
        lockstep=settings.pace == "fast",
        scheduled=settings.schedule is not None,
    )


def _news(group: CameraGroup, *, quiet: bool) -> list[str]:
    """Return the new lines of the cameras and of the group."""
    lines: list[str] = []
    speakers: list[CameraRun | CameraGroup] = [*group.runs, group]
    for speaker in speakers:
        notes, said = _taken(speaker.notes), _taken(speaker.problems)
        lines += said if quiet else notes + said
    return lines


def _taken(lines: deque[str]) -> list[str]:
    """Remove and return all lines. Another thread may add lines meanwhile."""
    return [lines.popleft() for _ in range(len(lines))]


def _nothing_found(summary: dict[str, Any]) -> list[str]:
    """Return a line for each camera that found no animal, if its exit code is not 0 for that reason."""
    incomplete = {name: camera for name, camera in summary["cameras"].items() if camera["exit"] == EXIT_INCOMPLETE}
    found = {name: nothing_found_line(camera["summary"]) for name, camera in incomplete.items() if camera["summary"]}
    return [f"cropzoom: {name}: {line}" for name, line in found.items() if line is not None]


def _say(lines: list[str]) -> None:
    for line in lines:
        terminal.say(line)


def _report(summary: dict[str, Any]) -> str:
    parts = []
    for name, camera in summary["cameras"].items():
        text = report(camera["summary"]) if camera["summary"] else "there is no summary"
        parts.append(f"{name}: {camera['reason']}\n{text}\n")
    return "\n".join([*parts, f"files of all cameras in {summary['folder']}"])

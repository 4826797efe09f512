"""``cropzoom run`` with several cameras: a line each a second, and a report of each at the end."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_draw
from realtime_cropzoom.config.multi_camera import Cameras
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import EXIT_INCOMPLETE
from realtime_cropzoom.multicamera.supervisor import CameraGroup, CameraRun
from realtime_cropzoom.pipeline.report import frames_to_come, nothing_found_line, progress_line, report
from realtime_cropzoom.runtime.signals import stop_on_signals

_LOOK_EVERY_S = 0.1


def run_cameras(cameras: Cameras, *, quiet: bool) -> int:
    """Run all cameras to their end and return the exit code."""
    group = CameraGroup(cameras)
    received = stop_on_signals(lambda why: group.stop(why, 128 + received[-1]))
    try:
        group.start()
        shown_at = time.monotonic()
        while group.running:
            group.supervise()
            _say(_news(group, quiet=quiet))
            if not quiet and time.monotonic() - shown_at >= 1.0:
                shown_at = time.monotonic()
                terminal.show([_line(run, cameras) for run in group.runs if run.process.poll() is None])
            time.sleep(_LOOK_EVERY_S)
    finally:
        summary = group.close()
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


def _news(group: CameraGroup, *, quiet: bool) -> list[str]:
    """Return what the cameras and the group have said since the last call."""
    lines: list[str] = []
    speakers: list[CameraRun | CameraGroup] = [*group.runs, group]
    for speaker in speakers:
        notes, said = _taken(speaker.notes), _taken(speaker.said)
        lines += said if quiet else notes + said
    return lines


def _taken(lines: deque[str]) -> list[str]:
    """Empty what a thread may be adding to."""
    return [lines.popleft() for _ in range(len(lines))]


def _line(run: CameraRun, cameras: Cameras) -> str:
    width = max(map(len, cameras.settings))
    room = terminal.columns() - width - 2
    doing = "starting" if run.status is None else _progress(run, cameras.settings[run.name], room)
    return f"{run.name:<{width}}  {doing}"


def _progress(run: CameraRun, settings: Settings, room: int) -> str:
    assert run.status is not None
    total = frames_to_come(run.frame_count, settings.frames)
    return progress_line(run.status, total, room, lockstep=settings.pace == "fast")


def _nothing_found(summary: dict[str, Any]) -> list[str]:
    """Return a line for each camera that found nothing, where that is why its exit code is not 0."""
    incomplete = {name: camera for name, camera in summary["cameras"].items() if camera["exit"] == EXIT_INCOMPLETE}
    found = {name: nothing_found_line(camera["summary"]) for name, camera in incomplete.items() if camera["summary"]}
    return [f"cropzoom: {name}: {line}" for name, line in found.items() if line is not None]


def _say(lines: list[str]) -> None:
    for line in lines:
        terminal.say(line)


def _report(summary: dict[str, Any]) -> str:
    parts = []
    for name, camera in summary["cameras"].items():
        text = report(camera["summary"]) if camera["summary"] else "it left no summary"
        parts.append(f"{name}: {camera['reason']}\n{text}\n")
    return "\n".join([*parts, f"all of the session in {summary['folder']}"])

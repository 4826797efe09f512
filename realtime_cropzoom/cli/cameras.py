"""``cropzoom cameras``: lists the cameras of this machine."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from typing import Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.runtime.signals import signals_held_back

_MACHINE_VISION = ("genicam", "basler", "gentl")
"""Modules of libraries that find cameras, in the order of the list."""
_GENTL_FOLDERS = "GENICAM_GENTL64_PATH"
"""Variable that an installed GenTL producer sets."""
_NO_CAMERA = """\
no camera found. Connect one and try again. 'cropzoom run SOURCE' also accepts a video, a folder of images,
and an address such as rtsp://192.168.1.20/stream1. Without any of these, try:

  cropzoom run synthetic:arena"""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    cameras = commands.add_parser("cameras", help="list the connected cameras with their modes")
    cameras.add_argument("--json", action="store_true", help="print JSON")
    cameras.set_defaults(command=_cameras)


def _cameras(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.sources.live import camera

    found: list[dict[str, Any]] = [
        {
            "source": listed.spec,
            "name": listed.name,
            "problem": listed.problem,
            "modes": [
                {"pixel_format": m.pixel_format, "width": m.width, "height": m.height, "fps": list(m.fps)}
                for m in listed.modes
            ],
        }
        for listed in camera.list_cameras()
    ]
    for kind in _asked():
        found += _machine_vision(kind)
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print(terminal.fold(table(found) if found else _NO_CAMERA, terminal.columns(sys.stdout)))
        if found:
            say_next("check", found[0]["source"])
    return 0


def _asked() -> list[str]:
    """Return the libraries to ask on this machine: Aravis is rare on Windows, and producers are rare elsewhere."""
    unusual = "genicam" if sys.platform == "win32" else "gentl"
    return [kind for kind in _MACHINE_VISION if kind != unusual or (kind == "gentl" and _GENTL_FOLDERS in os.environ)]


def _machine_vision(kind: str) -> list[dict[str, Any]]:
    """Return the cameras of one library; without the library, print a line and return none."""
    try:
        listed = importlib.import_module(f"realtime_cropzoom.sources.machine_vision.{kind}").list_cameras()
    except (CropzoomError, ImportError) as error:
        terminal.say(f"cropzoom: cannot look for {kind} cameras: {error}")
        return []
    return [
        {
            "source": c["id"],
            "name": " ".join(c[key] for key in ("vendor", "model", "serial") if c.get(key)),
            "problem": "",
            "modes": [],
            **{key: value for key, value in c.items() if key != "id"},
        }
        for c in listed
    ]


def table(cameras: list[dict[str, Any]]) -> str:
    """Return the cameras as lines, one per mode."""
    rows = [("SOURCE", "NAME", "MODES")]
    for camera in cameras:
        modes = [_mode(m) for m in camera["modes"]]
        first = camera["problem"] or (modes[0] if modes else "")
        rows.append((camera["source"], camera["name"], first))
        rows += [("", "", mode) for mode in modes[1:]]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)


def _mode(mode: dict[str, Any]) -> str:
    at = f" at {', '.join(f'{fps:.4g}' for fps in mode['fps'])} fps" if mode["fps"] else ""
    return f"{mode['pixel_format']} {mode['width']}x{mode['height']}{at}"

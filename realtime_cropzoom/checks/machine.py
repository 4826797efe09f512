"""Endpoints, output folder, disk, processor and clock: what is the machine's, and not a camera's."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import zmq

from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.clock import unix_offset_ns
from realtime_cropzoom.config.group import AUTO, NONE
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, explain
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.messaging.keys import allowed_clients, read_server_keys
from realtime_cropzoom.messaging.sockets import new_socket
from realtime_cropzoom.pipeline.startup_messages import listener_notes
from realtime_cropzoom.runtime.tuning import usable_cores

_TRIAL_BYTES = 32 << 20
_LEAVE_FREE_BYTES = 200_000_000
_FASTER_THAN_NEEDED = 2.0
_STEP_S = 0.02
"""No clock that is only slewed comes so far off while the check lasts."""
_SANE_YEAR = 2025
_TIME_ERROR = 5
"""What adjtimex returns while nothing keeps the clock right."""


def check_endpoints(settings: Settings) -> CheckResult:
    """Say whether this camera's endpoints can be bound, by binding them for a moment."""
    if settings.publish == NONE:
        return good("endpoints", "nothing is published")
    wanted = settings.publish, settings.publish_latest, settings.publish_echo
    endpoints = [endpoint for endpoint in wanted if endpoint not in (NONE, AUTO)]
    for endpoint in endpoints:
        problem = _bind(endpoint)
        if problem is None:
            continue
        if settings.publish_optional and problem == _IN_USE:
            return good("endpoints", f"{endpoint} {problem}: files alone (publish_optional)")
        name = ("publish", "publish_latest", "publish_echo")[wanted.index(endpoint)]
        return bad("endpoints", f"{endpoint} {problem}; end it, or give another with {name}")
    return _check_keys(settings, f"{', '.join(endpoints)} can be bound")


def _check_keys(settings: Settings, found: str) -> CheckResult:
    try:
        keys = None if settings.key_folder is None else read_server_keys(settings.key_folder)
    except ConfigError as error:
        return bad("endpoints", str(error))
    nobody = keys is not None and not allowed_clients(keys.clients)
    text = "; ".join([found, *listener_notes(settings, keys)])
    return bad("endpoints", text) if nobody else good("endpoints", text)


_IN_USE = "is in use, perhaps by another run"


def _bind(endpoint: str) -> str | None:
    """What is wrong with an endpoint. Binding to a file (ipc) would take it from whoever has it, so it is not tried."""
    if endpoint.startswith("ipc://"):
        return None
    with zmq.Context() as context, new_socket(context, zmq.PUB, endpoint) as socket:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                return _IN_USE
            return f"cannot be bound ({explain(error)}), expected something like tcp://127.0.0.1:5660"
    return None


def check_output(out: Path) -> CheckResult:
    """Say whether a session folder can be made, without making one."""
    there = _existing(out)
    if not there.is_dir():
        return bad("output", f"{there} is a file; give a folder with out")
    try:
        tempfile.TemporaryFile(dir=there).close()  # it has no name, so that nothing of it can stay
    except OSError as error:
        return bad("output", f"nothing can be written in {there}: {error.strerror}; give another folder with out")
    return good("output", f"{out} can be written" if there == out else f"{out} can be made")


def check_disk(out: Path, hours: float, bytes_a_second: Sequence[float | None]) -> CheckResult:
    """Say whether the disk is large and fast enough; None stands for a camera of which it is not known."""
    there = _existing(out)
    free = shutil.disk_usage(there if there.is_dir() else there.parent).free
    known = [rate for rate in bytes_a_second if rate is not None]
    rate, unknown = sum(known), len(bytes_a_second) - len(known)
    needed = rate * hours * 3600
    speed = _write_speed(there) if free > _LEAVE_FREE_BYTES else None
    text = f"{_size(needed)} for {hours:g} h, " if known else "how much will be written is not known, "
    text += f"{_size(free)} free"
    text += f", {unknown} of {len(bytes_a_second)} cameras not counted" if known and unknown else ""
    text += f", writes {_size(speed)} a second" if speed is not None else ""
    values = {"needed_bytes": round(needed), "free_bytes": free, "bytes_a_second": round(rate)}
    if needed + _LEAVE_FREE_BYTES > free:
        return bad("disk", f"{text}; make room, give another disk with out, or record less", **values)
    if speed is not None and speed < _FASTER_THAN_NEEDED * rate:
        return bad("disk", f"{text}, {_size(rate)} a second are needed; give a faster disk with out", **values)
    return good("disk", text, **values)


def check_cores(cores: Sequence[float | None]) -> CheckResult:
    """Say whether the processor has room for all cameras at the rates that were measured.

    What is not counted: tables and publishing, which take little, and decoding on FFmpeg's own threads.
    """
    known = [busy for busy in cores if busy is not None]
    there = usable_cores()
    if not known:
        return good("cores", f"{there} cores; how many are needed is not known")
    needed = sum(known)
    text = f"reading, models and recording keep {needed:.1f} of {there} cores busy"
    if needed > there:
        less = "a lower detector_max_fps, smaller models, fewer frames a second, or a GPU"
        return bad("cores", f"{text}; frames will be skipped: take {less}", needed=round(needed, 2))
    return good("cores", text, needed=round(needed, 2))


def check_clock(anchor_ns: int) -> CheckResult:
    """Say whether the wall clock has gone on as the monotonic clock has, since ``anchor_ns`` was measured."""
    step_s = (unix_offset_ns() - anchor_ns) / 1e9
    if abs(step_s) > _STEP_S:
        return bad("clock", f"the wall clock has jumped by {step_s:.3f} s just now; check again once it is set")
    if datetime.now().year < _SANE_YEAR:
        return bad("clock", f"the wall clock says {datetime.now():%Y-%m-%d}; set it, or times in the files are wrong")
    kept = {True: "; it is synchronised", False: "; nothing synchronises it with other machines", None: ""}
    return good("clock", f"monotonic and wall clock agree{kept[_synchronised()]}", step_s=round(step_s, 6))


def _synchronised() -> bool | None:
    """Whether the kernel says that the clock is kept right; None where it cannot be asked."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all zero: it only looks
    except (AttributeError, OSError, TypeError):
        return None
    return None if state < 0 else bool(state != _TIME_ERROR)


def _existing(path: Path) -> Path:
    """The path itself, or the nearest above it that is there."""
    path = user_path(path).absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def _write_speed(folder: Path) -> float | None:
    """Bytes a second, down to the disk; None where nothing can be written."""
    block = os.urandom(_TRIAL_BYTES)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            began = time.perf_counter()
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
            return _TRIAL_BYTES / (time.perf_counter() - began)
    except OSError:
        return None


def _size(number: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number / 1e3:.0f} kB"

"""Check endpoints, output folder, disk, processor and clock of this machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import zmq

from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.clock import now_s, too_coarse, unix_offset_ns
from realtime_cropzoom.config.group import AUTO, NONE
from realtime_cropzoom.config.output_groups import ENDPOINTS
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.control.address import check_control, control_folder
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
"""Maximum difference (s) between the clocks during a check. A clock that is slewed stays below it."""
_SANE_YEAR = 2025
_TIME_ERROR = 5
"""Result of adjtimex if the clock is not synchronised."""


def check_endpoints(settings: Settings) -> CheckResult:
    """Return a line that says whether the endpoints of a camera can be bound. They are bound for a moment."""
    if settings.publish == NONE:
        return good("endpoints", "nothing is published")
    given = {name: getattr(settings, name) for name in ENDPOINTS}
    endpoints = {name: endpoint for name, endpoint in given.items() if endpoint not in (NONE, AUTO)}
    for name, endpoint in endpoints.items():
        problem = _bind(endpoint)
        if problem is None:
            continue
        if settings.publish_optional and problem == _IN_USE:
            return good("endpoints", f"{endpoint} {problem}: files alone (--publish-optional)")
        flag = f"--{name.replace('_', '-')}"
        return bad("endpoints", f"{endpoint} {problem}; end it, or give another with {flag}")
    return _check_keys(settings, f"{', '.join(endpoints.values())} can be bound")


def check_orders(settings: Settings) -> CheckResult:
    """Return a line that says whether a camera can take orders where the settings say. It opens no socket."""
    if settings.control == NONE:
        return good("orders", "none are taken")
    try:
        check_control(settings.control, settings.control_keys)
        if "://" in settings.control:
            return good("orders", f"are taken at {settings.control}")
        return good("orders", f"are taken in {control_folder()} ('cropzoom ctl')")
    except ConfigError as error:
        if settings.control == AUTO:  # the run goes on without them
            return good("orders", f"none are taken: {error}")
        return bad("orders", str(error))


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
    """Bind an endpoint for a moment; return what is wrong, or None. An ipc file is not tried: it may have an owner."""
    if endpoint.startswith("ipc://"):
        return None
    with zmq.Context() as context, new_socket(context, zmq.PUB, endpoint) as socket:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                return _IN_USE
            return f"cannot be bound ({explain(error)}), expected an endpoint such as tcp://127.0.0.1:5660"
    return None


def check_output(out: Path) -> CheckResult:
    """Return a line that says whether a session folder can be created. None is created."""
    there = _existing(out)
    if not there.is_dir():
        return bad("output", f"{there} is a file; give a folder with --out")
    try:
        tempfile.TemporaryFile(dir=there).close()  # without a name, so that nothing can stay
    except OSError as error:
        return bad("output", f"cannot write in {there}: {error.strerror}; give another folder with --out")
    return good("output", f"{out} can be written" if there == out else f"{out} can be created")


def check_disk(out: Path, hours: float, bytes_per_second: Sequence[float | None]) -> CheckResult:
    """Return a line that says whether the disk is large and fast enough.

    Args:
        out: Folder of the sessions.
        hours: Length of the run.
        bytes_per_second: Data rate of each camera; None if unknown.
    """
    there = _existing(out)
    free = shutil.disk_usage(there if there.is_dir() else there.parent).free
    known = [rate for rate in bytes_per_second if rate is not None]
    rate, unknown = sum(known), len(bytes_per_second) - len(known)
    needed = rate * hours * 3600
    speed = _write_speed(there) if free > _LEAVE_FREE_BYTES else None
    text = f"{_size(needed)} for {hours:g} h, " if known else "the data rate is unknown, "
    text += f"{_size(free)} free"
    text += f", {unknown} of {len(bytes_per_second)} cameras not counted" if known and unknown else ""
    text += f", writes {_size(speed)} per second" if speed is not None else ""
    values = {"needed_bytes": round(needed), "free_bytes": free, "bytes_a_second": round(rate)}
    if needed + _LEAVE_FREE_BYTES > free:
        return bad("disk", f"{text}; free some space, give another disk with --out, or record less", **values)
    if speed is not None and speed < _FASTER_THAN_NEEDED * rate:
        return bad("disk", f"{text}, {_size(rate)} per second are needed; give a faster disk with --out", **values)
    return good("disk", text, **values)


def check_cores(cores: Sequence[float | None]) -> CheckResult:
    """Return a line that says whether the processor has room for all cameras at their measured rates.

    It does not count tables and publishing, which take little, and decoding in threads of FFmpeg.

    Args:
        cores: Number of cores that each camera keeps busy; None if unknown.
    """
    known = [busy for busy in cores if busy is not None]
    there = usable_cores()
    if not known:
        return good("cores", f"{there} cores; the number of needed cores is unknown")
    needed = sum(known)
    text = f"reading, models and recording keep {needed:.1f} of {there} cores busy"
    if needed > there:
        less = "a lower --detector-max-fps, smaller models, a lower frame rate, or a GPU"
        return bad("cores", f"{text}; frames will be skipped: take {less}", needed=round(needed, 2))
    return good("cores", text, needed=round(needed, 2))


def check_clock(anchor_ns: int) -> CheckResult:
    """Return a line that says whether the clock is fine enough, and agrees with the wall clock.

    Args:
        anchor_ns: Result of ``unix_offset_ns`` at the start of the checks.
    """
    if coarse := too_coarse():
        return bad("clock", f"{coarse}, so that no age of a pose is right; take another Python or machine")
    step_s = (unix_offset_ns() - anchor_ns) / 1e9
    if abs(step_s) > _STEP_S:
        return bad("clock", f"the wall clock jumped by {step_s:.3f} s during the check; check again when it is set")
    if datetime.now().year < _SANE_YEAR:
        return bad("clock", f"the wall clock shows {datetime.now():%Y-%m-%d}; set it, or dates in the files are wrong")
    kept = {True: "; synchronised", False: "; not synchronised with other machines", None: ""}
    return good("clock", f"monotonic and wall clock agree{kept[_synchronised()]}", step_s=round(step_s, 6))


def _synchronised() -> bool | None:
    """Return whether the kernel says that the clock is synchronised; None if it does not say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all zero: changes nothing
    except (AttributeError, OSError, TypeError):
        return None
    return None if state < 0 else bool(state != _TIME_ERROR)


def _existing(path: Path) -> Path:
    """Return the path, or its nearest parent that exists."""
    path = user_path(path).absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def _write_speed(folder: Path) -> float | None:
    """Return the speed of writing to the disk (bytes per second); None if the folder cannot be written."""
    block = os.urandom(_TRIAL_BYTES)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            began = now_s()
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
            return _TRIAL_BYTES / (now_s() - began)
    except OSError:
        return None


def _size(number: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number / 1e3:.0f} kB"

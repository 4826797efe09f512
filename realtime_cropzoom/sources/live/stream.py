"""Network streams as sources, through PyAV: RTSP, MJPEG over HTTP, MPEG-TS over UDP, SRT and others; filter graphs.

The address is ``SCHEME://HOST…``, for example ``rtsp://192.168.1.20/stream1``. FFmpeg options may follow
a ``#`` and override ours: ``rtsp://192.168.1.20/stream1#rtsp_transport=udp&max_delay=0``.
"""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import av

from realtime_cropzoom.errors import ConfigError, advise, explain
from realtime_cropzoom.sources.base import SourceOptions, without_password
from realtime_cropzoom.sources.live.live_video import LiveVideo, camera_option_notes
from realtime_cropzoom.sources.live.stream_decoder import LOW_DELAY, StreamAddress

_LITTLE = {"probesize": "65536", "analyzeduration": "500000"}
"""Maximum amount of data (bytes, µs) to read for probing the format. It is kept and decoded, although it may be old
by then: most senders start with a key frame, and without it no frame decodes before the next one."""
_OPTIONS: dict[str, dict[str, str]] = {
    "rtsp": {"rtsp_transport": "tcp", "max_delay": "0"},  # over UDP, a lost packet damages the picture
    "rtsps": {"rtsp_transport": "tcp", "max_delay": "0"},
    "udp": {"overrun_nonfatal": "1"},
}
_HINTS: tuple[tuple[str, str], ...] = (
    ("ExitError", "no data came in time; check that it sends, and the network"),
    ("ConnectionRefusedError", "no program answers at that port; check the port, and that the server runs"),
    ("HTTPUnauthorizedError", "it requires a user and a password, as in rtsp://USER:PASSWORD@HOST/…"),
    ("HTTPForbiddenError", "it refuses this user; check user and password"),
    ("HTTPNotFoundError", "the server knows no such path; check what follows the host"),
    ("ProtocolNotFoundError", "the FFmpeg inside PyAV does not support this protocol"),
    ("InvalidDataError", "it sends no video that FFmpeg can read; check the path"),
    ("ConnectionResetError", "the server has closed the connection"),
)


def open_stream(spec: str, options: SourceOptions) -> LiveVideo:
    """Open the stream at an address.

    Args:
        spec: The address, with FFmpeg options after a ``#``.
        options: Options for opening it. Those that only cameras have are reported in the notes of its info.

    Raises:
        SourceError: if the stream cannot be opened.
        ConfigError: if the address is invalid.
    """
    stream = LiveVideo(parse_address(spec, options))
    stream.info = replace(stream.info, notes=(*stream.info.notes, *camera_option_notes(stream.info.name, options)))
    return stream


def parse_address(spec: str, options: SourceOptions) -> StreamAddress:
    """Return the address and FFmpeg options for ``spec``.

    Args:
        spec: The address, with FFmpeg options after a ``#``.
        options: Options for opening it.

    Raises:
        ConfigError: if ``spec`` names no host, or its port or the options after the ``#`` are malformed.
    """
    url, _, given = spec.partition("#")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # a property, and the only one that checks anything
        own = dict(parse_qsl(given, keep_blank_values=True, strict_parsing=bool(given)))
    except ValueError as error:
        raise ConfigError(f"{without_password(spec)}: {error}; expected SCHEME://HOST/…#OPTION=VALUE&…") from None
    shown = without_password(url)
    if not parts.netloc:
        raise ConfigError(f"{shown} names no host; expected an address such as rtsp://192.168.1.20/stream1")
    return StreamAddress(
        url,
        shown,
        re.sub(r"[^A-Za-z0-9.-]+", "_", f"{parts.scheme}_{parts.netloc.rpartition('@')[2]}{parts.path}").strip("_"),
        _explain,
        options={**LOW_DELAY, **_LITTLE, **_OPTIONS.get(parts.scheme, {}), **own},
        timeout_s=(options.open_timeout_s, options.read_timeout_s),
        asked_fps=options.fps,
        stopped=options.stopped,
        keep_packets=options.keep_packets,
    )


def _explain(error: Exception) -> str:
    for name, hint in _HINTS:
        if isinstance(error, getattr(av.error, name, ())):
            return hint + (advise(" (--read-timeout-s)") if name == "ExitError" else "")
    broken = getattr(error, "errno", None) == errno.EIO  # FFmpeg also returns it for an unknown host name
    reason = "there is no such host, or the network failed" if broken else explain(error)
    return f"{reason}; check the address, and that this machine reaches it"


def open_lavfi(graph: str, options: SourceOptions) -> LiveVideo:
    """Open an FFmpeg filter graph as a source that plays in real time.

    Args:
        graph: The filter graph.
        options: Options for opening it.

    Raises:
        ConfigError: if ``graph`` is empty.
        SourceError: if FFmpeg cannot open the graph.
    """
    if not graph:
        raise ConfigError("lavfi: got no filter graph, expected one such as lavfi:testsrc2=size=640x480:rate=30")
    paced = graph if "realtime" in graph else f"{graph},realtime"
    return LiveVideo(
        StreamAddress(
            paced,
            f"lavfi:{graph}",
            "lavfi",
            lambda error: f"{explain(error)}; expected a filter graph, such as testsrc2=size=640x480:rate=30",
            format="lavfi",
            timeout_s=(options.open_timeout_s, options.read_timeout_s),
            asked_fps=options.fps,
            stopped=options.stopped,
        )
    )

"""FFmpeg's own test pictures as a camera, for those who have none: ``lavfi:testsrc2=size=640x480:rate=30``."""

from __future__ import annotations

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.container import words
from realtime_cropzoom.sources.live.live_video import Address, LiveVideo


def open_lavfi(graph: str, options: SourceOptions) -> LiveVideo:
    """Open a filter graph, which plays in real time. Raises SourceError where FFmpeg does not understand it."""
    if not graph:
        raise ConfigError(
            "lavfi: names no picture; expected a filter graph, such as lavfi:testsrc2=size=640x480:rate=30"
        )
    paced = graph if "realtime" in graph else f"{graph},realtime"
    return LiveVideo(
        Address(
            paced,
            f"lavfi:{graph}",
            "lavfi",
            lambda error: f"{words(error)}; expected a filter graph, such as testsrc2=size=640x480:rate=30",
            format="lavfi",
            timeout_s=(options.open_timeout_s, options.read_timeout_s),
            asked_fps=options.fps,
            stopped=options.stopped,
        )
    )

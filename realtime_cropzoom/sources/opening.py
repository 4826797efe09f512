"""From the SOURCE a user gives to an open source."""

from __future__ import annotations

from pathlib import Path

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources import Source, SourceOptions

SYNTHETIC = "synthetic:"


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Open a video file or ``synthetic:arena[,key=value…]``. Raises SourceError or ConfigError, in one line."""
    if spec.startswith(SYNTHETIC):
        from realtime_cropzoom.sources.arena import Arena, parse_arena

        return Arena(parse_arena(spec))
    if "://" in spec:
        raise SourceError(f"{spec} is an address; sources are video files and synthetic:arena so far")
    from realtime_cropzoom.sources.video import VideoFile

    return VideoFile(Path(spec).expanduser())

"""A video file, opened: as a file, whatever its name looks like, with the stream that players would show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from realtime_cropzoom.errors import SourceError, plainly

_NO_VIDEO = ("tty",)
"""FFmpeg paints text files, by their ending, as a terminal would."""
_NO_TIMES = ("h264", "hevc", "mjpeg", "mpegvideo", "m4v", "vc1", "obu", "h263", "cavsvideo", "dirac", "jpeg_pipe")
"""Bare streams: one picture after the other."""
_SAYS_ITS_LENGTH = ("matroska", "mov", "flv", "asf", "avi")
"""Containers whose length stands in a header. Of all others FFmpeg measures it, or estimates it from the bit rate."""


ANY_LETTERS = "backslashreplace"
"""A title or a comment need not be UTF-8: recorders write it in the letters of their country."""


def check_is_file(path: Path) -> None:
    """Raise SourceError, in one line, unless something can be read from ``path``."""
    try:
        if not path.exists():
            raise SourceError(f"no video at {path}; expected a file such as recording.mp4, or synthetic:arena")
        if path.is_dir():
            raise SourceError(f"{path} is a folder; expected one video file")
        if not path.is_file():
            raise SourceError(f"{path} is no regular file (a pipe, or a device); expected a video file")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty; expected a video file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def open_container(path: Path) -> InputContainer:
    """Open ``path``. Raises SourceError, in one line."""
    try:
        container = av.open(
            file_url(path),
            options={"pattern_type": "none"},  # no image sequence for a % in a name
            metadata_errors=ANY_LETTERS,
        )
    except (av.FFmpegError, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as a video: {words(error)}; "
            "it may be another kind of file, or a recording that is still being written or was cut off before its "
            "index was written"
        ) from error
    if container.format.name in _NO_VIDEO:
        container.close()
        raise SourceError(f"{path} is a text file; expected a video file")
    return container


def file_url(path: Path) -> str:
    """Return the path as FFmpeg takes it for a file, and nothing before a colon in it for a protocol."""
    return f"file:{path}"


def main_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the video that is the default one; pictures of a cover are none. Raises SourceError."""
    videos = videos_in(container)
    if not videos:
        held = "only the picture of its cover" if container.streams.video else "no video"
        raise SourceError(f"{path} has {held} in it; expected a video file")
    videos = [stream for stream in videos if stream.codec_context is not None] or videos
    marked = [stream for stream in videos if _has(stream, "default")] or videos
    best = container.streams.best("video")
    chosen = next((stream for stream in marked if best is not None and stream.index == best.index), marked[0])
    return readable(chosen, str(path))


def readable(stream: VideoStream, shown: str) -> VideoStream:
    """Return the stream. Raises SourceError where nothing here can decode it."""
    if stream.codec_context is None:
        raise SourceError(f"{shown} is in a format that cannot be decoded; convert it to H.264, as with HandBrake")
    return stream


def videos_in(container: InputContainer) -> list[VideoStream]:
    """Return the streams that are moving pictures."""
    return [
        stream for stream in container.streams.video
        if not (_has(stream, "attached_pic") or _has(stream, "timed_thumbnails"))
    ]  # fmt: skip


def other_videos(container: InputContainer, chosen: VideoStream, path: Path) -> str:
    """Say which of several videos in a file is taken; nothing where there is one."""
    others = [s for s in videos_in(container) if s.index != chosen.index]
    if not others:
        return ""
    sizes = ", ".join(map(_size, others))
    why = "the one marked as default" if _has(chosen, "default") else "the main one"
    return f"{path} holds {len(others) + 1} videos; {why} is taken, {_size(chosen)} (not {sizes})"


def _size(stream: VideoStream) -> str:
    context = stream.codec_context
    return "one that cannot be decoded" if context is None else f"{context.width}x{context.height}"


def has_times(container: InputContainer) -> bool:
    """Whether the frames of a file have times, other than those that FFmpeg makes up."""
    return container.format.name not in _NO_TIMES


def promised_length_s(container: InputContainer) -> float | None:
    """Return the length that the header of a file gives for all its streams; None where it gives none."""
    if container.duration is None or not container.format.name.startswith(_SAYS_ITS_LENGTH):
        return None
    return float(container.duration / av.time_base)


def end_of_all_s(path: Path, since_s: float) -> float:
    """Return when the last packet of any stream ends, reading from ``since_s`` on, in s since the file's beginning."""
    end_s = 0.0
    with open_container(path) as container:
        begins_s = (container.start_time or 0) / av.time_base
        try:
            container.seek(round((since_s + begins_s) * av.time_base))
            for packet in container.demux():
                end_s = max(end_s, _end_s(packet) - begins_s)
        except av.FFmpegError:  # what is there counts
            pass
    return end_s


def _end_s(packet: Any) -> float:
    time = packet.pts if packet.pts is not None else packet.dts
    return (
        0.0 if time is None or packet.time_base is None else float((time + (packet.duration or 0)) * packet.time_base)
    )


def _has(stream: VideoStream, name: str) -> bool:
    return bool(stream.disposition & av.stream.Disposition[name])


def words(error: Exception) -> str:
    """What FFmpeg means by an error, in plain words."""
    return plainly(error)

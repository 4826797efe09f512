"""Container of a video file: opens it as a file, whatever its name looks like, and selects the stream to play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from realtime_cropzoom.errors import SourceError, explain

_NO_VIDEO = ("tty",)
"""Formats that are no video: FFmpeg renders text files, chosen by their suffix, as a terminal would."""
_NO_TIMES = ("h264", "hevc", "mjpeg", "mpegvideo", "m4v", "vc1", "obu", "h263", "cavsvideo", "dirac", "jpeg_pipe")
"""Formats without timestamps: elementary streams, one picture after the other."""
_SAYS_ITS_LENGTH = ("matroska", "mov", "flv", "asf", "avi")
"""Containers with their duration in a header. For others, FFmpeg measures it or estimates it from the bit rate."""


ANY_LETTERS = "backslashreplace"
"""Error handler for metadata. Titles and comments need not be UTF-8: recorders use the local encoding."""


def check_is_file(path: Path) -> None:
    """Check that ``path`` is a readable, non-empty file.

    Raises:
        SourceError: if it is not; one line.
    """
    try:
        if not path.exists():
            raise SourceError(f"no video at {path}; expected a file such as recording.mp4, or synthetic:arena")
        if path.is_dir():
            raise SourceError(f"{path} is a folder; expected one video file")
        if not path.is_file():
            raise SourceError(f"{path} is a pipe or a device; expected a video file")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty; expected a video file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def open_container(path: Path) -> InputContainer:
    """Open ``path`` with FFmpeg.

    Raises:
        SourceError: if FFmpeg cannot read it or it is a text file; one line.
    """
    try:
        container = av.open(
            file_url(path),
            options={"pattern_type": "none"},  # no image sequence for a % in a name
            metadata_errors=ANY_LETTERS,
        )
    except (av.FFmpegError, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as a video: {explain(error)}; "
            "it may be another kind of file, or a recording that is still being written or was cut off before its "
            "index was written"
        ) from error
    if container.format.name in _NO_VIDEO:
        container.close()
        raise SourceError(f"{path} is a text file; expected a video file")
    return container


def file_url(path: Path) -> str:
    """Return ``path`` as a ``file:`` URL, so that FFmpeg does not take text before a colon for a protocol."""
    return f"file:{path}"


def main_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the default video stream; cover pictures do not count as video.

    Args:
        container: The open file.
        path: Its path, for error messages.

    Raises:
        SourceError: if the file has no video stream, or none that can be decoded.
    """
    videos = videos_in(container)
    if not videos:
        held = "only a cover picture" if container.streams.video else "no video"
        raise SourceError(f"{path} contains {held}; expected a video file")
    videos = [stream for stream in videos if stream.codec_context is not None] or videos
    marked = [stream for stream in videos if _has(stream, "default")] or videos
    best = container.streams.best("video")
    chosen = next((stream for stream in marked if best is not None and stream.index == best.index), marked[0])
    return readable(chosen, str(path))


def readable(stream: VideoStream, shown: str) -> VideoStream:
    """Return ``stream`` if it can be decoded.

    Args:
        stream: A video stream.
        shown: Name of its file or address, for the error message.

    Raises:
        SourceError: if no decoder is available for it.
    """
    if stream.codec_context is None:
        raise SourceError(
            f"{shown} is in a format that cannot be decoded; convert it to H.264, for example with HandBrake"
        )
    return stream


def videos_in(container: InputContainer) -> list[VideoStream]:
    """Return the video streams other than cover pictures and thumbnails."""
    return [
        stream for stream in container.streams.video
        if not (_has(stream, "attached_pic") or _has(stream, "timed_thumbnails"))
    ]  # fmt: skip


def other_videos(container: InputContainer, chosen: VideoStream, path: Path) -> str:
    """Return a message that names the selected stream of several; empty if there is only one.

    Args:
        container: The open file.
        chosen: The stream that ``main_stream`` selected.
        path: Path of the file, for the message.
    """
    others = [s for s in videos_in(container) if s.index != chosen.index]
    if not others:
        return ""
    sizes = ", ".join(map(_size, others))
    reason = "the one marked as default" if _has(chosen, "default") else "the main one"
    return f"{path} contains {len(others) + 1} videos; the run uses {reason}, {_size(chosen)}, not {sizes}"


def _size(stream: VideoStream) -> str:
    context = stream.codec_context
    return "one that cannot be decoded" if context is None else f"{context.width}x{context.height}"


def has_times(container: InputContainer) -> bool:
    """Return whether the file stores frame times, instead of FFmpeg inventing them."""
    return container.format.name not in _NO_TIMES


def promised_length_s(container: InputContainer) -> float | None:
    """Return the duration (s) that the header gives for all streams together; None if it gives none."""
    if container.duration is None or not container.format.name.startswith(_SAYS_ITS_LENGTH):
        return None
    return float(container.duration / av.time_base)


def end_of_all_s(path: Path, since_s: float) -> float:
    """Return the time at which the last packet of any stream ends.

    Args:
        path: The video file.
        since_s: Time (s) from which to read the file.

    Returns:
        Time in s since the beginning of the file; 0 if no packet has a time.
    """
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

"""Video files as other programs leave them: headers that count too many, frames that are not there, odd matrices."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from support.films import Footage


def with_sound(footage: Footage, path: Path, frames: int, sound_s: float) -> Path:
    """Write a video whose sound is ``sound_s`` long, at 30 fps."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height = footage.size
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000)
        for index in range(frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(footage.draw(index), format="rgb24")))
        container.mux(video.encode(None))
        channels = sound.codec_context.channels
        for index in range(round(sound_s * 10)):
            samples = np.zeros((1, 800 * channels), np.int16)
            heard = av.AudioFrame.from_ndarray(samples, "s16", layout=sound.codec_context.layout.name)
            heard.rate, heard.pts, heard.time_base = 8000, index * 800, Fraction(1, 8000)
            container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    return path


def avi_that_counts(path: Path, frames: int) -> Path:
    """Have the header of an AVI say that it has so many frames."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"avih") + 24, frames)
    struct.pack_into("<I", content, content.index(b"strh") + 40, frames)
    path.write_bytes(content)
    return path


def avi_of_another_codec(path: Path) -> Path:
    """Return a copy of an AVI that names a codec which nobody knows."""
    data = bytearray(path.read_bytes())
    for place in (data.find(b"strh") + 12, data.find(b"strf") + 24):
        data[place : place + 4] = b"ZZZZ"
    changed = path.with_name(f"unknown_{path.name}")
    changed.write_bytes(data)
    return changed


def with_empty_chunks(path: Path, empty: Sequence[int]) -> Path:
    """Take the pixels from some frames of an AVI and leave their places, as recorders mark dropped frames."""
    content = path.read_bytes()
    movi, end = content.index(b"movi"), content.index(b"idx1")
    chunks, index, at, number = bytearray(), bytearray(), movi + 4, 0
    while at < end and content[at : at + 4] == b"00dc":
        (size,) = struct.unpack_from("<I", content, at + 4)
        data = b"" if number in empty else content[at + 8 : at + 8 + size]
        index += b"00dc" + struct.pack("<III", 16, len(chunks) + 4, len(data))
        chunks += b"00dc" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        at, number = at + 8 + size + size % 2, number + 1
    made = bytearray(content[: movi - 8]) + b"LIST" + struct.pack("<I", len(chunks) + 4) + b"movi" + chunks
    made += b"idx1" + struct.pack("<I", len(index)) + index
    struct.pack_into("<I", made, 4, len(made) - 8)
    path.write_bytes(made)
    return path


def mpeg_stream_that_says_it_is_long(footage: Footage, path: Path, frames: int) -> Path:
    """Write a bare MPEG-1 stream with a bit rate in it that makes FFmpeg guess a third too long a length."""
    with av.open(str(path), "w", format="mpeg1video") as container:
        stream = container.add_stream("mpeg1video", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *footage.size, "yuv420p", 400_000
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(footage.draw(index), format="rgb24")))
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    rate, at = int(len(content) * 8 / (frames / 30) / 1.5 / 400), -1
    while (at := content.find(b"\0\0\1\xb3", at + 1)) >= 0:
        content[at + 8], content[at + 9] = rate >> 10, rate >> 2 & 255
        content[at + 10] = (rate & 3) << 6 | content[at + 10] & 63
    path.write_bytes(content)
    return path


def without_a_cluster(path: Path, number: int = 1) -> Path:
    """Zero the head of a cluster of a Matroska file: what is in it is not found any more."""
    content = bytearray(path.read_bytes())
    at = -1
    for _ in range(number + 1):
        at = content.index(b"\x1f\x43\xb6\x75", at + 1)
    content[at : at + 40] = bytes(40)
    path.write_bytes(content)
    return path


def with_matrix(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """Write a display matrix into a finished MP4."""
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") + 4
    assert content[header] == 0, "expected version 0 of the track header"
    whole = 0 if (a, b, c, d) == (0, 0, 0, 0) else 1 << 30
    values = (round(v * 65536) for v in (a, b, c, d))
    first, second, third, fourth = values
    struct.pack_into(">9i", content, header + 40, first, second, 0, third, fourth, 0, 0, 0, whole)
    path.write_bytes(content)
    return path


def two_videos(path: Path, sizes: Sequence[tuple[int, int]], default: int, frames: int = 10) -> Path:
    """Write a Matroska file with several videos, one of them marked as the default one."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, size in enumerate(sizes):
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.disposition = av.stream.Disposition(number == default)
            streams.append((stream, Footage(size)))
        for index in range(frames):
            for stream, footage in streams:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(footage.draw(index), format="rgb24")))
        for stream, _ in streams:
            container.mux(stream.encode(None))
    return path

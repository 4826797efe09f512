"""H.264 headers: frame numbers in real streams, and malformed packets."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from support.films import Footage

from realtime_cropzoom.sources.h264 import PictureReader, iter_nal_units


@pytest.mark.parametrize("profile", ["baseline", "high", "high444"])
@pytest.mark.parametrize("boxed", [False, True], ids=["start codes", "lengths"])
def test_frame_numbers_are_read_with_start_codes_and_with_lengths(tmp_path: Path, profile: str, *, boxed: bool) -> None:
    path, options = tmp_path / ("clip.mp4" if boxed else "clip.ts"), {"bf": "0", "g": "12", "profile": profile}
    pixels = "yuv444p" if profile == "high444" else "yuv420p"
    Footage().write(path, 30, codec="libx264", pix_fmt=pixels, options={**options, "x264-params": "cqm=jvt"})
    with av.open(str(path)) as container:
        reader = PictureReader(bytes(container.streams.video[0].codec_context.extradata or b""))
        pictures = [reader.read(bytes(packet)) for packet in container.demux(video=0) if packet.size]
    assert [p is not None and p.is_idr for p in pictures] == [index % 12 == 0 for index in range(30)]
    assert [p.frame_num for p in pictures if p is not None] == [
        index % 12 % p.modulus for index, p in enumerate(pictures) if p
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0",
        b"\0\0\1",
        b"\0\0\1\0\0\1\x65",
        b"\0\0\1\x67",
        b"\0\0\1\x06\x06\xff",
        b"\0\0\1\x65",
        bytes(range(256)),
    ],
)
def test_malformed_packets_raise_no_error(data: bytes) -> None:
    for extradata in (b"", data, b"\1" + data):
        PictureReader(extradata).read(data)


@pytest.mark.parametrize(
    ("data", "units"),
    [
        (b"", []),
        (b"\1\2\3", []),
        (b"\0\0\1\x65", [b"\x65"]),
        (b"\x09\0\0\1\x67\1\0\0\0\1\x65\2\3", [b"\x67\1\0", b"\x65\2\3"]),
        (b"\0\0\1\0\0\1\x65\0\0\1", [b"\x65"]),
    ],
)
def test_nal_units_are_split_at_start_codes(data: bytes, units: list[bytes]) -> None:
    assert list(iter_nal_units(data)) == units

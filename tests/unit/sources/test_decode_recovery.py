"""What is handed on of a stream that lost some of its way here: whole frames alone, and again after each loss."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from support.films import Footage
from support.stream_senders import FPS, noisy

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources import h264
from realtime_cropzoom.sources.h264 import PictureReader
from realtime_cropzoom.sources.live import decode_recovery
from realtime_cropzoom.sources.live.live_video import LOW_DELAY, LiveVideo, StreamAddress
from realtime_cropzoom.types import UInt8

FRAMES = 160
TS_PACKET = 188
B_FRAMES = {"preset": "veryfast", "tune": "film", "bf": "2"}
SENDERS = {
    "a key frame in ten": {"g": "10"},
    "key frames only": {"g": "1"},
    "open groups": {"g": "10", **B_FRAMES, "x264-params": "open-gop=1:rc-lookahead=4"},
    "refreshed": {"g": "30", "x264-params": "intra-refresh=1"},
    "refreshed, in slices": {"g": "20", "x264-params": "intra-refresh=1:slices=4"},
    "refreshed, B-frames": {"g": "30", **B_FRAMES, "x264-params": "intra-refresh=1:rc-lookahead=4"},
}
Pictures = dict[int, UInt8]
"""Time stamp → RGB."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sent")


def send(path: Path, **options: str) -> Path:
    """Write what a sender sends: MPEG-TS with H.264, of pictures full of noise."""
    if path.exists():
        return path
    footage, chosen = Footage(), {"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "crf": "8", **options}
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=FPS, options=chosen)
        stream.width, stream.height = footage.size
        stream.pix_fmt = "yuv420p"
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(noisy(footage.draw(index), index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@cache
def sent_pictures(path: Path) -> Pictures:
    with av.open(str(path)) as container:
        return {frame.pts: frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)}


def receive(path: Path) -> tuple[Pictures, LiveVideo, str]:
    """Return the frames that are handed on, the source, and why it broke off."""
    video = LiveVideo(StreamAddress(str(path), "the stream", "stream", str, options=dict(LOW_DELAY)))
    pictures: Pictures = {}
    try:
        for frame in video._whole_frames():
            pictures[frame.pts] = frame.to_ndarray(format="rgb24")
    except SourceError as error:
        return pictures, video, str(error)
    finally:
        video.close()
    pytest.fail("a live source that ends must say so")


def check_whole(received: Pictures, sent: Pictures) -> None:
    wrong = [pts for pts, image in received.items() if not np.array_equal(image, sent[pts])]
    assert not wrong, f"{len(wrong)} of {len(received)} are not as they were sent"


def lossy(path: Path, seed: int) -> Iterator[bytes]:
    """Yield the packets of a transport stream that arrive: up to four gaps, of a packet up to several frames."""
    data, rng = path.read_bytes(), np.random.default_rng(seed)
    packets = [data[at : at + TS_PACKET] for at in range(0, len(data), TS_PACKET)]
    lost: set[int] = set()
    for _ in range(rng.integers(1, 5)):
        begin = int(rng.integers(200, len(packets) // 2))
        lost |= set(range(begin, begin + int(rng.choice([1, 7, 70]))))
    start = int(rng.integers(0, 150)) if seed % 2 else 0  # joined late, in the middle of a picture
    return (packet for at, packet in enumerate(packets) if at >= start and at not in lost)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sender", SENDERS)
def test_all_that_is_handed_on_is_as_it_was_sent(tmp_path: Path, folder: Path, sender: str, seed: int) -> None:
    """Bit for bit; and the losses, all in the first half, do not cost the second.

    Only where B-frames are made from each other and no key frame comes, the decoder may not find its way back.
    """
    whole = send(folder / f"{sender}.ts", **SENDERS[sender])
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(b"".join(lossy(whole, seed)))
    received, video, why = receive(damaged)
    check_whole(received, sent_pictures(whole))
    assert video.problems()
    assert why == "the stream has ended"
    if sender == "refreshed, B-frames":
        return
    last = sorted(sent_pictures(whole))[-FRAMES // 5 : -3]  # what the decoder holds back in the end is not asked for
    assert set(last) <= set(received)


def test_a_copy_goes_on_with_a_key_frame_alone(tmp_path: Path, folder: Path) -> None:
    """From a frame that has been sent anew stripe by stripe nobody else could begin to decode."""
    for sender, goes_on in (("a key frame in ten", True), ("refreshed", False)):
        whole, damaged = send(folder / f"{sender}.ts", **SENDERS[sender]), tmp_path / "damaged.ts"
        damaged.write_bytes(b"".join(lossy(whole, 0)))
        video = LiveVideo(StreamAddress(str(damaged), "it", "it", str, options=dict(LOW_DELAY), keep_packets=True))
        copied: list[bool] = []
        with contextlib.suppress(SourceError):
            copied.extend(video._trail.take() is not None for _ in video._whole_frames())
        video.close()
        assert copied[0]
        assert copied[-1] is goes_on
        assert goes_on or copied == sorted(copied, reverse=True), "a copy that begins in between"


@pytest.mark.parametrize("sender", ["a key frame in ten", "refreshed"])
def test_a_frame_that_never_came_is_missed_although_nothing_says_so(tmp_path: Path, folder: Path, sender: str) -> None:
    """As where RTP loses the one packet of a small frame: each that comes decodes without an error."""
    whole, parted = send(folder / f"{sender}.ts", **SENDERS[sender]), tmp_path / "parted.mkv"
    with av.open(str(whole)) as container, av.open(str(parted), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for index, packet in enumerate(container.demux(video=0)):
            if packet.size and index not in (43, 44):
                packet.stream = stream
                out.mux(packet)
    received, video, _ = receive(parted)
    sent = sent_pictures(whole)
    by_index = [sent[pts] for pts in sorted(sent)]
    wrong = [pts for pts, image in received.items() if not np.array_equal(image, by_index[round(pts * FPS / 1000)])]
    assert not wrong
    assert FRAMES / 2 < len(received) < FRAMES - 2
    assert "2 frames came damaged or not at all" in video.problems()[0]


def test_where_nothing_says_that_the_picture_is_whole_again_it_breaks_off(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened anew, most senders begin with a key frame."""
    monkeypatch.setattr(decode_recovery, "_PATIENCE_NS", (0, 0))
    whole = send(folder / "one key frame.ts", g="1000")
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(b"".join(lossy(whole, 0)))
    received, _, why = receive(damaged)
    check_whole(received, sent_pictures(whole))
    assert received
    assert why.startswith("the stream sends, but nothing whole since a frame was damaged or lost")


def test_a_longer_time_between_key_frames_is_waited_for_longer() -> None:
    def after(interval_s: int) -> decode_recovery.Recovery:
        followed = decode_recovery.Recovery("mpeg4", b"")
        for number in range(3):
            assert followed.is_whole(True, None, number * interval_s * 10**9)
        followed.damaged(0)
        assert not followed.is_whole(False, None, 1)
        return followed

    for interval_s, patience_s in ((1, 10), (12, 24), (100, 60)):
        assert not after(interval_s).is_given_up(patience_s * 10**9)
        assert after(interval_s).is_given_up(patience_s * 10**9 + 1)


def test_a_codec_whose_frames_stand_alone_is_always_whole() -> None:
    followed = decode_recovery.Recovery("mjpeg", b"")
    followed.damaged(0)
    assert followed.is_whole(False, 0, 0)
    assert not followed.is_given_up(10**12)


@pytest.mark.parametrize("profile", ["baseline", "high", "high444"])
@pytest.mark.parametrize("boxed", [False, True], ids=["start codes", "lengths"])
def test_frame_numbers_are_read_however_the_stream_is_packed(tmp_path: Path, profile: str, *, boxed: bool) -> None:
    path, options = tmp_path / ("clip.mp4" if boxed else "clip.ts"), {"bf": "0", "g": "12", "profile": profile}
    pixels = "yuv444p" if profile == "high444" else "yuv420p"
    Footage().write(path, 30, codec="libx264", pix_fmt=pixels, options={**options, "x264-params": "cqm=jvt"})
    with av.open(str(path)) as container:
        reader = PictureReader(bytes(container.streams.video[0].codec_context.extradata or b""))
        pictures = [reader.read(bytes(packet)) for packet in container.demux(video=0) if packet.size]
    assert [p is not None and p.is_idr for p in pictures] == [index % 12 == 0 for index in range(30)]
    assert [p.frame_num for p in pictures if p is not None] == [index % 12 % pictures[0].modulus for index in range(30)]


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\1", b"\0\0\1\x67", b"\0\0\1\x06\x06\xff", b"\0\0\1\x65", bytes(range(256))]
)
def test_what_is_no_picture_is_read_without_an_error(data: bytes) -> None:
    for extradata in (b"", data, b"\1" + data):
        PictureReader(extradata).read(data)
    assert list(h264._of_lengths(b"\0\0\0\0", 2)) == []

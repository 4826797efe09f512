"""Decode recovery: of a stream with losses, only intact frames are yielded, and again after each loss."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.films import Footage
from support.stream_senders import FPS, noisy

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.h264 import Picture
from realtime_cropzoom.sources.live import decode_recovery
from realtime_cropzoom.sources.live.decode_recovery import DecodeRecovery, DecodeState
from realtime_cropzoom.sources.live.live_video import LiveVideo
from realtime_cropzoom.sources.live.stream_decoder import LOW_DELAY, StreamAddress, StreamDecoder

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
Pictures = dict[int, Any]
"""Timestamp → RGB pixels, (H, W, 3) uint8."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sent")


def send(path: Path, **options: str) -> Path:
    """Write a stream as a sender sends it: noisy pictures as H.264 in MPEG-TS."""
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
        return {frame.pts or 0: frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)}


def receive(path: Path) -> tuple[Pictures, int, str]:
    """Return the frames that are yielded, the number of damaged ones, and the error that ends the stream."""
    decoder = StreamDecoder(StreamAddress(str(path), "the stream", "stream", str, options=dict(LOW_DELAY)))
    pictures: Pictures = {}
    try:
        for intact in decoder.intact_frames():
            pictures[intact.frame.pts or 0] = intact.frame.to_ndarray(format="rgb24")
    except SourceError as error:
        return pictures, decoder.damaged, str(error)
    finally:
        decoder.close()
    pytest.fail("the end of a live source is an error")


def check_intact(received: Pictures, sent: Pictures) -> None:
    wrong = [pts for pts, image in received.items() if not np.array_equal(image, sent[pts])]
    assert not wrong, f"{len(wrong)} of {len(received)} frames differ from those sent"


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
def test_yielded_frames_equal_a_lossless_decode(tmp_path: Path, folder: Path, sender: str, seed: int) -> None:
    """All losses are in the first half of the stream, so that the end arrives in full.

    Exception: if B-frames depend on each other and no key frame comes, the decoder may not recover.
    """
    whole = send(folder / f"{sender}.ts", **SENDERS[sender])
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(b"".join(lossy(whole, seed)))
    received, count, error = receive(damaged)
    check_intact(received, sent_pictures(whole))
    assert count
    assert error == "the stream has ended"
    if sender == "refreshed, B-frames":
        return
    last = sorted(sent_pictures(whole))[-FRAMES // 5 : -3]  # without the frames that the decoder still holds at the end
    assert set(last) <= set(received)


def test_a_copy_continues_only_at_a_key_frame(tmp_path: Path, folder: Path) -> None:
    """A player cannot begin to decode at a frame that was refreshed stripe by stripe."""
    for sender, continues in (("a key frame in ten", True), ("refreshed", False)):
        whole, damaged = send(folder / f"{sender}.ts", **SENDERS[sender]), tmp_path / "damaged.ts"
        damaged.write_bytes(b"".join(lossy(whole, 0)))
        address = StreamAddress(str(damaged), "it", "it", str, options=dict(LOW_DELAY), keep_packets=True)
        decoder = StreamDecoder(address)
        copied: list[bool] = []
        with contextlib.suppress(SourceError):
            for _ in decoder.intact_frames():
                if not copied:
                    decoder.packets.coding(*Footage().size)
                copied.append(decoder.packets.take() is not None)
        decoder.close()
        assert copied[0]
        assert copied[-1] is continues
        assert continues or copied == sorted(copied, reverse=True), "the copy continues without a key frame"


@pytest.mark.parametrize("sender", ["a key frame in ten", "refreshed"])
def test_a_missing_frame_is_found_although_all_others_decode(tmp_path: Path, folder: Path, sender: str) -> None:
    """RTP may lose the only packet of a small frame. All other frames then decode without an error."""
    whole, parted = send(folder / f"{sender}.ts", **SENDERS[sender]), tmp_path / "parted.mkv"
    with av.open(str(whole)) as container, av.open(str(parted), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for index, packet in enumerate(container.demux(video=0)):
            if packet.size and index not in (43, 44):
                packet.stream = stream
                out.mux(packet)
    received, damaged, _ = receive(parted)
    sent = sent_pictures(whole)
    by_index = [sent[pts] for pts in sorted(sent)]
    wrong = [pts for pts, image in received.items() if not np.array_equal(image, by_index[round(pts * FPS / 1000)])]
    assert not wrong
    assert FRAMES / 2 < len(received) < FRAMES - 2
    assert damaged == 2


def test_a_stream_that_never_recovers_is_given_up(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is then opened again, and most senders begin with a key frame."""
    monkeypatch.setattr(decode_recovery, "_MIN_PATIENCE_NS", 0)
    monkeypatch.setattr(decode_recovery, "_MAX_PATIENCE_NS", 0)
    whole = send(folder / "one key frame.ts", g="1000")
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(b"".join(lossy(whole, 0)))
    received, _, error = receive(damaged)
    check_intact(received, sent_pictures(whole))
    assert received
    assert error.startswith("the stream sends data, but no intact frame since one was damaged or lost")


def test_damage_is_counted_in_the_problems(tmp_path: Path, folder: Path) -> None:
    whole, damaged = send(folder / "a key frame in ten.ts", **SENDERS["a key frame in ten"]), tmp_path / "damaged.ts"
    damaged.write_bytes(b"".join(lossy(whole, 0)))
    video = LiveVideo(StreamAddress(str(damaged), "cam", "cam", str, options=dict(LOW_DELAY)))
    with pytest.raises(SourceError, match="cam has ended"):
        list(video.frames())
    video.close()
    assert video.problems()[0].endswith("frames arrived damaged or not at all")


def damaged_after(interval_s: int) -> DecodeRecovery:
    """Return a stream with a key frame every ``interval_s``, damaged at time 0."""
    recovery = DecodeRecovery("mpeg4", b"")
    for number in range(3):
        assert recovery.on_frame(key_frame=True, pts=None, at_ns=number * interval_s * 10**9)
    recovery.on_damage(0)
    assert not recovery.on_frame(key_frame=False, pts=None, at_ns=1)
    return recovery


@pytest.mark.parametrize(("interval_s", "patience_s"), [(1, 10), (12, 24), (100, 60)])
def test_the_wait_for_an_intact_frame_follows_the_key_frame_interval(interval_s: int, patience_s: int) -> None:
    recovery = damaged_after(interval_s)
    assert recovery.on_time(patience_s * 10**9) is DecodeState.DAMAGED
    assert recovery.on_time(patience_s * 10**9 + 1) is DecodeState.GIVEN_UP
    assert not recovery.on_frame(key_frame=True, pts=0, at_ns=patience_s * 10**9 + 2)


def test_frames_of_an_independent_codec_are_always_intact() -> None:
    recovery = DecodeRecovery("mjpeg", b"")
    recovery.on_damage(0)
    assert recovery.on_frame(key_frame=False, pts=0, at_ns=0)
    assert recovery.on_time(10**12) is DecodeState.INTACT


MODULUS = 16


@dataclass(frozen=True)
class Damage:
    """The decoder reported an error."""


@dataclass(frozen=True)
class Packet:
    """An H.264 packet before it is decoded."""

    picture: Picture
    pts: int | None


@dataclass(frozen=True)
class Frame:
    """A frame that decoded without an error."""

    key_frame: bool
    pts: int | None


@dataclass(frozen=True)
class Time:
    """The reader asks whether an intact frame is overdue."""


Event = Damage | Packet | Frame | Time
PTS = st.none() | st.integers(0, 5)
STEPS = st.sampled_from([0, 1, 1, 1, 1, 2])
"""Increase of ``frame_num`` from packet to packet; after a reference frame, 2 means a missing frame."""
PICTURES = st.builds(
    Picture,
    is_idr=st.booleans(),
    is_reference=st.booleans(),
    frame_num=STEPS,
    modulus=st.just(MODULUS),
    gaps=st.booleans(),
    refresh=st.none() | st.integers(0, 3),
)
EVENTS = st.lists(
    st.tuples(
        st.one_of(
            st.just(Damage()),
            st.builds(Packet, PICTURES, PTS),
            st.builds(Frame, st.sampled_from([False, False, True]), PTS),
            st.builds(Frame, st.just(False), st.integers(0, 5)),
            st.just(Time()),
        ),
        st.sampled_from([0, 1, 2_000_000_000, 9_000_000_000, 30_000_000_000]),
    ),
    max_size=25,
)


def number_packets(events: Sequence[tuple[Event, int]]) -> Iterator[tuple[Event, int]]:
    """Replace the increase of ``frame_num`` in each packet by the number itself."""
    frame_num = 0
    for event, step_ns in events:
        if isinstance(event, Packet):
            frame_num = (frame_num + (event.picture.frame_num or 0)) % MODULUS
            yield Packet(replace(event.picture, frame_num=frame_num), event.pts), step_ns
        else:
            yield event, step_ns


class SlowModel:
    """Keeps no state: answers every question from the list of all events so far."""

    def __init__(self) -> None:
        self._events: list[tuple[Event, int]] = []

    def add(self, event: Event, at_ns: int) -> None:
        self._events.append((event, at_ns))

    def missing(self) -> int:
        """Return the number of reference frames that are missing before the last event, a packet."""
        return self._missing(len(self._events) - 1)

    def is_intact(self) -> bool:
        """Return whether the last event, a frame, is intact."""
        frame = self._events[-1][0]
        assert isinstance(frame, Frame)
        since = self._since_damage(len(self._events))
        recovered = self._has_passed(since) or (frame.pts is not None and frame.pts == self._recovery_time(since))
        return recovered and not self.is_given_up()

    def is_given_up(self) -> bool:
        """Return whether an intact frame was overdue at any time event so far."""
        return any(
            isinstance(event, Time) and self._is_overdue(index, at_ns)
            for index, (event, at_ns) in enumerate(self._events)
        )

    def _missing(self, index: int) -> int:
        packet = self._events[index][0]
        assert isinstance(packet, Packet)
        earlier = [event.picture for event, _ in self._events[:index] if isinstance(event, Packet)]
        references = [picture.frame_num for picture in earlier if picture.is_reference]
        if packet.picture.is_idr or packet.picture.gaps or not references:
            return 0
        assert packet.picture.frame_num is not None
        assert references[-1] is not None
        return max(0, (packet.picture.frame_num - references[-1]) % MODULUS - 1)

    def _is_damage(self, index: int) -> bool:
        event = self._events[index][0]
        return isinstance(event, Damage) or (isinstance(event, Packet) and self._missing(index) > 0)

    def _since_damage(self, end: int) -> Sequence[Event]:
        """Return the events before ``end`` from the last damage on; a packet that shows the damage is among them."""
        damages = [index for index in range(end) if self._is_damage(index)]
        return [event for event, _ in self._events[damages[-1] if damages else 0 : end]]

    def _recovery_time(self, events: Sequence[Event]) -> int | None:
        time: int | None = None
        for index, event in enumerate(events):
            if isinstance(event, Frame):
                earlier = time is None or (event.pts is not None and event.pts <= time)
                time = event.pts if event.key_frame and event.pts is not None and earlier else time
            elif isinstance(event, Packet) and time is None and self._is_refreshed(events[: index + 1]):
                time = event.pts
        return time

    def _is_refreshed(self, events: Sequence[Event]) -> bool:
        pictures = [event.picture for event in events if isinstance(event, Packet)]
        first = next((index for index, picture in enumerate(pictures) if picture.refresh is not None), None)
        if first is None:
            return False
        numbers = [picture.frame_num or 0 for picture in pictures[first:]]
        return sum((b - a) % MODULUS for a, b in pairwise(numbers)) >= (pictures[first].refresh or 0)

    def _has_passed(self, events: Sequence[Event]) -> bool:
        """Return whether a frame came after the recovery time, and the later ones with it."""
        for index, event in enumerate(events):
            if isinstance(event, Frame):
                time = self._recovery_time(events[:index])
                if event.pts is None and (event.key_frame or time is not None):
                    return True
                if event.pts is not None and time is not None and event.pts > time:
                    return True
        return False

    def _is_overdue(self, end: int, at_ns: int) -> bool:
        if self._has_passed(self._since_damage(end)):
            return False
        broken = [i for i in range(end) if self._is_damage(i) and self._has_passed(self._since_damage(i))]
        if not broken:
            return False
        keys = [at for event, at in self._events[:end] if isinstance(event, Frame) and event.key_frame]
        longest_ns = max((b - a for a, b in pairwise(keys)), default=0)
        return at_ns - self._events[broken[-1]][1] > min(max(2 * longest_ns, 10 * 10**9), 60 * 10**9)


@given(EVENTS)
@settings(max_examples=1000)
def test_states_agree_with_a_slow_model(events: list[tuple[Event, int]]) -> None:
    recovery, model, at_ns = DecodeRecovery("h264", b""), SlowModel(), 0
    for event, step_ns in number_packets(events):
        at_ns += step_ns
        model.add(event, at_ns)
        if isinstance(event, Damage):
            recovery.on_damage(at_ns)
        elif isinstance(event, Packet):
            assert recovery.on_picture(event.picture, event.pts, at_ns) == model.missing()
        elif isinstance(event, Frame):
            intact = recovery.on_frame(key_frame=event.key_frame, pts=event.pts, at_ns=at_ns)
            assert intact is model.is_intact()
        else:
            assert (recovery.on_time(at_ns) is DecodeState.GIVEN_UP) is model.is_given_up()

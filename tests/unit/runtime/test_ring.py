"""Ring: which frames a reader gets, which it skips, and that leased pixels do not change."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.runtime import ring as ring_module
from realtime_cropzoom.runtime.ring import EndOfStream, Lease, NewestReader, OrderedReader, Ring, TrailingReader
from realtime_cropzoom.types import FrameMeta

NOW = 0.0
"""Do not wait."""
SOON = 30.0
"""A wait that another thread will end; only a failing test waits so long."""


def meta(index: int) -> FrameMeta:
    return FrameMeta(index, index * 10, None, index * 10 + 3)


def write(ring: Ring, count: int = 1, timeout_s: float = NOW) -> None:
    """Write the next ``count`` frames. Each byte of a frame is its index."""
    for _ in range(count):
        due = time.monotonic() + timeout_s
        slot = ring.claim(timeout_s)
        while slot is None and time.monotonic() < due:  # woken, but not by a slot: ask again, as the capture stage does
            slot = ring.claim(timeout_s)
        assert slot is not None, f"no slot for frame {ring.newest + 1}"
        index = ring.newest + 1
        ring.memory(slot)[:] = index % 256
        ring.publish(slot, meta(index))


def taken(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def take_index(reader: NewestReader | OrderedReader) -> int:
    """Take a frame, check its pixels, release it, and return its index."""
    with taken(reader.take(NOW)) as lease:
        index = lease.frame.meta.index
        assert (np.asarray(lease.frame.image) == index % 256).all()
        return index


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[threading.Thread]:
    """Run ``work`` in a thread, and check at the end that it has ended without an error."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(SOON)
    assert not thread.is_alive()
    assert errors == []


def test_an_ordered_reader_gets_every_frame_in_order() -> None:
    ring = Ring(4, 2, 2)
    reader = OrderedReader(ring, max_lag=2)
    seen = []
    for _ in range(20):
        write(ring)
        seen.append(take_index(reader))
    assert seen == list(range(20))


def test_a_frame_carries_its_stamp_and_shape() -> None:
    ring = Ring(4, 3, 5)
    reader = OrderedReader(ring, max_lag=2)
    write(ring)
    with taken(reader.take(NOW)) as lease:
        assert lease.frame.meta == meta(0)
        assert lease.frame.image.shape == (3, 5, 3)
        assert lease.skipped == []


def test_within_max_lag_no_frame_is_skipped() -> None:
    ring = Ring(10, 2, 2)
    reader = OrderedReader(ring, max_lag=4)
    write(ring, 5)  # lag of frame 0 behind frame 4: exactly 4
    assert [take_index(reader) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_beyond_max_lag_the_newest_frame_survives_and_the_rest_is_skipped() -> None:
    ring = Ring(10, 2, 2)
    reader = OrderedReader(ring, max_lag=4)
    write(ring, 6)
    with taken(reader.take(NOW)) as lease:
        assert lease.frame.meta.index == 5
        assert lease.skipped == [meta(i) for i in range(5)]


def test_a_frame_that_is_overwritten_is_skipped_even_within_max_lag() -> None:
    ring = Ring(3, 2, 2)
    reader = OrderedReader(ring, max_lag=100)
    write(ring, 5)
    with taken(reader.take(NOW)) as lease:
        assert lease.frame.meta.index == 4
        assert lease.skipped == [meta(i) for i in range(4)]


def test_max_lag_zero_always_takes_the_newest() -> None:
    ring = Ring(4, 2, 2)
    reader = OrderedReader(ring, max_lag=0)
    write(ring, 2)
    assert take_index(reader) == 1
    write(ring)
    assert take_index(reader) == 2


@given(st.lists(st.integers(0, 6), max_size=30), st.integers(0, 5), st.integers(2, 6))
def test_taken_and_skipped_together_are_all_frames_once_and_in_order(
    bursts: list[int], max_lag: int, slots: int
) -> None:
    ring = Ring(slots, 1, 1)
    reader = OrderedReader(ring, max_lag)
    outcomes: list[int] = []
    for burst in bursts:
        write(ring, burst)
        lease = reader.take(NOW)
        if lease is not None:
            with lease:
                outcomes += [s.index for s in lease.skipped] + [lease.frame.meta.index]
                assert ring.newest - lease.frame.meta.index <= max_lag
    ring.close()
    while True:
        try:
            with taken(reader.take(NOW)) as lease:
                outcomes += [s.index for s in lease.skipped] + [lease.frame.meta.index]
        except EndOfStream:
            break
    assert outcomes == list(range(ring.newest + 1))


def test_two_ordered_readers_do_not_disturb_each_other() -> None:
    ring = Ring(6, 2, 2)
    quick, slow = OrderedReader(ring, max_lag=3), OrderedReader(ring, max_lag=3)
    for index in range(5):
        write(ring)
        assert take_index(quick) == index
    with taken(slow.take(NOW)) as lease:
        assert lease.frame.meta.index == 4
        assert len(lease.skipped) == 4


def test_a_newest_reader_takes_the_newest_and_reports_no_skipped_frames() -> None:
    ring = Ring(4, 2, 2)
    reader = NewestReader(ring)
    write(ring, 9)
    with taken(reader.take(NOW)) as lease:
        assert lease.frame.meta == meta(8)
        assert lease.skipped == []


def test_a_newest_reader_takes_no_frame_twice() -> None:
    ring = Ring(4, 2, 2)
    reader = NewestReader(ring)
    write(ring)
    assert take_index(reader) == 0
    assert reader.take(NOW) is None
    write(ring)
    assert take_index(reader) == 1


@pytest.mark.parametrize("make", [NewestReader, lambda ring: OrderedReader(ring, 3), lambda r: OrderedReader(r, None)])
def test_a_reader_that_waits_is_woken_by_the_next_frame(make: Callable[[Ring], NewestReader]) -> None:
    ring = Ring(8, 2, 2)
    reader = make(ring)
    with in_background(lambda: write(ring)):
        assert taken(reader.take(SOON)).frame.meta.index == 0


@pytest.mark.parametrize("make", [NewestReader, lambda ring: OrderedReader(ring, 3), lambda r: OrderedReader(r, None)])
def test_without_a_frame_in_time_there_is_none(make: Callable[[Ring], NewestReader]) -> None:
    assert make(Ring(3, 2, 2)).take(0.001) is None


def test_a_look_at_the_newest_frame_takes_nothing() -> None:
    ring = Ring(2, 2, 2)
    reader = NewestReader(ring)
    assert reader.peek(0.001) is None
    write(ring)
    write(ring)
    seen = reader.peek(NOW)
    assert seen is not None
    assert (seen.index, take_index(reader)) == (1, 1)
    assert reader.peek(0.001) is None
    ring.close()
    assert reader.peek(SOON) is None


def test_a_leased_slot_is_not_written_while_it_is_leased() -> None:
    ring = Ring(3, 2, 2)
    reader = NewestReader(ring)
    write(ring)
    lease = taken(reader.take(NOW))
    write(ring, 20)
    assert (np.asarray(lease.frame.image) == 0).all()
    lease.release()
    write(ring, 3)
    assert not (np.asarray(lease.frame.image) == 0).any()  # given back, it is used again


def test_a_slot_leased_twice_is_free_only_after_both_releases() -> None:
    ring = Ring(2, 2, 2)
    one, other = NewestReader(ring), NewestReader(ring)
    write(ring)
    first, second = taken(one.take(NOW)), taken(other.take(NOW))
    first.release()
    write(ring, 5)
    assert (np.asarray(second.frame.image) == 0).all()


def test_releasing_twice_gives_back_only_once() -> None:
    ring = Ring(2, 2, 2)
    one, other = NewestReader(ring), NewestReader(ring)
    write(ring)
    first, second = taken(one.take(NOW)), taken(other.take(NOW))
    first.release()
    first.release()
    write(ring, 5)
    assert (np.asarray(second.frame.image) == 0).all()


def test_a_lease_is_given_back_when_its_block_raises() -> None:
    ring = Ring(1, 2, 2)
    reader = NewestReader(ring)
    write(ring)
    with pytest.raises(ZeroDivisionError), taken(reader.take(NOW)):
        raise ZeroDivisionError
    write(ring)


def test_with_all_slots_leased_the_writer_gets_none() -> None:
    ring = Ring(2, 2, 2)
    reader = OrderedReader(ring, max_lag=5)
    write(ring, 2)
    first, second = taken(reader.take(NOW)), taken(reader.take(NOW))
    assert ring.claim(0.001) is None
    first.release()
    assert ring.claim(NOW) is not None
    second.release()


def test_a_writer_that_waits_is_woken_by_a_release() -> None:
    ring = Ring(1, 2, 2)
    reader = NewestReader(ring)
    write(ring)
    lease = taken(reader.take(NOW))
    with in_background(lambda: write(ring, 1, SOON)):
        lease.release()
    assert ring.newest == 1


def test_no_frame_is_half_written_while_the_writer_is_fast() -> None:
    """Two readers check each frame several times while a third thread writes as fast as it can."""
    ring = Ring(6, 64, 64)
    looked_at = [0, 0]

    def hammer() -> None:
        write(ring, 3000, SOON)
        ring.close()

    def look(which: int, reader: NewestReader | OrderedReader) -> None:
        try:
            while True:
                with taken(reader.take(SOON)) as lease:
                    for _ in range(3):
                        values = np.unique(np.asarray(lease.frame.image))
                        assert values.tolist() == [lease.frame.meta.index % 256]
                    looked_at[which] += 1
        except EndOfStream:
            pass

    newest, ordered = NewestReader(ring), OrderedReader(ring, max_lag=2)
    with in_background(lambda: look(0, newest)), in_background(lambda: look(1, ordered)), in_background(hammer):
        pass
    assert min(looked_at) > 0


def test_a_reader_in_lockstep_makes_the_writer_wait() -> None:
    ring = Ring(3, 2, 2)
    reader = OrderedReader(ring, max_lag=None)
    write(ring, 3)
    assert ring.claim(0.001) is None
    assert take_index(reader) == 0
    assert ring.claim(NOW) is not None


def test_readers_in_lockstep_lose_nothing_to_a_fast_writer() -> None:
    """One of them is slower, and both see every frame, whole and in order."""
    ring = Ring(3, 16, 16)
    seen: tuple[list[int], list[int]] = ([], [])

    def hammer() -> None:
        write(ring, 400, SOON)
        ring.close()

    def look(which: int, reader: OrderedReader) -> None:
        try:
            while True:
                with taken(reader.take(SOON)) as lease:
                    assert lease.skipped == []
                    assert (np.asarray(lease.frame.image) == lease.frame.meta.index % 256).all()
                    seen[which].append(lease.frame.meta.index)
                    if which:
                        np.sort(np.random.default_rng(0).random(2000))
        except EndOfStream:
            pass

    one, other = OrderedReader(ring, None), OrderedReader(ring, None)
    with in_background(lambda: look(0, one)), in_background(lambda: look(1, other)), in_background(hammer):
        pass
    assert seen[0] == seen[1] == list(range(400))


def test_a_reader_in_lockstep_keeps_its_frames_although_another_reads_the_newest() -> None:
    ring = Ring(3, 2, 2)
    reliable, newest = OrderedReader(ring, None), NewestReader(ring)
    write(ring, 3)
    assert take_index(newest) == 2
    assert ring.claim(0.001) is None
    assert [take_index(reliable) for _ in range(3)] == [0, 1, 2]


def test_after_close_an_ordered_reader_gets_the_rest_and_then_the_end() -> None:
    ring = Ring(6, 2, 2)
    reader = OrderedReader(ring, max_lag=5)
    write(ring, 3)
    ring.close()
    assert [take_index(reader) for _ in range(3)] == [0, 1, 2]
    for _ in range(2):  # for good
        with pytest.raises(EndOfStream):
            reader.take(NOW)


def test_after_close_a_newest_reader_gets_the_newest_and_then_the_end() -> None:
    ring = Ring(6, 2, 2)
    reader = NewestReader(ring)
    write(ring, 3)
    ring.close()
    assert take_index(reader) == 2
    with pytest.raises(EndOfStream):
        reader.take(NOW)


@pytest.mark.parametrize("make", [NewestReader, lambda ring: OrderedReader(ring, 3), lambda r: OrderedReader(r, None)])
def test_a_ring_closed_before_its_first_frame_ends_at_once(make: Callable[[Ring], NewestReader]) -> None:
    ring = Ring(3, 2, 2)
    reader = make(ring)
    ring.close()
    with pytest.raises(EndOfStream):
        reader.take(SOON)


@pytest.mark.parametrize("make", [NewestReader, lambda ring: OrderedReader(ring, 3), lambda r: OrderedReader(r, None)])
def test_a_reader_that_waits_is_woken_by_the_end(make: Callable[[Ring], NewestReader]) -> None:
    ring = Ring(3, 2, 2)
    reader = make(ring)
    with in_background(ring.close), pytest.raises(EndOfStream):
        reader.take(SOON)


def test_stamps_outlive_the_pixels() -> None:
    ring = Ring(2, 1, 1)
    write(ring, 50)
    assert ring.metas(10, 13) == [meta(10), meta(11), meta(12)]


@pytest.mark.parametrize(
    ("first", "end", "expected"),
    [
        pytest.param(0, 5, [0, 1, 2, 3, 4], id="all"),
        pytest.param(3, 99, [3, 4], id="beyond the newest"),
        pytest.param(4, 2, [], id="backwards"),
        pytest.param(5, 9, [], id="not there yet"),
    ],
)
def test_stamps_returns_the_frames_that_exist(first: int, end: int, expected: list[int]) -> None:
    ring = Ring(2, 1, 1)
    write(ring, 5)
    assert [s.index for s in ring.metas(first, end)] == expected


def test_an_empty_ring_has_no_stamps() -> None:
    assert Ring(2, 1, 1).metas(0, 10) == []


def test_frames_whose_times_are_forgotten_are_still_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_module, "_METAS", 8)
    ring = Ring(2, 1, 1)
    reader = OrderedReader(ring, max_lag=3)
    write(ring, 20)
    assert ring.metas(12, 20) == [meta(i) for i in range(12, 20)]
    assert ring.metas(0, 12) == [FrameMeta(i, 0, None, 0) for i in range(12)]
    with taken(reader.take(NOW)) as lease:
        assert lease.frame.meta == meta(19)
        assert [s.index for s in lease.skipped] == list(range(19))


def test_a_frame_out_of_order_is_refused() -> None:
    ring = Ring(3, 1, 1)
    write(ring)
    slot = ring.claim(NOW)
    assert slot is not None
    with pytest.raises(ValueError, match="frame 5 published after frame 0"):
        ring.publish(slot, meta(5))


def test_a_trailing_reader_loses_only_what_was_overwritten() -> None:
    ring = Ring(6, 2, 2)
    reader = TrailingReader(ring)
    write(ring, 3)
    assert [take_index(reader) for _ in range(3)] == [0, 1, 2]
    write(ring, 8)
    with taken(reader.take(NOW)) as lease:  # 3 and 4 are gone; the leased one is not overwritten
        assert lease.frame.meta.index == 5
        assert [s.index for s in lease.skipped] == [3, 4]
        write(ring, 2)
        assert (np.asarray(lease.frame.image) == 5).all()
    assert [take_index(reader) for _ in range(5)] == [8, 9, 10, 11, 12]
    assert reader.take(NOW) is None


def test_a_trailing_reader_in_lockstep_loses_nothing() -> None:
    ring = Ring(4, 2, 2)
    reader = TrailingReader(ring, lockstep=True)
    write(ring, 4)
    assert ring.claim(NOW) is None
    assert take_index(reader) == 0
    write(ring)
    assert [take_index(reader) for _ in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("lockstep", [False, True])
def test_a_frame_can_be_taken_by_its_number(lockstep: bool) -> None:
    """The frames before it are given up, so that in lockstep the writer can go on."""
    ring = Ring(4, 2, 2)
    reader = TrailingReader(ring, lockstep=lockstep)
    write(ring, 4)
    with taken(reader.take_frame(2)) as lease:
        assert (np.asarray(lease.frame.image) == 2).all()
    write(ring, 2)
    assert reader.take_frame(1) is None
    with taken(reader.take_frame(5)) as lease:
        assert lease.frame.meta.index == 5


def test_a_kept_image_is_handed_out_as_it_is_and_forgotten_with_its_slot() -> None:
    ring = Ring(2, 4, 4, kept=True)
    reader, images = NewestReader(ring), [np.full((4, 4, 3), value, np.uint8) for value in range(3)]
    gone = [weakref.ref(image) for image in images]
    for index in range(3):
        slot = ring.claim(NOW)
        assert slot is not None
        ring.publish(slot, meta(index), images.pop(0))
        with taken(reader.take(NOW)) as lease:
            assert lease.frame.image is gone[index]()
    del lease
    assert [image() is None for image in gone] == [True, False, False], "the ring has two slots"


def test_a_copied_frame_may_follow_a_kept_one() -> None:
    ring = Ring(1, 2, 2, kept=True)
    reader = NewestReader(ring)
    for index in range(4):
        slot = ring.claim(NOW)
        assert slot is not None
        if index % 2:
            ring.memory(slot)[:] = index
        ring.publish(slot, meta(index), None if index % 2 else np.full((2, 2, 3), index, np.uint8))
        assert take_index(reader) == index

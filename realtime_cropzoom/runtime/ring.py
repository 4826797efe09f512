"""Ring buffer: holds the newest n frames.

The writer puts each frame into the oldest slot without a lease: a copy, in memory that belongs to the slot, or
a frame of a decoder, which is kept by reference until the slot is used again. A reader leases a slot while it
reads the pixels, and the writer never writes to a leased slot, so no reader sees a half-written
frame. There are three kinds of readers:

* ``NewestReader`` receives the newest frame that it has not seen, and ignores older ones.
* ``OrderedReader`` receives every frame in order. With ``max_lag=None`` the writer waits for it
  (lockstep, ``pace: fast``). With a number it may fall behind by that number of frames; then it jumps to the newest
  frame and receives ``FrameMeta`` of the frames that it skipped.
* ``TrailingReader`` receives every frame in order while the ring holds it. A slow one loses only the
  frames that were overwritten before it came.

Metadata stay longer than pixels: the ring keeps ``FrameMeta`` of far more frames than it has slots, so
that a skipped frame still has its times.

One lock guards everything but the pixels. A method whose name ends in ``_locked`` expects that its caller holds this
lock; the readers below hold it, too, when they use the private attributes of the ring. Readers wait for a frame and
the writer for a slot, on two conditions of the lock. A released slot therefore does not wake the readers.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

import numpy as np

from realtime_cropzoom.types import Frame, FrameMeta, Picture, UInt8

_METAS = 1 << 14
"""Number of frames whose ``FrameMeta`` is kept."""


class EndOfStream(Exception):
    """The ring is closed and holds no further frame for this reader."""


class Lease:
    """A frame whose pixels do not change until the lease is released."""

    def __init__(self, ring: Ring, slot: int, frame: Frame, skipped: list[FrameMeta]) -> None:
        self._ring: Ring | None = ring
        self._slot = slot
        self.frame = frame
        self.skipped = skipped
        """Stamps of the frames skipped since the reader's last one, oldest first."""

    def release(self) -> None:
        """Release the slot. Further calls do nothing."""
        if self._ring is not None:
            self._ring._release(self._slot)
            self._ring = None

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()


class Ring:
    """The buffer. It has one writer thread, and one thread per reader."""

    def __init__(self, slots: int, height: int, width: int, *, kept: bool = False) -> None:
        """Create the ring.

        Args:
            slots: Number of frames.
            height: Of the frames, in pixels.
            width: Likewise.
            kept: Whether frames are kept by reference. Only then slots have no memory before a frame is copied.
        """
        self.slots = slots
        self._shape = (height, width, 3)
        self._memory: list[UInt8 | None] = [None] * slots
        self._images: list[Picture | None] = [None] * slots
        if not kept:
            for slot in range(slots):
                self.memory(slot)
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._freed = threading.Condition(self._lock)
        self._held: dict[int, int] = {}  # frame index → slot, oldest first
        self._free = list(range(slots))
        self._leases = [0] * slots
        self._metas: deque[FrameMeta] = deque(maxlen=_METAS)
        self._readers: list[OrderedReader] = []
        self._closed = False
        self.newest = -1
        """Index of the newest frame, -1 before the first."""

    def claim(self, timeout_s: float) -> int | None:
        """Return a slot for the next frame, or None if none became free within ``timeout_s`` (s).

        In a live run a slot is always free if there are more slots than leases.
        """
        with self._lock:
            slot = self._take_slot_locked()
            if slot is None:
                self._freed.wait(timeout_s)
                slot = self._take_slot_locked()
            return slot

    def memory(self, slot: int) -> UInt8:
        """Return the memory of a claimed slot, (height, width, 3) uint8, to copy a frame into."""
        memory = self._memory[slot]
        if memory is None:
            # Filled, not zeros: those are only given memory when they are first written to, which takes milliseconds.
            memory = self._memory[slot] = np.full(self._shape, 0, np.uint8)
        return memory

    def grow(self, slots: int, *, kept: bool) -> None:
        """Add slots until there are ``slots``. Another thread than those of the frames does this.

        Args:
            slots: Number of frames.
            kept: Whether frames are kept by reference, as when the ring was made.
        """
        while self.slots < slots:
            self._memory.append(None)
            self._images.append(None)
            self._leases.append(0)
            if not kept:
                self.memory(self.slots)  # takes a while: no lock is held
            with self._lock:
                self._free.append(self.slots)
                self.slots += 1

    def publish(self, slot: int, meta: FrameMeta, image: Picture | None = None) -> None:
        """Make the frame in a claimed slot visible to readers.

        Args:
            slot: The slot.
            meta: Index and times of the frame.
            image: The frame, to keep by reference; None if it was copied to ``memory``.

        Raises:
            ValueError: if its index is not the next.
        """
        with self._lock:
            if meta.index != self.newest + 1:
                raise ValueError(f"frame {meta.index} published after frame {self.newest}")
            self._images[slot] = self._memory[slot] if image is None else image
            self._held[meta.index] = slot
            self._metas.append(meta)
            self.newest = meta.index
            self._arrived.notify_all()

    def close(self) -> None:
        """Announce the end of the stream. Readers get the remaining frames, then ``EndOfStream``."""
        with self._lock:
            self._closed = True
            self._arrived.notify_all()

    @property
    def closed(self) -> bool:
        """Whether no further frame comes. It only changes from False to True."""
        return self._closed

    def _take_slot_locked(self) -> int | None:
        """Return a free slot, or the oldest one whose frame no reader leases or waits for; None if there is none."""
        if self._free:
            return self._free.pop()
        needed_from = min((r.next_index for r in self._readers if r.max_lag is None), default=self.newest + 1)
        for index, slot in self._held.items():
            if index >= needed_from:
                return None
            if self._leases[slot] == 0:
                del self._held[index]
                self._images[slot] = None  # the decoder may use the memory of the frame again
                return slot
        return None

    def _lease_locked(self, index: int, skipped: list[FrameMeta]) -> Lease:
        slot = self._held[index]
        self._leases[slot] += 1
        image = self._images[slot]
        assert image is not None  # published
        return Lease(self, slot, Frame(self._stamp_locked(index), image), skipped)

    def _release(self, slot: int) -> None:
        with self._lock:
            self._leases[slot] -= 1
            self._freed.notify()

    def _stamp_locked(self, index: int) -> FrameMeta:
        """Return index and times of a frame, without times if the ring no longer keeps it."""
        oldest = self._metas[0].index
        return self._metas[index - oldest] if index >= oldest else FrameMeta(index, 0, None, 0)

    def metas(self, first: int, end: int) -> list[FrameMeta]:
        """Return index and times of frames ``first`` … ``end`` - 1, without times for frames that are too old."""
        with self._lock:
            return self._stamps_between_locked(first, end)

    def _stamps_between_locked(self, first: int, end: int) -> list[FrameMeta]:
        return [self._stamp_locked(i) for i in range(first, min(end, self.newest + 1))]


class NewestReader:
    """Takes the newest frame each time. It misses any number of frames between two calls."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self._last = -1

    def peek(self, timeout_s: float) -> FrameMeta | None:
        """Return the newest frame's index and times if it is new, or None if none came within ``timeout_s`` (s)."""
        ring = self.ring
        with ring._lock:
            if ring.newest == self._last and not ring._closed:
                ring._arrived.wait_for(lambda: ring.newest > self._last or ring._closed, timeout_s)
            return ring._stamp_locked(ring.newest) if ring.newest > self._last else None

    def take(self, timeout_s: float) -> Lease | None:
        """Return the newest frame if it is new, or None if none came within ``timeout_s`` (s). Raises EndOfStream."""
        ring = self.ring
        with ring._lock:
            if ring.newest == self._last and not ring._closed:
                ring._arrived.wait_for(lambda: ring.newest > self._last or ring._closed, timeout_s)
            if ring.newest > self._last:
                self._last = ring.newest
                return ring._lease_locked(ring.newest, [])
            if ring._closed:
                raise EndOfStream
            return None


class OrderedReader:
    """Takes frames in order. The docstring of the module explains ``max_lag`` (frames)."""

    def __init__(self, ring: Ring, max_lag: int | None) -> None:
        self.ring = ring
        self.max_lag = max_lag
        self.next_index = 0
        ring._readers.append(self)

    def take(self, timeout_s: float) -> Lease | None:
        """Return the next frame, or None if none came within ``timeout_s`` (s). Raises EndOfStream."""
        ring = self.ring
        with ring._lock:
            if ring.newest < self.next_index and not ring._closed:
                ring._arrived.wait_for(lambda: ring.newest >= self.next_index or ring._closed, timeout_s)
            if ring.newest < self.next_index:
                if ring._closed:
                    raise EndOfStream
                return None
            first = self._choose_locked()
            skipped = ring._stamps_between_locked(self.next_index, first)
            lease = ring._lease_locked(first, skipped)
            self.next_index = first + 1
            if self.max_lag is None:
                ring._freed.notify()  # the writer may wait for this reader
            return lease

    def _choose_locked(self) -> int:
        """Return the index of the next frame to take, among the frames in the ring."""
        ring, first = self.ring, self.next_index
        if self.max_lag is not None and (ring.newest - first > self.max_lag or first not in ring._held):
            return ring.newest
        return first


class TrailingReader(OrderedReader):
    """Takes frames in order, as far behind the newest as the ring reaches."""

    def __init__(self, ring: Ring, *, lockstep: bool = False) -> None:
        """In ``lockstep`` the writer waits for it, and no frame is overwritten before it was taken."""
        super().__init__(ring, None if lockstep else ring.slots)

    @classmethod
    def from_now(cls, ring: Ring, *, lockstep: bool = False) -> TrailingReader:
        """Return a reader whose first frame is the next one that the ring gets."""
        with ring._lock:
            reader = cls(ring, lockstep=lockstep)
            reader.next_index = ring.newest + 1
            return reader

    def close(self) -> None:
        """Take no further frame. In lockstep the writer waits for this reader no longer."""
        with self.ring._lock:
            if self in self.ring._readers:
                self.ring._readers.remove(self)
            self.ring._freed.notify()

    def take_frame(self, index: int) -> Lease | None:
        """Return frame ``index``, or None if it was overwritten. Later calls must not ask for earlier frames."""
        ring = self.ring
        with ring._lock:
            self.next_index = index + 1
            lease = ring._lease_locked(index, []) if index in ring._held else None
            ring._freed.notify()  # in lockstep the writer may wait for this reader
            return lease

    def _choose_locked(self) -> int:
        return next((index for index in self.ring._held if index >= self.next_index), self.ring.newest)

"""Frame reader: decodes a video ahead, in a thread of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.runtime.started import Started
from realtime_cropzoom.sources.base import CapturedFrame, SourceInfo
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.types import Frame, FrameMeta

_MAX_QUEUED = 8
"""Maximum number of decoded frames that wait to be used."""
_POLL_S = 0.2
_OPEN_TIMEOUT_S = 600.0
"""Timeout (s) for opening a source. A long video without an index may be read completely first."""


def count_frames(source: str) -> int:
    """Return the number of frames that decode. The header of a file may count more. Raises SourceError."""
    opened = open_source(source)
    try:
        return sum(1 for _ in opened.frames())
    finally:
        opened.close()


class FrameReader:
    """Iterates over the frames of a source, in order. Use it as a context manager, once."""

    def __init__(self, source: str) -> None:
        """Open ``source`` (a video file, or synthetic:arena). Raises SourceError."""
        self._queue: queue.Queue[Frame | BaseException | None] = queue.Queue(_MAX_QUEUED)
        self._stop = threading.Event()
        self._opened = Started(SourceError, "is the disk there?")
        self._begin = threading.Event()
        self._first = 0
        self._info: SourceInfo | None = None
        self.problems: list[str] = []
        """Problems that did not end the stream; complete after the last frame."""
        self.skipped_pts_ns = array("q")
        """Frame times (ns) of the frames that were skipped at the beginning."""
        self._thread = threading.Thread(target=self._read, args=(source,), name="cropzoom-decode", daemon=True)
        self._thread.start()
        self._opened.wait(source, _OPEN_TIMEOUT_S)

    @property
    def info(self) -> SourceInfo:
        """Properties of the source."""
        assert self._info is not None
        return self._info

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Yield every frame from number ``first`` on. ``problems`` then says what the source lacks.

        Raises:
            SourceError: if reading fails.
        """
        self._first = first
        self._begin.set()
        while True:
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._begin.set()
        with contextlib.suppress(queue.Empty):  # frees a thread that waits for room in the queue
            while True:
                self._queue.get_nowait()
        self._thread.join(2.0)

    def _read(self, name: str) -> None:
        try:
            source = open_source(name)
        except BaseException as error:
            self._opened.fail(error)
            return
        try:
            self._info = source.info
            self._opened.ready()
            self._begin.wait()
            ended: list[str] = []
            for index, captured in enumerate(source.frames()):
                if self._stop.is_set():
                    return
                if other := self._another_size(index, captured):
                    ended.append(other)
                    break
                self._hand_over(index, captured)
            self.problems = [*source.problems(), *ended]
            self._put(None)
        except BaseException as error:
            self._put(error)
        finally:
            source.close()

    def _another_size(self, index: int, captured: CapturedFrame) -> str:
        """Return a problem if a frame differs in size from the first; the result then ends before it. Else empty."""
        info = self.info
        if (captured.width, captured.height) == (info.width, info.height):
            return ""
        return (
            f"frame {index} of {info.name} is {captured.width}x{captured.height}, but the video began as "
            f"{info.width}x{info.height}; the result ends before it"
        )

    def _hand_over(self, index: int, captured: CapturedFrame) -> None:
        meta = FrameMeta(index, captured.pts_ns, captured.device_ns, now_ns())
        if index < self._first:
            self.skipped_pts_ns.append(meta.pts_ns)
            return
        self._put(Frame(meta, captured.copied() if captured.image is None else captured.image))

    def _put(self, item: Frame | BaseException | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_S)
                return


@contextmanager
def progress(what: str, total: int | None, done: int = 0, *, unit: str = "frames") -> Iterator[Any]:
    """Show a progress bar, if the output is a terminal.

    Args:
        what: Name of the input.
        total: Number of units; None if unknown.
        done: Number of units that an earlier command finished.
        unit: What is counted.

    Yields:
        The bar. Call ``update`` after each unit.
    """
    from tqdm import tqdm  # imported here, because commands that decode nothing also import this module

    with tqdm(desc=what, total=total, initial=done, unit=f" {unit}", disable=None, dynamic_ncols=True) as bar:
        yield bar

"""Pictures of a finished session as JPEG: one thread finds the film, decodes what is asked for, and a little ahead."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cv2

from realtime_cropzoom.errors import CropzoomError, one_line
from realtime_cropzoom.sessions.films import Film, NoPicture, open_film
from realtime_cropzoom.sessions.review_session import ReviewSession
from realtime_cropzoom.types import UInt8

MAX_WIDTH = 4096
"""Maximum width (pixels) of a picture."""
_AHEAD = 12
"""Number of frames that are decoded ahead of the last one asked for, while nobody asks for another."""
_CACHE_BYTES = 48 << 20
"""Maximum size (bytes) of the JPEG files that are kept."""
_QUALITY = 88
_MAX_WAITING = 64
"""Maximum number of pictures that wait to be decoded. A page asks for a few at a time."""
_Request = tuple[int, int, "Future[bytes]"]


class Pictures:
    """The pictures of a session. Any thread may ask for them."""

    def __init__(self, review: ReviewSession, source: Path | None = None) -> None:
        """Start to look for the film.

        Args:
            review: The session.
            source: Its video, if the user names one.
        """
        self._review, self._source = review, source
        self._requests: queue.Queue[_Request | None] = queue.Queue(_MAX_WAITING)
        self._jpegs: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._status: dict[str, Any] = {"state": "indexing", "title": None, "progress": 0.0, "size": None, "fps": None}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="cropzoom-pictures", daemon=True)
        self._thread.start()

    def status(self) -> dict[str, Any]:
        """Return what the page shows of the film.

        Returns:
            ``state`` (``indexing``, ``ready`` or ``none``), ``title`` (what the pictures are, or why there are none),
            ``progress`` of the index (0 to 1), ``size`` (width and height in pixels) and nominal ``fps``; None if
            unknown.
        """
        return dict(self._status)

    def ask(self, frame: int, width: int) -> Future[bytes]:
        """Return the JPEG of exactly this frame, in future.

        Args:
            frame: The captured frame.
            width: Width of the picture (pixels); it is never larger than the frame.

        Returns:
            A future. It raises NoPicture if there is no picture of the frame, or too many are waiting.
        """
        future: Future[bytes] = Future()
        try:
            if self._stopped.is_set():
                raise queue.Full
            self._requests.put_nowait((frame, min(max(1, width), MAX_WIDTH), future))
        except queue.Full:
            future.set_exception(NoPicture("too many pictures are asked for at a time"))
        return future

    def close(self) -> None:
        """End the thread and close the files."""
        self._stopped.set()
        with contextlib.suppress(queue.Full):  # the thread is awake then
            self._requests.put_nowait(None)
        self._thread.join(5.0)

    def _work(self) -> None:
        film: Film | None = None
        why_not = ""
        try:
            film = open_film(self._review, self._source, self._indexed)
            first = self._first_picture(film)
            size = None if first is None else [first.shape[1], first.shape[0]]
            self._status = {"state": "ready", "title": film.title, "progress": 1.0, "size": size, "fps": film.fps}
        except Exception as error:  # whatever a library raises about a file: the poses are shown without pictures
            why_not = str(error) if isinstance(error, CropzoomError) else one_line(error)
            self._status = {"state": "none", "title": why_not, "progress": 1.0, "size": None, "fps": None}
        try:
            self._serve(None if why_not else film, why_not)
        finally:
            if film is not None:
                film.close()

    def _indexed(self, share: float) -> None:
        if self._stopped.is_set():
            raise NoPicture("the review was closed")
        self._status = {**self._status, "progress": round(share, 3)}

    def _first_picture(self, film: Film) -> UInt8 | None:
        """Return a picture near the beginning, for the size; None if none of some frames has one."""
        for frame in sorted({0, *(self._review.count * k // 16 for k in range(16))}):
            try:
                return film.read(frame)
            except NoPicture:
                continue
        return None

    def _serve(self, film: Film | None, why_not: str) -> None:
        last = -1
        while not self._stopped.is_set():
            request = self._next_request(film, last)
            if request is None:
                break
            frame, width, future = request
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if film is None:
                    raise NoPicture(why_not)
                future.set_result(self._jpeg(film, frame, width))
                last = frame
            except Exception as error:  # whoever asked gets it; the thread goes on
                future.set_exception(error)
        self._refuse_waiting()

    def _next_request(self, film: Film | None, last: int) -> _Request | None:
        """Return the next request; decode ahead while there is none."""
        if film is not None and last >= 0:
            for ahead in range(last + 1, min(last + 1 + _AHEAD, self._review.count)):
                with contextlib.suppress(queue.Empty):
                    return self._requests.get_nowait()
                film.prepare(ahead)
        return self._requests.get()

    def _jpeg(self, film: Film, frame: int, width: int) -> bytes:
        key = frame, width
        if key in self._jpegs:
            self._jpegs.move_to_end(key)
            return self._jpegs[key]
        jpeg = encode_jpeg(film.read(frame), width)
        self._jpegs[key] = jpeg
        self._bytes += len(jpeg)
        while self._bytes > _CACHE_BYTES:
            self._bytes -= len(self._jpegs.popitem(last=False)[1])
        return jpeg

    def _refuse_waiting(self) -> None:
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return
            if request is not None and request[2].set_running_or_notify_cancel():
                request[2].set_exception(NoPicture("the review was closed"))


def encode_jpeg(picture: UInt8, width: int) -> bytes:
    """Return a picture as JPEG.

    Args:
        picture: (H, W, 3) uint8 RGB.
        width: Width (pixels) to which it is reduced, if it is wider.
    """
    height, full = picture.shape[:2]
    if width < full:
        size = width, max(1, round(height * width / full))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise NoPicture(f"a picture of {full}x{height} pixels cannot be made a JPEG")
    return bytes(jpeg.tobytes())

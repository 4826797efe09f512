"""From which frame on a stream that was damaged is whole again. Pure.

Frames are made from those before them, so that a damaged one spoils all that follow, up to a key
frame. Some encoders send none after the first: they send the picture anew stripe by stripe, and
say in the stream (H.264's recovery point) with how many frames it has all been sent. Where a
stream says neither, nothing tells a whole frame from a spoilt one, and none is taken for one.
"""

from __future__ import annotations

from typing import SupportsBytes

from realtime_cropzoom.sources.h264 import Picture, PictureReader

LEANING = ("av1", "h263", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "vvc")
"""Codecs whose frames are made from earlier ones."""
_PATIENCE_NS = (10_000_000_000, 60_000_000_000)
"""Twice the longest time between two key frames is waited for the next one, but at least and at most so long."""


class Recovery:
    """Follows one stream: each packet before it is decoded, all damage, and each frame that came of it."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._leans = codec in LEANING
        self._reader = PictureReader(extradata) if codec == "h264" else None
        self._last_reference: int | None = None
        self._is_whole = not self._leans
        self._since_ns: int | None = None
        """When the damage was that has not been made good yet."""
        self._last: int | None = None
        """``frame_num`` of the last packet."""
        self._to_go: int | None = None
        """By how much it is to rise until all of the picture has been sent anew; None before a packet says so."""
        self._whole_from: int | None = None
        """Time stamp of the frame with which it has."""
        self._key_ns: int | None = None
        self._longest_ns = 0
        """Between two key frames."""

    def add(self, packet: SupportsBytes, pts: int | None, at_ns: int) -> int:
        """Follow a packet; return how many frames are missing before it, on which it leans."""
        picture = self._reader.read(bytes(packet)) if self._reader else None
        if picture is None or picture.frame_num is None:
            return 0
        missing = self._missing(picture, picture.frame_num)
        if missing:
            self.damaged(at_ns)
        self._follow_refresh(picture, picture.frame_num, pts)
        if picture.is_reference:
            self._last_reference = picture.frame_num
        return missing

    def damaged(self, at_ns: int) -> None:
        """Trust nothing that comes until it is all sent anew: what was begun of that does not count."""
        if self._is_whole:
            self._since_ns = at_ns
        self._is_whole = not self._leans
        self._to_go = self._whole_from = None

    def is_whole(self, key_frame: bool, pts: int | None, at_ns: int) -> bool:
        """Whether a frame that decoded well leans on no damaged one."""
        if key_frame:
            if self._key_ns is not None:
                self._longest_ns = max(self._longest_ns, at_ns - self._key_ns)
            self._key_ns = at_ns
        if self._is_whole or pts is None or (self._whole_from is not None and pts > self._whole_from):
            self._is_whole |= key_frame or self._whole_from is not None
        elif key_frame:
            self._whole_from = pts  # what comes after it and is shown before it may lean on what was before it
        if self._is_whole:
            self._since_ns = None
        return self._is_whole or (pts is not None and pts == self._whole_from)

    def is_given_up(self, at_ns: int) -> bool:
        """Whether frames were whole before, and have not been again for so long that they may never be."""
        least_ns, most_ns = _PATIENCE_NS
        return self._since_ns is not None and at_ns - self._since_ns > min(max(2 * self._longest_ns, least_ns), most_ns)

    def _missing(self, picture: Picture, frame_num: int) -> int:
        if picture.is_idr or picture.gaps or self._last_reference is None:
            return 0
        ahead = (frame_num - self._last_reference) % picture.modulus
        return max(0, ahead - 1)  # the same number is a second field's, the next one the next frame's

    def _follow_refresh(self, picture: Picture, frame_num: int, pts: int | None) -> None:
        last, self._last = self._last, frame_num
        if self._is_whole or self._whole_from is not None:
            return
        if self._to_go is not None and last is not None:
            self._to_go -= (frame_num - last) % picture.modulus
        elif picture.refresh is not None:
            self._to_go = picture.refresh
        if self._to_go is not None and self._to_go <= 0:
            self._whole_from = pts

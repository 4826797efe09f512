"""Recovery after damage to a stream: finds the first frame that is intact again. Pure.

Frames depend on earlier ones, so a damaged frame spoils all later ones up to a key frame. Some encoders
send no key frame after the first: they refresh the picture stripe by stripe, and state in the stream
(H.264's recovery point) after how many frames all of it is refreshed. In a stream with neither, intact
frames cannot be told from damaged ones, and none is accepted.
"""

from __future__ import annotations

from typing import SupportsBytes

from realtime_cropzoom.sources.h264 import Picture, PictureReader

LEANING = ("av1", "h263", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "vvc")
"""Codecs whose frames depend on earlier ones."""
_PATIENCE_NS = (10_000_000_000, 60_000_000_000)
"""Minimum and maximum time (ns) to wait for an intact frame. In between, it is twice the longest key frame interval."""


class Recovery:
    """State of one stream, from each packet before it is decoded, all damage, and each decoded frame."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._leans = codec in LEANING
        self._reader = PictureReader(extradata) if codec == "h264" else None
        self._last_reference: int | None = None
        self._is_whole = not self._leans
        self._since_ns: int | None = None
        """Time (ns) of the damage that is not repaired yet; None if there is none."""
        self._last: int | None = None
        """``frame_num`` of the last packet."""
        self._to_go: int | None = None
        """Increase of ``frame_num`` until the whole picture is refreshed; None before a packet states it."""
        self._whole_from: int | None = None
        """Timestamp (pts) of the frame with which the whole picture is refreshed; None if unknown."""
        self._key_ns: int | None = None
        self._longest_ns = 0
        """Longest interval (ns) between two key frames."""

    def add(self, packet: SupportsBytes, pts: int | None, at_ns: int) -> int:
        """Process a packet before it is decoded.

        Args:
            packet: The bytes of the packet.
            pts: Its timestamp; None if it has none.
            at_ns: The current time (ns).

        Returns:
            Number of reference frames that are missing before it; 0 for codecs other than H.264.
        """
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
        """Distrust all frames until the whole picture is refreshed. A refresh that is under way does not count.

        Args:
            at_ns: The current time (ns).
        """
        if self._is_whole:
            self._since_ns = at_ns
        self._is_whole = not self._leans
        self._to_go = self._whole_from = None

    def is_whole(self, key_frame: bool, pts: int | None, at_ns: int) -> bool:
        """Return whether a frame that decoded without error depends on no damaged one.

        Args:
            key_frame: Whether it is a key frame.
            pts: Its timestamp; None if it has none.
            at_ns: The current time (ns).
        """
        if key_frame:
            if self._key_ns is not None:
                self._longest_ns = max(self._longest_ns, at_ns - self._key_ns)
            self._key_ns = at_ns
        if self._is_whole or pts is None or (self._whole_from is not None and pts > self._whole_from):
            self._is_whole |= key_frame or self._whole_from is not None
        elif key_frame:
            self._whole_from = pts  # frames decoded after it but shown before it may depend on earlier ones
        if self._is_whole:
            self._since_ns = None
        return self._is_whole or (pts is not None and pts == self._whole_from)

    def is_given_up(self, at_ns: int) -> bool:
        """Return whether an intact frame after damage is overdue, so that none may ever come. ``at_ns`` is now."""
        least_ns, most_ns = _PATIENCE_NS
        return self._since_ns is not None and at_ns - self._since_ns > min(max(2 * self._longest_ns, least_ns), most_ns)

    def _missing(self, picture: Picture, frame_num: int) -> int:
        if picture.is_idr or picture.gaps or self._last_reference is None:
            return 0
        ahead = (frame_num - self._last_reference) % picture.modulus
        return max(0, ahead - 1)  # an equal number is the second field, the next number the next frame

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

"""Decode recovery: decides which frames of a damaged stream are intact. No I/O.

Frames depend on earlier ones, so a damaged frame spoils all later ones up to a key frame. Some encoders
send no key frame after the first: they refresh the picture stripe by stripe, and state in the stream
(H.264's recovery point) after how many frames all of it is refreshed. In a stream with neither, intact
frames cannot be distinguished from damaged ones, and no frame is accepted.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import SupportsBytes

from realtime_cropzoom.sources.h264 import Picture, PictureReader

DEPENDENT_CODECS = ("av1", "h263", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "vvc")
"""Codecs whose frames depend on earlier ones."""
_MIN_PATIENCE_NS, _MAX_PATIENCE_NS = 10_000_000_000, 60_000_000_000
"""Minimum and maximum time (ns) to wait for an intact frame. In between, it is twice the longest key frame interval."""


class DecodeState(Enum):
    """Trust in the frames that the decoder returns."""

    INTACT = auto()
    """Frames are as they were sent."""
    DAMAGED = auto()
    """Frames may depend on damaged or missing ones."""
    RECOVERING = auto()
    """The time of the frame from which on all of the picture is intact is known, but no later frame has come yet."""
    GIVEN_UP = auto()
    """No intact frame came in time after damage, so that none may ever come."""


class DecodeRecovery:
    """State machine of one stream. It begins in DAMAGED, because a reader may join in the middle of a picture.

    ============  ====================================  ==========  ============
    State         Event                                 Next state  Frame intact
    ============  ====================================  ==========  ============
    not GIVEN_UP  damage, or a missing reference frame  DAMAGED
    INTACT        frame                                 INTACT      yes
    DAMAGED       packet that completes a refresh       RECOVERING
    DAMAGED       key frame                             RECOVERING  yes
    DAMAGED       key frame without a timestamp         INTACT      yes
    DAMAGED       other frame                           DAMAGED     no
    RECOVERING    frame after the recovery time         INTACT      yes
    RECOVERING    frame without a timestamp             INTACT      yes
    RECOVERING    frame at the recovery time            RECOVERING  yes
    RECOVERING    key frame before the recovery time    RECOVERING  yes
    RECOVERING    other frame before the recovery time  RECOVERING  no
    not INTACT    time, if an intact frame is overdue   GIVEN_UP
    GIVEN_UP      any                                   GIVEN_UP    no
    ============  ====================================  ==========  ============

    A key frame sets the recovery time to its own timestamp: frames decoded after it but shown before it may depend
    on earlier ones. The wait for an intact frame is limited only if there was one before. If the frames of the codec
    do not depend on each other, the state is always INTACT.
    """

    def __init__(self, codec: str, extradata: bytes) -> None:
        """Create the state machine of a stream whose first packet comes next.

        Args:
            codec: FFmpeg's name of the codec.
            extradata: Extradata of the decoder.
        """
        self._is_dependent = codec in DEPENDENT_CODECS
        self._reader = PictureReader(extradata) if codec == "h264" else None
        self._state = DecodeState.DAMAGED if self._is_dependent else DecodeState.INTACT
        self._damaged_ns: int | None = None
        """Time (ns) of the damage that ended INTACT; None in INTACT and before the first intact frame."""
        self._recovery_pts = 0
        """Timestamp of the frame from which on all of the picture is intact. Valid in RECOVERING."""
        self._last_frame_num: int | None = None
        self._last_reference: int | None = None
        self._frames_to_recovery: int | None = None
        """Increase of ``frame_num`` until all of the picture is refreshed; None before a packet states it."""
        self._last_key_ns: int | None = None
        self._longest_interval_ns = 0
        """Longest interval (ns) between two key frames."""

    @property
    def state(self) -> DecodeState:
        """Present state."""
        return self._state

    def on_packet(self, packet: SupportsBytes, pts: int | None, at_ns: int) -> int:
        """Process a packet before it is decoded.

        Args:
            packet: The bytes of the packet.
            pts: Its timestamp; None if it has none.
            at_ns: The current time (ns).

        Returns:
            Number of reference frames that are missing before it; 0 for codecs other than H.264.
        """
        picture = self._reader.read(bytes(packet)) if self._reader else None
        return 0 if picture is None else self.on_picture(picture, pts, at_ns)

    def on_picture(self, picture: Picture, pts: int | None, at_ns: int) -> int:
        """Process the header of an H.264 picture, with the arguments and the result of ``on_packet``."""
        if picture.frame_num is None:
            return 0
        missing = self._count_missing(picture, picture.frame_num)
        if missing:
            self.on_damage(at_ns)
        self._follow_refresh(picture, picture.frame_num, pts)
        self._last_frame_num = picture.frame_num
        if picture.is_reference:
            self._last_reference = picture.frame_num
        return missing

    def on_damage(self, at_ns: int) -> None:
        """Distrust all frames until the whole picture is refreshed. A refresh that is under way does not count.

        Args:
            at_ns: The current time (ns).
        """
        if not self._is_dependent or self._state is DecodeState.GIVEN_UP:
            return
        if self._state is DecodeState.INTACT:
            self._damaged_ns = at_ns
        self._state, self._frames_to_recovery = DecodeState.DAMAGED, None

    def on_frame(self, *, key_frame: bool, pts: int | None, at_ns: int) -> bool:
        """Process a frame that decoded without an error.

        Args:
            key_frame: Whether it is a key frame.
            pts: Its timestamp; None if it has none.
            at_ns: The current time (ns).

        Returns:
            Whether the frame is intact: it depends on no damaged one.
        """
        if key_frame:
            self._measure_key_interval(at_ns)
        if self._state is DecodeState.DAMAGED and key_frame:
            self._recover_at(pts)
            return True
        if self._state is DecodeState.RECOVERING:
            if pts is None or pts > self._recovery_pts:
                self._recover_at(None)
                return True
            if key_frame:
                self._recover_at(pts)
            return pts == self._recovery_pts
        return self._state is DecodeState.INTACT

    def on_time(self, at_ns: int) -> DecodeState:
        """Give up if an intact frame is overdue after damage.

        Args:
            at_ns: The current time (ns).

        Returns:
            The state afterwards.
        """
        patience_ns = min(max(2 * self._longest_interval_ns, _MIN_PATIENCE_NS), _MAX_PATIENCE_NS)
        if self._damaged_ns is not None and at_ns - self._damaged_ns > patience_ns:
            self._state = DecodeState.GIVEN_UP
        return self._state

    def _recover_at(self, pts: int | None) -> None:
        """Go to RECOVERING with the recovery time ``pts``, or to INTACT if it is None."""
        if pts is None:
            self._state, self._damaged_ns = DecodeState.INTACT, None
        else:
            self._state, self._recovery_pts = DecodeState.RECOVERING, pts

    def _measure_key_interval(self, at_ns: int) -> None:
        if self._last_key_ns is not None:
            self._longest_interval_ns = max(self._longest_interval_ns, at_ns - self._last_key_ns)
        self._last_key_ns = at_ns

    def _count_missing(self, picture: Picture, frame_num: int) -> int:
        if picture.is_idr or picture.gaps or self._last_reference is None:
            return 0
        ahead = (frame_num - self._last_reference) % picture.modulus
        return max(0, ahead - 1)  # an equal number is the second field, the next number the next frame

    def _follow_refresh(self, picture: Picture, frame_num: int, pts: int | None) -> None:
        if self._state is not DecodeState.DAMAGED:
            return
        if self._frames_to_recovery is not None and self._last_frame_num is not None:
            self._frames_to_recovery -= (frame_num - self._last_frame_num) % picture.modulus
        elif picture.refresh is not None:
            self._frames_to_recovery = picture.refresh
        if self._frames_to_recovery is not None and self._frames_to_recovery <= 0 and pts is not None:
            self._recover_at(pts)

"""Event watch: tells which changes of the animal and of the stream are events. No I/O, no threads, no clocks."""

from __future__ import annotations

from realtime_cropzoom.types import FrameMeta, State, StreamState

LASTING_NS = 1_000_000_000
"""Time (ns) for which a change of the animal must last. The list of events stays short enough to be read."""


class AnimalWatch:
    """Tells when the animal is lost and when it is found, in frame time.

    A change counts from its first frame, once it has lasted for ``LASTING_NS``. A coasting frame changes nothing: there
    the animal was seen a moment ago.
    """

    def __init__(self) -> None:
        self._is_there = False
        self._since: FrameMeta | None = None
        """First frame that speaks against ``_is_there``; None if the last one does not."""

    def see(self, meta: FrameMeta, state: State) -> tuple[str, FrameMeta] | None:
        """Take the state of the next frame.

        Args:
            meta: The frame.
            state: Its state.

        Returns:
            ``found`` or ``lost``, and the first frame of that; None if there is no news.
        """
        if state is State.COASTING:
            return None
        is_there = state is State.TRACKING
        if is_there == self._is_there:
            self._since = None
            return None
        self._since = since = self._since or meta
        if meta.pts_ns - since.pts_ns < LASTING_NS:
            return None
        self._is_there, self._since = is_there, None
        return ("found" if is_there else "lost"), since


class StreamWatch:
    """Tells when frames stop to arrive, and when they come again."""

    def __init__(self) -> None:
        self._state = StreamState.LIVE
        self._silent_since_ns = 0

    def see(self, state: StreamState, at_ns: int) -> tuple[str, str] | None:
        """Take the state of the stream.

        Args:
            state: The state.
            at_ns: The time (monotonic, ns).

        Returns:
            Kind and text of an event; None if there is no news.
        """
        before, self._state = self._state, state
        if state in (before, StreamState.ENDED):
            return None
        if state is StreamState.LIVE:
            return "reconnected", f"frames arrive again after {(at_ns - self._silent_since_ns) / 1e9:.1f} s"
        if before is StreamState.LIVE:
            self._silent_since_ns = at_ns
        broke_off = state is StreamState.RECONNECTING
        return "stalled", "the source broke off" if broke_off else "no frame arrives"

"""Frame loss counter: finds lost frames and frame times from a camera's frame ids and timestamps."""

from __future__ import annotations

_SHORT_IDS = 65535
"""Maximum 16-bit frame id of GigE Vision. The next id is 1."""
_MAX_WRAP_GAP = 10_000
"""Maximum gap (frames) for treating a smaller id as a 16-bit wrap-around. A larger gap means that the camera
restarted."""
_CLOCK_STEP_NS = 10_000_000_000
"""Difference (ns) between the steps of camera clock and host clock from which the camera clock is treated as set."""


class FrameLossCounter:
    """Counts the frames of one camera from opening to closing."""

    def __init__(self) -> None:
        self.incomplete = 0
        """Number of frames that arrived with missing parts; they are dropped."""
        self.never_came = 0
        """Number of frames that the camera counted but that did not arrive at all."""
        self.clock_set = 0
        """Number of jumps of the camera's clock."""
        self._failed = 0
        self._last_id: int | None = None
        self._last: tuple[int | None, int] | None = None
        self._pts_ns = -1

    @property
    def failing(self) -> int:
        """Number of frames that arrived incomplete since the last good one."""
        return self._failed

    def fail(self) -> None:
        """Count a frame that arrived incomplete."""
        self.incomplete += 1
        self._failed += 1

    def take(self, frame_id: int | None, device_ns: int | None, received_ns: int) -> tuple[int, int]:
        """Count a good frame.

        Args:
            frame_id: Id that the camera gave it; None if it gives none.
            device_ns: Its time (ns) on the camera's clock; None if it has none.
            received_ns: Time (ns) at which it arrived, on the clock of the host.

        Returns:
            The frame time (ns) since the first frame, and the number of frames lost between the previous frame
            and this one. Frame time always increases. It follows the camera's clock; if that is missing or was set,
            it follows the host's clock.
        """
        # Ids count the incomplete frames as well, so the two are not added.
        lost = max(self._gap(frame_id), self._failed)
        self.never_came += lost - self._failed
        self._failed = 0
        self._pts_ns = 0 if self._last is None else self._pts_ns + max(1, self._step_ns(device_ns, received_ns))
        self._last = (device_ns, received_ns)
        return self._pts_ns, lost

    def problems(self, name: str) -> list[str]:
        """Return messages about lost frames and clock jumps, with ``name`` of the camera; empty if there were none."""
        messages = []
        if self.incomplete:
            messages.append(f"{name}: {self.incomplete} frames arrived incomplete and were left out")
        if self.never_came:
            messages.append(f"{name}: {self.never_came} frames never arrived, by the camera's own count")
        if self.clock_set:
            messages.append(
                f"{name}: its clock jumped {self.clock_set} times; there, frame time follows the host's clock"
            )
        return messages

    def _gap(self, frame_id: int | None) -> int:
        last, self._last_id = self._last_id, frame_id
        if frame_id is None or last is None or frame_id == last:
            return 0
        if frame_id > last:
            return frame_id - last - 1
        around = frame_id + _SHORT_IDS - last - 1
        return around if last <= _SHORT_IDS and around < _MAX_WRAP_GAP else 0

    def _step_ns(self, device_ns: int | None, received_ns: int) -> int:
        assert self._last is not None
        last_device_ns, last_received_ns = self._last
        host_step = received_ns - last_received_ns
        if device_ns is None or last_device_ns is None:
            return host_step
        step = device_ns - last_device_ns
        if step >= 0 and abs(step - host_step) < _CLOCK_STEP_NS:
            return step
        self.clock_set += 1
        return host_step

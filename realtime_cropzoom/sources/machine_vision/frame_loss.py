"""What a machine-vision camera's frame ids and timestamps say: which frames never came, and when each was taken."""

from __future__ import annotations

_SHORT_IDS = 65535
"""GigE Vision's ids of 16 bits run from 1 to this, and then from 1 again."""
_FEW = 10_000
"""Ids that begin again by so much less than a full turn have wrapped; by more, the camera has begun anew."""
_SET_NS = 10_000_000_000
"""A camera's clock that parts from the host's by so much between two frames has been set."""


class FrameLossCounter:
    """Counts the frames of one camera, from its opening to its closing."""

    def __init__(self) -> None:
        self.incomplete = 0
        """Frames of which parts were missing; none of them is handed on."""
        self.never_came = 0
        """Frames the camera has counted and of which nothing arrived."""
        self.clock_set = 0
        """How often the camera's clock has jumped."""
        self._failed = 0
        self._last_id: int | None = None
        self._last: tuple[int | None, int] | None = None
        self._pts_ns = -1

    @property
    def failing(self) -> int:
        """How many frames have arrived incomplete since the last good one."""
        return self._failed

    def fail(self) -> None:
        """Count a frame that arrived incomplete."""
        self.incomplete += 1
        self._failed += 1

    def take(self, frame_id: int | None, device_ns: int | None, received_ns: int) -> tuple[int, int]:
        """Count a good frame; return its frame time, and how many frames were lost between the one before and it.

        ``frame_id`` and ``device_ns`` are None where the camera has none. Frame time follows the
        camera's clock and never goes back; where that clock is missing or was set, the host's steps in.
        """
        # Ids count the incomplete frames as well, so the two are not added.
        lost = max(self._gap(frame_id), self._failed)
        self.never_came += lost - self._failed
        self._failed = 0
        self._pts_ns = 0 if self._last is None else self._pts_ns + max(1, self._step_ns(device_ns, received_ns))
        self._last = (device_ns, received_ns)
        return self._pts_ns, lost

    def problems(self, name: str) -> list[str]:
        """Say what was lost, in words."""
        said = []
        if self.incomplete:
            said.append(f"{name}: {self.incomplete} frames arrived incomplete and were left out")
        if self.never_came:
            said.append(f"{name}: {self.never_came} frames never came, by the camera's own count")
        if self.clock_set:
            said.append(
                f"{name}: its clock jumped {self.clock_set} times; frame time goes on by the host's clock there"
            )
        return said

    def _gap(self, frame_id: int | None) -> int:
        last, self._last_id = self._last_id, frame_id
        if frame_id is None or last is None or frame_id == last:
            return 0
        if frame_id > last:
            return frame_id - last - 1
        around = frame_id + _SHORT_IDS - last - 1
        return around if last <= _SHORT_IDS and around < _FEW else 0

    def _step_ns(self, device_ns: int | None, received_ns: int) -> int:
        assert self._last is not None
        last_device_ns, last_received_ns = self._last
        host_step = received_ns - last_received_ns
        if device_ns is None or last_device_ns is None:
            return host_step
        step = device_ns - last_device_ns
        if step >= 0 and abs(step - host_step) < _SET_NS:
            return step
        self.clock_set += 1
        return host_step

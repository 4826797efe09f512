"""Turn of a picture for display: quarter turns and mirroring."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_cropzoom.types import Box, UInt8


@dataclass(frozen=True, slots=True)
class Turn:
    """Rotation by quarter turns and mirroring, as operations on the rows and columns of a picture."""

    transposed: bool = False
    """Rows become columns; the two flips come after it."""
    flipped_across: bool = False
    """Left and right are exchanged."""
    flipped_down: bool = False
    """Top and bottom are exchanged."""
    left_out: str = ""
    """Part of the display matrix that is not applied, in words; empty if all of it is."""

    @property
    def is_none(self) -> bool:
        """Whether the picture stays unchanged."""
        return not (self.transposed or self.flipped_across or self.flipped_down)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) in pixels of a picture after the turn."""
        return (height, width) if self.transposed else (width, height)

    def apply(self, pixels: UInt8) -> UInt8:
        """Return the (H, W, C) pixels after the turn, as a view: nothing is copied."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.flipped_across:
            pixels = pixels[:, ::-1]
        return pixels[::-1] if self.flipped_down else pixels

    def before(self, region: Box, size: tuple[int, int]) -> Box:
        """Return the region of the picture before the turn that becomes ``region``.

        Args:
            region: A region of the turned picture (pixels), inside it.
            size: (width, height) of the turned picture (pixels).
        """
        x, y, w, h = region
        if self.flipped_down:
            y = size[1] - y - h
        if self.flipped_across:
            x = size[0] - x - w
        return Box(y, x, h, w) if self.transposed else Box(x, y, w, h)


AS_IT_IS = Turn()
"""Turn that leaves a picture unchanged."""

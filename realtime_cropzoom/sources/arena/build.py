"""Proportions of the synthetic animal: a mouse or a rat. Lengths are in body lengths, snout to tail base."""

from __future__ import annotations

from dataclasses import dataclass

_MOUSE_SPINE, _MOUSE_SNOUT = 0.765, 0.235


@dataclass(frozen=True, slots=True)
class Build:
    """Proportions of an animal. The spine and the head together are one body length."""

    spine: float = _MOUSE_SPINE
    """Length of the spine from the tail base to the pivot of the head."""
    snout: float = _MOUSE_SNOUT
    """Distance from the pivot of the head to the tip of the nose."""
    breadth: float = 1.0
    """Width of body and head; 1 for a mouse."""
    ear_ahead: float = 0.105
    """Distance from the pivot of the head to an ear, along the head."""
    ear_aside: float = 0.0875
    """Distance of an ear from the midline of the head."""
    ear: float = 1.0
    """Size of the ears; 1 for a mouse."""
    flank: float = 0.2
    """Half of the maximum width of the body, including fur and feet."""
    tail: float = 0.8
    """Length of the tail."""
    tail_tip: float = 0.006
    """Half the width of the tail at its tip."""
    tail_taper: float = 0.019
    """What the half width of the tail gains from the tip to the base."""

    @property
    def spine_ratio(self) -> float:
        """Length of the spine; 1 for a mouse."""
        return self.spine / _MOUSE_SPINE

    @property
    def head_ratio(self) -> float:
        """Length of the head; 1 for a mouse."""
        return self.snout / _MOUSE_SNOUT


MOUSE = Build()
RAT = Build(
    spine=0.775,
    snout=0.225,
    breadth=0.86,
    ear_ahead=0.072,
    ear_aside=0.069,
    ear=0.62,
    flank=0.18,
    tail=0.86,
    tail_tip=0.010,
    tail_taper=0.024,
)
"""Slimmer than a mouse, with smaller ears farther back, and a longer, thicker tail."""
BUILDS = {"mouse": MOUSE, "rat": RAT}

"""Features of a camera as nodes: sets a camera up where the library gives access to its nodes and to no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

_RATES = ("ResultingFrameRate", "ResultingFrameRateAbs", "AcquisitionFrameRate", "AcquisitionFrameRateAbs")
"""Nodes with the frame rate, best first. Their names depend on the age of the camera."""


class FeatureNodes(ABC):
    """Nodes of a camera. A library implements the access to one node; errors of the library are passed on."""

    def __init__(self, title: str) -> None:
        self.title = title

    @abstractmethod
    def has(self, feature: str) -> bool:
        """Return whether a node exists and is readable at present."""

    @abstractmethod
    def value(self, feature: str) -> Any:
        """Return the value of a node."""

    @abstractmethod
    def set_value(self, feature: str, value: Any) -> None:
        """Set a node. A number must be within its limits and on its step, and an integer for an integer node."""

    @abstractmethod
    def limits(self, feature: str) -> tuple[Any, Any]:
        """Return minimum and maximum of a number: integers for an integer node."""

    @abstractmethod
    def step(self, feature: str) -> int:
        """Return the step of an integer node."""

    @abstractmethod
    def entries(self, feature: str) -> list[str]:
        """Return the entries of an enumeration node that are available at present."""

    @abstractmethod
    def execute(self, command: str) -> None:
        """Execute a command node."""

    def integer(self, feature: str) -> int:
        """Return the value of an integer node."""
        return int(self.value(feature))

    def set_integer(self, feature: str, value: int) -> None:
        """Set an integer node. ``value`` must be within its bounds and on its step."""
        self.set_value(feature, value)

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return minimum, maximum and step of an integer node; None if the camera lacks it."""
        return (*self.limits(feature), self.step(feature)) if self.has(feature) else None

    def choice(self, feature: str) -> tuple[str, list[str]]:
        """Return the current entry of an enumeration node and its entries; none if the camera lacks it."""
        return (str(self.value(feature)), self.entries(feature)) if self.has(feature) else ("", [])

    def choose(self, feature: str, entry: str) -> None:
        """Set an enumeration node to ``entry``, if the camera has the node and another entry is set."""
        if self.has(feature) and self.value(feature) != entry:
            self.set_value(feature, entry)

    def set_exposure_us(self, exposure_us: float) -> float | None:
        """Fix the exposure time (µs) within its limits; return the one the camera reports, None if it has none."""
        return self._set_number(("ExposureTime", "ExposureTimeAbs"), exposure_us, auto="ExposureAuto")

    def set_gain(self, gain: float) -> tuple[float, str] | None:
        """Fix the gain within its limits; return the one the camera reports and its unit, None if it has none."""
        got = self._set_number(("Gain", "GainRaw"), gain, auto="GainAuto")
        return None if got is None else (got, "dB" if self.has("Gain") else "(raw units)")

    def set_rate(self, fps: float) -> bool:
        """Set the frames per second within their limits; return False if the camera has no setting for them."""
        if self.has("AcquisitionFrameRateEnable"):
            self.set_value("AcquisitionFrameRateEnable", True)
        names = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs")
        return self._set_number(names, fps, auto="AcquisitionFrameRateAuto") is not None

    def rate(self) -> float | None:
        """Return the frames per second to expect; None if the camera does not say."""
        return next((float(self.value(name)) for name in _RATES if self.has(name)), None)

    def trigger_off(self) -> None:
        """Let frames come without pulses: no kind of trigger is waited for. The one of each frame stays selected."""
        for kind in sorted(self.choice("TriggerSelector")[1], key=lambda kind: kind == "FrameStart"):
            self.choose("TriggerSelector", kind)
            self.choose("TriggerMode", "Off")
        self.choose("TriggerMode", "Off")  # of a camera with one kind alone

    def trigger_on(self, line: str) -> None:
        """Make each frame wait for a rising edge on ``line``. ``TriggerSelector`` is at ``FrameStart``."""
        self.choose("TriggerMode", "On")
        self.choose("TriggerSource", line)
        if "RisingEdge" in self.choice("TriggerActivation")[1]:
            self.choose("TriggerActivation", "RisingEdge")

    def _set_number(self, names: tuple[str, ...], value: float, auto: str) -> float | None:
        """Switch off automatic control and set a number, clipped to its limits.

        Args:
            names: Nodes to look for; the first one that exists is set.
            value: Value in the unit of the node.
            auto: Node that switches automatic control, if the camera has it.

        Returns:
            The value that the camera reports afterwards; None if it has none of the nodes.
        """
        name = next((name for name in names if self.has(name)), None)
        if name is None:
            return None
        self.choose(auto, "Off")
        least, most = self.limits(name)
        within = min(max(value, least), most)
        self.set_value(name, round(within) if isinstance(least, int) else float(within))
        return float(self.value(name))

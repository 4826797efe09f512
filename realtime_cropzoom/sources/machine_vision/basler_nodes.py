"""The settings of a Basler camera by their GenICam names, which differ between its older and newer cameras."""

from __future__ import annotations

from typing import Any

from realtime_cropzoom.errors import SourceError

_RATES = ("ResultingFrameRate", "ResultingFrameRateAbs", "AcquisitionFrameRate", "AcquisitionFrameRateAbs")


class Nodes:
    """What a camera can be asked and told. What pylon raises is left to the caller."""

    def __init__(self, node_map: Any, title: str) -> None:
        from pypylon import genicam

        self.title = title
        self._map, self._genicam = node_map, genicam

    def has(self, name: str) -> bool:
        """Return whether a node is there and can be read now."""
        node = self._map.GetNode(name)
        return node is not None and self._genicam.IsReadable(node)

    def integer(self, name: str) -> int:
        """Read a number."""
        return int(self._map.GetNode(name).GetValue())

    def set_integer(self, feature: str, value: int) -> None:
        """Set a number, which must fit."""
        self._map.GetNode(feature).SetValue(value)

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return least, most and step of a number; None where the camera lacks it."""
        if not self.has(feature):
            return None
        node = self._map.GetNode(feature)
        return node.GetMin(), node.GetMax(), node.GetInc()

    def choice(self, name: str) -> tuple[str, list[str]]:
        """Return which entry of a choice is set, and those there are now."""
        node = self._map.GetNode(name)
        there = [s for s in node.GetSymbolics() if self._genicam.IsAvailable(node.GetEntryByName(s))]
        return node.GetValue(), there

    def choose(self, name: str, entry: str) -> None:
        """Set a choice."""
        self._map.GetNode(name).SetValue(entry)

    def execute(self, name: str) -> None:
        """Execute a command."""
        self._map.GetNode(name).Execute()

    def set_number(self, names: tuple[str, ...], value: float, auto: str) -> float:
        """Set the first of ``names`` that there is by hand, within its limits; return what it is then."""
        name = next((n for n in names if self.has(n)), None)
        if name is None:
            raise SourceError(f"{self.title} has no setting {names[0]}; leave it out")
        if self.has(auto):
            self.choose(auto, "Off")
        node = self._map.GetNode(name)
        within = min(max(value, node.GetMin()), node.GetMax())
        node.SetValue(round(within) if isinstance(node.GetMin(), int) else within)
        return float(node.GetValue())

    def set_rate(self, fps: float | None) -> float | None:
        """Set the frames a second, if given; return those to expect, None where the camera does not say."""
        if fps is not None:
            if self.has("AcquisitionFrameRateEnable"):
                self._map.GetNode("AcquisitionFrameRateEnable").SetValue(True)
            self.set_number(("AcquisitionFrameRate", "AcquisitionFrameRateAbs"), fps, auto="AcquisitionFrameRateAuto")
        return next((float(self._map.GetNode(n).GetValue()) for n in _RATES if self.has(n)), None)

    def trigger_on(self, line: str | None) -> str:
        """Let each frame wait for a rising edge on a line, by default the camera's first; return which it is."""
        self.choose("TriggerSelector", "FrameStart")
        self.choose("TriggerMode", "On")
        _, sources = self.choice("TriggerSource")
        line = line or next((source for source in sources if source.startswith("Line")), None)
        if line not in sources:
            raise SourceError(f"{self.title} has no trigger line {line}; it has {', '.join(sources) or 'none'}")
        self.choose("TriggerSource", line)
        if "RisingEdge" in self.choice("TriggerActivation")[1]:
            self.choose("TriggerActivation", "RisingEdge")
        return line

    def tick_frequency(self) -> int:
        """Return how many ticks of the camera's timestamps make a second; those of USB cameras are ns."""
        return self.integer("GevTimestampTickFrequency") if self.has("GevTimestampTickFrequency") else 1_000_000_000

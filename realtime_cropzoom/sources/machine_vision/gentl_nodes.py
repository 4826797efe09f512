"""Features of a camera that comes through GenTL: its nodes, as the reference implementation of GenApi gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from realtime_cropzoom.errors import SourceError

_RATES = ("ResultingFrameRate", "ResultingFrameRateAbs", "AcquisitionFrameRate", "AcquisitionFrameRateAbs")
"""Nodes with the frame rate, best first. Their names depend on the age of the camera."""


class GentlNodes:
    """Nodes of a camera: reads, sets and executes its features. Errors of GenApi are passed on to the caller."""

    def __init__(self, node_map: Any, title: str) -> None:
        from genicam import genapi

        self.title = title
        self._map, self._genapi = node_map, genapi

    def find(self, name: str) -> Any:
        """Return a node that is readable at present; None if there is none."""
        try:
            node = self._map.get_node(name)
            modes = self._genapi.EAccessMode
            return node if node is not None and node.get_access_mode() in (modes.RO, modes.RW) else None
        except self._genapi.GenericException:
            return None

    def has(self, name: str) -> bool:
        """Return whether a node exists and is readable at present."""
        return self.find(name) is not None

    def integer(self, name: str) -> int:
        """Return the value of an integer node."""
        return int(self._map.get_node(name).value)

    def set_integer(self, feature: str, value: int) -> None:
        """Set an integer node. ``value`` must be within its bounds and on its step."""
        self._map.get_node(feature).value = value

    def bounds(self, feature: str) -> tuple[int, int, int] | None:
        """Return minimum, maximum and step of an integer node; None if the camera lacks it."""
        node = self.find(feature)
        return None if node is None else (node.min, node.max, node.inc)

    def choice(self, name: str) -> tuple[str, list[str]]:
        """Return the current entry of an enumeration node, and its entries; none if the camera lacks it."""
        node = self.find(name)
        return ("", []) if node is None else (str(node.value), [str(symbolic) for symbolic in node.symbolics])

    def choose(self, name: str, entry: str) -> None:
        """Set an enumeration node to ``entry``, if the camera has the node and another entry is set."""
        node = self.find(name)
        if node is not None and node.value != entry:
            node.value = entry

    def execute(self, name: str) -> None:
        """Execute a command node."""
        self._map.get_node(name).execute()

    def set_number(self, names: tuple[str, ...], value: float, auto: str) -> float:
        """Switch off automatic control and set a number, clipped to its limits.

        Args:
            names: Nodes to look for; the first one that exists is set.
            value: Value in the unit of the node.
            auto: Node that switches automatic control, if the camera has it.

        Returns:
            The value that the camera reports afterwards.

        Raises:
            SourceError: if the camera has none of the nodes.
        """
        node = next((found for name in names if (found := self.find(name)) is not None), None)
        if node is None:
            raise SourceError(f"{self.title} has no setting {names[0]}; leave it out")
        self.choose(auto, "Off")
        within = min(max(value, node.min), node.max)
        node.value = round(within) if isinstance(node.min, int) else float(within)
        return float(node.value)

    def set_rate(self, fps: float | None) -> float | None:
        """Set the frames per second, unless ``fps`` is None; return the expected rate, None if it is unknown."""
        if fps is not None:
            if (enable := self.find("AcquisitionFrameRateEnable")) is not None:
                enable.value = True
            self.set_number(("AcquisitionFrameRate", "AcquisitionFrameRateAbs"), fps, auto="AcquisitionFrameRateAuto")
        return next((float(node.value) for name in _RATES if (node := self.find(name)) is not None), None)

    def trigger_on(self, line: str | None) -> str:
        """Make each frame wait for a rising edge on a trigger line.

        Args:
            line: Name of the line; the camera's first one if None.

        Returns:
            The name of the line.

        Raises:
            SourceError: if the camera has no such line.
        """
        self.choose("TriggerSelector", "FrameStart")
        _, sources = self.choice("TriggerSource")
        line = line or next((source for source in sources if source.startswith("Line")), None)
        if line not in sources:
            asked, there = f" {line}" if line else "", ", ".join(sources) or "none"
            raise SourceError(f"{self.title} has no trigger line{asked}; it has {there}")
        self.choose("TriggerMode", "On")
        self.choose("TriggerSource", line)
        if "RisingEdge" in self.choice("TriggerActivation")[1]:
            self.choose("TriggerActivation", "RisingEdge")
        return line


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Convert errors of GenApi and of a producer to a SourceError of one line."""
    from genicam import genapi, gentl

    try:
        yield
    except (genapi.GenericException, gentl.GenericException) as error:
        text = " ".join(str(error).split())
        source = text.partition("Message from the source: ")[2].partition(") (ID")[0]
        raise SourceError(f"{what}: {source or text}") from error

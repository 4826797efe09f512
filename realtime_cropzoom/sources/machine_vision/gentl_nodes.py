"""Features of a camera that comes through GenTL: its nodes, as the reference implementation of GenApi gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.machine_vision.feature_nodes import FeatureNodes


class GentlNodes(FeatureNodes):
    """Nodes of a camera: reads, sets and executes its features. Errors of GenApi are passed on to the caller."""

    def __init__(self, node_map: Any, title: str) -> None:
        from genicam import genapi

        super().__init__(title)
        self._map, self._genapi = node_map, genapi

    def has(self, feature: str) -> bool:
        """Return whether a node exists and is readable at present."""
        try:
            return self._is_readable(self._map.get_node(feature))
        except self._genapi.GenericException:
            return False

    def value(self, feature: str) -> Any:
        """Return the value of a node."""
        return self._map.get_node(feature).value

    def set_value(self, feature: str, value: Any) -> None:
        """Set a node. A number must be within its limits and on its step, and an integer for an integer node."""
        self._map.get_node(feature).value = value

    def limits(self, feature: str) -> tuple[Any, Any]:
        """Return minimum and maximum of a number: integers for an integer node."""
        node = self._map.get_node(feature)
        return node.min, node.max

    def step(self, feature: str) -> int:
        """Return the step of an integer node."""
        return int(self._map.get_node(feature).inc)

    def entries(self, feature: str) -> list[str]:
        """Return the entries of an enumeration node that are available at present."""
        return [str(entry.symbolic) for entry in self._map.get_node(feature).entries if self._is_readable(entry)]

    def execute(self, command: str) -> None:
        """Execute a command node."""
        self._map.get_node(command).execute()

    def _is_readable(self, node: Any) -> bool:
        modes = self._genapi.EAccessMode
        return node is not None and node.get_access_mode() in (modes.RO, modes.RW)


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

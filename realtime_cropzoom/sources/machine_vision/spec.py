"""Names of machine-vision cameras: as the user gives them, and for the files of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from realtime_cropzoom.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera, as named by the user."""

    name: str | None
    """Serial number, id or address; None for the first camera found."""
    line: str | None = None
    """Trigger line, as the camera names it; None for the camera's first line."""


def parse_camera(rest: str, scheme: str) -> CameraSpec:
    """Parse the part after ``genicam:`` or ``basler:``, such as ``Basler-21234567,line=Line1``.

    Args:
        rest: That part.
        scheme: ``genicam`` or ``basler``, for error messages.

    Raises:
        ConfigError: if an entry after the name is not ``line=…``.
    """
    name, *chosen = rest.split(",")
    line = None
    for entry in chosen:
        key, _, value = entry.partition("=")
        if key.strip() != "line" or not value.strip():
            raise ConfigError(
                f"{scheme}:{rest}: {entry.strip()!r} is not understood; expected {scheme}:NAME, or with its trigger "
                f"line, {scheme}:NAME,line=Line1"
            )
        line = value.strip()
    return CameraSpec(name.strip() or None, line)


def run_name(*parts: str) -> str:
    """Return a name for the files of a run, joined from ``parts`` such as model and serial number."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts)).strip("-.") or "camera"

"""Result of one check: a green or a red line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of ``cropzoom check``."""

    check: str
    """Name of the check, one word."""
    ok: bool
    text: str
    """What was found; if ``ok`` is false, also what to do."""
    camera: str | None = None
    """Name of the camera; None for a check of the machine."""
    values: dict[str, float | str | None] = field(default_factory=dict)
    """Numbers of the text, for ``--json``."""

    def of(self, camera: str) -> CheckResult:
        """Return the same line for one camera."""
        return replace(self, camera=camera)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as one flat dictionary for JSON."""
        return {"check": self.check, "camera": self.camera, "ok": self.ok, "text": self.text, **self.values}


def good(check: str, text: str, **values: float | str | None) -> CheckResult:
    """Return a green line."""
    return CheckResult(check, True, text, values=values)


def bad(check: str, text: str, **values: float | str | None) -> CheckResult:
    """Return a red line; the text says what to do."""
    return CheckResult(check, False, text, values=values)

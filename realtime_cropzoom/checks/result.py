"""One thing that was tried, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A green or a red line."""

    check: str
    """What was tried, in a word."""
    ok: bool
    text: str
    """What was found; where it is not well, also what to do."""
    camera: str | None = None
    """None where it is about all of them."""
    values: dict[str, float | str | None] = field(default_factory=dict)
    """The numbers behind the text, for ``--json``."""

    def of(self, camera: str) -> CheckResult:
        """Return the same, said of a camera."""
        return replace(self, camera=camera)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"check": self.check, "camera": self.camera, "ok": self.ok, "text": self.text, **self.values}


def good(check: str, text: str, **values: float | str | None) -> CheckResult:
    """Return a green line."""
    return CheckResult(check, True, text, values=values)


def bad(check: str, text: str, **values: float | str | None) -> CheckResult:
    """Return a red line; the text says what to do."""
    return CheckResult(check, False, text, values=values)

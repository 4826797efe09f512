"""Folders of the project that tests read from."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
"""The project."""
PACKAGE = ROOT / "realtime_cropzoom"
SHARED_DATA = ROOT.parent / "shared" / "data"
"""Recordings and golden files; a user's clone has none."""

"""Fixtures: a folder of keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.messaging.keys import (
    make_client_keys,
    make_server_keys,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of keys, with a client named bench."""
    folder = tmp_path / "keys"
    make_server_keys(folder)
    make_client_keys(folder, "bench")
    return folder

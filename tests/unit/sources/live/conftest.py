"""Cameras of the operating system without a device."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from support.v4l2_driver import Driver, make_nodes

from realtime_cropzoom.sources.live import v4l2


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Two cameras, and a device node that is not a camera."""
    driver = Driver()
    make_nodes(tmp_path)
    monkeypatch.setattr(v4l2, "SYSTEM_FOLDER", tmp_path / "sys")
    monkeypatch.setattr(v4l2, "DEVICE_FOLDER", tmp_path)
    monkeypatch.setattr(fcntl, "ioctl", driver.ioctl)
    return driver

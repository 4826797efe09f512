"""V4L2 queries: exposure and gain of a camera, and the devices that Linux lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.v4l2_driver import Driver

from realtime_cropzoom.sources.live import v4l2


@pytest.mark.usefixtures("driver")
def test_devices_are_listed_with_their_modes(tmp_path: Path) -> None:
    first, second, third = v4l2.list_devices()
    assert (first.path, first.name) == (tmp_path / "video0", "Integrated Webcam")
    assert first.modes == (
        v4l2.Mode("mjpeg", 1280, 720, (30.0, 15.0)),
        v4l2.Mode("mjpeg", 640, 480, (60.0,)),
        v4l2.Mode("yuyv422", 640, 480, (30.0,)),
    )
    assert second.name == "Side Camera"
    assert (third.modes, third.problem) == ((), "no")


def test_exposure_and_gain_are_set(driver: Driver, tmp_path: Path) -> None:
    assert v4l2.set_controls(tmp_path / "video0", exposure_ms=5.0, gain=20) == []
    assert driver.controls == {
        v4l2.V4L2_CID_EXPOSURE_AUTO: 1,
        v4l2.V4L2_CID_EXPOSURE_ABSOLUTE: 50,
        v4l2.V4L2_CID_GAIN: 20,
    }


def test_values_that_cannot_be_set_are_reported(driver: Driver, tmp_path: Path) -> None:
    del driver.controls[v4l2.V4L2_CID_EXPOSURE_ABSOLUTE]
    exposure, gain = v4l2.set_controls(tmp_path / "video0", exposure_ms=5.0, gain=500)
    assert exposure.startswith("exposure could not be set to 5 ms")
    assert gain == "asked for gain 500, got 100"

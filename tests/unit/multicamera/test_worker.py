"""Camera process: carries out the orders of the supervisor, and ignores what it does not know."""

from __future__ import annotations

import pytest

from realtime_cropzoom.multicamera.messages import (
    Job,
    Stop,
    encode,
)
from realtime_cropzoom.multicamera.worker import CameraProcess


def test_the_worker_obeys_a_stop_after_an_unknown_order(caplog: pytest.LogCaptureFixture) -> None:
    worker = CameraProcess(None, None)  # type: ignore[arg-type]
    for line in (b'{"type": "dance"}\n', b'{"type": "st', encode(Job({}, "out", 0)).encode()):
        worker.obey(line)
    assert worker.stopped is None
    assert len(caplog.records) == 3
    assert "dance" in caplog.text
    worker.obey(encode(Stop("stopped by SIGINT", 130)).encode())
    assert worker.stopped == ("stopped by SIGINT", 130)

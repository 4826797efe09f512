"""Source reader: when a silent live source counts as stalled."""

from __future__ import annotations

import pytest

from realtime_cropzoom.pipeline.source_reader import is_stalled


@pytest.mark.parametrize(
    ("fps", "silent_ms", "stalled"),
    [
        pytest.param(60.0, 450, False, id="a short pause"),
        pytest.param(60.0, 550, True, id="half a second"),
        pytest.param(2.0, 1450, False, id="a slow camera may be silent for three frames"),
        pytest.param(2.0, 1550, True, id="a slow camera, silent for more than three frames"),
        pytest.param(None, 550, True, id="unknown frame rate"),
    ],
)
def test_a_source_is_stalled_after_half_a_second_and_three_frames(
    fps: float | None, silent_ms: int, stalled: bool
) -> None:
    assert is_stalled(silent_ms * 10**6, fps, stall_after_ms=500) is stalled

"""Looping: frames and times of a file that repeats."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import psutil
import pytest
from support.films import Footage, read_shown

from realtime_cropzoom.sources.base import SourceOptions
from realtime_cropzoom.sources.factory import open_source

Write = Callable[..., Path]


def test_a_video_loops_and_its_time_continues(make_video: Write, footage: Footage) -> None:
    source = open_source(str(make_video("clip.mp4", 20)), SourceOptions(loop=True))
    assert source.info.frame_count is None
    frames = read_shown(source, footage, 50)
    assert [index for index, _ in frames] == [i % 20 for i in range(50)]
    for (_, pts_ns), (_, later_ns) in pairwise(frames):
        assert later_ns - pts_ns == pytest.approx(1e9 / 30, abs=1e5)


def test_a_loop_restarts_at_start_s(make_video: Write, footage: Footage) -> None:
    source = open_source(str(make_video("clip.mp4", 20)), SourceOptions(loop=True, start_s=0.5))
    assert [index for index, _ in read_shown(source, footage, 12)] == [*range(15, 20), *range(15, 20), 15, 16]


def test_a_loop_needs_constant_memory(make_video: Write) -> None:
    source = open_source(str(make_video("clip.mp4", 10)), SourceOptions(loop=True))
    frames, process = source.frames(), psutil.Process()

    def after(rounds: int) -> int:
        assert sum(1 for _ in islice(frames, rounds * 10)) == rounds * 10
        return int(process.memory_info().rss)

    settled = after(60)
    assert after(200) - settled < 8 << 20
    assert process.num_fds() < 100
    source.close()

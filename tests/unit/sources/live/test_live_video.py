"""Live video: a filter graph of FFmpeg as a source."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pipelines import check_complete, make_settings, run_to_end

from realtime_cropzoom.errors import SourceError
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.live import live_video


def test_a_filter_graph_plays_as_a_camera(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = make_settings(tmp_path, source="lavfi:testsrc2=size=160x120:rate=60", frames=150, camera_fps=100)
    pipeline = run_to_end(settings)
    check_complete(pipeline.folder)
    assert pipeline.info.live
    assert pipeline.notes[0] == "lavfi:testsrc2=size=160x120:rate=60 gives 160x120 yuv420p at 60 fps"
    assert pipeline.summary["problems"] == []
    assert any("FRAMES PER SECOND; asked for 100" in record.getMessage() for record in caplog.records)


def test_an_unknown_filter_graph_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"lavfi:nonsense cannot be opened: .*expected a filter graph"):
        open_source("lavfi:nonsense")


def test_frames_in_the_memory_of_a_driver_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    for codec, kept in (("rawvideo", True), ("wrapped_avframe", False)):
        monkeypatch.setattr(live_video, "_OF_THE_DRIVER", codec)
        source = open_source("lavfi:testsrc2=size=160x120:rate=60")
        captured = next(iter(source.frames()))
        source.close()
        assert (source.info.kept, captured.image is not None) == (kept, kept)

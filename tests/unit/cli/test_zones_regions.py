"""``cropzoom zones --regions``: writes a file of regions, draws it, and refuses what no run would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.resolve import load_settings

FRAME = "synthetic:arena,boxes=2,size=640x240"


def test_a_grid_is_written_and_drawn_and_a_run_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "boxes.yaml"
    assert main(["zones", str(path), FRAME, "--regions", "--grid", "2x1"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(path), str(tmp_path / "boxes.png")]
    assert "2 regions: box1, box2" in err
    assert "--regions" in err.splitlines()[-1]
    regions = load_settings({"regions": str(path)}).regions
    assert regions is not None
    assert list(regions["box2"].corners) == [(320, 0), (640, 0), (640, 240), (320, 240)]
    assert main(["zones", str(path), FRAME, "--regions"]) == 0, "drawn again"
    assert main(["zones", str(path), FRAME, "--regions", "--grid", "2x1"]) == 2, "not replaced"


def test_corners_drawn_by_hand_become_polygons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = [[(-0.5, -0.5), (299.6, -3.0), (300.0, 200.0)], [(320.0, 10.0), (700.0, 10.0), (700.0, 300.0)], []]
    monkeypatch.setattr("realtime_cropzoom.trigger.process.zone_editor.draw_corners", lambda *_: drawn.pop(0))
    path = tmp_path / "boxes.yaml"
    assert main(["zones", str(path), FRAME, "--regions", "--draw"]) == 0
    assert "box1: {polygon_px: [[0, 0], [300, 0], [300, 200]], frame_px: [640, 240]}" in path.read_text()
    assert "box2: {polygon_px: [[320, 10], [640, 10], [640, 240]], frame_px: [640, 240]}" in path.read_text()


def test_a_drawn_region_that_no_run_would_take_is_drawn_again_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other = [(0.0, 0.0), (300.0, 0.0), (300.0, 200.0)], [(320.0, 10.0), (600.0, 10.0), (600.0, 200.0)]
    overlapping, small, open_ = [(290.0, 0.0), (600.0, 0.0), (600.0, 200.0)], [(400.0, 0.0)] * 3, [(320.0, 10.0)]
    drawn = [good, overlapping, small, open_, other, []]
    monkeypatch.setattr("realtime_cropzoom.trigger.process.zone_editor.draw_corners", lambda *_: drawn.pop(0))
    path = tmp_path / "boxes.yaml"
    assert main(["zones", str(path), FRAME, "--regions", "--draw"]) == 0
    assert list(load_settings({"regions": str(path)}).regions or ()) == ["box1", "box2"]
    said = [line for line in capsys.readouterr().err.splitlines() if line.endswith("Draw box2 again")]
    assert len(said) == 3
    assert "overlap by" in said[0]
    assert "got 1 corner, expected 3 or more" in said[2]


def test_without_a_display_the_line_says_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")
    path = tmp_path / "boxes.yaml"
    assert main(["zones", str(path), FRAME, "--regions", "--draw"]) == 2
    assert "make equal rectangles with --grid 4x2" in capsys.readouterr().err.splitlines()[-1]
    assert not path.exists()


def test_regions_of_another_resolution_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "boxes.yaml"
    assert main(["zones", str(path), FRAME, "--regions", "--grid", "2x1"]) == 0
    larger = FRAME.replace("640x240", "1280x480")
    assert main(["run", larger, "--regions", str(path), "--out", str(tmp_path / "s"), "--publish", "none"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "drawn on a frame of 640x240 pixels, but the frames of this source have 1280x480" in said
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("", ["--grid", "4by2"], "--grid: got 4by2, expected COLUMNSxROWS"),
        ("", ["--grid", "32x2"], "got 20x120 pixels, expected at least 32x32"),
        ("", ["--grid", "13x5"], "got 13x5, expected COLUMNSxROWS such as 4x2, at most 64 regions"),
        ("regions: {a: {rectangle_px: [600, 0, 100, 100]}}", [], "outside of the frame"),
        ("zones: {}", [], "has none"),
    ],
)
def test_what_no_run_would_take_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, flags: list[str], said: str
) -> None:
    path = tmp_path / "boxes.yaml"
    if text:
        path.write_text(text)
    assert main(["zones", str(path), FRAME, "--regions", *flags]) == 2
    assert said in capsys.readouterr().err
    assert path.exists() == bool(text), "nothing is written"
    assert not (tmp_path / "boxes.png").exists()

"""The regions in a config file, in a file of their own, and what is refused there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.errors import ConfigError

TWO: dict[str, dict[str, Any]] = {
    "left": {"rectangle_px": [0, 0, 100, 80]},
    "right": {"polygon_px": [[100, 0], [200, 0], [150, 80]]},
}


def test_they_come_from_a_config_file_or_from_a_file_of_their_own(tmp_path: Path) -> None:
    own, config = tmp_path / "boxes.yaml", tmp_path / "config.yaml"
    own.write_text(yaml.safe_dump({"regions": TWO}))
    config.write_text(yaml.safe_dump({"source": "x.mp4", "regions": TWO}))
    named = tmp_path / "named.yaml"
    named.write_text(yaml.safe_dump({"source": "x.mp4", "regions": str(own)}))
    for settings in (load_settings({"regions": str(own)}), load_settings({}, config), load_settings({}, named)):
        assert settings.regions is not None
        assert list(settings.regions) == ["left", "right"]
        assert list(settings.regions["left"].corners) == [(0, 0), (100, 0), (100, 80), (0, 80)]
        again = tmp_path / "again.yaml"
        again.write_text(settings.to_yaml())
        assert load_settings({}, again).regions == settings.regions
    assert load_settings({"regions": "none"}, config).regions is None


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ({"a/b": TWO["left"]}, "'a/b' cannot name files"),
        ({".a": TWO["left"]}, "'.a' cannot name files"),
        ({"box_timing": TWO["left"]}, "box_timing ends as files of a session do"),
        ({"Bbox": TWO["left"]}, "Bbox ends as files"),
        ({"a": TWO["left"], "A": TWO["right"]}, "a and another name differ only in capitals"),
        ({True: TWO["left"]}, "a name was read as True; expected text or a whole number"),
        ({None: TWO["left"]}, "a name was read as None"),
        ({1.5: TWO["left"]}, "a name was read as 1.5"),
        ({"a": {}}, "one of rectangle_px"),
        ({"a": {"circle_px": [1, 2, 3]}}, "circle_px"),
        ({"a": {"polygon_px": [[0, 0], [9, 9]]}}, "polygon_px"),
        ({"a": {"rectangle_px": [0, 0, -5, 9]}}, "rectangle_px"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(regions: dict[Any, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings({"regions": regions})
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.yaml"
    path.write_text("regions:\n  a: {rectangle_px: [0, 0, 50, 50]}\n  a: {rectangle_px: [50, 0, 50, 50]}\n")
    with pytest.raises(ConfigError, match="line 3: a occurs twice"):
        load_settings({"regions": str(path)})


def test_a_file_without_regions_says_how_to_draw_them(tmp_path: Path) -> None:
    path = tmp_path / "boxes.yaml"
    path.write_text("zones: {a: {rectangle_px: [0, 0, 50, 50]}}\n")
    with pytest.raises(ConfigError, match=r"has none; expected.*'cropzoom zones NEW_FILE FRAME --regions --draw'"):
        load_settings({"regions": str(path)})


def test_boxes_may_be_called_by_numbers(tmp_path: Path) -> None:
    path = tmp_path / "boxes.yaml"
    path.write_text("regions:\n  1: {rectangle_px: [0, 0, 50, 50]}\n  2: {rectangle_px: [50, 0, 50, 50]}\n")
    assert list(load_settings({"regions": str(path)}).regions or ()) == ["1", "2"]


def test_the_frame_on_which_they_were_drawn_is_kept(tmp_path: Path) -> None:
    given = {name: {**shape, "frame_px": [640, 480]} for name, shape in TWO.items()}
    settings, again = load_settings({"regions": given}), tmp_path / "config.yaml"
    again.write_text(settings.to_yaml())
    regions = load_settings({"regions": str(again)}).regions
    assert regions == settings.regions
    assert regions is not None
    assert {shape.frame_px for shape in regions.values()} == {(640, 480)}

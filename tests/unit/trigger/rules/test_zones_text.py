"""Zones written into a rules file: the rest of the text stays as it is, byte for byte, or the file is left alone."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.rules.rules import ZoneShape
from realtime_cropzoom.trigger.rules.zones_text import save_zones, with_zones
from realtime_cropzoom.yaml_file import parse_yaml

HEAD = "# my rules\nendpoint: tcp://127.0.0.1:5660   # of the run\n"
TAIL = "\n# what is switched\noutputs:\n  laser: {serial: /dev/ttyACM0}\nrules: {r: {when: {state: tracking}}}\n"
ZONES = """zones:        # in pixels
  # left
  corner: {rectangle_px: [0, 0, 200, 200]}    # x, y, width, height
  nest:
    polygon_px:
      - [0, 0]
      # the door
      - [9, 0]
      - [9, 9]  # top

  feeder: {circle_px: [320, 240, 60]}
  # end of the zones
"""
SAME = {
    "corner": {"rectangle_px": [0, 0, 200, 200]},
    "nest": {"polygon_px": [[0, 0], [9, 0], [9, 9]]},
    "feeder": {"circle_px": [320, 240, 60]},
}
MOVED = {"circle_px": [1.5, 2.0, 3]}


def shapes(zones: dict[str, Any]) -> dict[str, ZoneShape]:
    return {name: ZoneShape.model_validate(shape) for name, shape in zones.items()}


def test_zones_that_do_not_change_leave_the_text_alone() -> None:
    assert with_zones(HEAD + ZONES + TAIL, shapes(SAME)) == HEAD + ZONES + TAIL
    assert with_zones(TAIL, {}) == TAIL


def test_a_zone_that_moves_keeps_its_comments_and_a_new_one_follows_the_last() -> None:
    new = with_zones(HEAD + ZONES + TAIL, shapes(SAME | {"corner": MOVED, "nest": MOVED, "on": MOVED}))
    expected = """zones:        # in pixels
  # left
  corner: {circle_px: [1.5, 2, 3]}    # x, y, width, height
      # the door
  nest: {circle_px: [1.5, 2, 3]}  # top

  feeder: {circle_px: [320, 240, 60]}
  "on": {circle_px: [1.5, 2, 3]}
  # end of the zones
"""
    assert new == HEAD + expected + TAIL


def test_a_zone_that_is_removed_leaves_the_others() -> None:
    new = with_zones(HEAD + ZONES + TAIL, shapes({"feeder": SAME["feeder"]}))
    assert new.startswith(HEAD + "zones:        # in pixels\n  # left\n      # the door\n\n  feeder: {circle")
    assert new.endswith(TAIL)
    none = with_zones(HEAD + ZONES + TAIL, {})
    assert none == HEAD + "zones: {}\n  # end of the zones\n" + TAIL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + TAIL, HEAD + TAIL + "zones:\n  a: {circle_px: [1.5, 2, 3]}\n"),
        ("rules: 1", "rules: 1\nzones:\n  a: {circle_px: [1.5, 2, 3]}\n"),
        ("zones: {}\nrules: 1\n", "zones:\n  a: {circle_px: [1.5, 2, 3]}\nrules: 1\n"),
        ("zones: {b: 1}  # old\nrules: 1\n", "zones:  # old\n  a: {circle_px: [1.5, 2, 3]}\nrules: 1\n"),
        ("zones:\nrules: 1\n", "zones:\n  a: {circle_px: [1.5, 2, 3]}\nrules: 1\n"),
        ("rules: 1\nzones:  # none yet", "rules: 1\nzones:  # none yet\n  a: {circle_px: [1.5, 2, 3]}"),
        ("rules: 1\nzones:", "rules: 1\nzones:\n  a: {circle_px: [1.5, 2, 3]}"),
        ('"zones": null\nrules: 1\n', '"zones":\n  a: {circle_px: [1.5, 2, 3]}\nrules: 1\n'),
        ("zones:\r\n    b: 1\r\nrules: 1\r\n", "zones:\r\n    a: {circle_px: [1.5, 2, 3]}\r\nrules: 1\r\n"),
        ("zones:\n  b:\n    circle_px: [1, 1, 1]", "zones:\n  a: {circle_px: [1.5, 2, 3]}\n"),
    ],
)  # fmt: skip
def test_zones_of_every_usual_form_can_be_replaced(text: str, expected: str) -> None:
    assert with_zones(text, shapes({"a": MOVED})) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{zones: {b: {circle_px: [1, 1, 1]}}, rules: 1}\n",
        "zones:\n  b: &b {circle_px: [1, 1, 1]}\n  c: *b\nrules: *b\n",
        "base: &base {b: {circle_px: [1, 1, 1]}}\nzones:\n  <<: *base\nrules: 1\n",
        "zones: &z\n  b: {circle_px: [1, 1, 1]}\nother: *z\n",
    ],
)
def test_a_file_whose_other_values_would_change_is_left_alone(text: str) -> None:
    with pytest.raises(ConfigError, match="write the zones into the file by hand"):
        with_zones(text, shapes({"a": MOVED, "b": MOVED}))


NAMES = ("corner", "nest", "feeder", "no", "y-1", "null", "a")
NUMBERS = st.floats(-1e5, 1e5, allow_nan=False) | st.integers(-999, 999)
SHAPES = st.one_of(
    st.tuples(NUMBERS, NUMBERS, st.floats(0.1, 1e4)).map(lambda given: {"circle_px": list(given)}),
    st.tuples(NUMBERS, NUMBERS, st.floats(0.1, 9), st.integers(1, 99)).map(lambda given: {"rectangle_cm": list(given)}),
    st.just(SAME["nest"]),
)


@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), SHAPES, max_size=5), max_size=4), st.sampled_from(["\n", "\r\n"])
)
def test_any_zones_can_be_written_one_after_the_other(laps: list[dict[str, Any]], eol: str) -> None:
    text = (HEAD + ZONES + TAIL).replace("\n", eol)
    for zones in laps:
        text = with_zones(text, shapes(zones))
        assert parse_yaml(text)["zones"] == zones
        assert text.startswith(HEAD.replace("\n", eol))
        assert text.endswith(TAIL.replace("\n", eol))


def test_the_file_before_stays_beside_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    old = b"\xef\xbb\xbf" + (HEAD + ZONES + TAIL).encode()
    path.write_bytes(old)
    path.chmod(0o640)
    save_zones(path, shapes({"a": MOVED}))
    assert (tmp_path / "rules.yaml.bak").read_bytes() == old
    assert path.read_bytes().startswith(b"\xef\xbb\xbf# my rules")
    assert parse_yaml(path.read_text(encoding="utf-8-sig"))["zones"] == {"a": MOVED}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rules.yaml", "rules.yaml.bak"]


def test_a_file_that_cannot_be_changed_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("{zones: {}, rules: 1}\n")
    with pytest.raises(ConfigError):
        save_zones(path, shapes({"a": MOVED}))
    assert [p.name for p in tmp_path.iterdir()] == ["rules.yaml"]

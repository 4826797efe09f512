"""Zones of a rules file: they can be looked at before outputs and rules exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.rules.zones_file import load_zones

ZONES = "zones:\n  corner: {rectangle_px: [0, 0, 100, 100]}\n"
REST = "outputs:\n  laser: {serial: x}\nrules:\n  r: {when: {inside: corner}, fire: laser, pulse_ms: 5}\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_zones_alone_is_drawn_and_what_trigger_needs_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    path = write(tmp_path, ZONES)
    assert main(["zones", str(path), "synthetic:arena,size=160x120"]) == 0
    assert (tmp_path / "zones.png").is_file()
    err = capfd.readouterr().err
    assert "'cropzoom trigger' also needs outputs and rules in this file" in " ".join(err.split())
    assert "Next:" not in err
    assert main(["trigger", str(path), "--dry-run"]) == 2
    assert "outputs: is missing" in capfd.readouterr().err


def test_mistakes_in_outputs_and_rules_do_not_hide_the_zones(tmp_path: Path) -> None:
    part = load_zones(write(tmp_path, f"armed: maybe\n{ZONES}{REST}"))
    assert list(part.zones) == ["corner"]
    assert part.is_whole_file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no zones; give lines such as 'zones: "),
        (REST, "has no zones; give lines such as 'zones: "),
        ("zone: {}\n", "no such setting"),
        ("zones:\n  a: {circle_px: [1, 2]}\n", "line 2: zones.a.circle_px: expected 3 numbers"),
        ("zones:\n  a: {circle_cm: [1, 2, 3]}\n", "line 2: zones.a: is in cm, but there is no calibration"),
    ],
)
def test_wrong_zones_are_refused_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"rules\.yaml") as refused:
        load_zones(write(tmp_path, text))
    assert said in str(refused.value)

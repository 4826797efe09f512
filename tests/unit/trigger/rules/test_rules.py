"""The rules file: what is wrong is said at once, a line each, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pose_streams import one_rule, rules

from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.trigger.rules.rules import Rules, load_rules, parse_rules
from realtime_cropzoom.trigger.rules.validation_errors import RulesError

HEAD = """\
zones:
  corner: {rectangle_px: [0, 0, 200, 200]}
outputs:
  laser: {serial: /dev/ttyACM0}
rules:
"""


def load(tmp_path: Path, text: str) -> Rules:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return load_rules(path)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(str(tmp_path)) for line in lines), lines
    return [line.removeprefix(str(tmp_path / "rules.yaml")) for line in lines]


def test_all_mistakes_are_reported_in_one_pass() -> None:
    content = {
        "zones": {
            "r": {"rectangle_px": [30, 30, 220]},
            "s": {"rectangle_px": [30]},
            "c": {"circle_px": [1, 2, 3, 4]},
            "p": {"polygon_px": [[0, 0], [5], [5, 5]]},
        },
        "outputs": {"laser": {"serial": "x"}},
        "rules": {
            "a": {"when": {"entred": "r", "keypoint": "snout"}, "fire": "lasr", "pulse_ms": 5},
            "b": {"when": {"state": "tracking"}, "fire": ["laser", "marks"], "pulse_ms": 5},
        },
    }
    with pytest.raises(RulesError) as refused:
        parse_rules(content)
    said = str(refused.value).splitlines()
    assert said[:4] == [
        "zones.r.rectangle_px: expected 4 numbers: x, y, width, height; got 3 numbers",
        "zones.s.rectangle_px: expected 4 numbers: x, y, width, height; got 1 number",
        "zones.c.circle_px: expected 3 numbers: x, y, radius; got 4 numbers",
        "zones.p.polygon_px.1: expected 2 numbers: x, y; got 1 number",
    ]
    assert said[4].startswith("rules.a.when: given entred, keypoint, but expected one condition: ")
    assert said[4].endswith("Did you mean 'entered'?")
    assert said[5:] == [
        "rules.a.fire: no output 'lasr'; there are laser. Did you mean 'laser'?",
        "rules.b.fire: no output 'marks'; there are laser",
    ]


def test_all_mistakes_are_reported_with_their_lines(tmp_path: Path) -> None:
    text = HEAD + (
        "  a:\n    when: {inside: korner, keypoint: snout}\n    fire: lasr\n    hold: true\n"
        "  b:\n    when:\n      all:\n        - {speed_cm_per_s: snout, above: 3}\n"
        "        - {not: {state: lost}}\n    fire: laser\n    pulse_ms: 5\n"
    )
    assert problems(tmp_path, text) == [
        ", line 8: rules.a.fire: no output 'lasr'; there are laser. Did you mean 'laser'?",
        ", line 7: rules.a.when.inside: no zone 'korner'; there are corner. Did you mean 'corner'?",
        ", line 13: rules.b.when.all.0.speed_cm_per_s: needs a calibration:; give the file, or use speed_px_per_s",
        ", line 14: rules.b.when.all.1.not.state: never holds, since the rule goes by states: [tracking] only; "
        "give it states: [lost]",
    ]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{fire: laser, hold: true}", "when: is missing"),
        ("{when: {state: tracking}, hold: true}", "fire: is missing"),
        ("{when: {state: tracking}, fire: laser}", "expected either pulse_ms: or hold: true"),
        ("{when: {state: tracking}, fire: laser, hold: true, pulse_ms: 3}", "either pulse_ms: or hold: true"),
        ("{when: {state: trakking}, fire: laser, hold: true}", "given 'trakking', but"),
        ("{when: {insidee: corner}, fire: laser, hold: true}", "given insidee, but expected one condition: inside,"),
        ("{when: {}, fire: laser, hold: true}", "given nothing, but expected one condition"),
        ("{when: 3, fire: laser, hold: true}", "expected one condition"),
        ("{when: {inside: corner}, fire: laser, hold: true}", "keypoint: is missing"),
        ("{when: {all: [{inside: corner}]}, fire: laser, hold: true}", "when.all.0: keypoint: is missing"),
        ("{when: {all: []}, fire: laser, hold: true}", "when.all: tuple should have at least 1 item"),
        ("{when: {inside: corner, keypoint: s, oops: 1}, fire: laser, hold: true}", "when.oops: no such setting"),
        ("{when: {inside: corner, keypoint: s, margin_cm: 1}, fire: laser, hold: true}", "the zone is in px"),
        ("{when: {entered: corner, keypoint: s}, fire: laser, hold: true}", "entered is true for one frame only"),
        ("{when: {left: corner, keypoint: s}, fire: laser, pulse_ms: 1, for_ms: 9}", "left is true for one frame"),
        ("{when: {dwelt: corner, keypoint: s}, fire: laser, hold: true}", "for_ms: is missing"),
        ("{when: {speed_px_per_s: s}, fire: laser, hold: true}", "expected above:, below:, both of them, or between:"),
        ("{when: {speed_px_per_s: s, above: 9, below: 3}, fire: laser, hold: true}", "nothing is above 9 and below 3"),
        ("{when: {speed_px_per_s: s, above: .nan}, fire: laser, hold: true}", "finite"),
        ("{when: {speed_px_per_s: s, above: 1, over_ms: 0}, fire: laser, hold: true}", "greater than or equal to 0.01"),
        ("{when: {distance_px: [s, s], above: 1}, fire: laser, hold: true}", "the same keypoint is there twice"),
        ("{when: {distance_px: [[1, 2], [2, 3]], above: 1}, fire: laser, hold: true}", "none of them is a keypoint"),
        ("{when: {heading_deg: [a, b], above: 1}, fire: laser, hold: true}", "a heading needs between"),
        ("{when: {state: tracking}, fire: laser, pulse_ms: -1}", "given -1, but input should be greater than"),
        ("{when: {state: tracking}, fire: laser, pulse_ms: 10, repeat: true}", "repeat needs pulse_ms and"),
        ("{when: {state: tracking}, fire: laser, pulse_ms: 10, max_on_s: 0.001}", "is more than max_on_s"),
        ("{when: {state: tracking}, fire: [laser, laser], hold: true}", "names an output twice"),
        ("{when: {state: tracking}, fire: laser, hold: true, probability: 1.5}", "less than or equal to 1"),
        ("{when: {state: tracking}, fire: laser, hold: true, minutes: [15, 5]}", "[15, 5] is not a span of minutes"),
        ("{when: {state: lost}, fire: laser, hold: true}", "never holds"),
        ("{when: {state: tracking}, fire: laser, hold: true, region: [a, b]}", "region: input should be a valid"),
        ("{when: {inside: [corner], keypoint: s}, fire: laser, hold: true}", "inside: input should be a valid string"),
        ("{when: {distance_px: [s, [1, x]], above: 1}, fire: laser, hold: true}", "given 'x', but input should be"),
    ],
)
def test_a_wrong_rule_gets_one_line(tmp_path: Path, rule: str, said: str) -> None:
    (line,) = problems(tmp_path, f"{HEAD}  r: {rule}\n")
    assert said in line
    assert line.startswith(", line 6: rules.r")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "outputs: is missing"),
        (HEAD, "rules: "),
        (HEAD.replace("200, 200]", "200, -3]") + "  r: {when: {state: tracking}, fire: laser, hold: true}", "given -3"),
        ("predict: true\n" + HEAD + "  r: {when: {state: tracking}, fire: laser, hold: true}", "needs a velocity"),
        (
            "hold_max_age_ms: 20\n" + HEAD + "  r: {when: {state: tracking}, fire: laser, hold: true}",
            "less than max_age",
        ),
        ("ouch: 1\n" + HEAD + "  r: {when: {state: tracking}, fire: laser, hold: true}", "ouch: no such setting"),
        (
            HEAD.replace("laser", "la ser") + "  r: {when: {state: tracking}, fire: laser, hold: true}",
            "a name has up to 60 letters",
        ),
        ("a: &a [*a]\n", "contains itself"),
        ("a: [\n", "is not YAML"),
        (HEAD + "  r: {when: {state: tracking}, fire: laser, hold: true}\n  r: {}", "line 7: r occurs twice"),
    ],
)
def test_a_wrong_file_never_ends_in_a_traceback(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in line for line in problems(tmp_path, text))


def test_an_output_with_a_number_as_its_name_is_an_error(tmp_path: Path) -> None:
    """YAML reads 1 as a number and no as false: neither is a name."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        "outputs: {1: {zmq_publish: tcp://127.0.0.1:5670}, no: {zmq_publish: tcp://127.0.0.1:5671}}\n"
        "rules: {a: {when: {state: tracking}, fire: laser, hold: true}}\n"
    )
    with pytest.raises(ConfigError, match="no output 'laser'; there are 1, False"):
        load_rules(path)


def test_endless_conditions_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, HEAD + "  r: {fire: laser, hold: true, when: &w {not: *w}}\n")


def test_a_zone_in_cm_without_a_calibration_is_an_error(tmp_path: Path) -> None:
    text = HEAD.replace("rectangle_px", "rectangle_cm") + "  r: {when: {state: tracking}, fire: laser, hold: true}\n"
    (line,) = problems(tmp_path, text)
    assert line == ", line 2: zones.corner: is in cm, but there is no calibration:; give the file, or the zone in px"
    assert load(tmp_path, "calibration: arena.yaml\n" + text).zones["corner"].in_cm


def test_keypoints_are_checked_against_the_model() -> None:
    built = rules(
        "{a: {when: {all: [{inside: disc, keypoint: nose}, {distance_px: [snout, [3, 4]], below: 3}]},"
        " fire: laser, hold: true},"
        " b: {when: {angle_deg: {from: tail, to: snout, target: disc}, below: 3}, fire: laser, hold: true}}"
    )
    built.check_stream(["nose", "snout", "tail"], 30.0)
    with pytest.raises(ConfigError) as raised:
        built.check_stream(["snout", "tailbase"], 5.0)
    assert str(raised.value).splitlines() == [
        "rules.a: no keypoint 'nose'; the model has snout, tailbase",
        "rules.b: no keypoint 'tail'; the model has snout, tailbase. Did you mean 'tailbase'?",
        "bridge_ms is 100, but poses are 200 ms apart, so that no duration could be measured; give at least 400",
    ]


def test_one_span_of_minutes_needs_no_outer_brackets() -> None:
    assert one_rule("{state: tracking}", minutes=[5, 15]).rules["r"].minutes == ((5.0, 15.0),)
    assert one_rule("{state: tracking}", minutes=[[5, 15], [20, 30]]).rules["r"].minutes == ((5.0, 15.0), (20.0, 30.0))


def test_a_missing_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_rules(tmp_path / "missing.yaml")


def test_a_region_may_be_called_by_a_number(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(HEAD + "  r: {when: {state: tracking}, fire: laser, hold: true, region: 1}\n")
    assert load_rules(path).unfit_regions(["1", "2"]) == []

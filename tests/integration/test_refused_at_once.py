"""What nobody means is refused at once, in one line: sizes, depths, names, numbers, zones that are no area."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from support.models import onnx_model
from support.pipelines import Film, make_settings, run_to_end, tiny_models
from support.pose_streams import START_NS, one_rule, pose, received

from realtime_cropzoom.calibration.calibration import read_calibration, read_lens
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.config.multi_camera import load_cameras
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError, CropzoomError, shorten
from realtime_cropzoom.inference.makers.maker import Wanted
from realtime_cropzoom.inference.model_file import find_model
from realtime_cropzoom.offline.model_directory import ModelDirectory
from realtime_cropzoom.sessions.files import Session
from realtime_cropzoom.sessions.folder import file_stem
from realtime_cropzoom.trigger.engine.events import Command, Order, Verdict
from realtime_cropzoom.trigger.engine.factory import build_engine
from realtime_cropzoom.trigger.rules.rules import load_rules
from realtime_cropzoom.trigger.rules.zones import MAX_CORNERS, polygon
from realtime_cropzoom.yaml_file import read_yaml

AT_ONCE_S = 20.0
"""Far more than any of it takes; without a limit some of it takes hours, or all memory."""

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Each line stands for nine times the one before."""
ODD_YAML = {
    "aliases of aliases": BOMB,
    "merges of merges": "a: &a {k: 1}\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    ) + "z: {<<: *h}\n",
    "brackets in brackets": "a: " + "[" * 100_000,
    "braces in braces": "a: " + "{a: " * 5_000 + "1" + "}" * 5_000,
    "a chain of aliases": "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 500)),
    "itself": "a: &a {b: *a}\n",
    "a number of 5000 digits": f"a: {'9' * 5000}\n",
    "the 31st of February": "a: 2026-02-31\n",
    "half a megabyte": "a: [" + "1, " * 200_000 + "1]\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a tag of Python": "a: !!python/object/apply:os.system [true]\n",
    "no end": "a: 'b\n",
}  # fmt: skip


READERS: dict[str, Callable[[Path], object]] = {
    "settings": lambda path: load_settings({}, path),
    "cameras": lambda path: load_cameras({}, path),
    "rules": load_rules,
    "calibration": read_calibration,
    "model": lambda path: ModelDirectory.open(path.parent),
    "export": lambda path: find_model(path.parent, Wanted()),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "exports_onnx").mkdir()
    onnx.save(onnx_model(), tmp_path / "exports_onnx" / "m_fp32.onnx")
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("reader", list(READERS))
@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML.keys())
def test_no_reader_is_overrun(file: Path, text: str, reader: str) -> None:
    file.write_text(text)
    began = time.monotonic()
    with pytest.raises(CropzoomError) as raised:
        READERS[reader](file)
    assert time.monotonic() - began < AT_ONCE_S
    (line,) = str(raised.value).splitlines()
    assert str(file) in line
    assert len(line) < 400 + len(str(file))


DIGITS = "9" * 400
EYE = "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]"
RULE = 'outputs: {l: {zmq_publish: "tcp://127.0.0.1:*"}}\nrules: {r: {when: {state: tracking}, fire: l, pulse_ms: 5}}\n'
MODEL = (
    "data: {{keypoint_names: {}, image_resize_dims: {{width: {}, height: 64}}, downsample_factor: {}}}\n"
    "model: {{model_type: {}}}\n"
)
ODD_VALUES = {
    "calibration": [
        f"{{frame_size: [{DIGITS}, 9], unit: cm, homography: {EYE}}}",
        f"{{frame_size: [1000000000000, 9], unit: cm, homography: {EYE}}}",
        f"{{frame_size: [9, 9], unit: cm, homography: {EYE.replace('1, 0, 0', '.nan, 0, 0')}}}",
        f"{{frame_size: [9, 9], unit: cm, homography: {EYE}, residual_cm: .inf}}",
        "{frame_size: [9, 9], unit: cm, homography: [[0, 0, 0], [0, 0, 0], [0, 0, 0]]}",
    ],
    "lens": [
        "{frame_size: [9, 9], lens: {focal_px: [0, 0], centre_px: [1, 1], distortion: [0, 0, 0, 0, 0]}}",
        "{frame_size: [9, 9], lens: {focal_px: [.nan, 1], centre_px: [1, 1], distortion: [0, 0, 0, 0, 0]}}",
    ],
    "rules": [f"seed: {DIGITS}\n{RULE}", f"endpoint: {'x' * 50_000}\n{RULE}", f"calibration: {'x' * 50_000}\n{RULE}"],
    "settings": [
        *(f"{name}: {DIGITS}" for name in ("crop_size", "min_likelihood", "frames", "camera_size", "roi")),
        *(f"{name}: {'x' * 50_000}" for name in ("camera", "publish", "publish_echo", "edge")),
        *(f'{name}: "a\\0b"' for name in ("source", "out", "pose", "schedule", "calibration")),
        "crop_size: [1, 2]", "source: {a: 1}", "schedule: 5",
    ],
    "cameras": [f"cameras: {{{'x' * 101}: {{source: a}}}}", f"cameras: {{a: {'x' * 50_000}}}", "cameras: [1]"],
    "export": [
        *(MODEL.format("[a]", 64, factor, "heatmap") for factor in ("x", ".inf", "-1", DIGITS, "[1]")),
        *(MODEL.format("[a]", width, 2, "heatmap") for width in ("0", "-5", ".nan", DIGITS, "x")),
        *(MODEL.format(names, 64, 2, "heatmap") for names in ("[]", "5", "null", f"[{'x' * 300}]")),
        *(MODEL.format("[a]", 64, 2, kind) for kind in ("x" * 50_000, "[1]", "null")),
    ],
}  # fmt: skip
READERS["lens"] = read_lens


@pytest.mark.parametrize(("reader", "text"), [(name, text) for name, texts in ODD_VALUES.items() for text in texts])
def test_an_odd_value_is_refused_in_one_line(file: Path, reader: str, text: str) -> None:
    file.write_text(text)
    with pytest.raises(CropzoomError) as raised:
        READERS[reader](file)
    (line,) = str(raised.value).splitlines()
    assert len(line) < 400 + len(str(file))


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML.keys())
def test_a_session_with_such_a_config_is_read_without_it(file: Path, text: str) -> None:
    file.write_text(text)
    poses = file.with_name("clip.csv")
    session = Session(poses, boxes=None, timing=file.with_name("clip_timing.csv"))
    assert session.settings == {}


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="256 kB"):
        read_yaml(Path("/dev/zero"))


def test_what_is_no_utf_8_is_refused(file: Path) -> None:
    file.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read_yaml(file)


def test_plain_aliases_and_marks_at_the_beginning_are_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfa: &a {b: 1}\nc: {<<: *a, d: [*a, *a]}\n")
    assert read_yaml(file) == {"a": {"b": 1}, "c": {"b": 1, "d": [{"b": 1}, {"b": 1}]}}


NUMBERS = [name for name, field in Settings.model_fields.items() if "float" in str(field.annotation)]


NO_DIVISORS = ("likelihood", "gain", "beta", "start_s", "sharpness", "tolerance", "check_s")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300, "inf", ".inf", "1e999"], ids=str)
@pytest.mark.parametrize("name", NUMBERS)
def test_no_setting_is_infinite(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: got [^\n]*$"):
        load_settings({name: value})


@pytest.mark.parametrize("name", [name for name in NUMBERS if not name.endswith(NO_DIVISORS)])
def test_no_setting_is_next_to_nothing(name: str) -> None:
    """It would be infinite once it is divided by."""
    with pytest.raises(ConfigError, match=f"^{name}: got 1e-300"):
        load_settings({name: 1e-300})


@pytest.mark.parametrize(
    ("contradiction", "said"),
    [
        ({"crop_size": 100, "crop_ratio": 2.0}, "both crop_size"),
        ({"lost_after_ms": 1, "coast_after_ms": 5}, "lost_after_ms is 1.0; expected more"),
        ({"publish": "tcp://127.0.0.1:9", "publish_latest": "tcp://127.0.0.1:9"}, "give them different ports"),
        ({"publish": "tcp://0.0.0.0:9", "publish_latest": "none"}, "publish: other machines can reach tcp://0.0.0.0:9"),
        ({"key_folder": "keys", "insecure": True}, "both key_folder"),
    ],
)
def test_settings_made_directly_are_checked_as_well(contradiction: dict[str, Any], said: str) -> None:
    for make in (Settings, lambda **given: load_settings(given)):
        with pytest.raises(ConfigError, match=said):
            make(**contradiction)


def test_a_misspelt_setting_is_told_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("crop_sise: 240\n")
    with pytest.raises(ConfigError, match=r"crop_sise: not a setting.* Did you mean 'crop_size'\?$"):
        load_settings({}, file)
    monkeypatch.setenv("CROPZOOM_CROP_SISE", "240")
    with pytest.raises(ConfigError, match=r"Did you mean 'CROPZOOM_CROP_SIZE'\?$"):
        load_settings({})


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", LONG],
        ["run", f"{LONG}/film.mp4"],
        ["run", "--config", LONG],
        ["run", "synthetic:arena", "--pose", LONG],
        ["run", "synthetic:arena", "--detector", f"{LONG}.onnx"],
        ["run", "synthetic:arena", "--schedule", LONG],
        ["run", "synthetic:arena", "--calibration", LONG],
        ["run", "synthetic:arena", "--camera", LONG],
        ["run", "synthetic:arena", "--key-folder", LONG],
        ["trigger", LONG],
        ["trigger", "--replay", LONG],
        ["zones", LONG, "x"],
        ["draw", LONG],
        ["predict", LONG, LONG],
        ["pipeline", LONG],
        ["listen", "--keys", LONG],
    ],
    ids=lambda arguments: " ".join(a.replace(LONG, "LONG") for a in arguments),
)
def test_a_name_that_is_too_long_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("cropzoom: ")
    assert "x" * 20 in line


@pytest.mark.parametrize("name", ["ab", "x" * 300, "é" * 200, "\udcff" * 300])
def test_a_run_can_be_named_after_any_recording(name: str) -> None:
    stem = file_stem(name)
    assert len(stem.encode(errors="surrogateescape")) <= 180
    assert len(name) > 100 or stem == name


@pytest.mark.parametrize("value", ["x" * 10**6, b"x" * 10**6, list(range(10**5)), 10**4000, "short"])
def test_what_was_given_fits_a_line(value: object) -> None:
    assert len(shorten(value)) < 120


HEAD = 'outputs: {laser: {zmq_publish: "tcp://127.0.0.1:*"}}\n'
CIRCLE = [[100 + 50 * math.cos(k / 5000), 100 + 50 * math.sin(k / 5000)] for k in range(20000)]
NO_AREA = {
    "polygon_px: []": "0 different corners",
    "polygon_px: null": "polygon_px is empty",
    "polygon_px: [[0, 0], [9, 9]]": "2 different corners",
    "polygon_px: [[0, 0], [9, 0], [0, 0], [9, 0]]": "2 different corners",
    "polygon_px: [[0, 0], [5, 5], [9, 9]]": "no area",
    "polygon_px: [[0, 0], [9, 0], [0, 0], [0, 9], [0, 0]]": "no area",
    "polygon_px: [[0, 0], [9, 9], [9, 0], [0, 9]]": "crosses itself",
    "polygon_px: [[1e308, 1e308], [-1e308, 1e308], [-1e308, -1e308]]": "1e308",
    "polygon_px: [[.inf, 0], [9, 0], [9, 9]]": "inf",
    "polygon_px: [[.nan, 0], [9, 0], [9, 9]]": "nan",
    "rectangle_px: [0, 0, 0, 9]": "given 0",
    "rectangle_px: [0, 0, 1.0e-300, 9]": "given 1e-300",
    "rectangle_px: [0, 0, 1.0e+9, 9]": "given 1000000000.0",
    "rectangle_px: [.inf, 0, 9, 9]": "inf",
    "circle_px: [0, 0, -1]": "given -1",
    "circle_px: [0, 0, .inf]": "inf",
    "circle_px: null": "circle_px is empty",
}
NOBODY_MEANS = {
    "pulse_ms: 0": "pulse_ms",
    "pulse_ms: 1e-9": "pulse_ms",
    "pulse_ms: .inf": "pulse_ms",
    "pulse_ms: 1e12": "pulse_ms",
    "pulse_ms: 5, refractory_ms: .inf": "refractory_ms",
    "pulse_ms: 5, refractory_ms: -1": "refractory_ms",
    "pulse_ms: 5, max_on_s: -1": "max_on_s",
    "pulse_ms: 5, max_on_s: 0": "max_on_s",
    "pulse_ms: 5, max_on_s: 1e9": "max_on_s",
    "pulse_ms: 5, max_on_s: .nan": "max_on_s",
    "pulse_ms: 5, max_fired: 0": "max_fired",
    "pulse_ms: 5, max_fired: 1e300": "max_fired",
    "pulse_ms: 5, max_per_minute: 0": "max_per_minute",
    "pulse_ms: 5, max_age_ms: 1e9": "max_age_ms",
    "pulse_ms: 5, for_ms: .inf": "for_ms",
    "pulse_ms: 5, minutes: [0, .inf]": "minutes",
    "pulse_ms: 5, pulse_mss: 5": "Did you mean 'pulse_ms'?",
}


def refused(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_rules(path)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(str(path)) and len(line) < 300 + len(str(path)) for line in lines)
    return lines[0]


@pytest.mark.parametrize("shape", NO_AREA)
def test_a_zone_that_is_no_area_is_refused(file: Path, shape: str) -> None:
    rule = "rules: {r: {when: {inside: z, keypoint: snout}, fire: laser, pulse_ms: 5}}\n"
    line = refused(file, f"{HEAD}zones: {{z: {{{shape}}}}}\n{rule}")
    assert NO_AREA[shape] in line
    assert "line 2: zones.z" in line


@pytest.mark.parametrize("limits", NOBODY_MEANS)
def test_a_limit_that_nobody_means_is_refused(file: Path, limits: str) -> None:
    line = refused(file, f"{HEAD}rules: {{r: {{when: {{state: tracking}}, fire: laser, {limits}}}}}\n")
    assert NOBODY_MEANS[limits] in line


@pytest.mark.parametrize("of_all", ["max_on_s: 1e9", "max_on_s: -1", "max_on_s: .inf", "max_fired: -1"])
def test_so_is_a_limit_of_all_rules_together(file: Path, of_all: str) -> None:
    rule = "rules: {r: {when: {state: tracking}, fire: laser, pulse_ms: 5}}\n"
    assert "limits.max" in refused(file, f"{HEAD}limits: {{{of_all}}}\n{rule}")


@pytest.mark.parametrize(
    "condition",
    [
        "{likelihood: snout, above: 1.5}",
        "{likelihood: snout, below: -0.1}",
        "{speed_px_per_s: snout, below: -5}",
        "{distance_px: [snout, [0, 0]], below: 0}",
        "{distance_px: [snout, [.inf, 0]], below: 5}",
        "{speed_px_per_s: snout, above: .inf}",
        "{dwelt: z, keypoint: snout, for_ms: 1e12}",
        "{inside: z, keypoint: snout, margin_px: 1e9}",
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(file: Path, condition: str) -> None:
    refused(file, f"{HEAD}zones: {{z: {{circle_px: [9, 9, 9]}}}}\n"
                  f"rules: {{r: {{when: {condition}, fire: laser, pulse_ms: 5}}}}\n")  # fmt: skip


def test_a_polygon_of_many_corners_is_refused_at_once(file: Path) -> None:
    began = time.monotonic()
    corners = [[round(x, 3), round(y, 3)] for x, y in CIRCLE[:: len(CIRCLE) // 2000]]
    rule = "rules: {r: {when: {inside: z, keypoint: snout}, fire: laser, pulse_ms: 5}}\n"
    assert f"at most {MAX_CORNERS} items" in refused(file, f"{HEAD}zones: {{z: {{polygon_px: {corners}}}}}\n{rule}")
    many = [(100 + (50 + 40 * (k % 2)) * math.cos(k), 100 + 50 * math.sin(k)) for k in range(MAX_CORNERS)]
    assert "crosses itself" in str(polygon(many).problem())
    comb = [(k % 2 * 100.0, float(k)) for k in range(MAX_CORNERS)]
    assert polygon([*comb, (200.0, float(MAX_CORNERS)), (200.0, 0.0)]).problem() is None
    assert time.monotonic() - began < AT_ONCE_S


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short session; its keypoints are middle, right and low."""
    settings = make_settings(tmp_path_factory.mktemp("session"), **tiny_models(tmp_path_factory.mktemp("models")))
    folder = run_to_end(settings, Film(20, 100)).folder
    assert folder is not None
    return folder


@pytest.mark.parametrize(
    ("zone", "keypoint", "said"),
    [
        (
            "circle_px: [50, 50, 40]",
            "midle",
            "no keypoint 'midle'; the model has middle, right, low. Did you",
        ),
        ("polygon_px: []", "middle", "0 different corners"),
    ],
)
def test_a_rehearsal_refuses_what_a_trigger_refuses(
    file: Path, session: Path, capsys: pytest.CaptureFixture[str], zone: str, keypoint: str, said: str
) -> None:
    rule = f"rules: {{r: {{when: {{inside: z, keypoint: {keypoint}}}, fire: laser, pulse_ms: 5}}}}\n"
    file.write_text(f"{HEAD}zones: {{z: {{{zone}}}}}\n{rule}")
    out = file.with_name("out")
    assert main(["trigger", str(file), "--replay", str(session), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not out.exists()
    if keypoint == "middle":
        for command in (["zones", str(file), "x.png"], ["trigger", str(file), "--arm", "--control", "none"]):
            assert main(command) == 2
            assert said in capsys.readouterr().err


@pytest.mark.parametrize("filtered", ["none", "kalman", "one_euro"])
@pytest.mark.parametrize("when", ["{inside: disc, keypoint: snout}", "{likelihood: snout, above: 0.5}"])
@pytest.mark.parametrize(
    ("likelihood", "fires"),
    [
        (1.0, True),
        (1.0000005, True),
        (1.3, True),
        (2.1, False),
        (1e300, False),
        (math.inf, False),
        (math.nan, False),
        (-1.0, False),
    ],
)
def test_what_is_no_likelihood_fires_nothing(likelihood: float, fires: bool, when: str, filtered: str) -> None:
    """Sums of 32-bit numbers come out a little over 1; nothing else may."""
    for least in (0.6, 0.0) if not math.isnan(likelihood) or "likelihood" in when else (0.6,):
        engine = build_engine(one_rule(when, filter=filtered, min_likelihood=least), 1, None)
        engine.take(Command(START_NS, Order.ARM, "test"))
        decisions = engine.take(received(pose(0, 10, {"snout": (320, 240, likelihood)})))
        assert (Verdict.FIRED in [d.verdict for d in decisions]) is fires

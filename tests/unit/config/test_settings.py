"""The settings of a run: who wins over whom, and that nothing misspelt goes unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from support.models import tiny_manifest

from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.config.settings import Settings
from realtime_cropzoom.errors import ConfigError


@pytest.fixture
def write_yaml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_defaults_hold_if_nothing_is_set() -> None:
    settings = load_settings()
    assert settings == Settings.model_construct()
    assert settings.crop_size is None
    assert settings.publish == "tcp://127.0.0.1:5660"
    assert settings.pace == "realtime"


def test_flags_take_precedence_over_environment_over_file_over_defaults(
    monkeypatch: pytest.MonkeyPatch, write_yaml: Callable[[str], Path]
) -> None:
    path = write_yaml("min_box: 1\nmax_lag: 1\ndetector_every: 1\n")
    monkeypatch.setenv("CROPZOOM_MAX_LAG", "2")
    monkeypatch.setenv("CROPZOOM_DETECTOR_EVERY", "2")
    settings = load_settings({"detector_every": 3}, path)
    assert (settings.min_box, settings.max_lag, settings.detector_every) == (1, 2, 3)
    assert settings.edge == "pad"


def test_the_environment_is_read_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPZOOM_CROP_SIZE", "240")
    assert load_settings().crop_size == 240


def test_an_empty_file_sets_nothing(write_yaml: Callable[[str], Path]) -> None:
    assert load_settings(config=write_yaml("# only a comment\n")) == load_settings()


def test_settings_are_read_only() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().crop_size = 3


@pytest.mark.parametrize(
    ("given", "names"),
    [
        pytest.param("snout, tailbase", ("snout", "tailbase"), id="as a flag or in the environment"),
        pytest.param(["snout", "tailbase"], ("snout", "tailbase"), id="as a YAML list"),
        pytest.param("snout,", ("snout",), id="a comma too many"),
    ],
)
def test_anchor_keypoints_may_be_a_list_or_words_with_commas(given: object, names: tuple[str, ...]) -> None:
    assert load_settings({"anchor_keypoints": given}).anchor_keypoints == names


def test_anchor_keypoints_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPZOOM_ANCHOR_KEYPOINTS", "snout,tailbase")
    assert load_settings().anchor_keypoints == ("snout", "tailbase")


def test_a_misspelt_key_in_the_file_is_named_with_the_file(write_yaml: Callable[[str], Path]) -> None:
    path = write_yaml("crop_size: 240\ncropsize: 240\n")
    with pytest.raises(ConfigError, match=r"run\.yaml: cropsize: not a setting"):
        load_settings(config=path)


def test_a_misspelt_flag_is_named_without_a_file() -> None:
    with pytest.raises(ConfigError, match="cropsize: not a setting") as caught:
        load_settings({"cropsize": 240})
    assert "None" not in str(caught.value)


def test_a_missing_file_is_an_error_and_not_the_defaults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config file .*nowhere\.yaml"):
        load_settings(config=tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("- crop_size\n- 240\n", "holds a list", id="a list"),
        pytest.param("crop_size\n", "holds a str", id="a word"),
        pytest.param("crop_size: [240\n", "is not YAML", id="not YAML"),
        pytest.param(
            "240: crop_size\n",
            "240",
            id="a number for a key",
        ),
    ],
)
def test_a_file_that_is_not_a_mapping_is_refused(text: str, says: str, write_yaml: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_settings(config=write_yaml(text))
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot read the config file"):
        load_settings(config=path)


def test_a_folder_for_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the config file"):
        load_settings(config=tmp_path)


def test_an_unknown_variable_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPZOOM_CROPSIZE", "240")
    with pytest.raises(ConfigError, match="CROPZOOM_CROPSIZE: not a setting"):
        load_settings()


def test_a_wrong_value_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPZOOM_CROP_SIZE", "large")
    with pytest.raises(ConfigError, match="'large'"):
        load_settings()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        pytest.param({"crop_size": 0}, "crop_size: got 0", id="no box"),
        pytest.param({"crop_size": -1}, "crop_size: got -1", id="a negative box"),
        pytest.param({"crop_size": 10**9}, "crop_size: got 1000000000", id="a huge box would take all memory"),
        pytest.param({"crop_size": "wide"}, "crop_size: got 'wide'", id="a word"),
        pytest.param({"crop_ratio": 0}, "crop_ratio: got 0", id="no ratio"),
        pytest.param({"crop_ratio": float("nan")}, "crop_ratio: got nan", id="NaN ratio"),
        pytest.param({"crop_ratio": float("inf")}, "crop_ratio: got inf", id="infinite ratio"),
        pytest.param({"min_likelihood": 1.5}, "min_likelihood: got 1.5", id="a likelihood over 1"),
        pytest.param({"edge": "wrap"}, "edge: got 'wrap'", id="a choice there is not"),
        pytest.param({"camera": "cam 0/left"}, "camera: got", id="a camera that would break its topic"),
        pytest.param({"detector_every": 0}, "detector_every: got 0", id="never"),
        pytest.param({"frames": 0}, "frames: got 0", id="no frames"),
        pytest.param({"pose_threads": 0}, "pose_threads: got 0", id="no threads"),
        pytest.param({"crop_size": 240, "crop_ratio": 2.0}, "both crop_size", id="size and ratio contradict"),
        pytest.param({"coast_after_ms": 500, "lost_after_ms": 500}, "lost_after_ms is 500", id="limits out of order"),
        pytest.param(
            {"publish": "tcp://*:5660", "publish_latest": "tcp://*:5660"}, "different ports", id="one port twice"
        ),
        pytest.param(
            {"publish_latest": "tcp://127.0.0.1:5662", "publish_echo": "tcp://127.0.0.1:5662"},
            "publish_latest and publish_echo are both",
            id="the echo where poses are",
        ),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(flags: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_settings(flags)
    assert "\n" not in str(caught.value)


def test_size_from_the_file_and_ratio_from_a_flag_contradict_too(write_yaml: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"both crop_size \(240\) and crop_ratio \(2\.0\)"):
        load_settings({"crop_ratio": 2.0}, write_yaml("crop_size: 240\n"))


def test_all_errors_are_reported_together_one_line_each() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"crop_size": 0, "edge": "wrap", "frames": -3})
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["frames", "crop_size", "edge"]


def test_both_endpoints_may_be_none() -> None:
    assert load_settings({"publish": "none", "publish_latest": "none"}).publish == "none"


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param({}, id="defaults"),
        pytest.param(
            {
                "source": "maus-ä: 1.mp4",
                "crop_size": 240,
                "anchor_keypoints": "snout,tailbase",
                "schedule": "runs/x_bbox.csv",
                "out": "elsewhere",
                "min_likelihood": 0.333,
                "precision": "fp16",
                "publish_optional": True,
            },
            id="much of it set",
        ),
        pytest.param({"detector_max_fps": 1e6, "lost_after_ms": 86_400_000.0}, id="the largest numbers"),
        pytest.param({"camera": "007"}, id="a word that looks like a number"),
        pytest.param({"source": "no", "camera": "null"}, id="words that YAML would take for others"),
    ],
)
def test_settings_written_as_yaml_are_read_back_equal(
    flags: dict[str, object], write_yaml: Callable[[str], Path]
) -> None:
    settings = load_settings(flags)
    text = settings.to_yaml()
    assert set(yaml.safe_load(text)) == set(Settings.model_fields)
    assert load_settings(config=write_yaml(text)) == settings


@pytest.mark.parametrize(
    ("flags", "trained", "size", "ratio"),
    [
        pytest.param({}, None, None, None, id="nothing is known: the rule's own default"),
        pytest.param({}, 240, 240, None, id="the pose model knows its size"),
        pytest.param({"crop_size": 100}, 240, 100, None, id="a set size wins over the model's"),
        pytest.param({"crop_ratio": 3.0}, 240, None, 3.0, id="so does a set ratio"),
    ],
)
def test_the_box_rule_takes_the_size_from(
    flags: dict[str, object], trained: int | None, size: int | None, ratio: float | None
) -> None:
    rule = load_settings(flags).box_rule(("snout", "tailbase"), tiny_manifest(crop_size=trained))
    assert (rule.crop_size, rule.crop_ratio) == (size, ratio)


def test_anchors_become_indices_of_the_detectors_keypoints() -> None:
    settings = load_settings({"anchor_keypoints": "tailbase,snout"})
    assert settings.box_rule(("snout", "ear", "tailbase"), None).anchors == (2, 0)


def test_an_unknown_anchor_is_named() -> None:
    settings = load_settings({"anchor_keypoints": "snout,nose"})
    with pytest.raises(ConfigError, match="the detector has no nose; it has snout, tailbase"):
        settings.box_rule(("snout", "tailbase"), None)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "rat arena"
    for role in ("detector", "pose"):
        (folder / "models" / role).mkdir(parents=True)
    (folder / "project.yaml").write_text("keypoints: [nose]\n")
    return folder


def test_the_models_of_a_project_run_unless_others_are_given(project: Path) -> None:
    models = project / "models"
    settings = load_settings({"project": project})
    assert (settings.detector, settings.pose) == (str(models / "detector"), str(models / "pose"))
    assert load_settings({"project": project, "detector": "none"}).detector == "none"
    assert load_settings({"project": project, "pose": "a.onnx"}).detector == str(models / "detector")


def test_a_project_wins_over_models_of_a_lower_place(
    project: Path, write_yaml: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_yaml("detector: file.onnx\npose: file.onnx\n")
    assert load_settings({"project": project}, path).pose == str(project / "models" / "pose")
    monkeypatch.setenv("CROPZOOM_PROJECT", str(project))
    assert load_settings({"pose": "flag.onnx"}, path).pose == "flag.onnx"
    assert load_settings({"pose": "flag.onnx"}, path).detector == str(project / "models" / "detector")
    within = write_yaml(f"project: {project}\npose: file.onnx\n")
    monkeypatch.delenv("CROPZOOM_PROJECT")
    assert load_settings({}, within).pose == "file.onnx"


def test_the_settings_of_a_run_of_a_project_hold_without_it(project: Path, write_yaml: Callable[[str], Path]) -> None:
    settings = load_settings({"project": project})
    path = write_yaml(settings.to_yaml())
    project.rename(project.with_name("gone"))
    assert load_settings(config=path) == settings


def test_a_project_without_models_names_the_command_that_makes_them(project: Path) -> None:
    (project / "models" / "pose").rmdir()
    with pytest.raises(ConfigError, match=r"got no trained pose model, .*Train it with: cropzoom train .*rat arena$"):
        load_settings({"project": project})
    with pytest.raises(ConfigError, match="expected the folder of a project"):
        load_settings({"project": project / "models"})


def test_the_password_of_an_address_is_not_written() -> None:
    settings = load_settings({"source": "rtsp://lab:secret@10.0.0.5/stream"})
    assert settings.source == "rtsp://lab:secret@10.0.0.5/stream"
    assert "secret" not in settings.to_yaml()
    assert yaml.safe_load(settings.to_yaml())["source"] == "rtsp://10.0.0.5/stream"

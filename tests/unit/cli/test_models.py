"""``cropzoom models``: what it says, what it draws, what it writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from support.described import BY_HAND, write_bare, write_described
from support.offline_fixtures import Workplace

from realtime_cropzoom.inference.model import Model


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path, capfd)


def test_it_says_what_each_file_is(work: Workplace) -> None:
    described, litpose = write_described(work.folder / "a.onnx"), work.model("litpose")
    done = work.did("models", described, litpose)
    assert done.out.splitlines()[0] == str(described)
    assert "  keypoints   3: middle, right, low\n" in done.out
    assert "  maker       Lightning Pose\n" in done.out
    assert str(litpose / "exports_onnx" / "epoch=1-step=2_fp32.onnx") in done.out
    assert "  network     images (1, 3, 64, 64) → heatmaps (1, 3, 16, 16); " in done.out


def test_json_has_the_manifest_and_the_error_of_each(work: Workplace) -> None:
    described, bare = write_described(work.folder / "a.onnx"), write_bare(work.folder / "bare.onnx")
    done = work.run("models", described, bare, "--json")
    assert done.code == 2
    good, bad = json.loads(done.out)
    assert good["manifest"]["keypoint_names"] == ["middle", "right", "low"]
    assert good["manifest"]["decoder"]["type"] == "litpose_heatmaps"
    assert good["size"] == [64, 64]
    assert bad["given"] == str(bare)
    assert "say what it is: --keypoints A,B" in bad["error"]
    assert len(done.lines) == 1


def test_a_frame_is_drawn_with_the_box_of_the_detector(work: Workplace) -> None:
    pose = write_described(work.folder / "pose.onnx")
    detector = write_described(work.folder / "finder.onnx", role="detector")
    done = work.did("models", pose, "--frame", f"{work.video()}:7", "--detector", detector)
    assert "  frame       7 of " in done.out
    assert "  box         x " in done.out
    assert "middle  x " in done.out
    assert (work.folder / "pose_frame.png").exists()
    shown = work.did("models", detector, "--frame", work.video(), "--json", "--out", work.folder / "b.png")
    (one,) = json.loads(shown.out)
    assert one["frame"]["box"] is None
    assert one["frame"]["keypoints"][0]["name"] == "middle"
    assert one["frame"]["picture"] == str(work.folder / "b.png")


def test_a_bare_file_becomes_one_that_runs(work: Workplace) -> None:
    bare, out = write_bare(work.folder / "bare.onnx"), work.folder / "models" / "mine.onnx"
    done = work.did("models", "import", bare, "--out", out, *BY_HAND, "crop_size=64", "role=pose")
    assert done.out.splitlines()[-1] == str(out)
    assert f"cropzoom models {out} --frame VIDEO" in done.err
    assert Model(out, "pose").trained_crop_size == 64
    run = ("run", work.video(), "--pose", out, "--detector", write_described(work.folder / "d.onnx", role="detector"))
    work.did(*run, "--pace", "fast", "--publish", "none", "--out", work.folder / "s")


def test_an_import_replaces_nothing_unasked(work: Workplace) -> None:
    given, out = write_described(work.folder / "a.onnx"), work.folder / "mine.onnx"
    out.write_bytes(b"old")
    assert "mine.onnx exists already; add --overwrite" in work.refused("models", "import", given, "--out", out)
    assert out.read_bytes() == b"old"
    work.did("models", "import", given, "--out", out, "--overwrite")
    out.with_suffix(".json").write_text("{}")
    line = work.refused("models", "import", given, "--out", out, "--overwrite")
    assert "mine.json would count more than the description inside" in line


REFUSED = {
    "no model": (["models"], "MODEL is missing"),
    "a wrong path": (["models", "nothing.onnx"], "no model at nothing.onnx"),
    "an import of two": (["models", "import", "a.onnx", "b.onnx", "--out", "c.onnx"], "got 2 models, expected one"),
    "an import to nowhere": (["models", "import", "a.onnx"], "import: got no --out, expected the file to write"),
    "an import to another kind": (["models", "import", "a.onnx", "--out", "c.pt"], "import: got --out c.pt"),
    "an import with a frame": (["models", "import", "a.onnx", "--frame", "b.png"], "--frame and --json are not for it"),
    "a picture of several": (["models", "a.onnx", "b.onnx", "--frame", "c.png", "--out", "d.png"], "--out: expected"),
    "a picture without a frame": (["models", "a.onnx", "--out", "d.png"], "--out: expected --frame and one model"),
    "names that are empty": (["models", "a.onnx", "--keypoints", "a,,b"], "expected names with commas"),
    "names too few": (["models", "a.onnx", "--keypoints", "a,b"], "a.onnx has 3 keypoints, but 2 names were given"),
    "a field that is not there": (["models", "a.onnx", "--set", "cropsize=3"], "Did you mean 'crop_size'?"),
    "a value that is none": (["models", "a.onnx", "--set", "crop_size"], "expected NAME=VALUE"),
    "a manifest that does not fit": (
        ["models", "a.onnx", "--set", "decoder.downsample_factor=3"],
        "gives an output of shape [1, 3, 16, 16]; a cropzoom heatmap model of 3 keypoints",
    ),
    "another role": (
        ["models", "a.onnx", "--role", "detector"],
        "a.onnx is a pose model, but was given as the detector",
    ),
    "a size that does not fit": (["models", "a.onnx", "--set", "input.size=60x60"], "a.onnx takes tensor(float) of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_line(work: Workplace, case: str) -> None:
    write_described(work.folder / "a.onnx")
    words, expected = REFUSED[case]
    assert expected in work.refused(*words)


def test_files_that_are_no_models_are_refused_in_one_line(work: Workplace) -> None:
    good = write_described(work.folder / "a.onnx").read_bytes()
    for name, content, expected in (
        ("cut.onnx", good[: len(good) // 2], "it is another kind of file, or cut short. Copy it again"),
        ("text.onnx", b"hello world\n", "it is another kind of file, or cut short"),
        ("empty.onnx", b"", "it is empty. Copy it again, or export it again"),
        ("model.pt", good, "model.pt is a checkpoint of PyTorch, and loading one can run any code"),
        ("model.h5", good, "model.h5 is a model of TensorFlow"),
    ):
        path = work.folder / name
        path.write_bytes(content)
        assert expected in work.refused("models", path)
    (work.folder / "folder.onnx").mkdir()
    assert "expected one with " in work.refused("models", work.folder / "folder.onnx")


def test_metadata_that_is_none_is_refused(work: Workplace) -> None:
    path = write_described(work.folder / "a.onnx")
    proto = onnx.load(path)
    for text in ("no JSON", "[]", '{"maker": 3}'):
        onnx.helper.set_model_props(proto, {"cropzoom": text})
        onnx.save(proto, path)
        assert "its manifest is not valid" in work.refused("models", path)


def test_weights_that_are_missing_are_named(work: Workplace) -> None:
    proto, path = onnx.load(write_described(work.folder / "a.onnx")), work.folder / "b.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="b.bin", size_threshold=0)
    weights = work.folder / "b.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:10])
    assert "b.onnx" in work.refused("models", path)
    weights.unlink()
    assert "keeps its weights in b.bin, which is not beside it" in work.refused("models", path)


def test_detector_and_pose_swapped_are_named(work: Workplace) -> None:
    pose = write_described(work.folder / "pose.onnx")
    line = work.refused("run", work.video(), "--detector", pose, "--publish", "none")
    assert "pose.onnx is a pose model, but was given as the detector; swap --detector and --pose" in line
    assert not (work.folder / "sessions").exists()


BAD_MODELS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a wrong path": (lambda f: f / "nothing.onnx", "no pose model at"),
    "a folder of no maker": (lambda f: f, "config.yaml with exports_onnx/ (Lightning Pose)"),
    "a checkpoint": (lambda f: written(f / "a.pt", b"x"), "is a checkpoint of PyTorch"),
    "a file cut short": (lambda f: written(f / "c.onnx", write_bare(f / "b.onnx").read_bytes()[:200]), "cut short"),
    "an empty file": (lambda f: written(f / "e.onnx", b""), "it is empty"),
    "a file that says nothing": (lambda f: write_bare(f / "b.onnx"), "say what it is with 'cropzoom models import'"),
    "a detector": (lambda f: write_described(f / "d.onnx", role="detector"), "swap --detector and --pose"),
    "keypoints that do not match": (
        lambda f: write_described(f / "k.onnx", keypoint_names=("a", "b")),
        "gives an output of shape [1, 3, 16, 16]; a cropzoom heatmap model of 2 keypoints (a, b)",
    ),
    "two keypoints of one name": (
        lambda f: write_described(f / "t.onnx", keypoint_names=("a", "b", "a")),
        "two keypoints have the name a",
    ),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", BAD_MODELS)
@pytest.mark.parametrize("command", ["run", "pipeline"])
def test_a_bad_model_is_refused_before_a_session_is_made(work: Workplace, command: str, case: str) -> None:
    make, expected = BAD_MODELS[case]
    folder = work.folder / "given"
    folder.mkdir()
    video = work.video(frames=3)
    before = sorted(work.folder.rglob("*"))
    model = make(folder)
    made = sorted(folder.rglob("*"))
    out = ("--publish", "none", "--out", work.folder / "out") if command == "run" else ("--out", work.folder / "out")
    assert expected in work.refused(command, video, "--detector", "shipped", "--pose", model, *out)
    assert sorted(work.folder.rglob("*")) == sorted({*before, *made})

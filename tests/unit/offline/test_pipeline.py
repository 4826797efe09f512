"""``cropzoom pipeline``: the reference for the live path. Same frames, same schedule: the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.offline_fixtures import (
    Workplace,
    files_below,
    film,
    flags_of,
    frames_of,
    nothing_changes_in,
    poses_in,
    write_boxes,
)
from support.pipelines import (
    Files,
    at_least,
    cropzoom,
    hold_models,
    make_settings,
    run_to_end,
    the_session,
    tiny_models,
)

ARENA = "synthetic:arena,size=160x120,fps=60,seconds=1.5"


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


@pytest.fixture(scope="module")
def vanishing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At 30 fps: no animal in frames 0–4, none in 14–33: searching, tracking, coasting, lost, and found again."""
    return film(tmp_path_factory.mktemp("film") / "clip.mp4", 45, hidden=[*range(5), *range(14, 34)])


def both(work: Workplace, video: Path, kinds: dict[str, Any] | None = None, **chosen: Any) -> tuple[Files, Path]:
    """Run a video through the stages in lockstep and through the plain loop: what one has left, and the other."""
    chosen = {"crop_size": 64, **tiny_models(work.folder / "models", **(kinds or {})), **chosen}
    live = run_to_end(make_settings(work.folder, source=str(video), pace="fast", **chosen)).folder
    assert live is not None
    work.did("pipeline", video, "--out", work.folder / "offline", "--skip_viz", *flags_of(chosen))
    return Files(live), work.folder / "offline"


def assert_same(live: Files, offline: Path) -> None:
    for suffix in ("", "_bbox"):
        ours, theirs = offline / f"{live.name}{suffix}.csv", live.folder / f"{live.name}{suffix}.csv"
        assert ours.read_text().splitlines() == theirs.read_text().splitlines()


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("pose", "detector"),
    [
        ("heatmap", "heatmap"),
        ("heatmap_mhcrnn", "heatmap"),
        ("heatmap", "heatmap_mhcrnn"),
        ("heatmap_mhcrnn", "heatmap_mhcrnn"),
        ("regression", "heatmap"),
    ],
)
def test_numbers_are_those_of_the_stages_in_lockstep(
    work: Workplace, vanishing: Path, pose: str, detector: str, every: int
) -> None:
    kinds = {"pose": pose, "detector": detector}
    limits = {"coast_after_ms": 150, "lost_after_ms": 400}
    live, offline = both(work, vanishing, kinds, min_likelihood=0.5, detector_every=every, **limits)
    assert {"searching", "tracking", "coasting", "lost"} == set(live.bbox["state"])
    assert_same(live, offline)
    found = poses_in(offline / "clip.csv")
    assert len(found) == 45
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[40, :, :2]).all()


def test_without_a_threshold_a_regression_detector_gives_the_boxes(work: Workplace) -> None:
    video = film(work.folder / "clip.mp4", 12)
    assert_same(*both(work, video, {"pose": "regression", "detector": "regression"}))


@pytest.mark.parametrize(
    "chosen",
    [
        {"edge": "clamp", "crop_size": 120},
        {"crop_size": None, "crop_ratio": 4.0, "min_box": 40},
        {"anchor_keypoints": "low", "decoder": "reference", "coast_after_ms": 50, "lost_after_ms": 100},
        {"frames": 17, "detector_every": 5},
    ],
    ids=["clamped", "by ratio", "anchored", "cut short"],
)
def test_every_setting_counts_as_it_does_live(work: Workplace, chosen: dict[str, Any]) -> None:
    video = film(work.folder / "clip.mp4", 40, hidden=range(20, 30))
    chosen = {"crop_size": 64, "min_likelihood": 0.5, **chosen}
    given = {name: value for name, value in chosen.items() if value is not None}
    models = tiny_models(work.folder / "models")
    live = run_to_end(make_settings(work.folder, source=str(video), pace="fast", **{**models, **chosen})).folder
    assert live is not None
    work.did("pipeline", video, "--out", work.folder / "offline", "--skip-viz", *flags_of({**models, **given}))
    assert_same(Files(live), work.folder / "offline")
    assert len(poses_in(work.folder / "offline/clip.csv")) == chosen.get("frames", 40)


def test_a_live_run_that_skipped_frames_is_done_again_exactly(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box file says which detection each frame had, and which frames were passed over."""
    video = film(work.folder / "clip.mp4", 60, hidden=[*range(8), *range(30, 45)], fps=60)
    hold_models(monkeypatch, pose=at_least(0.03), detector=at_least(0.05))
    models = tiny_models(work.folder / "models", pose="heatmap_mhcrnn")
    chosen = {"min_likelihood": 0.5, "coast_after_ms": 60, "max_lag": 2}
    settings = make_settings(work.folder, source=str(video), pace="realtime", **models, **chosen)
    folder = run_to_end(settings).folder
    assert folder is not None
    live = Files(folder)
    assert live.summary["counts"]["skipped"] > 5
    work.did(
        "pipeline", video, "--schedule", live.bbox_path, "--pose", models["pose"],
        "--out", work.folder / "offline", "--skip_viz",
    )  # fmt: skip
    assert_same(live, work.folder / "offline")


def test_a_live_process_is_done_again_exactly_by_another_process(tmp_path: Path) -> None:
    models = tiny_models(tmp_path / "models")
    run = cropzoom(
        "run", ARENA, "--out", tmp_path / "live", "--publish", "none", "--crop-size", 64, *flags_of(models),
        "--detector-max-fps", 20,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    live = Files(the_session(tmp_path / "live"))
    done = cropzoom(
        "pipeline", ARENA, "--schedule", live.bbox_path, "--pose", models["pose"], "--out", tmp_path / "offline",
        "--skip_viz",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "offline/arena.csv")
    assert_same(live, tmp_path / "offline")


@pytest.mark.parametrize(
    "chosen", [{"box_from": "pose"}, {"box_from": "pose", "box_check_s": 0.1}, {"detector": "none"}], ids=str
)
def test_boxes_of_any_origin_are_the_same_as_live(work: Workplace, vanishing: Path, chosen: dict[str, Any]) -> None:
    live, offline = both(work, vanishing, **chosen)
    assert_same(live, offline)
    origins = set(live.bbox["box_origin"].dropna())
    assert origins == ({"frame"} if "detector" in chosen else {"detection", "pose"})


@pytest.mark.parametrize("kind", ["heatmap", "heatmap_mhcrnn"])
def test_neither_cores_nor_batches_change_a_bit(work: Workplace, kind: str) -> None:
    video = film(work.folder / "clip.mp4", 30, hidden=[*range(3), *range(12, 20)])
    shape = ("N", *((5,) if kind == "heatmap_mhcrnn" else ()), 3, 64, 64)
    detector, pose = work.model("detector"), work.model("pose", kind=kind, input_shape=shape)
    written = set()
    for workers, batch in ((1, 1), (2, 1), (1, 4), (3, 7), (2, 100)):
        out = work.folder / f"{workers} {batch}"
        work.did(
            "pipeline", video, "--detector", detector, "--pose", pose, "--crop-size", 64, "--min-likelihood", 0.5,
            "--workers", workers, "--batch_size", batch, "--out", out, "--skip_viz", "--detector-every", 2,
        )  # fmt: skip
        written.add(tuple((out / name).read_bytes() for name in ("clip.csv", "clip_bbox.csv")))
    assert len(written) == 1


def test_one_pass_is_the_four_commands(work: Workplace) -> None:
    """With boxes cut off at the frame's edge, the exact decoder and no thresholds, as ``litpose`` does it."""
    video, detector, pose = film(work.folder / "clip.mp4", 25), work.model("detector"), work.model("pose")
    work.did("predict", detector, video, "--skip_viz")
    work.did("create_bbox", detector, video, "--crop_size", 64)
    work.did("predict", pose, video, "--bbox_dir", detector / "video_preds", "--skip_viz")
    as_litpose = ["--edge", "clamp", "--decoder", "reference", "--min-likelihood", 0, "--min-box", 0]
    work.did(
        "pipeline", video, "--detector", detector, "--pose", pose, "--crop-size", 64, *as_litpose,
        "--out", work.folder / "offline", "--skip_viz",
    )  # fmt: skip
    assert (work.folder / "offline/clip.csv").read_bytes() == (pose / "video_preds/clip.csv").read_bytes()
    columns = ["x", "y", "h", "w"]
    boxes = pd.read_csv(work.folder / "offline/clip_bbox.csv", index_col=0)[columns]
    assert boxes.equals(pd.read_csv(detector / "video_preds/clip_bbox.csv", index_col=0)[columns])
    norms = [folder / "clip_temporal_norm.csv" for folder in (work.folder / "offline", pose / "video_preds")]
    assert norms[0].read_bytes() == norms[1].read_bytes()

    # and its boxes, without the columns of a run, are a schedule
    work.did(
        "pipeline", video, "--schedule", detector / "video_preds/clip_bbox.csv", "--pose", pose, *as_litpose,
        "--out", work.folder / "scheduled", "--skip_viz",
    )  # fmt: skip
    assert (work.folder / "scheduled/clip.csv").read_bytes() == (pose / "video_preds/clip.csv").read_bytes()


def pipeline_flags(work: Workplace, **chosen: Any) -> list[str]:
    out = {"out": work.folder / "out", "crop_size": 64}
    return flags_of({**tiny_models(work.folder / "models"), **out, **chosen})


def test_it_leaves_poses_boxes_norms_and_a_video_to_look_at(work: Workplace) -> None:
    video = film(work.folder / "clip.mp4", 12, hidden=range(3))
    done = work.did("pipeline", video, *pipeline_flags(work, min_likelihood=0.5))
    assert done.out.strip() == str(work.folder / "out/clip.csv")
    assert files_below(work.folder / "out") == {
        *("clip.csv", "clip_bbox.csv", "clip_temporal_norm.csv"),
        "labeled_videos/clip_labeled.mp4",
    }
    assert len(frames_of(work.folder / "out/labeled_videos/clip_labeled.mp4")) == 12


def test_the_video_to_look_at_is_as_long_as_the_poses(work: Workplace) -> None:
    video = film(work.folder / "clip.mp4", 12)
    work.did("pipeline", video, *pipeline_flags(work, frames=5))
    assert len(poses_in(work.folder / "out/clip.csv")) == 5
    assert len(frames_of(work.folder / "out/labeled_videos/clip_labeled.mp4")) == 5
    work.did("pipeline", "synthetic:arena,size=160x120,fps=60,seconds=endless", *pipeline_flags(work, frames=5))
    assert len(frames_of(work.folder / "out/labeled_videos/arena_labeled.mp4")) == 5


def test_a_model_directory_takes_its_own_predictions(work: Workplace) -> None:
    detector, pose = work.model("detector"), work.model("pose")
    flags = ["--detector", detector, "--pose", pose, "--crop_size", 64, "--skip_viz"]
    work.did("pipeline", film(work.folder / "clip.mp4", 5), *flags)
    assert files_below(pose / "video_preds") == {"clip.csv", "clip_bbox.csv", "clip_temporal_norm.csv"}


def test_what_is_done_is_done_again_only_if_asked(work: Workplace) -> None:
    video = film(work.folder / "clip.mp4", 5)
    work.did("pipeline", video, *pipeline_flags(work))
    poses = work.folder / "out/clip.csv"
    poses.write_text("".join(poses.read_text().splitlines(keepends=True)[:4]))
    with nothing_changes_in(work.folder / "out"):
        assert "skipping" in work.did("pipeline", video, *pipeline_flags(work)).err
    work.did("pipeline", video, "--overwrite", *pipeline_flags(work))
    assert len(poses_in(work.folder / "out/clip.csv")) == 5


def test_one_bad_video_of_three_does_not_keep_the_others_from_being_done(work: Workplace) -> None:
    videos = [film(work.folder / f"{name}.mp4", 5) for name in "abc"]
    videos[1].write_text("no video")
    done = work.run("pipeline", *videos, *pipeline_flags(work), "--skip_viz")
    assert done.code == 3, "some are done"
    assert len(done.lines) == 1
    assert {path.stem for path in (work.folder / "out").glob("?.csv")} == {"a", "c"}


def schedule_of(work: Workplace, rows: Sequence[Sequence[object]], folder: str = "boxes") -> list[object]:
    return ["--schedule", write_boxes(work.folder / folder / "clip_bbox.csv", rows)]


BOX = (10, 10, 40, 40)

BAD_INPUT: dict[str, tuple[Any, str]] = {
    "no video": (lambda w: [w.folder / "none.mp4"], "no file at .*none.mp4"),
    "labels": (lambda w: [w.labels((5,))], "Labels.csv is not a video; for labelled images use cropzoom predict"),
    "an empty folder": (lambda w: [w.model().parent / "model/exports_onnx"], "exports_onnx holds no video"),
    "an unknown synthetic source": (lambda w: ["synthetic:moon"], "synthetic:arena"),
    "both crop flags": (lambda w: [w.video(), "--crop-ratio", 2], "crop_size.*crop_ratio"),
    "an unknown anchor": (lambda w: [w.video(), "--anchor-keypoints", "nose"], "no nose; it has middle"),
    "no model": (lambda w: [w.video(), "--pose", w.folder / "none"], "no pose model at"),
    "a model not exported": (lambda w: [w.video(), "--pose", w.model(exports=())], "run: litpose export"),
    "the detector as pose model": (
        lambda w: [w.video(), "--pose", tiny_models(w.folder / "models")["detector"]],
        "is a detector model",
    ),
    "no schedule": (lambda w: [w.video(), "--schedule", w.folder / "none.csv"], "cannot read the schedule"),
    "fewer boxes": (lambda w: [w.video(), *schedule_of(w, [BOX] * 19)], "has 19 rows, but .* 20 frames"),
    "more boxes": (lambda w: [w.video(), *schedule_of(w, [BOX] * 21)], "has 21 rows, but .* 20 frames"),
    "a box without pixels": (lambda w: [w.video(), *schedule_of(w, [BOX] * 19 + [(1, 1, -4, 4)])], "4x-4 pixels"),
    "boxes beside the output": (
        lambda w: [w.video(), *schedule_of(w, [BOX] * 20, folder="out")],
        "clip_bbox.csv exists; give another folder with --out, or --overwrite",
    ),
    "an output below a file": (lambda w: [w.video(), "--out", w.folder / "clip.mp4/out"], "cannot write"),
    "no cores": (lambda w: [w.video(), "--workers", 0], "--workers: got '0'"),
}


@pytest.mark.parametrize("wrong", BAD_INPUT)
def test_bad_input_is_refused_in_one_line_and_touches_nothing(work: Workplace, wrong: str) -> None:
    arguments, words = BAD_INPUT[wrong]
    given = arguments(work)
    flags = pipeline_flags(work)
    before = {name: (work.folder / name).read_bytes() for name in files_below(work.folder)}
    line = work.refused("pipeline", *flags, *given, "--skip_viz")
    assert re.search(words, line), line
    for name in files_below(work.folder):
        assert name in before or ".partial" in name, name
        assert name not in before or (work.folder / name).read_bytes() == before[name]

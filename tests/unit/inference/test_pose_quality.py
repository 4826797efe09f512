"""What a run says of its poses at the end: in words, the same live and offline."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from support.offline_fixtures import Workplace, write_image
from support.pipelines import cropzoom, the_session

from realtime_cropzoom.inference.pose_quality import (
    PoseQuality,
    as_sentences,
    misfit,
    nothing_found,
    quality_lines,
    report_quality,
)
from realtime_cropzoom.inference.presence import Doubt
from realtime_cropzoom.pipeline.report import nothing_found_line
from realtime_cropzoom.sources.arena.source import Arena, ArenaSettings
from realtime_cropzoom.types import Keypoints, State

ARENA = "synthetic:arena,seconds=1"
UNFIT = "the animal was found in no frame: these models probably do not fit this video"
MADE_FOR = "one mouse seen from above, darker or brighter than the floor"


@pytest.fixture(scope="module")
def empty_arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording in which the animal is never seen."""
    path = tmp_path_factory.mktemp("empty") / "empty.mp4"
    arena = Arena(ArenaSettings(seed=2, animal=0))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for index in range(20):
            picture = av.VideoFrame.from_ndarray(arena.render(index), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def pose(length: float, likelihood: float = 0.9) -> Keypoints:
    xy = np.array([[0, 0], [length / 2, 1], [length, 0]], np.float32)
    return Keypoints(xy, np.full(3, likelihood, np.float32))


def counted(found: int, other: int = 0, jumps: int = 0, lengths: tuple[float, ...] = (100.0,)) -> PoseQuality:
    quality = PoseQuality(("a", "b", "c"))
    for index in range(found):
        quality.add(State.TRACKING, pose(lengths[index % len(lengths)]), Doubt.JUMP if index < jumps else None)
    for _ in range(other):
        quality.add(State.SEARCHING, None, None)
    return quality


def test_counts_become_words() -> None:
    summary = counted(297, 3, jumps=3).summary()
    assert summary["found"] == 0.99
    assert summary["likelihood"] == {"a": 0.9, "b": 0.9, "c": 0.9}
    assert summary["length_px"] == pytest.approx(100, rel=0.02)
    assert quality_lines(summary, shipped=True) == [
        "animal found in 99 % of 300 processed frames",
        "likelihood in the 297 frames with a pose (median): a 0.90, b 0.90, c 0.90",
        "body length 100 px (80 % of poses: 100 to 100 px), jumps in 1 % of poses",
    ]
    assert json.loads(json.dumps(summary)) == summary
    assert quality_lines(counted(9).summary(), shipped=True)[1] == "likelihood (median): a 0.90, b 0.90, c 0.90"


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        pytest.param(counted(10), "", id="an animal"),
        pytest.param(counted(0), "", id="no frames, nothing to say"),
        pytest.param(counted(0, 10), "found in no frame", id="nothing"),
        pytest.param(counted(4, 6), "found in only 40 % of the frames", id="seldom"),
        pytest.param(counted(10, jumps=1), "jumps in 10 % of the frames", id="here and there"),
        pytest.param(counted(10, lengths=(20, 100, 300)), "px long", id="of all sizes"),
    ],
)
def test_what_does_not_look_like_an_animal(quality: PoseQuality, words: str) -> None:
    said = misfit(quality.summary())
    assert words in said
    assert bool(words) == bool(said)


def test_models_are_not_blamed_where_many_frames_were_skipped() -> None:
    summary = counted(4, 6).summary()
    assert "do not fit" in " ".join(quality_lines(summary, shipped=True))
    said = " ".join(quality_lines(summary, shipped=True, skipped=True))
    assert "many frames were skipped, which may be the cause" in said
    assert "do not fit" not in said
    assert quality_lines(counted(9).summary(), shipped=True, skipped=True)[-1].startswith("body length")


def test_the_box_is_doubted_only_if_there_was_one_and_its_size_is_not_that_of_the_training() -> None:
    seen = PoseQuality(("a", "b", "c"))
    seen.add(State.SEARCHING, pose(100), Doubt.LIKELIHOOD)
    box = "Does it fill its box, or only a small part? Give --crop-size, about twice its length"
    assert box in quality_lines(seen.summary(), shipped=False)[-1]
    for lines in (
        quality_lines(seen.summary(), shipped=False, boxes_as_trained=True),
        quality_lines(counted(0, 10).summary(), shipped=False),
    ):
        assert "box" not in lines[-1]
        assert "--crop-size" not in lines[-1]
        assert "Is the animal in the picture? Look with 'cropzoom draw'. 'cropzoom doctor' says why" in lines[-1]


def test_sentences_have_one_full_stop() -> None:
    assert as_sentences(["one", "two. Three.", "four"]) == "One. Two. Three. Four"


def test_only_a_pose_with_all_keypoints_has_a_length() -> None:
    quality, partly = counted(10), pose(100)
    partly.xy[2], partly.likelihood[2] = np.nan, 0
    for _ in range(30):
        quality.add(State.TRACKING, partly, None)
    assert quality.summary()["poses"] == 40
    assert quality.summary()["length_px"] == pytest.approx(100, rel=0.02)
    assert misfit(quality.summary()) == ""
    never = PoseQuality(("a", "b", "c"))
    never.add(State.TRACKING, partly, None)
    lines = quality_lines(never.summary(), shipped=False)
    assert "body length unknown, since a keypoint is absent in each pose, jumps in 0 % of poses" in lines


def test_what_is_kept_does_not_grow() -> None:
    quality = counted(1000)
    assert len(quality._waiting) < 128
    assert quality.summary()["poses"] == 1000


@pytest.mark.parametrize(("found", "is_warning"), [(300, False), (0, True)])
def test_the_report_of_a_file_is_short_lines_below_its_name(found: int, is_warning: bool) -> None:
    said: list[str] = []
    warned: list[str] = []
    quality = counted(found, 300 - found)
    report_quality("clip.mp4", quality, shipped=True, say=said.append, warn=warned.append)
    assert (len(said), len(warned)) == ((0, 1) if is_warning else (1, 0))
    name, *lines = (said + warned)[0].splitlines()
    assert name == "clip.mp4:"
    assert all(line.startswith("  ") and len(line) <= 80 for line in lines)
    expected = quality_lines(quality.summary(), shipped=True)
    assert " ".join(" ".join(lines).split()) == " ".join(expected)
    assert len(lines) >= len(expected)


def test_a_regression_model_knows_no_likelihood() -> None:
    quality = PoseQuality(("a", "b", "c"))
    quality.add(State.TRACKING, pose(100, float("nan")), None)
    assert "likelihood: this model knows none" in quality_lines(quality.summary(), shipped=False)


def test_nothing_found_is_of_frames_that_were_there() -> None:
    assert nothing_found(counted(0, 1).summary())
    assert not nothing_found(counted(0, 0).summary())


def test_run_and_pipeline_say_the_same_of_the_built_in_arena(tmp_path: Path) -> None:
    live = cropzoom("run", ARENA, "--pace", "fast", "--publish", "none", "--out", tmp_path / "live")
    offline = cropzoom("pipeline", ARENA, "--out", tmp_path / "offline", "--skip-viz")
    assert (live.returncode, offline.returncode) == (0, 0)
    summary = json.loads((the_session(tmp_path / "live") / "summary.json").read_text())["animal"]
    lines = quality_lines(summary, shipped=True)
    assert lines[0] == "animal found in 100 % of 30 processed frames"
    assert lines[2].startswith("body length 1")
    for line in lines:
        assert line in " ".join(offline.stderr.split())
        assert line in " ".join(live.stdout.split())
    assert "do not fit" not in live.stdout + offline.stderr
    assert "handed over" not in live.stdout, "frames wait for the models: how old they are says nothing"


def test_where_frames_were_skipped_the_line_of_a_quiet_run_blames_no_models() -> None:
    summary = {"animal": counted(0, 6).summary(), "models": {}, "counts": {"captured": 20, "skipped": 14}}
    assert nothing_found_line(summary) == (
        "the animal was found in no frame; many frames were skipped, which may be the cause"
    )
    summary["counts"] = {"captured": 6, "skipped": 0}
    assert nothing_found_line(summary) == UNFIT
    assert nothing_found_line({**summary, "animal": counted(6).summary()}) is None


def test_run_says_that_the_models_do_not_fit(tmp_path: Path, empty_arena: Path) -> None:
    done = cropzoom("run", empty_arena, "--pace", "fast", "--publish", "none", "--out", tmp_path)
    assert done.returncode == 3
    words = " ".join(done.stdout.split())
    assert UNFIT in words
    assert MADE_FOR in words
    assert "train your own: cropzoom init NAME --keypoints …, then cropzoom frames NAME VIDEO; " in words
    assert "docs/tutorials/your-animal.md" in words
    quiet = cropzoom("run", empty_arena, "--pace", "fast", "--publish", "none", "--out", tmp_path / "q", "--quiet")
    assert quiet.returncode == 3
    assert UNFIT in quiet.stderr


def test_pipeline_says_that_the_models_do_not_fit(tmp_path: Path, empty_arena: Path) -> None:
    done = cropzoom("pipeline", empty_arena, "--out", tmp_path, "--skip-viz")
    assert done.returncode == 3
    assert UNFIT in " ".join(done.stderr.split())
    assert (tmp_path / "empty.csv").exists()


def test_check_is_not_green_where_the_models_do_not_fit(empty_arena: Path) -> None:
    done = cropzoom("check", empty_arena, "--json", "--publish", "none")
    assert done.returncode == 2
    (line,) = [line for line in json.loads(done.stdout)["lines"] if line["check"] == "animal"]
    assert not line["ok"]
    assert UNFIT in line["text"].lower()


@pytest.mark.parametrize("labelled", [True, False], ids=["label file", "folder"])
def test_predict_on_images_says_it_as_of_videos(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], labelled: bool
) -> None:
    work = Workplace(tmp_path, capfd)
    model = work.model()
    given = work.labels()
    done = work.did("predict", model, given if labelled else given.parent / "labeled-data/film", "--skip_viz")
    assert "animal found in 100 % of 5 images likelihood (median): middle " in " ".join(done.err.split())
    assert "  body length " in done.err
    assert "jumps" not in done.err, "labelled images do not follow each other"


def test_predict_on_images_without_an_animal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    work = Workplace(tmp_path, capfd)
    folder = tmp_path / "empty"
    for number in range(3):
        write_image(folder / f"{number}.png", np.full((96, 160, 3), 120, np.uint8))
    done = work.run("predict", work.model(), folder, "--skip_viz")
    assert done.code == 3
    words = " ".join(done.err.split())
    assert "cropzoom: empty: likelihood (median): " in words
    assert "the animal was found in no image: these models probably do not fit these images" in words
    assert (
        "Is the animal in the picture? Take a model for such images, or label more images of this kind and train again"
        in words
    )
    assert "--crop-size" not in done.err
    assert "its box" not in done.err, "no box was made"
    assert (tmp_path / "model/image_preds/empty/predictions.csv").exists()

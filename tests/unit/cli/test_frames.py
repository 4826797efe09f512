"""``cropzoom frames``: what it picks from real videos, how it goes on, and one line for what it refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.films import Footage
from support.offline_fixtures import full_disk, nothing_changes_in
from support.pipelines import finish, start_process

from realtime_cropzoom.cli.main import main
from realtime_cropzoom.files.atomic_images import write_image
from realtime_cropzoom.labelling import rounds
from realtime_cropzoom.labelling.frame_table import FrameRow, read_frame_table
from realtime_cropzoom.labelling.small_pictures import DUPLICATE_LEVELS, difference, small_picture
from realtime_cropzoom.project.folder import Project, load_project
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.sources.recording_table import RECORDING_COLUMNS

FOOTAGE = Footage()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "rat arena"
    assert main(["init", str(folder), "--keypoints", "nose,tail"]) == 0
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two recordings of the same name in different folders, and one of another name with B-frames."""
    made = tmp_path_factory.mktemp("videos")
    (made / "day2").mkdir()
    return [
        FOOTAGE.write(made / "rat.mp4", 200, codec="libx264", options={"g": "25"}),
        FOOTAGE.write(made / "day2" / "rat.avi", 150, codec="mpeg4"),
        FOOTAGE.write(made / "b.mkv", 180, codec="libx264", options={"bf": "3", "g": "30"}),
    ]


def frames(folder: Path, *arguments: object) -> int:
    return main(["frames", str(folder), *map(str, arguments)])


def check(project: Project) -> tuple[FrameRow, ...]:
    """Check that the table names exactly the pictures that there are, each once and with the frame that it says."""
    rows = read_frame_table(project)
    pictures = {path.relative_to(project.folder).as_posix() for path in project.frames_folder.rglob("*/*.png")}
    assert {row.image for row in rows} == pictures
    assert len({(os.path.realpath(row.recording), row.frame) for row in rows}) == len(rows)
    for row in rows:
        assert FOOTAGE.index_of(read_image(project.folder / row.image)) == row.frame
    return rows


@pytest.mark.parametrize("method", ["kmeans", "uniform", "motion"])
def test_pictures_are_exactly_the_frames_they_say(
    folder: Path, videos: list[Path], method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert frames(folder, *videos, "--count", 6, "--method", method) == 0
    shown = capfd.readouterr()
    rows = check(load_project(folder))
    assert [sum(row.recording == str(video) for row in rows) for video in videos] == [6, 6, 6]
    assert {row.folder for row in rows} == {"rat", "rat-2", "b"}
    names = f"  rat ← {videos[0]}\n  rat-2 ← {videos[1]}\n"
    assert f"recordings of the same name have a number in this project:\n{names}18 pictures" in shown.out
    assert {row.round for row in rows} == {1}
    assert "6 frames of each of 3 recordings, 18 together" in shown.err
    assert f"18 pictures in {folder / 'frames'}, round 1" in shown.out
    assert f"look at them: {folder / 'frames' / 'contact_sheet_round1.png'}" in shown.out
    assert "Next: " in shown.err
    assert cv2.imread(str(folder / "frames" / "contact_sheet_round1.png")) is not None
    assert load_project(folder).recordings == tuple(videos)


def test_no_frame_comes_twice_and_none_that_looks_like_one_that_was_picked(folder: Path, videos: list[Path]) -> None:
    for count in (8, 5, 4):
        assert frames(folder, videos[0], "--count", count) == 0
    project = load_project(folder)
    rows = check(project)
    assert [row.round for row in rows] == [1] * 8 + [2] * 5 + [3] * 4
    smalls = np.array([small_picture(read_image(project.folder / row.image)) for row in rows])
    for k in range(1, len(rows)):
        assert difference(smalls[k], smalls[:k]).min() >= DUPLICATE_LEVELS
    assert project.recordings == (videos[0],), "it is noted once"


def test_the_same_video_twice_gives_no_near_duplicates(
    folder: Path, videos: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = FOOTAGE.write(tmp_path / "copy.mp4", 30, codec="libx264")
    short = FOOTAGE.write(tmp_path / "short.mp4", 30, codec="libx264")
    assert frames(folder, short, again, "--count", 20) == 0
    rows = check(load_project(folder))
    assert len({row.frame for row in rows}) == len(rows), "the same frame number is the same picture here"
    assert f"{len(rows)} of 40 frames: all others" in capfd.readouterr().out


def test_a_folder_of_images_and_the_recordings_of_the_project(folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images 1.day"
    for number in range(30):
        write_image(images / f"shot{number}.png", FOOTAGE.draw(number))
    assert frames(folder, images, "--count", 4) == 0
    assert frames(folder, "--count", 3) == 0
    rows = check(load_project(folder))
    assert {row.folder for row in rows} == {"images 1.day"}
    assert len(rows) == 7


def test_comments_of_the_project_file_stay(folder: Path, videos: list[Path]) -> None:
    file = folder / "project.yaml"
    before = file.read_text() + "# my own words\n"
    file.write_text(before)
    assert frames(folder, *videos[:2], "--count", 1) == 0
    after = file.read_text()
    assert after.endswith("# my own words\n")
    lines = [line for line in before.splitlines() if line != "recordings: []"]
    assert [line for line in after.splitlines() if line in lines] == lines


def stop_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Let Ctrl-C come while the picture of the given number is written."""
    calls = iter(range(1, 1000))

    def interrupted(*arguments: object) -> None:
        if next(calls) == call:
            raise KeyboardInterrupt
        write_image(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rounds, "write_image", interrupted)


def test_an_interrupted_round_goes_on(
    folder: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        assert frames(folder, *videos, "--count", 5) == 130
    assert "7 of 15 pictures are written; the same command goes on with the others" in capfd.readouterr().err
    project = load_project(folder)
    begun = check(project)
    assert len(begun) == 7
    assert frames(folder, *videos, "--count", 5) == 0
    assert "going on with the round that was interrupted" in capfd.readouterr().err
    rows = check(project)
    assert len(rows) == 15
    assert rows[:7] == begun
    assert {row.round for row in rows} == {1}
    assert not (project.frames_folder / "unfinished.json").exists()
    assert frames(folder, *videos, "--count", 5) == 0, "once it is done, the same command picks others"
    assert len(check(project)) > 15


def test_another_command_leaves_an_interrupted_round(
    folder: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        assert frames(folder, videos[0], "--count", 5) == 130
    assert frames(folder, videos[2], "--count", 4) == 0
    rows = check(load_project(folder))
    assert [(row.round, row.folder) for row in rows] == [(1, "rat")] * 2 + [(2, "b")] * 4


def test_pictures_that_the_table_does_not_know_are_never_overwritten(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another recording of the same name and length, and no table: the labelled pictures stay as they are."""
    first, other = tmp_path / "a" / "rat", tmp_path / "b" / "rat"
    for number in range(20):
        write_image(first / f"{number:02}.png", FOOTAGE.draw(number))
        write_image(other / f"{number:02}.png", 255 - FOOTAGE.draw(number))
    assert frames(folder, first, "--count", 4, "--method", "uniform") == 0
    project = load_project(folder)
    before = {path: path.read_bytes() for path in (folder / "frames" / "rat").iterdir()}
    table = project.frames_table.read_text()
    project.frames_table.unlink()
    assert frames(folder, other, "--count", 4, "--method", "uniform") == 0
    assert {path: path.read_bytes() for path in (folder / "frames" / "rat").iterdir()} == before
    assert {row.folder for row in read_frame_table(project)} == {"rat-2"}
    project.frames_table.unlink()
    assert frames(folder, first, "--count", 4, "--method", "uniform") == 0, "its own pictures are no others"
    assert {row.folder for row in read_frame_table(project)} == {"rat"}
    project.frames_table.write_text("".join(table.splitlines(keepends=True)[:2]))
    stranger = next(path for path in sorted(before)[1:])
    write_image(stranger, FOOTAGE.draw(99))
    foreign = stranger.read_bytes()
    capfd.readouterr()
    assert frames(folder, first, "--count", 19, "--method", "uniform") == 2
    assert "got a picture that frames.csv does not name" in capfd.readouterr().err
    assert stranger.read_bytes() == foreign


def test_another_recording_at_the_same_path_is_refused(
    folder: Path, videos: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "rat.mp4"
    video.write_bytes(videos[0].read_bytes())
    assert frames(folder, video, "--count", 3) == 0
    assert frames(folder, video, "--count", 3) == 0, "the same one goes on"
    Footage((320, 192)).write(video, 200)
    capfd.readouterr()
    with nothing_changes_in(folder):
        assert frames(folder, video, "--count", 3) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("cropzoom: ")]
    assert "got another recording than the one that 6 pictures in frames/rat came from" in line


def test_a_full_disk_loses_nothing_and_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    """Pictures of noise are too large for what is left."""
    images = tmp_path / "noise"
    rng = np.random.default_rng(0)
    for number in range(9):
        noisy = number in (5, 6)
        picture = rng.integers(0, 255, (96, 160, 3)) if noisy else FOOTAGE.draw(number * 7)
        write_image(images / f"{number}.png", picture.astype(np.uint8))
    command = ["frames", folder, images, "--count", 9, "--method", "uniform"]
    done = finish(start_process(*command, code=full_disk(25_000)))
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("cropzoom: ")]
    assert "cannot write" in line
    assert "5 of 9 pictures are written; the same command goes on" in line
    project = load_project(folder)
    assert [row.frame for row in read_frame_table(project)] == [0, 1, 2, 3, 4]
    assert main([*map(str, command)]) == 0
    assert [row.frame for row in read_frame_table(project)] == list(range(9))


REFUSED: list[tuple[str, Callable[[Path, list[Path]], list[object]], str]] = [
    ("no recording", lambda folder, videos: [], "got no recording, expected videos or folders of images"),
    ("wrong path", lambda folder, videos: [folder / "none.mp4"], "no recording at"),
    ("no video", lambda folder, videos: [folder / "project.yaml"], "cannot be read as a video"),
    ("zero", lambda folder, videos: [videos[0], "--count", 0], "--count: got '0', expected frames from 1 to"),
    ("too many", lambda folder, videos: [videos[1], "--count", 151], "expected at least 151. Give --count 150"),
    ("method", lambda folder, videos: [videos[1], "--method", "kmean"], "Did you mean 'kmeans'?"),
    ("address", lambda folder, videos: ["http://10.0.0.5/a.mp4"], "RECORDING: got http://10.0.0.5/a.mp4,"),
    ("second is wrong", lambda folder, videos: [videos[0], folder / "none.mp4"], "no recording at"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_bad_input_is_one_line_and_nothing_is_written(
    folder: Path,
    videos: list[Path],
    capfd: pytest.CaptureFixture[str],
    arguments: Callable[[Path, list[Path]], list[object]],
    words: str,
) -> None:
    capfd.readouterr()
    with nothing_changes_in(folder):
        assert frames(folder, *arguments(folder, videos)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("cropzoom: ")
    assert words in line


def test_recordings_of_runs_have_the_names_of_their_sessions(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [tmp_path / f"arena_20261129-20442{day}" for day in (1, 2)]
    for run in runs:
        run.mkdir()
        video = FOOTAGE.write(run / "arena.mp4", 60)
        table = "".join(f"{n},{n},,\n" for n in range(60))
        (run / "arena_recording.csv").write_text(f"{RECORDING_COLUMNS}\n{table}")
        (run / "arena_timing.csv").touch()
    capfd.readouterr()
    assert frames(folder, *(run / video.name for run in runs), "--count", 2) == 0
    assert {row.folder for row in check(load_project(folder))} == {run.name for run in runs}
    assert "have a number" not in capfd.readouterr().out


def test_each_recording_that_is_too_short_is_a_line(
    folder: Path, videos: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert frames(folder, videos[1], "--count", 100) == 0
    capfd.readouterr()
    assert frames(folder, *videos, "--count", 190) == 2
    shown = capfd.readouterr().err
    assert "b.mkv: got 180 frames, expected at least 190. Give --count 180" in shown
    have = sum(row.recording == str(videos[1]) for row in read_frame_table(load_project(folder)))
    assert f"rat.avi: got {150 - have} frames that are not picked yet, expected at least 190" in shown


def test_what_is_no_project_is_refused(tmp_path: Path, videos: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert frames(tmp_path, videos[0]) == 2
    assert "expected the folder of a project. Make one with: cropzoom init" in capfd.readouterr().err


def test_a_typo_in_the_project_file_is_named(
    folder: Path, videos: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    file = folder / "project.yaml"
    file.write_text(file.read_text().replace("skeleton:", "skelton:"))
    capfd.readouterr()
    assert frames(folder, videos[0]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "skelton: not a key of a project" in line
    assert "Did you mean 'skeleton'?" in line


def poses_of(video: Path, names: tuple[str, ...] = ("nose", "tail"), *, sure: bool = False) -> Path:
    """Write predictions next to a video: sure ones, but for two stretches unless ``sure``."""
    header = [f"{row}," + ",".join(cells) for row, cells in (
        ("scorer", ["x"] * 6),
        ("bodyparts", [name for name in names for _ in range(3)]),
        ("coords", ["x", "y", "likelihood"] * 2),
    )]  # fmt: skip
    lines = []
    for index in range(200):
        x, y = FOOTAGE.blob_at(index)
        likelihood = 0.1 if index in range(30, 40) and not sure else 0.99
        pose = (
            ""
            if index in range(80, 90) and not sure
            else f"{x:.1f},{y:.1f},{likelihood},{x + 20:.1f},{y:.1f},{likelihood}"
        )
        lines.append(f"{index},{pose or ',,,,,'}")
    poses = video.with_suffix(".csv")
    poses.write_text("\n".join([*header, *lines]) + "\n")
    return poses


def test_frames_where_the_models_are_not_sure(
    folder: Path, videos: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    video = FOOTAGE.write(tmp_path / "day 2.mp4", 200, codec="libx264", options={"g": "25", "bf": "2"})
    session = poses_of(video)
    capfd.readouterr()
    assert frames(folder, "--uncertain", session, "--count", 6) == 0
    rows = check(load_project(folder))
    assert {row.recording for row in rows} == {str(video)}
    unlikely = [row for row in rows if row.why.startswith("likelihood 0.10")]
    lost = [row for row in rows if row.why == "not found since frame 80"]
    assert unlikely
    assert lost
    assert {row.frame for row in unlikely} <= {*range(30, 40)}
    assert {row.frame for row in lost} <= {*range(80, 90)}
    assert len(rows) == 6
    assert np.diff(sorted(row.frame for row in rows)).min() >= 9, "0.3 s apart"
    shown = capfd.readouterr().out
    assert "low likelihood" in shown
    assert "you may not need this round" not in shown
    assert "not found" in shown
    assert frames(folder, "--uncertain", session, "--count", 4) == 0
    assert len(check(load_project(folder))) > 6


def test_a_session_without_a_doubtful_frame_says_that_the_round_may_not_be_needed(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session = poses_of(FOOTAGE.write(tmp_path / "a.mp4", 200), sure=True)
    assert frames(folder, "--uncertain", session, "--count", 2) == 0
    shown = capfd.readouterr().out
    assert "why: 2 least likely of the others\nno new doubtful frame was found; you may not need this round" in shown


def test_a_session_of_other_keypoints_or_without_pictures_is_one_line(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    video = FOOTAGE.write(tmp_path / "a.mp4", 200)
    session = poses_of(video, ("nose", "ear"))
    capfd.readouterr()
    with nothing_changes_in(folder):
        assert frames(folder, "--uncertain", session) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert "got a session with the keypoints nose, ear, expected those of the project: nose, tail" in line
        poses_of(video)
        video.unlink()
        assert frames(folder, "--uncertain", session) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert "there are no pictures of its frames" in line
        assert frames(folder, video, "--uncertain", session) == 2
        assert "expected sessions alone" in capfd.readouterr().err


def test_frames_of_real_recordings_differ(folder: Path, shared_data: Path) -> None:
    video = shared_data / "litpose" / "openfield" / "clip.mp4"
    assert frames(folder, video, "--count", 6) == 0
    rows = read_frame_table(load_project(folder))
    assert len(rows) == 6
    assert np.diff([row.frame for row in rows]).min() > 3

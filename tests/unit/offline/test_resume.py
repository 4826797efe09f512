"""Stopped, killed, out of disk: nothing half under a final name, and ``--resume`` ends as if nothing had been.

Real signals to real processes; and, for every possible place to stop at, the file as it would be then.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.films import Footage
from support.offline_fixtures import (
    Workplace,
    files_below,
    film,
    flags_of,
    frames_of,
    image_name,
    model_directory,
    nothing_changes_in,
    poses_in,
    write_boxes,
)
from support.pipelines import ANNOUNCED, cropzoom, finish, start_process, tiny_models, wait_for

from realtime_cropzoom.errors import DataError, SinkError
from realtime_cropzoom.files.atomic import ResumableCsv
from realtime_cropzoom.offline.inference_pool import OrderedInference

LONG_VIDEO = 250
SLOW = """
import sys, time
from realtime_cropzoom.cli.main import main
from realtime_cropzoom.inference.model import Model
infer_many = Model.infer_many

def slowly(self, windows):
    time.sleep(0.004)  # as a real model, so that there is a middle to be stopped in
    return infer_many(self, windows)

Model.infer_many = slowly
sys.exit(main())
"""


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Footage().write(tmp_path_factory.mktemp("long") / "clip.mp4", LONG_VIDEO, options={"g": "50"})


def rows_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stop_in_the_middle(partial: Path, number: signal.Signals, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Send a signal to a command once it has written some rows."""
    process = start_process(*arguments, code=SLOW)
    wait_for(lambda: rows_in(partial) > 30 or process.poll() is not None, "rows")
    process.send_signal(number)
    return finish(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_predict_at_once_and_resume_continues_it(
    work: Workplace, long_video: Path, number: signal.Signals
) -> None:
    model = work.model()
    partial = model / "video_preds/clip.csv.partial"
    done = stop_in_the_middle(partial, number, "predict", model, long_video, "--skip_viz", "--workers", 2)
    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
    model_line, stopped, how = done.stderr.splitlines()
    assert model_line.startswith("cropzoom: model: ")
    assert stopped == "cropzoom: stopped"
    rows = rows_in(partial) - 3
    assert 0 < rows < LONG_VIDEO
    assert how == f"{rows} rows are in {partial}; the same command with --resume continues them"
    assert files_below(model / "video_preds") == {"clip.csv.partial", "clip.csv.partial.json"}

    work.did("predict", model, long_video, "--skip_viz", "--resume")
    resumed = (model / "video_preds/clip.csv").read_bytes()
    assert files_below(model / "video_preds") == {"clip.csv", "clip_temporal_norm.csv"}
    work.did("predict", model, long_video, "--skip_viz", "--overwrite")
    assert (model / "video_preds/clip.csv").read_bytes() == resumed


def test_resume_continues_a_killed_pipeline(work: Workplace, long_video: Path) -> None:
    models = tiny_models(work.folder / "models")
    flags = [*flags_of({**models, "crop_size": 64, "detector_every": 3}), "--skip_viz"]
    partial = work.folder / "out/clip.csv.partial"
    done = stop_in_the_middle(
        partial, signal.SIGKILL, "pipeline", long_video, *flags, "--out", work.folder / "out", "--frames", 200
    )
    assert done.returncode == -signal.SIGKILL
    assert not (work.folder / "out/clip.csv").exists()
    assert not (work.folder / "out/clip_bbox.csv").exists()
    work.did("pipeline", long_video, *flags, "--out", work.folder / "out", "--frames", 200, "--resume")
    work.did("pipeline", long_video, *flags, "--out", work.folder / "whole", "--frames", 200)
    for name in ("clip.csv", "clip_bbox.csv", "clip_temporal_norm.csv"):
        assert (work.folder / "out" / name).read_bytes() == (work.folder / "whole" / name).read_bytes()
    assert not list((work.folder / "out").glob("*partial*"))


def test_ctrl_c_while_it_crops_leaves_no_half_video(work: Workplace, long_video: Path) -> None:
    model = work.model()
    write_boxes(model / "video_preds/clip_bbox.csv", [(10, 10, 60, 60)] * LONG_VIDEO)
    process = start_process("crop", model, long_video)
    partial = model / "cropped_videos/cropped_clip.mp4.partial"
    wait_for(lambda: partial.exists() or process.poll() is not None, "a crop")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.returncode == 130
    assert done.stderr == "cropzoom: stopped\n"
    assert files_below(model / "cropped_videos") == set()


def test_ctrl_c_while_it_draws_leaves_the_numbers_and_resume_draws(work: Workplace, long_video: Path) -> None:
    model = work.model()
    process = start_process("predict", model, long_video)
    partial = model / "video_preds/labeled_videos/clip_labeled.mp4.partial"
    wait_for(lambda: partial.exists() or process.poll() is not None, "a drawing")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.returncode == 130
    assert "\ncropzoom: clip.mp4:\n  animal found in " in done.stderr
    assert done.stderr.endswith("\ncropzoom: stopped\n")
    assert done.stderr.count("cropzoom: ") == 3  # the model, the poses, the end
    assert files_below(model / "video_preds") == {"clip.csv", "clip_temporal_norm.csv"}
    with nothing_changes_in(model / "video_preds"):
        work.did("predict", model, long_video)
    done_again = work.did("predict", model, long_video, "--resume")
    assert "skipping" in done_again.err
    assert len(frames_of(model / "video_preds/labeled_videos/clip_labeled.mp4")) == LONG_VIDEO


@pytest.mark.parametrize("after_s", [0.05, 0.4])
def test_ctrl_c_at_the_very_start(work: Workplace, after_s: float) -> None:
    """While it imports or loads: no traceback, and nothing half."""
    model, video = work.model(), work.video(frames=200)
    process = start_process("predict", model, video, "--skip_viz", code=ANNOUNCED)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.returncode in (0, 130), done.stderr
    assert "Traceback" not in done.stderr
    assert files_below(model / "video_preds") <= {
        *("clip.csv", "clip_temporal_norm.csv"),
        *("clip.csv.partial", "clip.csv.partial.json"),
    }


def test_resume_continues_a_crop_stopped_during_prediction(work: Workplace, long_video: Path) -> None:
    model = work.model()
    partial = model / "video_preds/clip.csv.partial"
    done = stop_in_the_middle(partial, signal.SIGINT, "crop", model, long_video, "--crop_size", 40)
    assert "the same command with --resume continues them" in done.stderr
    begun = partial.read_bytes()
    work.did("crop", model, long_video, "--crop_size", 40, "--resume")
    assert (model / "video_preds/clip.csv").read_bytes().startswith(begun)
    assert len(frames_of(model / "cropped_videos/cropped_clip.mp4")) == LONG_VIDEO


def cut_after(rows: int, whole: Path, partial: Path, header_rows: int, *, torn: int = 0) -> None:
    """Make the file that a command stopped after so many rows would have left; ``torn`` bytes of the next are there."""
    lines = whole.read_bytes().splitlines(keepends=True)
    begun = lines[: header_rows + rows]
    rest = b"".join(lines[header_rows + rows :])
    partial.write_bytes(b"".join(begun) + rest[:torn])


class Interrupted:
    """A command that has been done once, and can be put back to any row."""

    def __init__(self, work: Workplace, arguments: list[object], finals: list[tuple[Path, int]]) -> None:
        self._work, self._arguments, self._finals = work, arguments, finals
        self._notes: dict[Path, str] = {}
        made_of = ResumableCsv.commit

        def commit(file: ResumableCsv) -> None:
            self._notes[file.final] = file._inputs_file.read_text()
            made_of(file)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ResumableCsv, "commit", commit)
            work.did(*arguments)
        self._whole = {path: work.folder / f"whole {path.name}" for path, _ in finals}
        for path, copy in self._whole.items():
            shutil.copy(path, copy)

    def resumes_from(self, *rows: int, torn: int = 0) -> None:
        for (path, header_rows), left in zip(self._finals, rows, strict=True):
            path.unlink()
            cut_after(left, self._whole[path], path.with_name(path.name + ".partial"), header_rows, torn=torn)
            path.with_name(path.name + ".partial.json").write_text(self._notes[path])
        self._work.did(*self._arguments, "--resume")
        for path, whole in self._whole.items():
            assert path.read_text().splitlines() == whole.read_text().splitlines(), (rows, torn)
            assert not path.with_name(path.name + ".partial").exists()
            assert not path.with_name(path.name + ".partial.json").exists()


@pytest.mark.parametrize("kind", ["heatmap", "heatmap_mhcrnn"])
def test_predict_resumes_from_any_row(work: Workplace, kind: str) -> None:
    model, video = work.model(kind=kind), work.video(frames=13)
    command = ["predict", model, video, "--skip_viz"]
    stopped = Interrupted(work, command, [(model / "video_preds/clip.csv", 3)])
    for rows in range(0, 14) if kind == "heatmap_mhcrnn" else (0, 7, 13):
        stopped.resumes_from(rows, torn=25 if rows % 2 else 0)


@pytest.mark.parametrize(
    ("pose", "detector", "every"),
    [
        ("heatmap", "heatmap", 3),
        ("heatmap_mhcrnn", "heatmap", 3),
        ("heatmap", "heatmap_mhcrnn", 3),
        ("heatmap_mhcrnn", "heatmap_mhcrnn", 1),
    ],
)
def test_pipeline_resumes_from_any_row(work: Workplace, pose: str, detector: str, every: int) -> None:
    """Also where the animal is not there, so that the box is one of long before; the two files need not agree."""
    video = film(work.folder / "clip.mp4", 30, hidden=[*range(3), *range(8, 19)])
    models = tiny_models(work.folder / "models", pose=pose, detector=detector)
    settings = {"crop_size": 64, "detector_every": every, "min_likelihood": 0.5, "coast_after_ms": 100}
    out = work.folder / "out"
    command = ["pipeline", video, *flags_of({**models, **settings}), "--out", out, "--skip_viz"]
    stopped = Interrupted(work, command, [(out / "clip.csv", 3), (out / "clip_bbox.csv", 1)])
    for rows in (1, 7, 12, 17, 20, 25, 30):
        stopped.resumes_from(rows, min(30, rows + rows % 4), torn=7 if rows % 2 else 0)


def test_a_replay_of_a_live_run_resumes_too(work: Workplace) -> None:
    """With frames that were passed over, which a context model is not shown."""
    video = film(work.folder / "clip.mp4", 24)
    lines = [",x,y,h,w,box_frame,box_age_ms,state"]
    for i in range(24):
        blank = f"{i},,,,,,," if i % 5 == 3 else f"{i},,,,,,,searching"
        lines.append(f"{i},{10 + i},20,64,64,{i},0.0,tracking" if i % 5 != 3 and i not in (9, 10) else blank)
    (work.folder / "live_bbox.csv").write_text("\n".join(lines) + "\n")
    models = tiny_models(work.folder / "models", pose="heatmap_mhcrnn")
    out, unsure = work.folder / "out", work.folder / "unsure.yaml"
    unsure.write_text("pose_min_likelihood: 0\n")
    command = ["pipeline", video, "--schedule", work.folder / "live_bbox.csv", "--pose", models["pose"]]
    command += ["--out", out, "--skip_viz", "--config", unsure]
    stopped = Interrupted(work, command, [(out / "clip.csv", 3), (out / "clip_bbox.csv", 1)])
    for rows in (1, 5, 9, 11, 14, 23):
        stopped.resumes_from(rows, rows)


def interrupted(work: Workplace, command: list[object], final: Path, header_rows: int = 3, rows: int = 6) -> Path:
    """Do a command, and put its file back to where it had some rows."""
    stopped = Interrupted(work, command, [(final, header_rows)])
    final.unlink()
    partial = final.with_name(final.name + ".partial")
    cut_after(rows, work.folder / f"whole {final.name}", partial, header_rows)
    partial.with_name(partial.name + ".json").write_text(stopped._notes[final])
    return partial


def another_model(work: Workplace, model: Path, video: Path) -> None:
    other = model_directory(work.folder / "other", poison=0.9)
    shutil.copytree(other / "exports_onnx", model / "exports_onnx", dirs_exist_ok=True)


def another_video(work: Workplace, model: Path, video: Path) -> None:
    work.video(video.name, 21)


def other_boxes(work: Workplace, model: Path, video: Path) -> None:
    write_boxes(work.folder / "boxes/clip_bbox.csv", [(11, 10, 60, 60)] * 20)


@pytest.mark.parametrize(
    ("change", "what"), [(another_model, "model"), (another_video, "video"), (other_boxes, "boxes")]
)
def test_resume_refuses_rows_of_other_inputs(
    work: Workplace, change: Callable[[Workplace, Path, Path], None], what: str
) -> None:
    model, video = work.model(), work.video(frames=20)
    write_boxes(work.folder / "boxes/clip_bbox.csv", [(10, 10, 60, 60)] * 20)
    command = ["predict", model, video, "--bbox_dir", work.folder / "boxes", "--skip_viz"]
    partial = interrupted(work, command, model / "video_preds/clip.csv")
    change(work, model, video)
    if what == "video":
        write_boxes(work.folder / "boxes/clip_bbox.csv", [(10, 10, 60, 60)] * 21)
    with nothing_changes_in(work.folder):
        line = work.refused(*command, "--resume")
    assert re.search(rf"clip.csv.partial was made with other inputs or settings \(.*{what}", line), line
    assert "Leave out --resume to start over" in line
    assert rows_in(partial) == 9
    done = work.did(*command)
    assert "is of an interrupted command; it is started again (--resume continues it)" in done.err


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--crop-size", 70], "crop_size"),
        (["--min-likelihood", 0.7], "min_likelihood"),
        (["--edge", "clamp"], "edge"),
        (["--decoder", "reference"], "decoder"),
        (["--detector-every", 2], "detector_every"),
    ],
)
def test_resume_refuses_rows_of_other_settings(work: Workplace, flags: list[object], what: str) -> None:
    video, out = work.video(frames=20), work.folder / "out"
    flags_before = flags_of({**tiny_models(work.folder / "models"), "crop_size": 64})
    command = ["pipeline", video, *flags_before, "--out", out, "--skip_viz"]
    interrupted(work, command, out / "clip.csv")
    (out / "clip_bbox.csv").unlink()
    with nothing_changes_in(work.folder):
        line = work.refused(*command, *flags, "--resume")
    assert f"was made with other inputs or settings ({what})." in line


def test_resume_refuses_rows_of_another_schedule(work: Workplace) -> None:
    video, out = work.video(frames=20), work.folder / "out"
    schedule = write_boxes(work.folder / "boxes/clip_bbox.csv", [(10, 10, 60, 60)] * 20)
    pose = tiny_models(work.folder / "models")["pose"]
    command = ["pipeline", video, "--schedule", schedule, "--pose", pose, "--out", out, "--skip_viz"]
    interrupted(work, command, out / "clip.csv")
    (out / "clip_bbox.csv").unlink()
    write_boxes(schedule, [(10, 10, 60, 60)] * 19 + [(10, 10, 60, 62)])
    assert "other inputs or settings (schedule)." in work.refused(*command, "--resume")


def test_resume_accepts_another_number_of_cores_and_batch_size(work: Workplace) -> None:
    """They change no number."""
    model, video = work.model(), work.video(frames=20)
    interrupted(work, ["predict", model, video, "--skip_viz"], model / "video_preds/clip.csv")
    work.did("predict", model, video, "--skip_viz", "--resume", "--workers", 1, "--batch_size", 3)
    assert len(poses_in(model / "video_preds/clip.csv")) == 20


def test_resume_with_nothing_to_go_on_from_begins(work: Workplace) -> None:
    model, video = work.model(), work.video(frames=5)
    work.did("predict", model, video, "--resume", "--skip_viz")
    assert len(poses_in(model / "video_preds/clip.csv")) == 5


def rows_file(path: Path, made_of: dict[str, object] | None = None, *, resume: bool = False) -> ResumableCsv:
    return ResumableCsv(path, "a\nb\n", made_of or {}, resume=resume)


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    with rows_file(tmp_path / "new/rows.csv") as file:
        file.add("1\n")
        file.flush()
        assert (tmp_path / "new/rows.csv.partial").read_text() == "a\nb\n1\n"
        assert not (tmp_path / "new/rows.csv").exists()
        file.commit()
    assert files_below(tmp_path) == {"new/rows.csv"}


def break_off(path: Path, error: BaseException) -> list[str]:
    """Write a row, and end with an error; return what was noted on it."""
    try:
        with rows_file(path) as file:
            file.add("1\n")
            raise error
    except type(error) as raised:
        return raised.__notes__


def test_an_older_file_stays_until_then(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("old")
    (note,) = break_off(tmp_path / "rows.csv", KeyboardInterrupt())
    assert (tmp_path / "rows.csv").read_text() == "old"
    assert note.startswith(f"1 rows are in {tmp_path / 'rows.csv.partial'}")


@pytest.mark.parametrize(("error", "is_noted"), [(SinkError("full"), True), (DataError("bad input"), False)])
def test_the_note_on_resume_appears_only_if_resume_helps(tmp_path: Path, error: Exception, is_noted: bool) -> None:
    (note,) = break_off(tmp_path / "rows.csv", error)
    assert ("--resume" in note) == is_noted


def test_a_file_without_rows_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised, rows_file(tmp_path / "rows.csv"):
        raise DataError("bad input")
    assert files_below(tmp_path) == set()
    assert not hasattr(raised.value, "__notes__")


@pytest.mark.parametrize("left", ["", "a", "a\n", "a\nb\n", "a\nb\nhalf a r"])
def test_a_file_without_a_complete_row_is_started_again(tmp_path: Path, left: str) -> None:
    """As after a kill between the file and the note that says what it is made of."""
    (tmp_path / "rows.csv.partial").write_text(left)
    with rows_file(tmp_path / "rows.csv", {"model": 2}, resume=True) as file:
        assert file.rows == 0
        file.add("1\n")
        file.commit()
    assert (tmp_path / "rows.csv").read_text() == "a\nb\n1\n"


def test_what_does_not_say_what_it_was_made_of_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.partial").write_text("a\nb\n1\n")
    with pytest.raises(DataError, match=r"other inputs or settings \(model\)"):
        rows_file(tmp_path / "rows.csv", {"model": 2}, resume=True)
    (tmp_path / "rows.csv.partial.json").write_text(json.dumps({"model": 2}))
    with rows_file(tmp_path / "rows.csv", {"model": 2}, resume=True) as file:
        assert file.rows == 1


def test_a_partial_write_is_continued_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up takes the first bytes; once there is room again, no byte is there twice."""

    class Filling:
        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 5

        def write(self, data: bytes) -> int:
            if self.room == 0:
                raise OSError(28, "No space left on device")
            taken: int = self.file.write(data[: self.room])
            self.room -= taken
            return taken

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    file = rows_file(tmp_path / "rows.csv")
    filling = file._file = Filling(file._file)  # type: ignore[assignment]
    file.add("first\n")
    file.add("second\n")
    with pytest.raises(SinkError, match="No space left on device"):
        file.flush()
    filling.room = 100
    file.add("third\n")
    file.commit()
    assert (tmp_path / "rows.csv").read_text() == "a\nb\nfirst\nsecond\nthird\n"


def test_on_a_terminal_there_is_a_bar_with_the_rate_and_the_time_that_is_left(tmp_path: Path, long_video: Path) -> None:
    model = model_directory(tmp_path / "model")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = start_process("predict", model, long_video, "--skip_viz", stderr=theirs, code=SLOW)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += (read := os.read(ours, 65536))
        except OSError:  # the other end is closed
            break
        if not read:
            break
    os.close(ours)
    assert finish(process).returncode == 0
    text = shown.decode()
    assert re.search(r"clip\.mp4: +\d+%.*\| \d+/250 \[\d\d:\d\d<\d\d:\d\d, +\d+\.\d+ frames/s\]", text), text[-500:]


def test_without_a_terminal_there_is_no_progress_bar(work: Workplace) -> None:
    done = cropzoom("predict", work.model(), work.video(frames=5))
    assert done.returncode == 0
    assert "frames/s" not in done.stderr


def test_memory_does_not_grow_with_the_video(work: Workplace, long_video: Path) -> None:
    """Frames on their way are bounded: twice the cores and two, and what is decoded ahead."""
    most = 0
    put = OrderedInference.put

    def counted(self: Any, *arguments: Any) -> None:
        nonlocal most
        put(self, *arguments)
        most = max(most, len(self._pending))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OrderedInference, "put", counted)
        work.did("predict", work.model(), long_video, "--skip_viz", "--workers", 2)
    assert 0 < most <= 2 * 2 + 3


def test_interrupted_labelled_images_are_predicted_from_the_start(work: Workplace) -> None:
    """They are few; nothing half is under a final name."""
    model, labels = work.model(), work.labels((5, 12, 30))
    (work.folder / image_name(30)).write_text("no image")
    work.refused("predict", model, labels)
    assert files_below(model) == {"config.yaml", "exports_onnx/epoch=1-step=2_fp32.onnx"}

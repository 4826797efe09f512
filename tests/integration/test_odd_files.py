"""Files with odd names, endings and permissions: each is opened as a file, or refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.offline_fixtures import Workplace, files_below, index_of, poses_in, write_boxes
from support.pipelines import cropzoom, make_settings, run_to_end, tiny_models

from realtime_cropzoom.errors import DataError, SourceError
from realtime_cropzoom.files.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.offline.inputs import Images, Video, gather
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.sources.image_file import bits_note

NOT_UTF_8 = os.fsdecode(b"lat\xffin.mp4")


@pytest.fixture
def work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Workplace:
    return Workplace(tmp_path, capfd)


def flags_of(work: Workplace) -> list[object]:
    models = tiny_models(work.folder / "models")
    return [*(f"--{role}={path}" for role, path in models.items()), "--out", work.folder / "out", "--crop-size", 64]


NAMES = [
    *("2024-01-01T10:30:00.mp4", "-dash.mp4", "--a_flag.mp4", "%03d.mp4", "100%d.mp4", 'it\'s "so".mp4', "a\nb.mp4"),
    *("~nobody.mp4", "file:x.mp4", "concat:a|b.mp4", "camera:0.mp4", " [x]*?.mp4", "späße 日本.mp4", "a,b.mp4"),
]
if sys.platform == "linux":
    NAMES.append(NOT_UTF_8)


def here(work: Workplace, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a video of that name, and go where it is: its name alone is the path."""
    work.video("plain.mp4", 6, codec="libx264").rename(work.folder / name)
    monkeypatch.chdir(work.folder)
    return Path(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_a_file_whatever_it_is_called(name: str, work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    video = here(work, name, monkeypatch)
    live = run_to_end(make_settings(work.folder, source=str(video), pace="fast", publish="tcp://127.0.0.1:*"))
    assert live.summary["counts"]["processed"] == 6
    assert live.summary["problems"] == []
    model, stem = work.model(), video.stem
    write_boxes(work.folder / f"boxes/{stem}_bbox.csv", [(10, 10, 40, 40)] * 6)
    for command in (
        ["pipeline", *flags_of(work), "--", video],
        ["predict", "--", model, video],
        ["crop", "--bbox_dir", work.folder / "boxes", "--", model, video],
    ):
        done = work.run(*command)
        about = done.err.replace(video.stem, "VIDEO").splitlines()  # a name may have two lines
        about = [line for line in about if " model: " not in line]  # which file runs
        said = [line for line in about if line.startswith("cropzoom") and not line.endswith(":")]
        assert (done.code, said) == (0, []), done
    assert len(poses_in(work.folder / f"out/{stem}.csv")) == 6
    written = files_below(model)
    for path in (f"video_preds/{stem}.csv", f"video_preds/labeled_videos/{stem}_labeled.mp4",
                 f"cropped_videos/cropped_{stem}.mp4"):  # fmt: skip
        assert path in written


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not text")
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_name_that_is_no_text_can_be_printed(locale: str, work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    here(work, NOT_UTF_8, monkeypatch)
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = cropzoom("pipeline", NOT_UTF_8, *flags_of(work), "--skip-viz", env=environment, errors="surrogateescape")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    (work.folder / NOT_UTF_8).write_bytes(b"no video")
    done = cropzoom("pipeline", NOT_UTF_8, *flags_of(work), "--overwrite", env=environment, errors="surrogateescape")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot be read as a video" in done.stderr


def test_a_tilde_is_home_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "~clip.mp4").touch()
    assert user_path("~clip.mp4") == Path("~clip.mp4")
    assert user_path("~/clip.mp4") == Path("/home/me/clip.mp4")
    assert user_path("~nobody_of_that_name/clip.mp4") == Path("~nobody_of_that_name/clip.mp4")


@pytest.mark.parametrize("length", [240, 255, 5000])
def test_a_name_that_is_too_long_is_refused_in_a_line(length: int, work: Workplace) -> None:
    name = "x" * (length - 4) + ".mp4"
    video = work.folder / name
    if length < 256:
        work.video("plain.mp4", 3).rename(video)
    line = work.refused("pipeline", video, *flags_of(work), "--skip-viz")
    assert "Traceback" not in line


WITHOUT_RIGHTS = (
    "import ctypes, sys\n"
    "class Header(ctypes.Structure): _fields_ = [('version', ctypes.c_uint32), ('pid', ctypes.c_int)]\n"
    "class Sets(ctypes.Structure): _fields_ = [(n, ctypes.c_uint32) for n in ('effective', 'allowed', 'inherited')]\n"
    "ctypes.CDLL(None).capset(ctypes.byref(Header(0x20080522, 0)), (Sets * 2)())\n"  # root may enter everywhere
    "import json\n"
    "from realtime_cropzoom.cli.main import main\n"
    "for arguments in json.loads(sys.argv[1]):\n"
    "    print('exit', main(arguments), file=sys.stderr)\n"
)
"""Code of a process that has no more rights than others; its argument is a list of those of cropzoom."""


@pytest.mark.skipif(sys.platform != "linux", reason="rights are taken from root as Linux does it")
def test_what_may_not_be_read_is_said_in_a_line(work: Workplace) -> None:
    model, locked = work.model(), work.folder / "locked"
    locked.mkdir()
    work.video("a.mp4", 3).rename(locked / "a.mp4")
    good = work.video("good.mp4", 3)
    locked.chmod(0)
    (model / "exports_onnx").chmod(0)
    try:
        refused = {
            f"{locked} cannot be read: Permission denied": ["pipeline", locked],
            "a.mp4 cannot be read: Permission denied": ["pipeline", locked / "a.mp4"],
            "Permission denied": ["run", locked / "a.mp4", "--publish", "none", "--quiet"],
        }
        commands = [[*arguments, *flags_of(work)] for arguments in refused.values()]
        commands += [["predict", model, good], ["pipeline", locked, good, *flags_of(work), "--skip-viz"]]
        done = cropzoom(json.dumps([[*map(str, command)] for command in commands]), code=WITHOUT_RIGHTS)
    finally:
        locked.chmod(0o700)
        (model / "exports_onnx").chmod(0o700)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("cropzoom", "exit")) and line[-1] != ":"]
    assert [line for line in lines if line.startswith("exit")] == ["exit 2"] * 4 + ["exit 3"], done.stderr
    says = [*refused, "exports_onnx cannot be read: Permission denied", f"{locked} cannot be read: Permission denied"]
    lines = [line for line in lines if not line.startswith("exit") and " model: " not in line]
    for words, line in zip(says, lines, strict=True):
        assert words in line
    assert done.stdout.strip().endswith("good.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_what_is_no_file_is_not_waited_for(work: Workplace) -> None:
    pipe = work.folder / "pipe.mp4"
    os.mkfifo(pipe)
    (work.folder / "folder.mp4").mkdir()
    loop = work.folder / "loop.mp4"
    loop.symlink_to(loop)
    for path, says in (
        (pipe, "is a pipe or a device"),
        (Path("/dev/zero"), "is a pipe or a device"),
        (loop, "no video at"),
    ):
        with pytest.raises(SourceError, match=says):
            open_source(str(path))
    assert "holds no video" in work.refused("pipeline", work.folder / "folder.mp4", *flags_of(work))


ENDINGS = [
    *(("clip.ts", "libx264"), ("clip.MTS", "libx264"), ("clip.m2ts", "libx264"), ("clip.h264", "libx264")),
    *(("clip.flv", "flv1"), ("clip.3gp", "mpeg4"), ("clip.asf", "mpeg4"), ("clip.nut", "mpeg4")),
    *(("clip.y4m", "wrapped_avframe"), ("clip.mjpeg", "mjpeg"), ("clip.gif", "gif"), ("clip.MP4", "mpeg4")),
    *(("clip.m2v", "mpeg2video"), ("clip.vob", "mpeg2video"), ("clip.mxf", "mpeg2video"), ("clip.ivf", "libvpx")),
]
_PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


@pytest.mark.filterwarnings("ignore:.*deprecated pixel format")
@pytest.mark.parametrize(("name", "codec"), ENDINGS)
def test_endings_are_the_same_for_all_commands(name: str, codec: str, work: Workplace) -> None:
    video = work.video(name.lower(), 12, codec=codec, pix_fmt=_PIXELS.get(codec, "yuv420p"))
    video = video.rename(work.folder / name)
    assert run_to_end(make_settings(work.folder, source=video, pace="fast")).summary["counts"]["processed"] == 12
    (work.folder / "films").mkdir()
    shutil.copy(video, work.folder / "films")
    for given in (video, work.folder / "films"):
        done = work.did("pipeline", given, *flags_of(work), "--skip-viz", "--overwrite")
        assert done.out.strip() == str(work.folder / "out/clip.csv")
        assert len(poses_in(work.folder / "out/clip.csv")) == 12


def test_a_file_that_is_given_by_name_may_have_any_ending(work: Workplace) -> None:
    for name in ("clip.dat", "clip"):
        video = work.video("plain.mp4", 3).rename(work.folder / name)
        work.did("pipeline", video, *flags_of(work), "--skip-viz", "--overwrite")
    for name, content in (("notes.txt", "dear diary"), ("config.yaml", "a: 1"), ("empty.dat", "")):
        (work.folder / name).write_text(content)
        assert "neither a video" in work.refused("pipeline", work.folder / name, *flags_of(work))
        with pytest.raises(SourceError):
            open_source(str(work.folder / name))


def test_no_ending_is_both_a_video_and_an_image() -> None:
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES)


IMAGES = ("1.png", "2.webp", "3.pgm", "4.ppm", "10.BMP", "frame.png", "frame.jpg", "._1.png")


def images(work: Workplace, names: Sequence[str] = IMAGES) -> Path:
    folder = work.folder / "images"
    folder.mkdir()
    for index, name in enumerate(names):
        picture = work.footage.draw(index)
        assert cv2.imwrite(str(folder / name), picture[..., 0] if name.endswith("pgm") else picture[..., ::-1])
    return folder


def test_a_folder_of_images_is_the_same_live_and_offline(work: Workplace) -> None:
    folder, model = images(work), work.model()
    order = ["1.png", "2.webp", "3.pgm", "4.ppm", "10.BMP", "frame.jpg", "frame.png"]
    run = run_to_end(make_settings(work.folder, source=folder, pace="fast"))
    assert run.summary["counts"]["processed"] == len(order)
    assert run.summary["problems"] == []
    work.did("predict", model, folder)
    assert index_of(model / "image_preds/images/predictions.csv") == order
    pictures = {path for path in files_below(model / "image_preds/images") if "_labeled" in path}
    assert pictures == {
        *("1_labeled.png", "2_labeled.png", "3_labeled.png", "4_labeled.png", "10_labeled.png"),
        *("frame.jpg_labeled.png", "frame.png_labeled.png"),
    }


@pytest.mark.parametrize(("bits", "said"), [(8, True), (10, True), (12, True), (14, True), (16, False)])
def test_a_depth_that_leaves_images_black_is_said(bits: int, said: bool, work: Workplace) -> None:
    folder, model = work.folder / "deep", work.model()
    folder.mkdir()
    picture = work.footage.draw(3)[..., 0].astype(np.uint32)
    values = (picture * ((1 << bits) - 1) // picture.max()).astype(np.uint16)
    for name in ("1.png", "2.tif"):
        assert cv2.imwrite(str(folder / name), values)
    notes = open_source(str(folder)).info.notes
    done = work.run("predict", model, folder, "--skip_viz")
    assert done.code == (3 if said else 0), "in black images nothing is found"
    assert any("uses only" in note for note in notes) is said
    assert (f"uses only {bits} of them" in done.err) is said
    assert (bits_note(Path("a.png"), values) != "") is said


def test_one_bad_file_of_a_batch_is_a_line_and_the_others_are_done(work: Workplace) -> None:
    folder = work.folder / "films"
    folder.mkdir()
    for name in ("1.mp4", "2.mp4", "3.mp4"):
        work.video(name, 3).rename(folder / name)
    (folder / "2.mp4").write_bytes(b"no video")
    model = work.model()
    for stem in "123":
        write_boxes(work.folder / f"boxes/{stem}_bbox.csv", [(10, 10, 40, 40)] * 3)
    for command in (
        ["pipeline", folder, work.folder / "none.mp4", *flags_of(work), "--skip-viz"],
        ["predict", model, folder, work.folder / "none.mp4", "--skip-viz"],
        ["crop", model, folder, work.folder / "none.mp4", "--bbox-dir", work.folder / "boxes"],
    ):
        done = work.run(*command)
        assert done.code == 3
        assert [line.split()[1] for line in done.lines] == ["no", str(folder / "2.mp4")], done.err
        assert len(done.out.splitlines()) == 2
    assert work.run("pipeline", folder / "2.mp4", *flags_of(work)).code == 2, "none could be done"


def test_what_is_wrong_with_inputs_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    refused: list[DataError] = []
    assert gather([tmp_path / "a.mp4", tmp_path / "b.mp4"], refused.append) == [Video(tmp_path / "a.mp4")]
    assert "no file at" in str(refused[0])
    with pytest.raises(DataError, match=r"no file at .*b\.mp4.*; no file at .*c\.mp4"):
        gather([tmp_path / "b.mp4", tmp_path / "c.mp4"], refused.append)
    (tmp_path / "a.webp").touch()
    assert gather([tmp_path / "a.webp"], images=True) == [Images("a.webp", (tmp_path / "a.webp",))]

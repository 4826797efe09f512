"""The command line: what it refuses, in which words and with which code, and where settings come from."""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
import yaml
from support.pipelines import (
    Files,
    Film,
    check_complete,
    cropzoom,
    finish,
    model_flags,
    start_process,
    the_session,
    tiny_models,
)
from support.places import ROOT

from realtime_cropzoom.cli.main import _parser, main
from realtime_cropzoom.cli.parser import GROUPS
from realtime_cropzoom.config.settings import Settings

ARENA = "synthetic:arena,size=160x120,fps=60,seconds=0.3"
CONFIGS = ROOT / "configs"


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Commands:
    """The command line in this process, in a folder with models and a video to go wrong with."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.models = tiny_models(folder / "models")
        self._capfd = capfd

    def run(self, *arguments: object) -> tuple[int, str]:
        """Return the exit code and stderr of ``cropzoom run``; later flags override those put before them."""
        code = main(["run", *model_flags(self.models), "--out", str(self.out), *map(str, arguments)])
        return code, self._capfd.readouterr().err


@pytest.fixture
def commands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Commands:
    return Commands(tmp_path, capfd)


def text_file(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("this is no video\n" * 100)
    return path


def empty_file(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def litpose_directory(folder: Path) -> Path:
    directory = folder / "litpose"
    (directory / "exports_onnx").mkdir(parents=True)
    config = {
        "data": {"image_resize_dims": {"height": 64, "width": 64}, "keypoint_names": ["middle", "right", "low"]},
        "model": {"model_type": "heatmap"},
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    return directory


def config_file(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "sessions"


Wrong = Callable[[Commands], list[object]]
BAD_INPUT: dict[str, tuple[Wrong, str]] = {
    "missing source": (lambda c: [c.folder / "none.mp4"], "no video at .*none.mp4"),
    "empty source": (lambda c: [empty_file(c.folder)], "empty.mp4 is empty"),
    "text as a source": (lambda c: [text_file(c.folder)], "text.mp4 cannot be read as a video"),
    "folder as a source": (lambda c: [c.folder], "is a folder"),
    "address as a source": (lambda c: ["rtsp://camera/1"], "rtsp://camera/1"),
    "unknown synthetic source": (lambda c: ["synthetic:moon"], "synthetic:arena"),
    "unknown key of the arena": (lambda c: ["synthetic:arena,speed=3"], "speed=3"),
    "bad value of the arena": (lambda c: ["synthetic:arena,fps=fast"], "fps=fast"),
    "arena out of range": (lambda c: ["synthetic:arena,fps=0"], "fps"),
    "both crop flags": (lambda c: [ARENA, "--crop-ratio", 2], "crop_size.*crop_ratio"),
    "crop size 0": (lambda c: [ARENA, "--crop-size", 0], "crop_size: got '0'.*greater than 0"),
    "crop size negative": (lambda c: [ARENA, "--crop-size", -64], "crop_size: got '-64'.*greater than 0"),
    "crop size huge": (lambda c: [ARENA, "--crop-size", 99999], "crop_size: got '99999'"),
    "crop size beyond the frame": (lambda c: [ARENA, "--crop-size", 5000], "crop_size is 5000.*160x120"),
    "crop size no number": (lambda c: [ARENA, "--crop-size", "large"], "crop_size: got 'large'"),
    "likelihood over 1": (lambda c: [ARENA, "--min-likelihood", 2], "min_likelihood: got '2'"),
    "unknown anchor": (lambda c: [ARENA, "--anchor-keypoints", "nose"], "no nose; it has middle, right, low"),
    "limits the wrong way round": (
        lambda c: [ARENA, "--coast-after-ms", 900, "--lost-after-ms", 300],
        "lost_after_ms is 300",
    ),
    "a source taken for a codec": (
        lambda c: ["--record", ARENA],
        "record: got .* Write the source first: .* --record$",
    ),
    "unknown codec": (lambda c: [ARENA, "--record", "mpeg"], "record: got 'mpeg'.*'h264', 'ffv1' or 'copy'"),
    "unknown pace": (lambda c: [ARENA, "--pace", "slow"], "pace: got 'slow'"),
    "camera with a slash": (lambda c: [ARENA, "--camera", "a/b"], "camera: got 'a/b'"),
    "typo in the config": (lambda c: [ARENA, "--config", config_file(c.folder, "crop_sise: 64\n")], "crop_sise"),
    "config that is a list": (lambda c: [ARENA, "--config", config_file(c.folder, "- 64\n")], "list"),
    "config that is not YAML": (lambda c: [ARENA, "--config", config_file(c.folder, "a: [\n")], "is not YAML"),
    "missing config": (
        lambda c: [ARENA, "--config", c.folder / "none.yaml"],
        "cannot read .*none.yaml",
    ),
    "a camera's number": (lambda c: ["0"], "0: no such file. For a camera, write camera:0"),
    "a webcam": (lambda c: ["webcam"], "For a camera, write camera:0; 'cropzoom cameras' lists the connected ones"),
    "a camera's setting for a recording": (
        lambda c: [text_file(c.folder), "--exposure-ms", 3, "--roi", "0,0,2,2"],
        "text.mp4 is a recording, but exposure_ms, roi are for cameras. Leave them out",
    ),
    "a camera's setting for a folder of images": (
        lambda c: [c.folder, "--gain", 3, "--camera-fps", 50],
        "is a folder of images, but gain is for cameras. Leave it out",
    ),
    "a camera's setting for the arena": (lambda c: [ARENA, "--gain", 3], "is the built-in arena"),
    "a recording's setting for a camera": (lambda c: ["camera:99", "--loop"], "but loop is for recordings"),
    "missing model": (lambda c: [ARENA, "--pose", c.folder / "none.onnx"], "no pose model at .*none.onnx"),
    "a model that is no ONNX": (lambda c: [ARENA, "--pose", text_file(c.folder)], "cannot be loaded as an ONNX model"),
    "an empty model": (lambda c: [ARENA, "--pose", empty_file(c.folder)], "cannot be loaded as an ONNX model"),
    "the detector as pose model": (lambda c: [ARENA, "--pose", c.models["detector"]], "is a detector model.*swap"),
    "the pose model as detector": (lambda c: [ARENA, "--detector", c.models["pose"]], "is a pose model.*swap"),
    "a model directory without export": (
        lambda c: [ARENA, "--pose", litpose_directory(c.folder)],
        "run: litpose export .*litpose --runtime onnx",
    ),
    "a folder that is no model": (lambda c: [ARENA, "--pose", c.folder], "is no model folder; expected one with"),
    "unknown provider": (lambda c: [ARENA, "--provider", "tpu"], "provider: got 'tpu'"),
    "missing schedule": (lambda c: [ARENA, "--schedule", c.folder / "none.csv"], "cannot read the schedule"),
    "a schedule that is none": (lambda c: [ARENA, "--schedule", text_file(c.folder)], "is not a box file"),
    "an endpoint that is none": (
        lambda c: [ARENA, "--publish", "here"],
        "publish: got here, expected",
    ),
    "a port that is none": (lambda c: [ARENA, "--publish", "tcp://127.0.0.1:one"], ":one, expected an endpoint"),
    "two endpoints that are one": (
        lambda c: [ARENA, "--publish", "tcp://127.0.0.1:1", "--publish-latest", "tcp://127.0.0.1:1"],
        "are both tcp://127.0.0.1:1",
    ),
    "an output folder below a file": (lambda c: [ARENA, "--out", below_a_file(c.folder)], "--out"),
}


@pytest.mark.parametrize("wrong", BAD_INPUT)
def test_bad_input_is_refused_in_one_line(commands: Commands, wrong: str) -> None:
    arguments, words = BAD_INPUT[wrong]
    code, err = commands.run(*arguments(commands))
    assert code == 2, err
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("cropzoom: ")
    assert re.search(words, lines[0]), lines[0]
    assert not commands.out.exists(), "a session was begun"


def test_a_provider_that_is_not_installed_is_an_error(commands: Commands) -> None:
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    code, err = commands.run(ARENA, "--provider", "cuda")
    assert code == 2
    assert err.startswith("cropzoom: provider cuda was asked for, but this onnxruntime has only")
    assert err.count("\n") == 1


def test_each_wrong_setting_has_its_own_line(commands: Commands) -> None:
    code, err = commands.run(ARENA, "--crop-size", 0, "--min-likelihood", 7, "--pace", "slow")
    assert code == 2
    assert err.startswith("cropzoom: ")
    for name in ("crop_size", "min_likelihood", "pace"):
        assert sum(name in line for line in err.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no folder that is in use")
def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && exec "$2" -m realtime_cropzoom pipeline /nothing.mp4'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(gone), sys.executable], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("cropzoom: the folder in which you are was deleted. Go to one that exists, such as: cd ~\n")


def test_bad_input_to_a_real_process(tmp_path: Path) -> None:
    done = cropzoom("run", tmp_path / "none.mp4", "--out", tmp_path / "out", *model_flags(tiny_models(tmp_path)))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cropzoom: no video at")
    assert done.stderr.count("\n") == 1


def test_run_without_a_source_prints_its_explanation(commands: Commands) -> None:
    code, err = commands.run()
    assert code == 2
    assert "cropzoom run SOURCE" in err
    assert "synthetic:arena" in err


def test_training_a_folder_that_is_not_there_asks_for_a_project(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A name without an ending is meant as a folder, not as a config of Lightning Pose."""
    assert main(["train", str(tmp_path / "rat_arna")]) == 2
    assert "expected the folder of a project. Make one with: cropzoom init" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", ARENA, "--crop-sizes", "3"], "run has no --crop-sizes. Did you mean '--crop-size'?"),
        (["run", ARENA, "--crop_sise=3"], "run has no --crop-sise. Did you mean '--crop-size'?"),
        (["fly"], "command: got 'fly', expected a command such as run. See: cropzoom --help"),
        (["lisen"], "command: got 'lisen', expected a command such as run. Did you mean 'listen'?"),
        (["run", "a.mp4", "b.mp4"], "run: got 'b.mp4', expected no further argument"),
        (["draw"], "SESSION is missing. See: cropzoom draw --help"),
        (["init"], "FOLDER, --keypoints are missing. See: cropzoom init --help"),
        (["draw", ".", "--frames", "six"], "--frames: got 'six', expected a whole number"),
        (["calibrate", "rectangel"], "Did you mean 'rectangle'?"),
        (["convert", ".", "--to", "nbw"], "--to: got 'nbw', expected one of nwb, h5, parquet, csv, rrd."),
    ],
)
def test_a_typo_is_one_line_with_a_suggestion(
    arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("cropzoom: ")
    assert words in line
    assert "See: cropzoom" in line


def test_without_a_command_all_commands_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: cropzoom" in capfd.readouterr().err


def help_of(capfd: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    assert exit_.value.code == 0
    return capfd.readouterr().out


def test_every_command_is_in_a_group_of_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    shown = help_of(capfd)
    (commands,) = (a for a in _parser()._actions if a.metavar == "COMMAND")
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(commands.choices or ())
    for title, names in GROUPS.items():
        assert f"{title}:" in shown
        assert all(f"\n  {name} " in shown for name in names)
    assert "register-python-argcomplete cropzoom" in shown


@pytest.mark.parametrize(
    "words", ["", *(name for names in GROUPS.values() for name in names), "calibrate rectangle", "calibrate points"]
)
def test_the_help_fits_eighty_columns(
    words: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*words.split(), "--help"])
    assert [line for line in capfd.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", [name for names in GROUPS.values() for name in names])
def test_the_help_of_each_command_has_an_example(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert f"cropzoom {name} " in help_of(capfd, name).partition("\n\n")[2] or name in ("cameras",)


def test_the_settings_are_in_groups_with_their_defaults(capfd: pytest.CaptureFixture[str]) -> None:
    shown = help_of(capfd, "run")
    titles = ("models", "box", "camera", "file", "recording", "filter", "network", "advanced")
    places = [shown.index(f"\n{title}:\n") for title in titles]
    assert places == sorted(places)
    assert "(default: 0.1)" in shown


def test_the_shell_can_complete() -> None:
    """As the shell does it: the answer comes on descriptor 8."""
    code = "import os; os.dup2(1, 8); from realtime_cropzoom.cli.main import main; main()"
    line = "cropzoom run --decoder "
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " "}
    done = finish(start_process(code=code, env=asked))
    assert done.stdout.split() == ["fast", "reference"]


def test_help_lists_every_setting(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["run", "--help"])
    assert exit_.value.code == 0
    shown = "".join(capfd.readouterr().out.split())  # argparse breaks lines at spaces and hyphens
    for name, field in Settings.model_fields.items():
        if name != "source":
            assert f"--{name.replace('_', '-')}" in shown, name
            assert "".join(str(field.description).split()) in shown, name


def resolved(out: Path) -> dict[str, object]:
    settings: dict[str, object] = yaml.safe_load((the_session(out) / "config.yaml").read_text())
    return settings


def test_a_run_takes_flags_before_the_environment_before_the_file(tmp_path: Path) -> None:
    config = {**tiny_models(tmp_path / "models"), "crop_size": 64, "publish": "none", "source": ARENA, "pace": "fast"}
    config |= {"camera": "file", "frames": 9, "max_lag": 5}
    path = config_file(tmp_path, yaml.safe_dump(config))
    environment = {"CROPZOOM_CAMERA": "environment", "CROPZOOM_FRAMES": "8"}
    done = cropzoom("run", "--config", path, "--out", tmp_path / "out", "--frames", 7, env=environment)
    assert done.returncode == 0, done.stderr
    settings = resolved(tmp_path / "out")
    assert (settings["frames"], settings["camera"], settings["max_lag"]) == (7, "environment", 5)
    assert settings["edge"] == "pad"
    assert check_complete(the_session(tmp_path / "out")).summary["counts"]["captured"] == 7


@pytest.mark.parametrize("given", ["x", "0", "-1", "1.5", "9" * 5000])
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS"])
def test_a_thread_count_that_is_no_number_is_one_line(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, name: str, given: str
) -> None:
    monkeypatch.setenv(name, given)
    code, err = commands.run(ARENA)
    assert code == 2
    assert re.fullmatch(
        rf"cropzoom: the environment variable {name} is '.*expected a number of threads such as 4.*\n", err
    )
    assert not commands.out.exists()


def test_an_empty_thread_count_sets_nothing(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert main(["cameras", "--json"]) == 0


def test_a_typo_in_the_environment_is_an_error(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPZOOM_CROP_SISE", "64")
    code, err = commands.run(ARENA)
    assert code == 2
    assert "CROPZOOM_CROP_SISE" in err


OF_ONE_RUN = [
    p
    for p in sorted(CONFIGS.glob("*.yaml"))
    if not p.name.startswith("train") and not {"cameras", "rules"} & yaml.safe_load(p.read_text()).keys()
]
"""The examples with several cameras and of triggers have tests of their own."""


@pytest.mark.parametrize("config", OF_ONE_RUN, ids=lambda p: p.stem)
def test_the_example_configs_run(tmp_path: Path, config: Path) -> None:
    """With the arena in place of recordings, and the shipped or tiny models in place of those a clone lacks.

    In lockstep: in a live run on a busy machine there may be no box before the five frames are over.
    """
    given = yaml.safe_load(config.read_text())
    tiny = tiny_models(tmp_path / "models")
    missing = [r for r in tiny if not Path(given.get(r, "shipped")).exists() and given.get(r, "shipped") != "shipped"]
    flags = [flag for role in missing for flag in (f"--{role}", tiny[role])]
    if missing and given.get("anchor_keypoints"):
        flags += ["--anchor-keypoints", "middle"]
    done = cropzoom(
        "run", "synthetic:arena,size=320x240,fps=30,seconds=1", "--config", config, "--frames", 5, "--pace", "fast",
        "--out", tmp_path / "out", "--publish", "none", *flags,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert check_complete(the_session(tmp_path / "out")).summary["counts"]["captured"] == 5


@pytest.mark.parametrize(
    ("flags", "codec"), [(["--record"], "h264"), (["--record", "--quiet"], "h264"), (["--record", "ffv1"], "ffv1")]
)
def test_record_without_a_codec_is_h264(commands: Commands, flags: list[str], codec: str) -> None:
    code, err = commands.run(ARENA, "--pace", "fast", "--frames", 3, *flags)
    assert code == 0, err
    assert check_complete(the_session(commands.out)).summary["recordings"][0]["codec"] == codec


def test_a_run_ends_with_a_report(tmp_path: Path) -> None:
    flags = model_flags(tiny_models(tmp_path / "models"))
    done = cropzoom("run", ARENA, "--out", tmp_path / "out", "--pace", "fast", *flags)
    assert done.returncode == 0
    assert "18 frames in" in done.stdout
    assert "18 processed, 0 skipped, 0 failed" in done.stdout
    for word in ("p50", "p95", "p99", "max", "box age"):
        assert word in done.stdout
    assert str(the_session(tmp_path / "out")) in done.stdout
    assert "pose model: " in done.stderr


def test_a_quiet_run_prints_nothing(tmp_path: Path) -> None:
    flags = model_flags(tiny_models(tmp_path / "models"))
    done = cropzoom("run", ARENA, "--out", tmp_path / "out", "--quiet", *flags)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def faststart_video(path: Path, frames: int = 60) -> Path:
    film = Film(frames, 30)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = film.info.width, film.info.height, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(film.draw(index), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_recording_that_was_cut_short_is_tracked_as_far_as_it_goes(tmp_path: Path) -> None:
    video = faststart_video(tmp_path / "cut.mp4")
    data = video.read_bytes()
    video.write_bytes(data[: len(data) * 6 // 10])
    flags = model_flags(tiny_models(tmp_path / "models"))
    done = cropzoom("run", video, "--out", tmp_path / "out", "--pace", "fast", *flags)
    assert done.returncode == 3, done.stderr
    complaints = [line for line in done.stderr.splitlines() if line.startswith("cropzoom: ")]
    assert any("declares 60 frames" in line for line in complaints), done.stderr
    files: Files = check_complete(the_session(tmp_path / "out"))
    assert 10 < len(files.timing) < 60
    assert set(files.timing["outcome"]) == {"processed"}
    assert files.summary["problems"]


def test_a_complete_recording_ends_with_exit_code_0(tmp_path: Path) -> None:
    video = faststart_video(tmp_path / "whole.mp4")
    flags = model_flags(tiny_models(tmp_path / "models"))
    done = cropzoom("run", video, "--out", tmp_path / "out", "--pace", "fast", *flags)
    assert done.returncode == 0, done.stderr
    files = check_complete(the_session(tmp_path / "out"))
    assert len(files.timing) == 60
    assert files.summary["problems"] == []


WINDOWS_LACKS = """
import os, signal, sys
import av, cv2, numpy, onnxruntime, pandas, pydantic_settings, threadpoolctl, zmq  # which know how to do without
for name in ("SIGPIPE", "SIGKILL", "SIGHUP", "SIGALRM", "SIGSTOP", "SIGCONT", "pthread_sigmask", "setitimer"):
    delattr(signal, name)
for name in ("fork", "getuid", "geteuid", "sched_getaffinity", "killpg", "nice"):
    delattr(os, name)
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
from realtime_cropzoom.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("command", [["run", ARENA, "--pace", "fast", "--frames", 3, "--record"], ["check", ARENA]])
def test_what_windows_lacks_is_not_needed(tmp_path: Path, command: list[object]) -> None:
    flags = model_flags(tiny_models(tmp_path / "models"))
    done = finish(start_process(*command, *flags, "--out", tmp_path / "out", code=WINDOWS_LACKS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_listen_without_a_publisher_ends_with_ctrl_c() -> None:
    process = start_process("listen", "tcp://127.0.0.1:1")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("waiting for poses")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.returncode == 0
    assert "0 poses received" in done.stdout
    assert "Traceback" not in done.stderr


def test_listen_refuses_an_invalid_endpoint(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", "nonsense"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("cropzoom: cannot connect to 'nonsense'")
    assert err.count("\n") == 1


WITHOUT = "import sys; sys.modules[{!r}] = None; from realtime_cropzoom.cli.main import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("library", "extra", "arguments"),
    [
        ("onnxruntime", "cpu", ["run", ARENA]),
        ("onnxruntime", "cpu", ["check", ARENA]),
        ("onnxruntime", "cpu", ["demo"]),
        ("onnxruntime", "cpu", ["pipeline", ARENA]),
        ("torch", "train", ["train", "config.yaml"]),
        ("matplotlib", "plots", ["draw", "none.csv", "--traces"]),
        ("matplotlib", "plots", ["compare", "none.csv", "none.csv"]),
        ("matplotlib", "plots", ["zones", "rules.yaml", ARENA]),
        ("matplotlib", "plots", ["latency"]),
        ("matplotlib", "plots", ["trigger", str(CONFIGS / "triggers.yaml"), "--replay", "none"]),
    ],
)
def test_a_missing_extra_is_one_line(library: str, extra: str, arguments: list[str], tmp_path: Path) -> None:
    done = finish(start_process(*arguments, code=WITHOUT.format(library), cwd=tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f'{extra}]"' in line
    assert line.startswith("cropzoom: ")
    assert not list(tmp_path.iterdir())


def test_demo_and_draw_need_no_plots(tmp_path: Path) -> None:
    """Their pictures of frames are drawn with OpenCV."""
    source = "synthetic:arena,size=640x480,fps=30,seconds=1"

    def run(*arguments: object) -> str:
        done = finish(start_process(*arguments, code=WITHOUT.format("matplotlib"), cwd=tmp_path))
        assert "matplotlib" not in done.stdout + done.stderr
        return done.stdout

    run("demo", "--source", source, "--out", "out")
    made = the_session(tmp_path / "out")
    assert (made / "demo.png").exists()
    assert run("draw", made).strip() == str(made / "frames.png")
    assert "animal" in run("check", source, "--publish", "none")


def test_a_missing_basic_library_is_one_line(tmp_path: Path) -> None:
    done = finish(start_process("draw", "x.csv", code=WITHOUT.format("pandas"), cwd=tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"cropzoom: pandas is not installed; run: pip install -e . (in {ROOT})\n"


def test_two_runtimes_are_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from realtime_cropzoom.inference import providers

    installed = {"onnxruntime", "onnxruntime-gpu"}
    monkeypatch.setattr(importlib.metadata, "distributions", lambda name: iter({name} & installed))
    providers.warn_of_both.cache_clear()
    providers.warn_of_both()
    providers.warn_of_both()
    assert [record.message for record in caplog.records] == [
        "onnxruntime and onnxruntime-gpu are both installed, and spoil each other: pip uninstall onnxruntime "
        "onnxruntime-gpu, then pip install one of them"
    ]

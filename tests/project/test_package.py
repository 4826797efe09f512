"""What is built of the project: complete, without what lies about in a clone, and it runs where the clone is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.places import ROOT

pytest.importorskip("build", reason="build is not installed: pip install -e '.[cpu,dev]'")
pytest.importorskip("hatch_vcs", reason="hatch-vcs is not installed: pip install -e '.[cpu,dev]'")

GARBAGE = [
    *("recording.mp4", "sessions/a/poses.csv", "tests/.pytest_cache/x", "tests/__pycache__/x.pyc", "notes.txt"),
    *("docs/film.avi", "models/epoch=3.ckpt", "tests/unit/golden.npy", "realtime_cropzoom/models/old.onnx.pt"),
]
NOT_COPIED = (".venv", ".git", "*_cache", "__pycache__", "node_modules", "site", "dist", "build", "version.txt")
VERSION = "1.2.3"


def run(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env={**environment, **variables}, capture_output=True, text=True
    )


def done(*command: object, cwd: Path, **variables: str) -> str:
    """Run a command that must succeed, and return what it printed."""
    ended = run(*command, cwd=cwd, **variables)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def git(folder: Path, *words: str) -> str:
    return done("git", "-c", "user.name=a", "-c", "user.email=a@b", *words, cwd=folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist, and the wheel that was built from it, of a copy in which all kinds of things lie about."""
    folder = tmp_path_factory.mktemp("a copy")
    copy = folder / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for name in GARBAGE:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("garbage")
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist")
    done(*command, cwd=copy, SETUPTOOLS_SCM_PRETEND_VERSION=VERSION)
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an environment ``env`` that has the wheel, and the libraries of these tests but not the clone.

    Nothing is downloaded: a line in a .pth file names the folder of the libraries, whose own .pth files do not count.
    """
    folder = tmp_path_factory.mktemp("a user's folder")
    done(sys.executable, "-m", "venv", "--without-pip", "env", cwd=folder)
    site = Path(
        done(python(folder), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    libraries = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "libraries.pth").write_text("\n".join(libraries))
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return folder


def python(folder: Path) -> Path:
    return folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def cropzoom(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(python(folder), "-m", "realtime_cropzoom", *words, cwd=folder)


@pytest.mark.slow
def test_the_sdist_holds_the_project_and_nothing_that_lies_about(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers()}
    assert not names & set(GARBAGE)
    added = {"PKG-INFO", "realtime_cropzoom/version.txt"}
    if (ROOT / ".git").exists() and shutil.which("git"):
        assert names - added == {name for name in git(ROOT, "ls-files").splitlines() if (ROOT / name).exists()}
    assert added | {"LICENSE", "README.md", "models/README.md", "models/pose.onnx", "models/detector.onnx"} <= names


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_models(built: Path) -> None:
    wheel = next(built.glob("*.whl"))
    assert wheel.name == f"realtime_cropzoom-{VERSION}-py3-none-any.whl", "the version of the sdist"
    names = set(zipfile.ZipFile(wheel).namelist())
    models = {name for name in names if name.startswith("realtime_cropzoom/models/")}
    assert {Path(name).name for name in models} == {"README.md", "detector.onnx", "pose.onnx"}
    assert {name.partition("/")[0] for name in names} == {
        "realtime_cropzoom",
        f"realtime_cropzoom-{VERSION}.dist-info",
    }
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "realtime_cropzoom/view/static").rglob("*.*")}
    assert page <= names


@pytest.mark.slow
@pytest.mark.timeout(600)  # all loops are compiled for the first time
def test_the_demo_runs_from_the_wheel(installed: Path) -> None:
    where = "import realtime_cropzoom; print(realtime_cropzoom.__file__)"
    assert str(installed) in done(python(installed), "-c", where, cwd=installed)
    assert cropzoom(installed, "--version").stdout == f"cropzoom {VERSION}\n"
    demo = cropzoom(installed, "demo", "--source", "synthetic:arena,fps=30,seconds=2")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "error against the known truth" in demo.stdout
    assert len([*installed.glob("sessions/*/demo.png")]) == 1


@pytest.mark.slow
def test_a_wheel_without_models_says_so_in_a_line(installed: Path) -> None:
    models = next(installed.glob("env/**/realtime_cropzoom/models"))
    models.rename(models.with_name("moved"))
    try:
        demo = cropzoom(installed, "demo")
    finally:
        models.with_name("moved").rename(models)
    assert demo.returncode == 2
    [line] = demo.stderr.splitlines()
    assert line.startswith("cropzoom: shipped ")
    assert line.endswith("Install the package again, from a wheel with its models")


def version_of(folder: Path) -> str:
    return done(sys.executable, "-W", "ignore", "-m", "hatchling", "version", cwd=folder).strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_version_is_that_of_the_tag_and_there_is_one_without_tags_and_without_git(tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    (clone / "realtime_cropzoom").mkdir(parents=True)
    for name in ("pyproject.toml", ".git_archival.txt", ".gitattributes", ".gitignore", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    assert version_of(clone) == "0.0+unknown", "a copy without git"
    git(clone, "init", "--quiet")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "first")
    commit = git(clone, "rev-parse", "HEAD")
    version, _, place = version_of(clone).partition("+")
    assert version.startswith("0.1.dev"), "no tag yet: before 0.1"
    assert commit.startswith(place.partition("unknown.g")[2])
    git(clone, "tag", "v0.3.0")
    assert version_of(clone) == "0.3.0"
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "later")
    assert version_of(clone).startswith("0.3.1.dev1+g")
    archive(clone, tmp_path / "archive")
    assert version_of(tmp_path / "archive").startswith("0.3.1.dev1+g"), "a downloaded archive"
    git(tmp_path, "clone", "--quiet", "--depth", "1", clone.as_uri(), "shallow")
    assert version_of(tmp_path / "shallow").startswith("0.1.dev"), "it has no tag"


def archive(clone: Path, to: Path) -> None:
    """What a host of repositories gives as download of a commit."""
    git(clone, "archive", "--output", str(clone.parent / "archive.tar"), "HEAD")
    with tarfile.open(clone.parent / "archive.tar") as file:
        file.extractall(to, filter="data")

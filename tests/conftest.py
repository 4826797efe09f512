"""What the tests share: the golden data, tiny real models, and videos whose pixels say which frame they are."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from suite import (  # noqa: F401, which are hooks
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_xdist_make_scheduler,
)
from support.films import Footage
from support.models import onnx_model, tiny_manifest
from support.places import SHARED_DATA

from realtime_cropzoom.inference.manifest import Role

_DATA = SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_the_environment() -> Iterator[None]:
    """What the developer has exported for the command line must not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CROPZOOM_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``latest`` is not the developer's last session, and no test notes one in the real home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _own_runtime_folder() -> Iterator[None]:
    """No run of the developer gets an order of a test. The path is short, as that of a socket must be."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="cz") as folder:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of this test's own, in which no other program takes orders."""
    with tempfile.TemporaryDirectory(prefix="cz") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """Every process of a test inherits what is ignored: SIGINT in a shell's background, SIGHUP under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


class _NoCollector:
    """What a run asks of the garbage collector, left undone.

    To look through all that the tests have imported takes longer than many a run does.
    """

    collect = freeze = unfreeze = get_freeze_count = staticmethod(lambda: 0)


@pytest.fixture(autouse=True, scope="session")
def _runs_collect_no_garbage() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime_cropzoom.runtime.tuning.gc", _NoCollector)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the open-field recording and the files Lightning Pose made of it."""
    if not _DATA.is_dir():
        pytest.skip(f"the golden data is not at {_DATA}")
    return _DATA


@pytest.fixture(scope="session")
def litpose(shared_data: Path) -> Path:
    """The folder with Lightning Pose's model directories and predictions."""
    return shared_data / "litpose" / "openfield"


@pytest.fixture
def make_onnx() -> Callable[..., onnx.ModelProto]:
    """The bare network, see ``onnx_model``, for tests that spoil it before they save it."""
    return onnx_model


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny model with a manifest, ready for ``--detector`` or ``--pose``, and return its path.

    ``described`` replaces fields of the manifest; everything else goes to ``onnx_model``.
    """

    def make(
        role: Role = "pose",
        keypoints: Sequence[str] = ("middle", "right", "low"),
        *,
        name: str | None = None,
        described: dict[str, object] | None = None,
        kind: str = "heatmap",
        levels: int = 2,
        size: tuple[int, int] = (64, 64),
        **options: Any,
    ) -> Path:
        said: dict[str, Any] = {"role": role, **(described or {})}
        manifest = tiny_manifest(keypoints=keypoints, kind=kind, levels=levels, size=size, **said)
        path = tmp_path / (name or f"{role}.onnx")
        model = onnx_model(size, keypoints, kind=kind, levels=levels, manifest=manifest, **options)
        onnx.save(model, path)
        return path

    return make


@pytest.fixture
def make_litpose_directory(tmp_path: Path) -> Callable[..., Path]:
    """Write a Lightning Pose model directory around a tiny model; without ``exports`` nobody has exported it yet.

    ``network`` goes to ``onnx_model``; all else is what the config says, true or not.
    """

    def make(
        name: str = "model",
        *,
        exports: Sequence[str] = ("epoch=1-step=2_fp32",),
        size: tuple[int, int] = (64, 64),
        keypoints: Sequence[str] = ("middle", "right", "low"),
        model_type: str = "heatmap",
        levels: int = 2,
        network: dict[str, Any] | None = None,
    ) -> Path:
        directory = tmp_path / name
        (directory / "exports_onnx").mkdir(parents=True)
        config = {
            "data": {
                "image_resize_dims": {"height": size[1], "width": size[0]},
                "keypoint_names": list(keypoints),
                "downsample_factor": levels,
            },
            "model": {"model_type": model_type},
        }
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        for when, stem in enumerate(exports):
            path = directory / "exports_onnx" / f"{stem}.onnx"
            onnx.save(onnx_model(keypoints=keypoints, **(network or {})), path)
            os.utime(path, (when, when))  # later ones in the list are newer
        return directory

    return make


@pytest.fixture
def footage() -> Footage:
    """Videos of the usual small size."""
    return Footage()


@pytest.fixture
def make_footage() -> Callable[..., Footage]:
    """Videos of another size: ``make_footage((320, 240))``."""
    return Footage


@pytest.fixture
def make_video(tmp_path: Path, footage: Footage) -> Callable[..., Path]:
    """Write a small video into the test's folder: ``make_video("clip.mp4", frames=20, codec="libx264")``."""

    def make(name: str = "clip.mp4", frames: int = 20, **options: Any) -> Path:
        return footage.write(tmp_path / name, frames, **options)

    return make

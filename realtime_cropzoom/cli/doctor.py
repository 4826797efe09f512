"""``cropzoom doctor``: says why an animal is not found."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import add_overwrite, add_settings, check_free, say_next, settings_given
from realtime_cropzoom.cli.values import a_path, a_session, number, some_text
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.runtime.signals import signals_held_back
from realtime_cropzoom.sessions.latest import LATEST, is_elsewhere

if TYPE_CHECKING:
    from realtime_cropzoom.checks.doctor.finding import Finding
    from realtime_cropzoom.checks.doctor.session import OfSession
    from realtime_cropzoom.config.settings import Settings

_MODELS = ("project", "detector", "pose")
EXIT_FOUND = 1
"""Exit code if something was found that hinders."""
_SETTINGS = (
    *(
        "project",
        "detector",
        "pose",
        "crop_size",
        "crop_ratio",
        "anchor_keypoints",
        "min_likelihood",
        "min_box",
        "edge",
    ),
    *("detector_min_sharpness", "pose_min_sharpness", "pose_min_likelihood", "shape_tolerance"),
    *("provider", "precision", "decoder"),
    *("camera_size", "camera_fps", "pixel_format", "exposure_ms", "gain", "roi", "open_timeout_s", "read_timeout_s"),
)
_EXPLAINED = """\
cropzoom doctor says why the animal is not found, and what to do.

  cropzoom doctor recording.mp4             with the shipped models
  cropzoom doctor camera:0 --project rat_arena --seconds 20
  cropzoom doctor recording.mp4 --detector DIR --pose DIR
  cropzoom doctor latest                    the newest session, with the models of that run

It looks at some frames, shows them to the models as a run does, and tries what makes the animal be found:
the same frames inverted, larger, smaller, brighter, … It writes a picture of what the models see.
Exit code 0 if nothing hinders, 1 if it found a cause, 2 for bad input.
"""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    doctor = commands.add_parser(
        "doctor",
        help="say why the animal is not found, and what to do",
        description=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument(
        "what", type=some_text, metavar="SOURCE",
        help="video, folder of images, camera:0, rtsp://…; or the folder of a run, or 'latest'",
    )  # fmt: skip
    doctor.add_argument("--source", type=some_text, help="of a session: the recording, if it is not where it was")
    doctor.add_argument(
        "--seconds", type=number(1, 3600, "seconds"), default=10.0, metavar="S",
        help="time for which a camera or stream is looked at (default: 10)",
    )  # fmt: skip
    doctor.add_argument("--config", type=a_path, metavar="FILE.yaml", help="settings from a file")
    doctor.add_argument("--json", action="store_true", help="print findings and numbers as JSON")
    doctor.add_argument(
        "--out", type=a_path, metavar="PNG",
        help="picture to write (default: NAME_doctor.png here, or SESSION/doctor.png, which are replaced; with "
        "models of yours, their name before doctor)",
    )  # fmt: skip
    add_overwrite(doctor)
    doctor.add_later(lambda: add_settings(doctor, _SETTINGS))
    doctor.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    check_free(arguments.out, overwrite=arguments.overwrite)
    with signals_held_back():
        from realtime_cropzoom.checks.doctor.doctor import examine

    folder = _session_folder(arguments.what)
    session = None
    if folder is not None:
        from realtime_cropzoom.checks.doctor.session import read_of_session

        session = read_of_session(folder, arguments.source)
    elif arguments.source is not None:
        raise ConfigError(f"--source: expected a session before it, got {arguments.what}. Leave it out")
    settings = _settings(arguments, session)
    picture = arguments.out or _picture(arguments.what, folder, _name_of_models(settings, session))
    found = examine(settings, picture, arguments.seconds, session, terminal.say)
    if arguments.json:
        print(json.dumps(found.values, indent=2, ensure_ascii=False))
    else:
        columns = terminal.columns(sys.stdout)
        print("\n".join(terminal.fold(line, columns) for line in found.lines))
        print(f"picture: {picture}")
        _say_next(found.findings, settings, _flags_of_several(folder, session))
    return EXIT_FOUND if found.findings else 0


def _session_folder(what: str) -> Path | None:
    """Return the session that is given, as folder or pose file; None for a source. Raises DataError."""
    path = user_path(what)
    if LATEST in path.parts and not path.exists():
        return a_session(what)
    if path.suffix.lower() == ".csv":
        return path
    has_tables = path.is_dir() and any(any(path.glob(f"*_{table}.csv")) for table in ("timing", "bbox"))
    return path if has_tables else None


def _settings(arguments: argparse.Namespace, session: OfSession | None) -> Settings:
    """Return the settings: the flags, then those of the session, then the file. Raises ConfigError."""
    from realtime_cropzoom.config.resolve import load_settings

    given = {name: value for name, value in settings_given(arguments).items() if name in _SETTINGS}
    of_models = {} if session is None else dict(session.settings)
    if given.keys() & set(_MODELS):
        of_models = {name: value for name, value in of_models.items() if name not in _MODELS}
    source = session.video if session is not None else arguments.what
    if {"crop_size", "crop_ratio"} & given.keys():
        of_models = {name: value for name, value in of_models.items() if name not in ("crop_size", "crop_ratio")}
    return load_settings({**of_models, **given, "source": source}, arguments.config)


def _name_of_models(settings: Settings, session: OfSession | None) -> str:
    """Return the name of the project, or of the folder with the models; empty for the shipped ones, or the run's."""
    from realtime_cropzoom.config.group import AUTO, NONE
    from realtime_cropzoom.inference.model_paths import SHIPPED

    given = [getattr(settings, name) for name in _MODELS]
    if session is not None and given == [session.settings.get(name) for name in _MODELS]:
        return ""
    of_models = [str(path) for path in given[1:] if path not in (SHIPPED, AUTO, NONE)]
    path = Path(given[0] or next(iter(of_models), "")).absolute()
    parts = [name.removesuffix(".onnx") for name in path.parts[:0:-1]]
    names = [name for name in parts if name not in ("models", "detector", "pose")]
    return names[0] if names and (given[0] or of_models) else ""


def _picture(what: str, session: Path | None, models: str) -> Path:
    """Return the picture to write: in the folder of a session, else here, named as the source and the models.

    It is here, too, if the user has not named that folder (``latest``, and this folder has no session), or if nothing
    can be written there.
    """
    last = f"{models}_doctor.png" if models else "doctor.png"
    if session is not None:
        folder, name = (session, last) if session.is_dir() else (session.parent, f"{session.stem}_{last}")
        if not is_elsewhere(what) and os.access(folder, os.W_OK):
            return folder / name
        return Path(f"{session.stem}_{last}")
    path = user_path(what)
    stem = path.stem if path.exists() else "".join(c if c.isalnum() else "_" for c in what).strip("_")[:60]
    return Path(f"{stem or 'source'}_{last}")


def _flags_of_models(settings: Settings) -> list[object]:
    """Return the flags with which a run takes the same models."""
    from realtime_cropzoom.config.group import AUTO
    from realtime_cropzoom.inference.model_paths import SHIPPED

    if settings.project is not None:
        return ["--project", settings.project]
    given = [(f"--{role}", getattr(settings, role)) for role in ("detector", "pose")]
    return [word for flag, path in given if path not in (SHIPPED, AUTO) for word in (flag, path)]


def _flags_of_several(folder: Path | None, session: OfSession | None) -> list[object]:
    """Return the flags with which a run has the same animals or regions; none of one animal."""
    if folder is None or session is None:
        return []
    if session.region is not None:
        return ["--regions", folder.parent / "config.yaml"]
    return [] if session.animals == 1 else ["--animals", session.animals]


def _say_next(findings: tuple[Finding, ...], settings: Settings, several: list[object]) -> None:
    """Print the command that comes next."""
    source = str(settings.source)
    models = [*_flags_of_models(settings), *several]
    side = next((finding.crop_size for finding in findings if finding.crop_size is not None), None)
    if not findings:
        boxes = [] if settings.crop_size is None else ["--crop-size", settings.crop_size]
        say_next("run", source, *models, *boxes)
    elif findings[0].crop_size is not None:
        say_next("run", source, *models, "--crop-size", side)
    elif findings[0].needs_training and not _flags_of_models(settings):
        say_next("init", "my_animal", "--keypoints", "nose,ear_l,ear_r,tail_base")

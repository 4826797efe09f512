"""Factory of sources: opens the SOURCE that a user names, built in or registered by another package.

A source is a path, or ``SCHEME:REST``. To add a source, a package registers the function that opens it
as an entry point of the group ``realtime_cropzoom.sources``, under the name of the scheme. The function
is called with REST and the options, and returns a ``Source``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import stat
from collections.abc import Callable
from pathlib import Path

from realtime_cropzoom.errors import ConfigError, CropzoomError, SourceError, shorten
from realtime_cropzoom.files.paths import is_folder, user_path
from realtime_cropzoom.sources.base import Source, SourceOptions, without_password

SYNTHETIC = "synthetic:"
"""Beginning of the names of synthetic sources."""
ENTRY_POINTS = "realtime_cropzoom.sources"
"""Group of entry points in which packages register sources."""

Opener = Callable[[str, SourceOptions], Source]
"""Function that opens a source, given the part of its name after the scheme."""

_BUILT_IN = {
    "camera": "live.camera:open_camera",
    "genicam": "machine_vision.genicam:open_genicam",
    "basler": "machine_vision.basler:open_basler",
    "gentl": "machine_vision.gentl:open_gentl",
    "lavfi": "live.stream:open_lavfi",
}
"""Module and function that open a source, by scheme."""
_STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "srt", "rtp", "rtmp")
"""Schemes of network streams."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]+):(.*)", re.DOTALL)
"""Pattern of ``SCHEME:REST``. A scheme has at least two characters: a single letter is a Windows drive."""


def has_scheme(spec: str) -> bool:
    """Return whether a source is named as ``SCHEME:REST``, as cameras and streams are, and not as a path.

    Args:
        spec: The source as the user gave it.
    """
    return _SCHEME.fullmatch(spec) is not None


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Open a video file, a folder of images, or ``SCHEME:REST``.

    Args:
        spec: The source as the user gives it. An existing file or folder takes precedence over a scheme.
        options: Options for opening it; the defaults of ``SourceOptions`` if None.

    Raises:
        SourceError: if the source cannot be opened; one line.
        ConfigError: if the scheme is unknown or an option does not suit this kind of source; one line.
    """
    options = options or SourceOptions()
    _check_options(spec, options)
    path = user_path(spec)
    matched = _SCHEME.fullmatch(spec)
    if _exists(path, is_address=matched is not None) or matched is None:
        return _open_path(path, options)
    scheme, rest = matched[1].lower(), matched[2]
    if spec.startswith(SYNTHETIC):
        from realtime_cropzoom.sources.arena.boxes import open_arena
        from realtime_cropzoom.sources.arena.source import parse_arena

        return open_arena(parse_arena(spec))
    if scheme in _STREAM_SCHEMES and rest.startswith("//"):
        from realtime_cropzoom.sources.live.stream import open_stream

        return open_stream(spec, options)
    if scheme in _BUILT_IN:
        module, _, name = _BUILT_IN[scheme].partition(":")
        opener: Opener = getattr(importlib.import_module(f"realtime_cropzoom.sources.{module}"), name)
        return opener(rest, options)
    return _open_registered(spec, scheme, rest, options)


_CAMERA_SETTINGS = {
    "size": "camera_size", "fps": "camera_fps", "pixel_format": "pixel_format", "exposure_ms": "exposure_ms",
    "gain": "gain", "roi": "roi", "trigger": "trigger",
}  # fmt: skip
"""The setting for each option that only cameras have."""
_FILE_SETTINGS = {"loop": "loop", "start_s": "start_s"}
"""The setting for each option that only files have."""
_CAMERAS = ("camera", "genicam", "basler", "gentl")


def _check_options(spec: str, options: SourceOptions) -> None:
    """Raise ConfigError if an option is set that this kind of source would ignore."""
    matched, path = _SCHEME.fullmatch(spec), user_path(spec)
    scheme = "" if matched is None or _exists(path, is_address=True) else matched[1].lower()
    if not scheme and _is_device(spec):
        raise ConfigError(f"{spec}: got a device, expected camera:{spec}. Run: cropzoom run camera:{spec}")
    if scheme in (*_CAMERAS, *_STREAM_SCHEMES):
        _refuse(spec, options, _FILE_SETTINGS, "recordings", "a camera or stream")
    elif scheme == "synthetic":
        _refuse(spec, options, _CAMERA_SETTINGS, "cameras", "the built-in arena, which has size=… and fps=… of its own")
    elif not scheme and is_folder(path):  # images are played at the fps that is asked for
        _refuse(
            spec, options, {k: v for k, v in _CAMERA_SETTINGS.items() if k != "fps"}, "cameras", "a folder of images"
        )
    elif not scheme:
        _refuse(spec, options, _CAMERA_SETTINGS, "cameras", "a recording")


def _refuse(spec: str, options: SourceOptions, names: dict[str, str], of: str, what: str) -> None:
    unset = SourceOptions()
    wrong = [setting for name, setting in names.items() if getattr(options, name) != getattr(unset, name)]
    if wrong:
        verb, them = ("is", "it") if len(wrong) == 1 else ("are", "them")
        raise ConfigError(
            f"{without_password(spec)} is {what}, but {', '.join(wrong)} {verb} for {of}. Leave {them} out"
        )


def _is_device(spec: str) -> bool:
    try:
        return stat.S_ISCHR(Path(spec).stat().st_mode) and spec.startswith("/dev/video")
    except (OSError, ValueError):
        return False


def _not_there(spec: str) -> str:
    """Return a message with what the user probably meant by a missing file; empty if that cannot be guessed."""
    word = spec.lower()
    if spec.isdecimal() or word in ("camera", "webcam", "cam", "usb") or word.startswith("/dev/video"):
        number = spec if spec.isdecimal() else "0"
        return f"{spec}: no such file. For a camera, write camera:{number}; 'cropzoom cameras' lists the connected ones"
    return ""


def _exists(path: Path, *, is_address: bool) -> bool:
    """Return whether the file or folder exists. Raises SourceError if the system rejects the path."""
    try:
        return path.exists()
    except OSError as error:  # such as a name of more than 255 characters
        if is_address:
            return False
        raise SourceError(f"cannot open {shorten(str(path))}: {error.strerror}; expected a file or a folder") from None


def _open_path(path: Path, options: SourceOptions) -> Source:
    if not _exists(path, is_address=True) and (meant := _not_there(str(path))):
        raise SourceError(meant)
    from realtime_cropzoom.sources.looping import LoopingSource

    def opened() -> Source:
        if is_folder(path):
            from realtime_cropzoom.sources.image_folder import ImageFolder

            return ImageFolder(path, options.fps, options.start_s)
        from realtime_cropzoom.sources.video_file import VideoFile

        return VideoFile(path, options.start_s, keep_packets=options.keep_packets)

    return LoopingSource(opened) if options.loop else opened()


def _open_registered(spec: str, scheme: str, rest: str, options: SourceOptions) -> Source:
    registered = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for entry in registered:
        if entry.name == scheme:
            try:
                source: Source = entry.load()(rest, options)
            except CropzoomError:
                raise
            except Exception as error:  # another package's code may raise anything; the message names the package
                raise SourceError(
                    f"{spec}: the source {entry.value} failed: {type(error).__name__}: {error}"
                ) from error
            return source
    known = [
        SYNTHETIC.rstrip(":"),
        *_BUILT_IN,
        *(f"{s}//" for s in ("rtsp:", "http:", "udp:", "srt:")),
        *registered.names,
    ]
    raise ConfigError(
        f"{spec}: no such file, and no source is called {scheme!r}; "
        f"expected a file, a folder of images, or one of {', '.join(sorted(set(known)))}"
    )

"""Configuration of several cameras: separates it into the settings of each camera, which override the common ones.

::

    crop_size: 240                 # common
    cameras:
      top:  {source: "camera:0"}
      side: {source: "rtsp://192.168.1.20/main", crop_size: 200}
    stop_together: false
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import yaml

from realtime_cropzoom.config.group import AUTO, ENV_PREFIX, NONE
from realtime_cropzoom.config.output_groups import ENDPOINTS
from realtime_cropzoom.config.resolve import resolve
from realtime_cropzoom.config.settings import CAMERAS, Settings
from realtime_cropzoom.errors import ConfigError
from realtime_cropzoom.files.names import why_not_on_windows
from realtime_cropzoom.messaging.endpoints import parse_tcp
from realtime_cropzoom.yaml_file import read_mapping

STOP_TOGETHER = "stop_together"
_ADDRESSES = (*ENDPOINTS, "control")
_OF_ONE_CAMERA = ("source", "camera")
_PORTS_A_CAMERA = 2
_EVERY_HOST = ("*", "0.0.0.0", "[::]")


@dataclass(frozen=True, slots=True)
class Cameras:
    """The settings of several cameras that do not conflict."""

    name: str
    """Start of the name of the session folder."""
    settings: dict[str, Settings]
    """{camera: its settings}, in the order of the file."""
    stop_together: bool
    """Whether a camera that fails stops the others."""

    @property
    def out(self) -> Path:
        """The folder in which the session folder is made."""
        return next(iter(self.settings.values())).out

    def to_yaml(self) -> str:
        """Return all settings as YAML that ``--config`` reads back."""
        cameras = {
            name: {key: value for key, value in s.to_dict().items() if key not in ("out", "camera")}
            for name, s in self.settings.items()
        }
        content = {"out": str(self.out), CAMERAS: cameras, STOP_TOGETHER: self.stop_together}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def load_cameras(flags: Mapping[str, Any], config: Path) -> Cameras | None:
    """Read a configuration file with several cameras.

    Flags and the environment hold for all cameras. A camera without its own endpoints gets the common ones, with 2
    added to the port for each camera before it.

    Args:
        flags: {setting: value} from the command line.
        config: The YAML file.

    Returns:
        The cameras; None if the file has no ``cameras``.

    Raises:
        ConfigError: if settings are wrong or cameras conflict; one line per error.
    """
    content = read_mapping(config)
    if CAMERAS not in content:
        return None
    given, together = content.pop(CAMERAS), content.pop(STOP_TOGETHER, False)
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"{config}: cameras: expected names with their settings, as in 'top: {{source: …}}'")
    if not isinstance(together, bool):
        raise ConfigError(f"{config}: {STOP_TOGETHER}: got {together!r}, expected true or false")
    _refuse_what_is_of_one(flags, content, config)
    common = resolve(flags, content, config)
    settings, wrong = {}, []
    for index, (name, own) in enumerate(given.items()):
        try:
            settings[str(name)] = _of_one(index, name, own, flags, content, common)
        except ConfigError as error:
            wrong += [f"{config}: camera {name}: {line}" for line in str(error).splitlines()]
    if wrong:
        raise ConfigError("\n".join(wrong))
    _check_against_each_other(settings, config)
    return Cameras(config.stem, settings, together)


def _refuse_what_is_of_one(flags: Mapping[str, Any], content: Mapping[str, Any], config: Path) -> None:
    for setting in _OF_ONE_CAMERA:
        variable = ENV_PREFIX + setting.upper()
        where = {
            "as a flag" if setting == "camera" else "on the command line": setting in flags,
            f"in the environment ({variable})": variable in os.environ,
            f"above {CAMERAS} in {config}": setting in content,
        }
        for place, is_there in where.items():
            if is_there:
                raise ConfigError(f"{setting} is given {place}, but {config} names several cameras, each with its own")


def _of_one(
    index: int, name: object, own: object, flags: Mapping[str, Any], content: Mapping[str, Any], common: Settings
) -> Settings:
    if not isinstance(name, str) or not re.match(r"^[A-Za-z0-9]", name) or name.endswith((".yaml", ".json")):
        raise ConfigError("expected a name that begins with a letter; put a number in quotes")
    if (why := why_not_on_windows(name)) is not None:
        raise ConfigError(f"it {why}, and becomes the name of a folder; give another name")
    if not isinstance(own, dict) or own.get("source") is None:
        raise ConfigError("it has no source; give it one, as in 'source: camera:0'")
    for setting in ("out", "camera"):
        if setting in own:
            raise ConfigError(f"{setting} is no setting of one camera; " + _INSTEAD[setting])
    endpoints = {}
    for setting in _ADDRESSES:
        for_all = setting in flags or ENV_PREFIX + setting.upper() in os.environ
        its_own = None if for_all else own.get(setting)
        endpoints[setting] = its_own or _shifted(getattr(common, setting), index, name)
    settings = resolve({**flags, **endpoints, "camera": name}, {**content, **own})
    return settings.model_copy(update={"pose_threads": settings.pose_threads or 1})  # the others need the cores


_INSTEAD = {
    "out": "all of them share one session folder, so put it above cameras",
    "camera": "its name is the word before its settings",
}


def _shifted(endpoint: str, index: int, name: str) -> str:
    """Return the endpoint of camera ``index`` from the common one. A free port stays as it is."""
    if index == 0 or endpoint in (NONE, AUTO) or endpoint.endswith((":*", ":0")):
        return endpoint
    tcp = parse_tcp(endpoint)
    if tcp is None or tcp.port is None:  # such as ipc:///tmp/poses
        return f"{endpoint}-{name}"
    return f"tcp://{tcp.host}:{tcp.port + _PORTS_A_CAMERA * index}"


def _check_against_each_other(settings: Mapping[str, Settings], config: Path) -> None:
    for (a, first), (b, second) in combinations(settings.items(), 2):
        if a.casefold() == b.casefold():
            raise ConfigError(f"{config}: the cameras {a} and {b} would share a folder on some disks; rename one")
        if first.source == second.source:
            raise ConfigError(f"{config}: the cameras {a} and {b} have the same source; each needs its own")
        for one, other in product(_endpoints(first), _endpoints(second)):
            if _collide(one, other):
                raise ConfigError(
                    f"{config}: the cameras {a} and {b} would both use {one}; give one of them another "
                    "publish, publish_latest, publish_echo, publish_preview or control"
                )


def _endpoints(settings: Settings) -> list[str]:
    return [getattr(settings, name) for name in _ADDRESSES]


def _collide(one: str, other: str) -> bool:
    if {NONE, AUTO} & {one, other} or one.endswith((":*", ":0")):
        return False
    a, b = parse_tcp(one), parse_tcp(other)
    if a is None or b is None:
        return one == other
    same_host = a.host == b.host or a.host in _EVERY_HOST or b.host in _EVERY_HOST
    return same_host and a.port == b.port

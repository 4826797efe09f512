"""Resolution of settings: combines flags > environment > YAML file > defaults, and reports one line per error."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from realtime_cropzoom.config.group import ENV_PREFIX
from realtime_cropzoom.config.settings import CAMERAS, Settings
from realtime_cropzoom.errors import ConfigError, did_you_mean, shorten
from realtime_cropzoom.yaml_file import read_mapping


def load_settings(flags: Mapping[str, Any] | None = None, config: Path | None = None) -> Settings:
    """Combine the settings from flags, environment and file.

    Args:
        flags: {setting: value} from the command line; they take precedence.
        config: The YAML file; None for no file.

    Raises:
        ConfigError: if a setting is wrong or the file describes several cameras; one line per error.
    """
    from_file = {} if config is None else read_mapping(config)
    if CAMERAS in from_file:
        raise ConfigError(f"{config}: got several cameras, expected one. 'cropzoom run --config {config}' runs them")
    return resolve(flags or {}, from_file, config)


def resolve(flags: Mapping[str, Any], from_file: Mapping[str, Any], config: Path | None = None) -> Settings:
    """Combine the settings from flags, environment and the content of a file.

    Args:
        flags: {setting: value} from the command line; they take precedence.
        from_file: {setting: value} from the file.
        config: The file, for error messages; None if there is none.

    Raises:
        ConfigError: if a setting is wrong; one line per error.
    """
    _check_environment()

    try:
        return Settings(**_merged(from_file, EnvSettingsSource(Settings)(), flags))
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e, config) for e in error.errors())) from error


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Combine settings, the last layer first. A project replaces the models of the layers below it."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer.get("project") is not None:
            merged = {name: value for name, value in merged.items() if name not in ("detector", "pose")}
        merged |= layer
    return merged


def _check_environment() -> None:
    """Raise ConfigError if a variable of the environment has our prefix, but names no setting."""
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)
    if unknown:
        raise ConfigError(f"environment variable {', '.join(unknown)}: {_not_a_setting(unknown[0], known)}")


def _not_a_setting(name: str, known: Iterable[str]) -> str:
    likely = did_you_mean(name, known)
    return f"not a setting; {_PAGE} lists all settings" + (f".{likely}" if likely else "")


def _explain(error: Any, config: Path | None) -> str:
    """Return one line about one of pydantic's errors."""
    name = ".".join(str(part) for part in error["loc"]) or "settings"
    if error["type"] == "extra_forbidden":
        where = "" if config is None else f"{config}: "
        return f"{where}{name[:100]}: {_not_a_setting(name, Settings.model_fields)}"
    return f"{name}: got {shorten(error['input'])}, expected {_expected(error)}"


_PAGE = "docs/reference/settings.md"
_BOUNDS = {
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number less than {lt}",
    "less_than_equal": "{le} or less",
}
_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "path": "a path", "string": "a text"}


def _expected(error: Any) -> str:
    """Return the expected value in plain words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "string_pattern_mismatch":
        field = Settings.model_fields.get(str(error["loc"][0]))
        return f"this form: {field.description if field is not None else context['pattern']}"
    if kind == "finite_number":
        return "a finite number"
    message = error["msg"].removeprefix("Value error, ")
    return _TYPES.get(kind.partition("_")[0]) or f"{message[0].lower()}{message[1:]}"

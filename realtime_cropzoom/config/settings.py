"""Settings of a run: one flat set of seven groups, from flags > environment > YAML file > defaults.

The fields of the groups are the flags of ``cropzoom run`` and the table in ``docs/reference/settings.md``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationInfo, field_validator

from realtime_cropzoom.config.group import AUTO, COPY, NONE
from realtime_cropzoom.config.input_groups import BoxSettings, ModelSettings, SourceSettings
from realtime_cropzoom.config.output_groups import ControlSettings, FilterSettings, PublishSettings, RecordSettings
from realtime_cropzoom.errors import ConfigError, shorten
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.inference.model_paths import SHIPPED
from realtime_cropzoom.inference.presence import JudgeLimits, PoseJudge, Presence
from realtime_cropzoom.sources.base import SourceOptions, without_password

CAMERAS = "cameras"
"""Key of a configuration file with several cameras. It is not a setting of a run."""
_PATHS = {"source", "project", "detector", "pose", "schedule", "calibration", "key_folder", "control_keys"}


class Settings(
    ControlSettings, PublishSettings, RecordSettings, FilterSettings, BoxSettings, ModelSettings, SourceSettings
):
    """All settings of a run, read-only.

    Pydantic orders the fields by the bases from last to first. Missing values come from the
    environment, then from the defaults.

    Raises:
        ConfigError: if two settings contradict each other.
        pydantic.ValidationError: if a value is wrong. ``load_settings`` raises ConfigError for it, one line per error.
    """

    @field_validator("*", mode="after")
    @classmethod
    def _refuse_nul(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str | Path) and "\0" in str(value):
            raise ConfigError(f"{info.field_name}: got {shorten(str(value))}, expected a text without a NUL character")
        return value

    def source_options(self) -> SourceOptions:
        """Return the options with which the source is opened. A recording by copy needs its compressed frames."""
        return replace(super().source_options(), keep_packets=self.record == COPY)

    def pose_judge(self, presence: Presence) -> PoseJudge:
        """Return a new plausibility check with these ``presence`` limits."""
        return PoseJudge(self.judge_limits(presence))

    def judge_limits(self, presence: Presence) -> JudgeLimits:
        """Return the limits of the plausibility check, with these ``presence`` limits."""
        return JudgeLimits(presence, self.lost_after_ms, self.shape_tolerance, self.jump_limit)

    def to_yaml(self) -> str:
        """Return all settings as YAML that ``--config`` reads back, without the password of an address."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as they may be written to a file. Paths are absolute, so that they hold in any folder."""
        content = self.model_dump(mode="json")
        for name in _PATHS & content.keys():
            content[name] = _absolute(content[name])
        return content if self.source is None else {**content, "source": without_password(content["source"])}


def _absolute(text: str | None) -> str | None:
    """Return the path of an existing file as an absolute path, and any other text, such as ``camera:0``, unchanged."""
    if text is None or text in (SHIPPED, AUTO, NONE):
        return text
    path = user_path(text)
    try:
        return str(path.absolute()) if path.exists() else text
    except (OSError, ValueError):  # a name too long for a path
        return text

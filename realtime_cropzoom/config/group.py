"""Base class of the groups of settings, and the words and limits that they share."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "CROPZOOM_"
NONE = "none"
COPY = "copy"
AUTO = "auto"
DAY_MS = 86_400_000.0
"""Maximum of durations in ms (one day)."""
DAYS_S = 1e7
"""Maximum of durations in s (four months). Larger values are mistakes, and clocks and waits cannot count them."""


class SettingsGroup(BaseSettings):
    """Settings that belong together. Values are checked, and read-only afterwards."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, allow_inf_nan=False)

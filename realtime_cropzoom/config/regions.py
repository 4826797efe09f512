"""Settings of the regions of a frame: their names, and their outlines in frame pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from realtime_cropzoom.config.group import NONE
from realtime_cropzoom.errors import ConfigError, shorten
from realtime_cropzoom.files.paths import user_path
from realtime_cropzoom.yaml_file import read_mapping

MAX_REGIONS = 64
"""Maximum number of regions."""
MAX_CORNERS = 500
"""Maximum number of corners of one region."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_ENDINGS = ("bbox", "timing", "cm", "events", "recording", "crops", "decisions", "inputs", "outputs", "sync")
"""What the files of a session are named by. A region of that name could not be told from them."""

Pixel = Annotated[float, Field(ge=0, le=65536)]
Side = Annotated[float, Field(ge=1, le=65536)]


class RegionShape(BaseModel):
    """The outline of a region, in one of two forms. Whole numbers are the edges of pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rectangle_px: tuple[Pixel, Pixel, Side, Side] | None = None
    """Left edge, upper edge, width and height."""
    polygon_px: Annotated[tuple[tuple[Pixel, Pixel], ...], Field(min_length=3, max_length=MAX_CORNERS)] | None = None
    """Its corners, one after another."""
    frame_px: tuple[Annotated[int, Field(ge=1, le=65536)], Annotated[int, Field(ge=1, le=65536)]] | None = None
    """Width and height of the frame on which it was drawn; None if that is not known."""

    @model_validator(mode="after")
    def _one_form(self) -> RegionShape:
        if (self.rectangle_px is None) == (self.polygon_px is None):
            raise ValueError("one of rectangle_px: [x, y, width, height] and polygon_px: [[x, y], …]")
        return self

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """The corners, in order; those of a rectangle are whole pixels."""
        if self.rectangle_px is None:
            return self.polygon_px or ()
        x, y, w, h = self.rectangle_px
        left, top, right, bottom = (float(round(edge)) for edge in (x, y, x + w, y + h))
        return (left, top), (right, top), (right, bottom), (left, bottom)

    def plain(self) -> dict[str, list[Any]]:
        """Return it as a config file has it."""
        frame = {} if self.frame_px is None else {"frame_px": list(self.frame_px)}
        if self.rectangle_px is not None:
            return {"rectangle_px": list(self.rectangle_px), **frame}
        return {"polygon_px": [list(corner) for corner in self.polygon_px or ()], **frame}


def read_regions(given: Any) -> Any:
    """Return the regions that a setting names: those of a file, or what it has itself.

    Args:
        given: The path of a file with ``regions:``, the regions, or ``none``.

    Raises:
        ConfigError: if the file cannot be read or has no regions, or if a name cannot be used.
    """
    if given == NONE:
        return None
    if isinstance(given, str | Path):
        path = user_path(str(given))
        content = read_mapping(path)
        given = content.get("regions")
        if not isinstance(given, Mapping) or not given:
            raise ConfigError(
                f"regions: {path} has none; expected lines such as 'regions: {{box1: {{rectangle_px: "
                f"[0, 0, 200, 200]}}}}'. Draw them with 'cropzoom zones NEW_FILE FRAME --regions --draw'"
            )
    if isinstance(given, Mapping):
        _check_names([_name(name) for name in given])
        return {_name(name): shape for name, shape in given.items()}
    return given


def _name(given: object) -> str:
    """Return a name as text. Raises ConfigError if YAML has made something else of a word, such as True of ``yes``."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ConfigError(
            f"regions: a name was read as {shorten(given)}; expected text or a whole number. Put the name into "
            "quotation marks, or give another one, as box1"
        )
    return str(given)


def _check_names(names: list[str]) -> None:
    if len(names) > MAX_REGIONS:
        raise ConfigError(f"regions: got {len(names)}, expected at most {MAX_REGIONS}")
    for name in names:
        if not _NAME.fullmatch(name) or name.startswith((".", "-")):
            raise ConfigError(
                f"regions: {shorten(name)} cannot name files; expected up to 40 letters, digits and _ . -, as box1"
            )
        ending = next((end for end in _ENDINGS if name.lower() == end or name.lower().endswith(f"_{end}")), None)
        if ending is not None:
            raise ConfigError(f"regions: {name} ends as files of a session do ({ending}); give another name, as box1")
    folded = [name.lower() for name in names]
    twice = next((name for name in names if folded.count(name.lower()) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"regions: {twice} and another name differ only in capitals, and some disks hold one file of both; "
            "give different names"
        )

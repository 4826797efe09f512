"""Names of keypoints: which keypoint of a project a name in another program's file means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_cropzoom.errors import ConfigError, DataError, did_you_mean, listed, quoted

_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_SAME = {"snout": "nose", "nosetip": "nose", "tailroot": "tailbase", "tailstart": "tailbase"}
"""Other words for the same place."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class NameMap:
    """Which keypoints of a file are used."""

    places: Mapping[str, int]
    """Index of the project's keypoint for each name of the file that is used."""
    left_out: tuple[str, ...]
    """Names of the file that are not used."""
    missing: tuple[str, ...]
    """Keypoints of the project that the file does not have."""


def match_names(
    path: Path, names: Sequence[str], keypoints: Sequence[str], rename: Mapping[str, str] | None = None
) -> NameMap:
    """Find the project's keypoint of each name in a file.

    Args:
        path: The file, for error texts.
        names: The names in it.
        keypoints: The names of the project's keypoints.
        rename: The project's name for a name in the file; "" leaves it out.

    Raises:
        ConfigError: if ``rename`` has a name that is not there.
        DataError: if no name fits, a name is close to one of the project but another, or two mean the same.
    """
    rename = rename or {}
    for given, wanted in rename.items():
        if given not in names:
            raise ConfigError(f"--rename: {path} has no {quoted(given)}; it has {listed(names)}.{_hint(given, names)}")
        if wanted and wanted not in keypoints:
            hint = _hint(wanted, keypoints)
            raise ConfigError(f"--rename: the project has no {quoted(wanted)}; it has {listed(keypoints)}.{hint}")
    meant = {name: rename.get(name, name) for name in names}
    used = {name: keypoints.index(wanted) for name, wanted in meant.items() if wanted in keypoints}
    _check_once(path, used, keypoints)
    missing = [name for k, name in enumerate(keypoints) if k not in used.values()]
    strange = [name for name in names if name not in used and meant[name]]
    near = _near(strange, missing)
    if near:
        pairs = ",".join(f"{given}={wanted}" for given, wanted in near.items())
        raise DataError(
            f"{path}: got {listed(near)}, which are no keypoints of the project. Did you mean {listed(near.values())}? "
            f"Add --rename {pairs}, or --rename {next(iter(near))}= to leave one out"
        )
    if not used:
        raise DataError(
            f"{path}: got the keypoints {listed(names)}, expected {listed(keypoints)}. "
            f"Add --rename {names[0] if names else 'NAME'}={keypoints[0]}"
        )
    return NameMap(used, tuple(name for name in names if name not in used), tuple(missing))


def nearest_name(given: str, names: Sequence[str]) -> str | None:
    """Return the name that means the same in other words, or is written nearly so; None if there is none.

    ``leftear`` and ``Ear_L`` mean the same, and so do ``snout`` and ``nose``.

    Args:
        given: The name.
        names: The names to choose from.
    """
    meaning = _meaning(given)
    same = next((name for name in names if _meaning(name) == meaning), None)
    if same is not None:
        return same
    likely = re.search(r"'(.*)'", did_you_mean(given, [name for name in names if _meaning(name)[0] == meaning[0]]))
    return likely[1] if likely else None


def _near(strange: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Return, for names that are not known, the missing keypoint that each of them probably means."""
    near: dict[str, str] = {}
    for given in strange:
        likely = nearest_name(given, [name for name in missing if name not in near.values()])
        if likely is not None:
            near[given] = likely
    return near


def _meaning(name: str) -> tuple[str, str]:
    """Return side and part of the body: ("left", "ear") for ``leftear``, ``ear_l`` and ``L.Ear``."""
    side, rest = "", ""
    for word in map(str.lower, _WORD.findall(name)):
        for text in ("left", "right"):
            if word != text and (word.startswith(text) or word.endswith(text)):
                side, word = text, word.removeprefix(text).removesuffix(text)
        if word in _SIDES:
            side = _SIDES[word]
        else:
            rest += word
    return side, _SAME.get(rest, rest)


def _hint(given: str, names: Sequence[str]) -> str:
    likely = nearest_name(given, names)
    return f" Did you mean {likely!r}?" if likely else ""


def _check_once(path: Path, used: Mapping[str, int], keypoints: Sequence[str]) -> None:
    owners: dict[int, str] = {}
    for name, k in used.items():
        if k in owners:
            raise DataError(
                f"{path}: {quoted(owners[k])} and {quoted(name)} both mean {quoted(keypoints[k])}. "
                f"Add --rename {name}= to leave one out"
            )
        owners[k] = name

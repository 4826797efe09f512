"""Content of ``project.yaml``, the one file of a project that a person edits, and its checks.

``docs/reference/project-file.md`` has all keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from realtime_cropzoom.errors import ConfigError, did_you_mean, listed, quoted, shorten
from realtime_cropzoom.inference.manifest import MAX_KEYPOINTS
from realtime_cropzoom.yaml_file import compose_yaml, line_of, parse_mapping

PAGE = "docs/reference/project-file.md"
_MAX_NAME = 64
"""Maximum length of a keypoint's name (characters)."""
_MAX_MINUTES = 10_000
"""Longest training (minutes): a week."""
_LEAST_CROP, _MAX_CROP = 16, 8192
"""Least and largest side of a box (frame pixels)."""
_LEAST_INPUT, _MAX_INPUT = 32, 1024
"""Least and largest side of a network's input (pixels). A larger one needs more memory than a computer has."""
_NOT_IN_NAMES = re.compile(r"""[,:;/\\"'\x00-\x1f\x7f-\x9f]""")
"""Characters that separate names in flags and in the files of other programs, or end a line."""

Pair = tuple[str, str]
"""Names of two keypoints."""
Place = tuple[str | int, ...]
"""Place in the file: the keys and indices that lead to it."""


def name_fault(name: str) -> str:
    """Return what is wrong with the name of a keypoint, or "" if it can be used."""
    bad = _NOT_IN_NAMES.search(name)
    if bad is not None:
        return f"a keypoint's name holds {bad[0]!r}; expected letters, digits and _"
    if not name or name != name.strip():
        return "a keypoint's name is empty, or begins or ends with a space"
    return f"a keypoint's name has {len(name)} characters, at most {_MAX_NAME}" if len(name) > _MAX_NAME else ""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


_List = BeforeValidator(lambda given: () if given is None else tuple(given) if isinstance(given, list) else given)
"""A list of YAML, as a tuple; a key without a value is an empty list."""


class HeldOut(_Part):
    """``held_out``: the labelled frames that are never trained on, and on which the error is measured."""

    share: float = Field(
        default=0.15, gt=0, le=0.5, description="share of the labelled frames: a number above 0, at most 0.5"
    )
    recordings: Annotated[tuple[str, ...], _List] = Field(
        default=(), description="names of recordings to hold out whole, such as [rat3_day2]; []: training chooses"
    )


class Training(_Part):
    """``training``: what ``cropzoom train`` may use."""

    minutes: float = Field(
        default=15.0, gt=0, le=_MAX_MINUTES, description="time for both models together, in minutes, above 0"
    )
    crop_size: Annotated[int, Field(ge=_LEAST_CROP, le=_MAX_CROP)] | Literal["auto"] = Field(
        default="auto", description="side of the box around the animal, in pixels of the frame; auto: from the labels"
    )
    detector_input: Annotated[int, Field(ge=_LEAST_INPUT, le=_MAX_INPUT)] | Literal["auto"] = Field(
        default="auto",
        description="longer side of the small picture that the detector sees: a multiple of 32 pixels, or auto",
    )
    pose_input: Annotated[int, Field(ge=_LEAST_INPUT, le=_MAX_INPUT)] | Literal["auto"] = Field(
        default="auto",
        description="side of the picture of the box that the pose model sees: a multiple of 32 pixels, or auto",
    )
    empty_frames: Literal["ignore", "no_animal"] = Field(
        default="ignore", description="frames without any label: ignore, or no_animal if they show none"
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=1 << 32,
        description="of the random numbers: a whole number; the same one gives the same split",
    )


class ProjectFile(_Part):
    """Content of ``project.yaml``."""

    keypoints: Annotated[tuple[str, ...], _List] = Field(
        min_length=1,
        max_length=MAX_KEYPOINTS,
        description="The points to track, in the order of the labels and of the models. Do not rename one after the "
        "first label.",
    )
    skeleton: Annotated[tuple[Annotated[Pair, _List], ...], _List] = Field(
        default=(),
        description="Pairs of points between which pictures draw a line, such as [[nose, tail_base]]. Only for "
        "looking; [] draws none.",
    )
    symmetric: Annotated[tuple[Annotated[Pair, _List], ...], _List] = Field(
        default=(),
        description="Pairs of points that change places in a mirror, such as [[ear_l, ear_r]]. Training mirrors "
        "pictures and needs all of them; [] if there are none.",
    )
    recordings: Annotated[tuple[str, ...], _List] = Field(
        default=(),
        description="Recordings that frames come from; 'cropzoom frames' adds them here. Paths are absolute, or "
        "relative to this folder.",
    )
    held_out: HeldOut = Field(
        default=HeldOut(),
        description="Labelled frames that are never trained on. The error is measured on them alone.",
    )
    training: Training = Field(default=Training(), description="What 'cropzoom train' may use.")


def parse_project(text: str, name: str) -> ProjectFile:
    """Return the content of ``project.yaml``.

    Args:
        text: The text.
        name: Name of the file, for error texts.

    Raises:
        ConfigError: if something in it is wrong; one line for each fault, with the line of the file.
    """
    content = parse_mapping(text, name, "lines such as 'keypoints: [nose, tail_base]'")
    try:
        file = ProjectFile.model_validate(content)
        faults = list(_faults(file))
    except ValidationError as error:
        faults = _one_of_each_key([_explain(fault, content) for fault in error.errors()])
    if not faults:
        return file
    tree = compose_yaml(text)
    lines = [(name if (line := line_of(tree, place)) is None else f"{name}, line {line}") for place, _ in faults]
    raise ConfigError("\n".join(f"{where}: {fault}" for where, (_, fault) in zip(lines, faults, strict=True)))


def check_names(keypoints: Sequence[str], skeleton: Sequence[Pair], symmetric: Sequence[Pair]) -> None:
    """Raise ConfigError, with one line for each fault, if these cannot be the names and pairs of a project."""
    file = ProjectFile(keypoints=tuple(keypoints), skeleton=tuple(skeleton), symmetric=tuple(symmetric))
    if faults := [text for _, text in _faults(file)]:
        raise ConfigError("\n".join(faults))


def _faults(file: ProjectFile) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with names and pairs: the place in the file, and the text."""
    for k, name in enumerate(file.keypoints):
        if fault := name_fault(name):
            yield ("keypoints", k), f"keypoints: got {shorten(name)}: {fault}. Rename it"
        if name in file.keypoints[:k]:
            yield ("keypoints", k), f"keypoints: got {quoted(name)} twice, expected different names. Rename one"
    for key, pairs in (("skeleton", file.skeleton), ("symmetric", file.symmetric)):
        for i, pair in enumerate(pairs):
            yield from (((key, i), f"{key}: {fault}") for fault in _pair_faults(pair, file.keypoints))
    for k, path in enumerate(file.recordings):
        if "://" in path:
            yield ("recordings", k), f"recordings: got {shorten(path)}, expected paths of files or folders. Remove it"
    seen: dict[str, int] = {}
    for i, pair in enumerate(file.symmetric):
        for name in {*pair} & seen.keys():
            yield ("symmetric", i), f"symmetric: got {quoted(name)} in two pairs, expected one. Remove one of them"
        seen |= dict.fromkeys(pair, i)


def _pair_faults(pair: Pair, keypoints: Sequence[str]) -> Iterator[str]:
    for name in pair:
        if name not in keypoints:
            likely = did_you_mean(name, keypoints)
            yield f"got {quoted(name)}, expected keypoints: {listed(keypoints)}.{likely}"
    if pair[0] == pair[1]:
        yield f"got {quoted(pair[0])} with itself, expected two keypoints"


_SECTIONS: Mapping[str, type[BaseModel]] = {"held_out": HeldOut, "training": Training}
_BOUNDS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
}
_FORMS = {
    "keypoints": "a list of names, such as [nose, tail_base]",
    "skeleton": "a list of pairs, such as [[nose, tail_base]]",
    "symmetric": "a list of pairs, such as [[ear_l, ear_r]]",
    "recordings": "a list of paths, such as [videos/a.mp4]",
    "held_out": "lines such as 'share: 0.15'",
    "training": "lines such as 'minutes: 15'",
}
_TYPES = {
    "finite": "a number",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
}


def _explain(error: Any, content: Mapping[str, Any]) -> tuple[Place, str]:
    """Return place and text of one of pydantic's errors."""
    place: Place = tuple(part for part in error["loc"] if not str(part).startswith(("constrained-", "literal[")))
    key, kind = str(place[0]), error["type"]
    section = key if key in _SECTIONS and len(place) > 1 else ""
    dotted = f"{section}.{place[1]}" if section else key
    if kind == "missing" and len(place) == 1:
        return place, f"{dotted}: is missing, expected {_FORMS[key]}"
    if kind == "extra_forbidden":
        names = _SECTIONS[section].model_fields if section else ProjectFile.model_fields
        likely = did_you_mean(str(place[-1]), names) or did_you_mean(dotted.rpartition(".")[2], _all_names())
        return place, f"{dotted[:100]}: not a key of a project; {PAGE} lists all keys.{likely}".removesuffix(".")
    given = content.get(key) if kind in ("missing", "too_long", "too_short") else error["input"]
    return place, f"{dotted}: got {shorten(given)}, expected {_expected(error, section, place)}"


def _one_of_each_key(faults: list[tuple[Place, str]]) -> list[tuple[Place, str]]:
    """Return the first fault of each key. Pydantic has one for each form that a value may have."""
    return list({text.partition(":")[0]: (place, text) for place, text in reversed(faults)}.values())[::-1]


def _all_names() -> list[str]:
    return [*ProjectFile.model_fields, *(name for part in _SECTIONS.values() for name in part.model_fields)]


def _expected(error: Any, section: str, place: Place) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if not section and kind.startswith("string") and len(place) > 1:
        return "a text; put it in quotes"
    if not section:
        return _FORMS[str(place[0])]
    if str(place[1]) in ("crop_size", "detector_input", "pose_input"):
        least, most = (_LEAST_CROP, _MAX_CROP) if place[1] == "crop_size" else (_LEAST_INPUT, _MAX_INPUT)
        return f"auto, or a whole number from {least} to {most}"
    if str(place[1]) == "empty_frames":
        return "ignore or no_animal"
    if str(place[1]) == "recordings":
        return "a list of names of recordings"
    return _BOUNDS[kind].format(**context) if kind in _BOUNDS else _TYPES.get(kind.partition("_")[0], error["msg"])

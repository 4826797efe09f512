"""Manifest changes: what a user sets by dotted name, such as ``input.channels=bgr``. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from realtime_cropzoom.errors import ModelError, did_you_mean, shorten
from realtime_cropzoom.inference.manifest import Manifest, check_manifest

Change = tuple[str, str]
"""A dotted name and a text for its value."""
_FIXED = ("version", "created_with", "trained")
"""Fields that no user sets."""
_NOTHING = ("none", "null", "")
_SIZE = re.compile(r"(\d+)x(\d+)")


def split_change(text: str) -> Change:
    """Split ``NAME=VALUE``. Raises ModelError if there is no name or no ``=``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ModelError(f"{shorten(text)}: expected NAME=VALUE, such as input.channels=bgr")
    return name.strip(), value.strip()


def with_changes(manifest: Manifest, changes: Sequence[Change], source: object) -> Manifest:
    """Return a manifest with some fields set by the user.

    A geometry or a decoder is set by its type, and has defaults then: ``decoder=simcc``.

    Args:
        manifest: The manifest.
        changes: What is set, in any order.
        source: Where the manifest comes from, for error texts.

    Raises:
        ModelError: if there is no such field, if a value does not fit, or if the result contradicts itself.
    """
    if not changes:
        return manifest
    for name, text in sorted(changes, key=lambda change: change[0].count(".")):  # a decoder before its fields
        manifest = _set(manifest, name.split("."), text, name)
    check_manifest(manifest, source)
    return manifest


def _set(part: Any, names: Sequence[str], text: str, whole_name: str) -> Any:
    """Return a part of a manifest with one field set."""
    types = {field.name: field.type for field in msgspec.structs.fields(part)}
    known = [name for name in types if name not in _FIXED or part.__class__ is not Manifest]
    if names[0] not in known:
        raise ModelError(
            f"{whole_name}: {_where(part)} has no field {names[0]!r}, expected one of {', '.join(known)}."
            f"{did_you_mean(names[0], known)}"
        )
    old, kind = getattr(part, names[0]), types[names[0]]
    if len(names) == 1:
        new = _converted(text, kind, whole_name)
    elif isinstance(old, msgspec.Struct):
        new = _set(old, names[1:], text, whole_name)
    else:
        raise ModelError(f"{whole_name}: {names[0]} has no fields of its own; set {names[0]} itself")
    return msgspec.structs.replace(part, **{names[0]: new})


def _where(part: Any) -> str:
    return str(part.__struct_config__.tag or part.__class__.__name__.lower())


def _converted(text: str, kind: Any, name: str) -> Any:
    tags = {str(one.__struct_config__.tag): one for one in get_args(kind) if _is_struct(one)}
    if tags:
        if text not in tags:
            raise ModelError(
                f"{name}: got {shorten(text)}, expected one of {', '.join(tags)}.{did_you_mean(text, tags)}"
            )
        return tags[text]()
    if _is_struct(kind):
        first = msgspec.structs.fields(kind)[0].name
        raise ModelError(f"{name}: got {shorten(text)}, expected one of its fields, such as {name}.{first}")
    reasons = []
    for candidate in _candidates(text):
        try:
            return msgspec.convert(candidate, kind, strict=False)
        except msgspec.ValidationError as error:
            reasons.append(str(error).partition(" - at")[0])
    raise ModelError(f"{name}: got {shorten(text)}: {reasons[0]}")


def _candidates(text: str) -> list[Any]:
    """Return what a text may mean: itself, nothing, numbers or words with commas, a size, or JSON."""
    found: list[Any] = [text]
    if text.lower() in _NOTHING:
        found += [None, ()]
    if size := _SIZE.fullmatch(text):
        found.append(size.groups())
    try:
        found.append(msgspec.json.decode(text))
    except msgspec.DecodeError:
        found.append([part.strip() for part in text.split(",")])
    return [*found, [text]]


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)

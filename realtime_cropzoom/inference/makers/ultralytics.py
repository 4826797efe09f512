"""Ultralytics: reads YOLO-pose networks that ``yolo export format=onnx`` wrote. They describe themselves.

The metadata are Python literals. They are parsed as literals, with limits, and never evaluated. Whether rows are raw or
final is seen from the shape of the output: the file's own words for it have changed their meaning between versions.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from realtime_cropzoom.errors import ModelError, shorten
from realtime_cropzoom.inference.makers.maker import Described, Maker, Settings
from realtime_cropzoom.inference.makers.names import choose_names
from realtime_cropzoom.inference.manifest import MAX_KEYPOINTS, MAX_SIDE, Input, Letterbox, Manifest, Rows
from realtime_cropzoom.inference.onnx_file import OnnxFile

NAME = "Ultralytics"
_MAX_LITERAL = 65536
"""Maximum length of an entry of the metadata (characters). A thousand class names are shorter."""
_ASSUMED = (
    "the file does not say how pictures get into the input: as in Ultralytics 8.4, RGB / 255, resized bilinearly until "
    "they fit, with 114 around them",
    "rows with a score of 0.25 or less do not count, as in Ultralytics 8.4",
)
_OWN_NMS = "rows that the export's own conf and iou leave out cannot be seen; the file does not say these two"


def read(file: OnnxFile, folder: Path | None, settings: Settings) -> Described | None:
    """Describe a file by its metadata.

    Args:
        file: The file.
        folder: Not used.
        settings: Names of the keypoints, if the file has none or other ones are wanted.

    Raises:
        ModelError: if it is not a pose model, its metadata cannot be read, or they do not fit the network.
    """
    if not {"task", "imgsz", "names"} <= set(file.metadata):
        return None
    said = _Said.of(file)
    size, form = _fixed_size(file), _form(file, said)
    names, assumed = choose_names(file.path, said.keypoints, settings.keypoint_names, said.keypoint_names)
    manifest = Manifest(
        maker=NAME,
        keypoint_names=names,
        input=Input(size=size),
        geometry=Letterbox() if size else Letterbox(target=said.size, multiple=said.stride),
        decoder=Rows(form, said.classes, visibility=said.has_visibility),
        outputs=(file.outputs[0].name,),
        maker_version=_line(file, "version", 40),
        kind="YOLO-pose",
        whole_frame=True,
        score="visibility of the keypoint" if said.has_visibility else "score of the animal",
        license=_line(file, "license", 200),
        assumed=tuple(note for note in (*_ASSUMED, _OWN_NMS if said.own_nms else "", assumed) if note),
    )
    return Described(manifest)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the metadata of a file say."""

    keypoints: int
    has_visibility: bool
    classes: int
    size: tuple[int, int]
    """(width, height) for which it was exported."""
    stride: int
    keypoint_names: tuple[str, ...]
    own_nms: bool
    """Whether the network has a non-maximum suppression."""
    is_final: bool
    """Whether it says that its rows are final."""

    @property
    def numbers(self) -> int:
        """Numbers of a row that belong to keypoints."""
        return self.keypoints * (3 if self.has_visibility else 2)

    @classmethod
    def of(cls, file: OnnxFile) -> _Said:
        task, channels = file.metadata["task"], file.metadata.get("channels", "3")
        if task != "pose":
            raise ModelError(
                f"{file.path} is a YOLO network for {shorten(task)}, expected one for pose; train yolo pose"
            )
        if channels != "3":
            raise ModelError(f"{file.path} takes {shorten(channels)} channels, expected 3; train it on colour images")
        count, numbers = _whole_numbers(file, "kpt_shape", 2, MAX_KEYPOINTS)
        if numbers not in (2, 3):
            raise ModelError(f"{file.path}: its kpt_shape is {[count, numbers]}, expected [keypoints, 2 or 3]")
        height, width = _whole_numbers(file, "imgsz", 2, MAX_SIDE)
        stride = _whole_numbers(file, "stride", 1, MAX_SIDE)[0]
        if height % stride or width % stride:
            raise ModelError(f"{file.path}: its imgsz is {[height, width]}, expected multiples of its stride, {stride}")
        arguments = _literal(file, "args")
        own_nms = isinstance(arguments, dict) and arguments.get("nms") is True
        is_final = own_nms or file.metadata.get("end2end") == "True"
        names, size = _names(file, count), (width, height)
        return cls(count, numbers == 3, _class_count(file), size, stride, names, own_nms, is_final)


def _literal(file: OnnxFile, key: str) -> Any:
    """Return an entry of the metadata, a Python literal; None if there is none."""
    text = file.metadata.get(key)
    if text is None:
        return None
    if len(text) > _MAX_LITERAL:
        raise ModelError(f"{file.path}: its {key} has {len(text)} characters, expected {_MAX_LITERAL} at most")
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ModelError(f"{file.path}: its {key} is {shorten(text)}, expected a literal; export it again") from None


def _whole_numbers(file: OnnxFile, key: str, count: int, most: int) -> Sequence[int]:
    value = _literal(file, key)
    numbers = [value] if isinstance(value, int) else value
    if not (
        isinstance(numbers, list | tuple)
        and len(numbers) == count
        and all(type(number) is int and 0 < number <= most for number in numbers)
    ):
        wanted = "a whole number" if count == 1 else f"{count} whole numbers"
        raise ModelError(f"{file.path}: its {key} is {shorten(value)}, expected {wanted} of 1 to {most}")
    return numbers


def _class_count(file: OnnxFile) -> int:
    names = _literal(file, "names")
    if not isinstance(names, dict | list) or not names:
        raise ModelError(f"{file.path}: its names are {shorten(names)}, expected those of its classes; export it again")
    return len(names)


def _names(file: OnnxFile, count: int) -> tuple[str, ...]:
    """Return the names of the keypoints of the first class; empty if the file has none."""
    by_class = _literal(file, "kpt_names")
    names = by_class.get(0, ()) if isinstance(by_class, dict) else by_class or ()
    if not isinstance(names, list | tuple) or len(names) not in (0, count):
        raise ModelError(f"{file.path}: its kpt_names are {shorten(names)}, expected {count} names; export it again")
    return tuple(str(name) for name in names)


def _line(file: OnnxFile, key: str, limit: int) -> str:
    """Return an entry of the metadata as one line of ``limit`` characters at most."""
    return " ".join(file.metadata.get(key, "").split())[:limit]


def _fixed_size(file: OnnxFile) -> tuple[int, int] | None:
    """Return (width, height) of the input; None if it is open."""
    match file.inputs[0].shape if file.inputs else ():
        case (_, _, int(height), int(width)):
            return width, height
    return None


def _form(file: OnnxFile, said: _Said) -> Literal["raw", "final"]:
    """Return the form of the rows."""
    raw, final, shape = 4 + said.classes + said.numbers, 6 + said.numbers, file.outputs[0].shape
    match shape:
        case (_, rows, numbers) if numbers == final and (said.is_final or rows != raw):
            return "final"
        case (_, numbers, _) if numbers == raw:
            return "raw"
    raise ModelError(
        f"{file.path} gives an output of shape {shorten(list(shape))}; its kpt_shape and {said.classes} classes make "
        f"(N, {raw}, anchors) or (N, rows, {final}); export it again"
    )


MAKER = Maker(NAME, read)
